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

from seisfast.normalization import OPENFWI_DATA_RANGES, Normalization

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
    for dtype in (torch.float32, torch.float64):
        assert EXAMPLE.encode_records(torch.zeros(2, 2, dtype=dtype)).dtype == dtype


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
