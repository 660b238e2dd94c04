"""The Born operator and its transpose: against each other, the difference quotient and deepwave; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_survey import relative, shots, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast import conventions

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
BETWEEN = {"receivers": [[2.2, 3.0], [3.1, 0.4], [5.0, 6.0]], "receiver_kind": ["pressure", "gradient_z", "pressure"]}


@pytest.mark.parametrize(
    ("boundary", "changes", "models", "storage", "substeps"),
    [
        ("cpml", {}, (), None, 1),
        ("cpml", {}, (2,), sf.Storage("all"), 1),
        ("sponge", {}, (2,), sf.Storage("checkpoint"), 1),
        ("free", {}, (), None, 1),
        ("sponge_vmin", {"nt": 30, "wavelet": small_wavelet(3, 2, nt=30)}, (), None, 1),
        ("cpml", BETWEEN, (), None, 3),
    ],
)
def test_transpose(
    boundary: str, changes: dict[str, Any], models: tuple[int, ...], storage: sf.Storage | None, substeps: int
) -> None:
    survey = shots(boundary, **changes)
    velocity = small_velocity(*models, 14, 17)
    born = sf.Born(velocity, survey, storage=storage, substeps=substeps)
    change, residual = torch.randn_like(velocity), torch.randn_like(sf.simulate(velocity, survey))
    data = born(change)
    assert data.shape == residual.shape
    for _ in range(2):  # what is kept serves every call
        image = born.transpose(residual)
        difference = float((data * residual).sum() - (change * image).sum())
        assert abs(difference) < 1e-12 * float(data.norm() * residual.norm())


def test_first_order_of_the_records() -> None:
    survey, velocity = shots("free"), small_velocity(14, 17)
    change = torch.randn_like(velocity)
    h = 1e-3
    quotient = (sf.simulate(velocity + h * change, survey) - sf.simulate(velocity - h * change, survey)) / (2 * h)
    assert relative(sf.Born(velocity, survey)(change), quotient) < 1e-8


def test_least_squares_by_autograd() -> None:
    """The operator is differentiable by the perturbation, and its gradient is the transpose."""
    survey, velocity = shots("cpml"), small_velocity(14, 17)
    born = sf.Born(velocity, survey)
    change = torch.randn_like(velocity).requires_grad_()
    data = born(change)
    (slope,) = torch.autograd.grad(data.square().sum() / 2, change)
    assert relative(slope, born.transpose(data.detach())) < 1e-12


def test_deepwaves_born() -> None:
    deepwave = pytest.importorskip("deepwave", reason="deepwave is not installed")
    survey = sf.Survey(
        shape=(80, 90), spacing=10.0, dt=1e-3, nt=150, sources=[(38, 45)], receivers=[(41, ix) for ix in range(38, 55)],
        wavelet=sf.wavelets.ricker(25.0, 1e-3, 150), boundary=sf.CPML(20),
    )  # fmt: skip
    velocity, change = small_velocity(80, 90), torch.zeros(80, 90, dtype=torch.float64)
    change[42:48, 40:50] = 10 * torch.randn(6, 10, dtype=torch.float64)
    arguments = conventions.to_deepwave(velocity, survey)
    arguments["sc_receiver_locations"] = arguments.pop("receiver_locations")
    theirs = deepwave.scalar_born(dv=change, **arguments)[-1]
    assert relative(sf.Born(velocity, survey)(change), conventions.record_from_deepwave(theirs)) < 1e-10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ([[1.0]], TypeError, "perturbation must be a tensor, got list"),
        (torch.zeros(14, 18), ValueError, r"perturbation must have the shape \[14, 17\], got \[14, 18\]"),
        (torch.zeros(14, 17), ValueError, "perturbation must have the dtype torch.float64, got torch.float32"),
    ],
)
def test_what_is_refused(change: Tensor, error: type[Exception], message: str) -> None:
    born = sf.Born(small_velocity(14, 17), shots("cpml"))
    with pytest.raises(error, match=message):
        born(change)
    with pytest.raises(ValueError, match=r"data must have the shape \[3, 70, 5\], got \[14, 17\]"):
        born.transpose(torch.zeros(14, 17))
    with pytest.raises(ValueError, match="velocity must have the survey's 14 x 17 cells"):
        sf.Born(small_velocity(13, 17), shots("cpml"))
