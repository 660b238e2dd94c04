"""Positions between cells: derivatives by them, in the form they were given, and surveys that follow a tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_survey import NOISE, RECEIVERS, SOURCES, double, relative, small_survey, small_velocity, tiny_survey
from torch import Tensor

import seisfast as sf

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")


@pytest.mark.parametrize(
    "boundary", [sf.CPML(3), sf.Faces(top=sf.Free()), sf.Sponge(4)], ids=["cpml", "free", "sponge"]
)
@pytest.mark.parametrize("beside", [0.0, 1e-7])
def test_gradcheck(boundary: sf.boundaries.Boundary, beside: float) -> None:
    """Differences reach across whole positions, where the cells change."""
    velocity = small_velocity(6, 7)
    slowest = velocity.argmin()

    def record(free: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor) -> Tensor:
        held = torch.where(torch.arange(42).view(6, 7) == slowest, velocity, free)  # its sponge detaches the slowest
        return sf.simulate(held, tiny_survey(sources, receivers, wavelet=wavelet, boundary=boundary, nt=8))

    positions = (double([[1, 2], [4, 5]]) + beside, double([[2, 3], [3, 1], [4, 5]]) + beside)
    leaves = [t.requires_grad_() for t in (velocity.clone(), NOISE[:, :8].clone(), *positions)]
    assert torch.autograd.gradcheck(record, leaves, eps=1e-4, atol=1e-7, rtol=1e-5, fast_mode=True)
    assert torch.autograd.gradgradcheck(record, leaves, eps=1e-4, atol=1e-6, rtol=1e-4, fast_mode=True)


def test_gradcheck_of_dipoles_and_gradients() -> None:
    def record(sources: Tensor, receivers: Tensor) -> Tensor:
        kinds = {"source_kind": [["dipole_z"], ["dipole_x"]], "receiver_kind": ["pressure", "gradient_z", "gradient_x"]}
        return sf.simulate(small_velocity(6, 7), tiny_survey(sources, receivers, **kinds))

    positions = [double(p, requires_grad=True) for p in (SOURCES, [[2.2, 3.0], [3.1, 0.4], [4.0, 5.0]])]
    assert torch.autograd.gradcheck(record, positions, eps=1e-5, atol=1e-8, rtol=1e-6, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_come_back_in_the_positions_own_form(dtype: torch.dtype) -> None:
    sources, receivers = (torch.tensor(p, dtype=dtype, requires_grad=True) for p in (SOURCES, RECEIVERS))
    sf.simulate(small_velocity(6, 7), tiny_survey(sources, receivers)).square().sum().backward()
    for leaf in (sources, receivers):
        assert leaf.grad is not None
        assert leaf.grad.dtype == dtype
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.abs().min() > 0


@pytest.mark.parametrize("storage", [sf.Storage("all"), sf.Storage("checkpoint")], ids=["all", "checkpoint"])
def test_every_storage_gives_the_same_gradient(storage: sf.Storage) -> None:
    grads = []
    for kept in (storage, None):
        leaves = small_velocity(6, 7).requires_grad_(), double(SOURCES, requires_grad=True)
        data = sf.simulate(leaves[0], tiny_survey(leaves[1]), storage=kept)
        grads.append(torch.autograd.grad(data.square().sum(), leaves))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_an_inversion_finds_the_source() -> None:
    """The survey is made once and follows the tensor through four cells."""
    velocity = torch.full((30, 34), 2000.0, dtype=torch.float64)

    def survey(place: Tensor) -> sf.Survey:
        receivers = [(z, x) for z in (4, 25) for x in range(2, 32, 6)]
        pulse = sf.wavelets.ricker(12.0, 1e-3, 250)
        return small_survey(sf.CPML(10), shape=(30, 34), nt=250, sources=place, receivers=receivers, wavelet=pulse)

    truth, place = double([[13.37, 18.81]]), double([[15.8, 15.6]], requires_grad=True)
    observed, moving = sf.simulate(velocity, survey(truth)), survey(place)
    search = torch.optim.LBFGS([place], max_iter=30, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        search.zero_grad()
        loss = (sf.simulate(velocity, moving) - observed).square().sum() / observed.square().sum()
        loss.backward()
        return loss

    search.step(misfit)
    assert torch.allclose(place.detach(), truth, rtol=0, atol=1e-4)
    assert np.array_equal(moving.positions("sources")[:, 0], place.detach().numpy())


def test_a_survey_follows_a_tensor_and_refuses_to_leave_the_model() -> None:
    velocity, place = small_velocity(6, 7), double(SOURCES, requires_grad=True)
    survey = tiny_survey(place)
    for step in ([2.4, 1.1], [-1.9, 0.0], [0.0, 1.0]):
        with torch.no_grad():
            place[0] += double(step)
        fresh = tiny_survey(place.detach())
        assert relative(sf.simulate(velocity, survey), sf.simulate(velocity, fresh)) < 1e-13
        assert survey == fresh
    with torch.no_grad():
        place[0, 1] = 6.25
    with pytest.raises(
        ValueError, match=r"sources must lie inside the 6 x 7 model.*= \(1\.8, 6\.25\) for sources\[0, 0\]"
    ):
        sf.simulate(velocity, survey)
