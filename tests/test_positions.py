"""Positions between cells: a linear map on either side of the engine, whole positions that cost nothing, substeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_survey import (
    BOUNDARIES,
    NOISE,
    SOURCES,
    double,
    relative,
    small_survey,
    small_velocity,
    small_wavelet,
    tiny_survey,
)
from torch import Tensor

import seisfast as sf
from seisfast.engines import CHIPS, planned_engine
from seisfast.positions import RADIUS, kernel

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
CPU = torch.device("cpu")


# -- a linear map on either side of the engine -------------------------------------------------------------------------


def explicit(velocity: Tensor, survey: sf.Survey) -> Tensor:
    """R F(S w): the record of cells that a survey of whole positions fires and hears, weighted."""
    (fired, strengths), (heard, weights) = (
        survey.cells(name, (14, 17), CPU, torch.float64) for name in ("sources", "receivers")
    )
    assert strengths is not None
    assert weights is not None
    inside = [((cells >= 0) & (cells < torch.tensor([14, 17]))).all() for cells in (fired, heard)]
    assert all(inside)
    pulses = torch.einsum("spc,spt->sct", strengths, survey.wavelet)
    data = sf.simulate(velocity, small_survey("cpml", sources=fired, receivers=heard, wavelet=pulses))
    return torch.einsum("stc,src->str", data, weights.expand(3, -1, -1))


def test_the_record_is_that_of_weighted_cells() -> None:
    random = np.random.default_rng(3)
    survey = small_survey(
        sources=random.uniform(4.5, 8.5, (3, 2, 2)), receivers=random.uniform(4.5, 8.5, (4, 2)),
        wavelet=small_wavelet(3, 2), source_kind=["monopole", "dipole_x"],
        receiver_kind=["pressure", "gradient_z", "gradient_x", "pressure"],
    )  # fmt: skip
    velocity = small_velocity(14, 17)
    assert relative(sf.simulate(velocity, survey), explicit(velocity, survey)) < 1e-12


def test_weights_wrap_around_a_sponge_and_end_beyond_a_layer() -> None:
    kept = {}
    for name, boundary in {"sponge": sf.Sponge(2), "rigid": sf.CPML(0)}.items():
        survey = small_survey(
            boundary, shape=(14, 17), sources=[(0.25, 16.0)], receivers=[(3, 3)], wavelet=small_wavelet()
        )
        cells, weights = survey.cells("sources", (14, 17), CPU, torch.float64)
        assert weights is not None
        kept[name] = {int(z): float(w) for (z, _), w in zip(cells[0], weights[0, 0], strict=True)}
        assert (cells[0, :, 1] == 16).all()
    expected = {k: float(kernel(double(0.25 - k))) for k in range(-4, 6)}
    assert kept["rigid"] == {k: w for k, w in expected.items() if k >= 0}
    assert kept["sponge"] == {k if k >= -2 else k + 18: w for k, w in expected.items()}


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_equals_the_twin_at_every_edge(boundary: str, order: int) -> None:
    """Taps in the layers, in the mirror, beyond the grid; gradients by all that can have one."""
    velocity, weights = small_velocity(2, 14, 17), torch.randn(2, 3, 40, 5, dtype=torch.float64)
    top = 0.3 if boundary == "free" else 0.0
    found = []
    for run in (sf.simulate, sf.reference.simulate):
        leaves = (
            velocity.clone().requires_grad_(), small_wavelet(3, 2, nt=40).requires_grad_(),
            double([[[top, 2.2], [6.5, 6.5]], [[4, 0.1], [4, 9]], [[12.8, 16.0], [0.4, 15.9]]], requires_grad=True),
            double([[top, 0.0], [0.7, 16.0], [13.0, 3.1], [7.2, 8.8], [12.9, 15.5]], requires_grad=True),
        )  # fmt: skip
        survey = small_survey(
            boundary, nt=40, order=order, wavelet=leaves[1], sources=leaves[2], receivers=leaves[3],
            source_kind=["monopole", "dipole_z"], receiver_kind=["pressure"] * 3 + ["gradient_x", "gradient_z"],
        )  # fmt: skip
        data = run(leaves[0], survey)
        found.append((data, *torch.autograd.grad((data * weights).sum(), leaves)))
    for ours, twins in zip(*found, strict=True):
        assert ours.abs().max() > 0
        assert relative(ours, twins) < 1e-11


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_dot_product_of_the_wavelet_map(boundary: str) -> None:
    wavelet = torch.randn(3, 2, 70, dtype=torch.float64, requires_grad=True)
    survey = small_survey(
        boundary, wavelet=wavelet, sources=[[(1.2, 2.7), (6.1, 6)], [(4.5, 8), (4, 9.9)], [(13, 16), (0.8, 0.3)]],
        receivers=[(1.4, 3.3), (5.5, 0.2), (12.7, 15.1)], source_kind="dipole_x",
    )  # fmt: skip
    data = sf.simulate(small_velocity(2, 14, 17), survey)
    residual = torch.randn_like(data)
    (grad,) = torch.autograd.grad(data, wavelet, residual)
    data = data.detach()
    difference = (data * residual).sum() - (wavelet.detach() * grad).sum()
    assert abs(float(difference / (data.norm() * residual.norm()))) < 1e-13


# -- whole positions cost nothing --------------------------------------------------------------------------------------


def test_whole_numbers_are_cells_to_the_last_bit() -> None:
    velocity = small_velocity(6, 7)
    cells = tiny_survey([[1, 2], [4, 5]], [[2, 3], [3, 0], [5, 6]])
    floats = tiny_survey([[1.0, 2.0], [4.0, 5.0]], torch.tensor([[2.0, 3.0], [3.0, 0.0], [5.0, 6.0]]))
    assert floats == cells
    assert floats.receivers.dtype == torch.int32
    assert floats.cells("receivers", (6, 7), CPU, torch.float64) == (floats.receivers, None)
    expected = sf.simulate(velocity, cells)
    assert torch.equal(sf.simulate(velocity, floats), expected)
    moving = tiny_survey(cells.sources[:, 0].double().requires_grad_(), cells.receivers[0].float().requires_grad_())
    assert torch.equal(sf.simulate(velocity, moving), expected)  # weights are exactly one and zero


def test_only_axes_and_cells_that_are_needed() -> None:
    def count(**changes: object) -> int:
        survey = tiny_survey([[2, 2], [4, 5]], **{"shape": (40, 40), **changes})
        return int(survey.cells("receivers", (40, 40), CPU, torch.float64)[0].shape[1])

    assert count(receivers=[[20, 20], [20, 21]]) == 2
    assert count(receivers=[[20, 20.5]]) == 2 * RADIUS
    assert count(receivers=[[20, 20.5], [20, 21.5]]) == 2 * RADIUS + 1
    assert count(receivers=[[20.5, 20.5]]) == (2 * RADIUS) ** 2
    assert count(receivers=[[20, 20]], receiver_kind="gradient_x") == 2 * RADIUS - 1
    assert count(receivers=[[20, 20], [30, 30.5]]) == 1 + 2 * RADIUS


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_shots_with_too_many_cells_run_on_the_plain_engine(sources: int) -> None:
    fired = [[(20.4, 10.4 + 25 * k) for k in range(sources)]]
    survey = tiny_survey(fired, [[1, 1]], shape=(100, 100), boundary=sf.CPML(14), wavelet=NOISE[:1])
    found = planned_engine(survey, (100, 100), chip=CHIPS["H100, H200 (sm_90)"])
    if sources < 3:
        assert found["engine"] != "plain"
    else:
        assert found["engine"] == "plain"
        assert "300 sources are fired together, on chip at most 256" in found["reason"]


# -- with substeps -----------------------------------------------------------------------------------------------------


def test_substeps_and_positions_between_cells_together() -> None:
    velocity = small_velocity(6, 7)
    place = double(SOURCES, requires_grad=True)
    mask = [[True, True, False], [True, True, True]]
    survey = tiny_survey(sources=place, receiver_mask=mask, receiver_kind=["pressure", "gradient_z", "gradient_x"])
    data = sf.simulate(velocity, survey, substeps=3)
    (slope_,) = torch.autograd.grad(data.square().sum(), place)
    expected = sf.reference.simulate(velocity, survey, substeps=3)
    assert relative(data, expected) < 1e-12
    assert data[0, :, 2].abs().max() == 0 < data[1, :, 2].abs().max()
    assert relative(slope_, torch.autograd.grad(expected.square().sum(), place)[0]) < 1e-11
