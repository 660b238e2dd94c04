"""OpenFWI's operator against genuine records, and against every wrong choice that others have made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_survey import relative
from torch import Tensor

import seisfast as sf

DETECTED = 5e-5  # the tolerance of the float32 comparison: a choice is detected when it errs by more


@pytest.fixture(scope="module")
def sample(data_dir: Path) -> tuple[Tensor, Tensor]:
    """The genuine CurveFault model, and its record without sample 999, which the released generator never fills."""
    velocity = torch.from_numpy(np.load(data_dir / "openfwi_sample/velocity.npy"))[0, 0]
    records = torch.from_numpy(np.load(data_dir / "openfwi_sample/seismic.npy"))[0]
    assert velocity.shape == (70, 70)
    assert records.shape == (5, 1000, 70)
    assert not records[:, 999].any()
    return velocity, records[:, :999]


def survey_with(**changes: object) -> sf.Survey:
    """The preset with some fields replaced."""
    preset = sf.Survey.openfwi()
    names = ("spacing", "dt", "nt", "sources", "receivers", "wavelet", "order", "boundary")
    return sf.Survey(**{**{name: getattr(preset, name) for name in names}, **changes})


# -- genuine records ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-5), (torch.float64, 2e-5)], ids=["f32", "f64"])
def test_genuine_sample(sample: tuple[Tensor, Tensor], dtype: torch.dtype, bound: float) -> None:
    velocity, records = sample
    data = sf.simulate(velocity.to(dtype), sf.Survey.openfwi())
    assert data.dtype == dtype
    assert data[:, 999].abs().max() > 0  # ours fills it
    assert relative(data[:, :999], records) < bound
    for shot in range(5):
        assert relative(data[shot, :999], records[shot]) < bound


def test_the_twin_on_one_genuine_shot(sample: tuple[Tensor, Tensor]) -> None:
    velocity, records = sample
    survey = survey_with(nt=300, sources=[(1, 34)], wavelet=sf.Survey.openfwi().wavelet[:300])
    twin = sf.reference.simulate(velocity, survey)
    assert relative(twin[0], records[2, :300]) < 5e-5
    assert relative(sf.simulate(velocity, survey), twin) < 5e-5


@pytest.mark.parametrize(
    ("file", "frequency", "half", "every"),
    [
        ("geo_split_client1", 15.0, 0, 1),
        ("geo_split_client2", 15.0, 1, 1),
        ("freq_split_client1", 5.0, 0, 1),
        ("freq_split_client2", 20.0, 1, 1),
        ("density_split_client2", 15.0, 1, 3),
    ],
)
def test_marmousi_pair(data_dir: Path, file: str, frequency: float, half: int, every: int) -> None:
    velocity = torch.from_numpy(np.ascontiguousarray(np.load(data_dir / "marmousi_pair/velocity.npy")))[0, 0]
    records = torch.from_numpy(np.load(data_dir / f"marmousi_pair/{file}.npy"))[0]
    shots = range(0, 190, 21)
    survey = sf.Survey(
        spacing=10.0, dt=1e-3, nt=1000, sources=[(1, ix) for ix in shots][5 * half : 5 * half + 5],
        receivers=[(1, ix) for ix in range(95 * half, 95 * half + 95, every)],
        wavelet=sf.wavelets.ricker(frequency, 1e-3, 1000), boundary=sf.Sponge(120),
    )  # fmt: skip
    if frequency == 20.0:
        with pytest.warns(UserWarning, match=r"3 points per shortest wavelength \(1500 m/s at 50 Hz, spacing 10 m\)"):
            data = sf.simulate(velocity, survey)
    else:
        data = sf.simulate(velocity, survey)
    assert relative(data, records) < 1e-4


# -- every wrong choice is seen ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OtherSlowest(sf.Sponge):
    """A sponge whose damping is that of another slowest velocity than the model's 1764 m/s."""

    slowest: float = 1764.0

    def profile(self, spacing: float, dt: float) -> npt.NDArray[np.float64]:
        return super().profile(spacing, dt) * (self.slowest / 1764.0)


def shifted(samples: int) -> Tensor:
    """The wavelet so many samples later."""
    return sf.Survey.openfwi().wavelet.roll(samples)


@pytest.mark.parametrize(
    ("change", "cost"),
    [
        ({"boundary": OtherSlowest(slowest=1500.0)}, 3.5e-4),
        ({"boundary": OtherSlowest(slowest=4500.0)}, 2.8e-3),
        ({"boundary": sf.Sponge(119)}, 1.5e-4),
        ({"boundary": sf.Sponge(60)}, 2.7e-2),
        ({"boundary": sf.CPML(20)}, None),
        ({"order": 2}, 1.8e-1),
        ({"order": 6}, None),
        ({"sources": [(0, ix) for ix in (0, 17, 34, 52, 69)]}, None),
        ({"receivers": [(0, ix) for ix in range(70)]}, None),
        (
            {"sources": [(0, ix) for ix in (0, 17, 34, 52, 69)], "receivers": [(0, ix) for ix in range(70)]},
            1.1e-1,
        ),
        ({"wavelet": shifted(1)}, 9.6e-2),
        ({"wavelet": shifted(-1)}, 9.6e-2),
        ({"sources": [(1, ix) for ix in (0, 17, 35, 52, 69)]}, 2.8e-1),
        ({"wavelet": -shifted(0)}, 2.0),
    ],
    ids=lambda c: next(iter(c)) if isinstance(c, dict) else str(c),
)
def test_a_wrong_choice_is_detected(sample: tuple[Tensor, Tensor], change: dict[str, Any], cost: float | None) -> None:
    """And it costs what was measured for it, where a figure is published."""
    velocity, records = sample
    error = relative(sf.simulate(velocity, survey_with(**change))[:, :999], records)
    assert error > DETECTED
    if cost is not None:
        assert error == pytest.approx(cost, rel=0.25)


def literal_scheme(velocity: Tensor, shots: list[int], damping: Tensor, periodic: bool) -> Tensor:
    """The published scheme written out in float32, with any damping map, and a roll or zeros beyond the edge."""
    nbc, nt = 120, 999
    v = torch.nn.functional.pad(velocity[None, None], (nbc,) * 4, mode="replicate")[0, 0]
    alpha, kappa = (v * 1e-4) ** 2, damping * 1e-3
    t1, t2 = 2 - 5 * alpha - kappa, 1 - kappa
    near, far = alpha * (4 / 3), alpha * (-1 / 12)
    wavelet = sf.Survey.openfwi().wavelet.float() * 1e-6
    lanes = torch.arange(len(shots))
    columns = torch.tensor(shots) + nbc
    mode = "circular" if periodic else "constant"
    u = torch.zeros(len(shots), 310, 310)
    previous = torch.zeros_like(u)
    record = torch.empty(len(shots), nt, 70)
    for n in range(nt):
        wide = torch.nn.functional.pad(u[:, None], (2, 2, 2, 2), mode=mode)[:, 0]
        rows, cols = wide[:, :, 2:-2], wide[:, 2:-2]
        previous.mul_(-t2).addcmul_(t1, u)
        previous.addcmul_(near, rows[:, 1:-3] + rows[:, 3:-1] + cols[:, :, 1:-3] + cols[:, :, 3:-1])
        previous.addcmul_(far, rows[:, :-4] + rows[:, 4:] + cols[:, :, :-4] + cols[:, :, 4:])
        previous[lanes, nbc + 1, columns] += v[nbc + 1, columns] ** 2 * wavelet[n]
        u, previous = previous, u
        record[:, n] = u[:, nbc + 1, nbc : nbc + 70]
    return record


def damping_maps(slowest: float) -> dict[str, Tensor]:
    """Damping in 1/s on the padded grid: the genuine map and the three wrong corners."""
    thickness = 1190.0
    side = 3 * slowest * math.log(1e7) / (2 * thickness) * (torch.arange(120) * 10.0 / thickness) ** 2
    line = torch.cat([side.flip(0), torch.zeros(70), side])
    inside = (torch.arange(310) >= 120) & (torch.arange(310) < 190)
    x, z = line.expand(310, 310), line[:, None].expand(310, 310)
    return {
        "genuine": torch.where(inside, z, x),
        "vertical corners": torch.where(inside[:, None], x, z),
        "summed corners": x + z,
        "larger corners": torch.maximum(x, z),
    }


@pytest.mark.parametrize(
    ("corners", "periodic", "cost"),
    [
        ("genuine", True, None),
        ("genuine", False, 4.4e-4),
        ("vertical corners", True, 7.5e-4),
        ("summed corners", True, 5.6e-4),
        ("larger corners", True, 3.7e-4),
    ],
)
def test_a_wrong_edge_or_corner_is_detected(
    sample: tuple[Tensor, Tensor], corners: str, periodic: bool, cost: float | None
) -> None:
    """An independent scheme in float32: right, it agrees with the record and with us; wrong, it is seen."""
    velocity, records = sample
    damping = damping_maps(float(velocity.min()))[corners]
    found = literal_scheme(velocity, [0, 17, 34, 52, 69], damping, periodic)
    error = relative(found, records)
    if cost is None:
        assert error < DETECTED
        assert relative(sf.simulate(velocity, sf.Survey.openfwi())[:, :999], found) < DETECTED
    else:
        assert error > DETECTED
        assert error == pytest.approx(cost, rel=0.25)
