"""Normalization: the maps between m/s, records and network values, their constants and their storage."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seisfast.normalization import AGC_FLOOR, OPENFWI_DATA_RANGES, Normalization, automatic_gain

EXAMPLE = Normalization(data_range=(-4.0, 12.0), velocity_range=(1500.0, 4500.0), output_range=(-1.0, 1.0))


def test_velocity_maps() -> None:
    velocity = torch.tensor([1500.0, 3000.0, 4500.0, 4800.0])
    torch.testing.assert_close(EXAMPLE.unit_velocity(velocity), torch.tensor([0.0, 0.5, 1.0, 1.1]))
    torch.testing.assert_close(EXAMPLE.encode_velocity(velocity), torch.tensor([-1.0, 0.0, 1.0, 1.2]))
    torch.testing.assert_close(EXAMPLE.output_to_unit(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([0, 0.5, 1]))


@pytest.mark.parametrize("output_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_decoding_undoes_encoding(output_range: tuple[float, float]) -> None:
    normalization = Normalization(data_range=(-1, 1), output_range=output_range)
    velocity = 1400 + 3000 * torch.rand(2, 1, 5, 6, dtype=torch.float64)
    output = normalization.encode_velocity(velocity)
    torch.testing.assert_close(normalization.decode_velocity(output), velocity, rtol=1e-14, atol=0)
    torch.testing.assert_close(normalization.output_to_unit(output), normalization.unit_velocity(velocity))


def test_linear_records() -> None:
    records = torch.tensor([[-4.0, 4.0], [12.0, 20.0]])
    torch.testing.assert_close(EXAMPLE.encode_records(records), torch.tensor([[-1.0, 0.0], [1.0, 2.0]]))


def test_log_records_are_openfwis() -> None:
    normalization = Normalization.openfwi("CurveFault-A", zero_last_sample=False)
    records = torch.tensor([[-26.48, 52.32, 0.0, 3.0]], dtype=torch.float64)
    low, high = -math.log1p(26.48), math.log1p(52.32)
    expected = [-1.0, 1.0, -2 * low / (high - low) - 1, 2 * (math.log1p(3) - low) / (high - low) - 1]
    torch.testing.assert_close(normalization.encode_records(records), torch.tensor([expected]).double())
    assert normalization.velocity_range == (1500.0, 4500.0)
    assert normalization.output_range == (-1.0, 1.0)


def test_zeroed_last_sample() -> None:
    normalization = Normalization.openfwi("FlatVel-A")
    records = torch.randn(2, 3, 7, 4)
    before = records.clone()
    encoded = normalization.encode_records(records)
    assert torch.equal(records, before)
    records[..., -1, :] = 0
    assert torch.equal(encoded, normalization.encode_records(records))


def test_genuine_record_fits_its_family(data_dir: Path) -> None:
    records = torch.from_numpy(np.load(data_dir / "openfwi_sample" / "seismic.npy"))
    encoded = Normalization.openfwi("CurveFault-A").encode_records(records)
    assert -1 <= float(encoded.min()) < -0.5
    assert 0.5 < float(encoded.max()) <= 1


def test_constants_of_records() -> None:
    records = torch.tensor([[0.5, -2.0], [3.0, 0.0]])
    normalization = Normalization.for_records(records, transform="log", velocity_range=(1000, 2000))
    assert normalization.data_range == (-2.0, 3.0)
    assert normalization.velocity_range == (1000.0, 2000.0)
    encoded = normalization.encode_records(records)
    assert (float(encoded.min()), float(encoded.max())) == pytest.approx((-1, 1))


@pytest.mark.parametrize("family", OPENFWI_DATA_RANGES)
def test_storage(family: str) -> None:
    normalization = Normalization.openfwi(family)
    stored = json.loads(json.dumps(normalization.to_dict()))
    assert Normalization.from_dict(stored) == normalization
    assert pickle.loads(pickle.dumps(normalization)) == normalization


def test_records_keep_their_type() -> None:
    for normalization in (EXAMPLE, Normalization(data_range=(-3, 3), agc=3)):
        for dtype in (torch.float32, torch.float64):
            assert normalization.encode_records(torch.ones(2, 2, dtype=dtype)).dtype == dtype


# -- gain control ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 5, 8, 9, 30])
def test_gain_control_by_its_definition(window: int) -> None:
    records = torch.randn(2, 9, 3, dtype=torch.float64) * torch.logspace(-4, 4, 9, dtype=torch.float64)[:, None]
    expected = torch.empty_like(records)
    for n in range(9):
        inside = records[:, max(n - window // 2, 0) : n + (window - 1) // 2 + 1]
        power = inside.square().mean(1) + AGC_FLOOR**2 * records.square().mean(1)
        expected[:, n] = records[:, n] / power.sqrt()
    torch.testing.assert_close(automatic_gain(records, window), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(automatic_gain(records.float(), window), expected.float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(automatic_gain(1e6 * records, window), expected, rtol=1e-12, atol=0)


def test_gain_control_leaves_silence_silent() -> None:
    """A weak end after a strong arrival is not lost in rounding, a trace of zeros is zero, and so is its gradient."""
    trace = torch.zeros(1000, 2)
    trace[100:120, 0] = 1e4 * torch.randn(20)
    trace[600:, 0] = torch.randn(400)
    trace.requires_grad_()
    gained = automatic_gain(trace, 51)
    assert gained[650:950, 0].detach().square().mean() == pytest.approx(0.27, abs=0.15), "0.5 of it is the floor"
    assert not gained[:, 1].any()
    assert not gained[130:570, 0].any()
    gained.sum().backward()
    assert trace.grad is not None
    assert bool(torch.isfinite(trace.grad).all())


def test_gain_control_comes_first_and_its_constants_too() -> None:
    records = torch.randn(4, 50, 3) * torch.logspace(0, 3, 50)[:, None]
    normalization = Normalization.for_records(records, transform="log", agc=11, zero_last_sample=True)
    zeroed = records.clone()
    zeroed[:, -1] = 0
    gained = automatic_gain(zeroed, 11)
    assert normalization.data_range == (float(gained.min()), float(gained.max()))
    plain = Normalization(data_range=normalization.data_range, data_transform="log")
    assert torch.equal(normalization.encode_records(records), plain.encode_records(gained))
    stored = json.loads(json.dumps(normalization.to_dict()))
    assert stored["agc"] == 11
    assert Normalization.from_dict(stored) == normalization
    del stored["agc"]  # as versions wrote it that had no gain control
    assert Normalization.from_dict(stored).agc is None


def test_wrong_windows() -> None:
    with pytest.raises(ValueError, match="agc must be an integer of at least 1, got 0"):
        Normalization(data_range=(-1, 1), agc=0)
    with pytest.raises(TypeError, match=r"agc must be an integer of at least 1, got 2\.5"):
        Normalization.for_records(torch.randn(5, 2), agc=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[\.\.\., time, receivers\], got shape \(4,\)"):
        Normalization(data_range=(-1, 1), agc=3).encode_records(torch.zeros(4))


def test_constants_of_seisinvnet() -> None:
    records, velocity = torch.tensor([[-8.0, 15.0, 3.5]]), torch.tensor([1500.0, 4000.0])
    seisinv, geofwi = Normalization.seisinv(), Normalization.geofwi(output_range=(-1, 1))
    torch.testing.assert_close(seisinv.encode_records(records), 2 * (records + 8) / 23 - 1)
    torch.testing.assert_close(seisinv.encode_velocity(velocity), (velocity - 1500) / 2500)
    torch.testing.assert_close(geofwi.encode_records(records), 2 * (records + 40) / 90 - 1)
    torch.testing.assert_close(geofwi.unit_velocity(velocity), (velocity - 1500) / 3000)
    assert geofwi.output_range == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_range": (1.0, 1.0)}, "data_range must be finite with low < high"),
        ({"data_range": (0.0, float("inf"))}, "data_range must be finite"),
        ({"data_range": 3.0}, r"data_range must be two numbers \(low, high\), got 3.0"),
        ({"velocity_range": (4000, 1500)}, "velocity_range must be finite with low < high"),
        ({"velocity_range": (0, 1500)}, "velocity_range must be positive"),
        ({"output_range": (1, 0)}, "output_range must be finite with low < high"),
        ({"data_transform": "sqrt"}, 'data_transform must be "linear" or "log", got \'sqrt\''),
    ],
)
def test_wrong_constants(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalization(**{"data_range": (-1.0, 1.0), **options})


def test_wrong_flag() -> None:
    with pytest.raises(TypeError, match="zero_last_sample must be True or False, got 'no'"):
        Normalization(data_range=(0, 1), zero_last_sample="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (torch.zeros(0, 3), "must not be empty"),
        (torch.full((2, 2), 5.0), "must not be constant, got 5 in every sample"),
        (torch.tensor([1.0, float("nan")]), "must be finite"),
        (torch.tensor([1.0, float("-inf")]), "must be finite"),
    ],
)
def test_unusable_records(records: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalization.for_records(records)


def test_unknown_family_and_keys() -> None:
    with pytest.raises(ValueError, match=r"family must be one of FlatVel-A, .*, got 'Salt'"):
        Normalization.openfwi("Salt")
    with pytest.raises(ValueError, match="got also colour"):
        Normalization.from_dict({"data_range": [0, 1], "colour": "red"})
    with pytest.raises(ValueError, match="needs data_range"):
        Normalization.from_dict({})
    with pytest.raises(ValueError, match=r"\[\.\.\., time, receivers\], got shape \(4,\)"):
        Normalization.openfwi("Style-A").encode_records(torch.zeros(4))
