"""Compiled derivatives along tangents: Born modelling, its transpose, curvature, and that no twin is behind them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_survey import COMPILED, ORDERS, relative, shots, small_survey, small_velocity, small_wavelet
from torch import Tensor
from torch.func import grad, jacfwd, jvp, vjp, vmap

import seisfast as sf

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]


def directions(velocity: Tensor, survey: sf.Survey) -> tuple[Tensor, Tensor]:
    """Tangents of a velocity and of the survey's wavelet."""
    generator = torch.Generator().manual_seed(8)
    like: dict[str, Any] = {"generator": generator, "dtype": velocity.dtype}
    return 50 * torch.randn(velocity.shape, **like), torch.randn(survey.wavelet.shape, **like)


def misfit(data: Tensor) -> Tensor:
    """Half the squared difference to a fixed record."""
    observed = torch.arange(data.numel(), dtype=data.dtype).sin().reshape(data.shape)
    return 0.5 * (data - observed).square().sum()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", COMPILED)
def test_born_and_curvature_are_the_twins(boundary: str, order: int) -> None:
    survey, velocity = shots(boundary, order=order), small_velocity(14, 17)
    tangent = directions(velocity, survey)[0]

    def both(simulate: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        data_t = jvp(lambda v: simulate(v, survey), (velocity,), (tangent,))[1]
        return data_t, jvp(grad(lambda v: misfit(simulate(v, survey))), (velocity,), (tangent,))[1]

    for ours, twins in zip(both(sf.simulate), both(sf.reference.simulate), strict=True):
        assert relative(ours, twins) < 1e-12


@pytest.mark.usefixtures("no_twin")
@pytest.mark.parametrize("boundary", COMPILED)
def test_born_and_its_transpose(boundary: str) -> None:
    survey, velocity = shots(boundary), small_velocity(2, 14, 17)
    tangent = directions(velocity, survey)[0]
    data_t = jvp(lambda v: sf.simulate(v, survey), (velocity,), (tangent,))[1]
    data, pull = vjp(lambda v: sf.simulate(v, survey), velocity)
    residual = torch.randn_like(data)
    (image,) = pull(residual)
    difference = float((data_t * residual).sum() - (tangent * image).sum())
    assert abs(difference) < 1e-13 * float(data_t.norm() * residual.norm())


@pytest.mark.usefixtures("no_twin")
@pytest.mark.parametrize("boundary", COMPILED)
def test_taylor_slopes(boundary: str) -> None:
    """Of the record with its first derivative: 2. Of the misfit with its first two: 3."""
    survey, velocity = shots(boundary), small_velocity(14, 17)
    tangent = directions(velocity, survey)[0].abs()
    tangent[velocity == velocity.min()] = 0  # the sponge's damping depends on the slowest, and counts as constant
    data, data_t = jvp(lambda v: sf.simulate(v, survey), (velocity,), (tangent,))
    slope, slope_t = jvp(grad(lambda v: misfit(sf.simulate(v, survey))), (velocity,), (tangent,))
    first, second = (slope * tangent).sum(), (slope_t * tangent).sum()
    left: dict[str, list[float]] = {"record": [], "misfit": []}
    for h in (0.1, 0.05):
        moved = sf.simulate(velocity + h * tangent, survey)
        left["record"].append(float((moved - data - h * data_t).norm()))
        left["misfit"].append(abs(float(misfit(moved) - misfit(data) - h * first - h * h / 2 * second)))
    assert math.log2(left["record"][0] / left["record"][1]) == pytest.approx(2, abs=0.05)
    assert math.log2(left["misfit"][0] / left["misfit"][1]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("boundary", ["cpml", "sponge", "free"])
def test_gradcheck_of_born_in_everything(boundary: str) -> None:
    survey = small_survey(boundary, nt=30, shape=(14, 17), wavelet=small_wavelet(3, 2, nt=30))
    velocity, wavelet = small_velocity(14, 17), survey.wavelet.clone()
    velocity_t, wavelet_t = directions(velocity, survey)

    def born(v: Tensor, v_t: Tensor, w: Tensor, w_t: Tensor) -> Tensor:
        def run(v: Tensor, w: Tensor) -> Tensor:
            return sf.simulate(v, small_survey(boundary, nt=30, wavelet=w))

        return jvp(run, (v, w), (v_t, w_t))[1]

    with torch.enable_grad():
        inputs = [t.clone().requires_grad_() for t in (velocity, velocity_t, wavelet, wavelet_t)]
        assert torch.autograd.gradcheck(born, inputs, fast_mode=True, rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("no_twin")
def test_hessian_and_jacobian_by_columns() -> None:
    survey = small_survey("cpml", nt=40, shape=(4, 5), sources=[(1, 1), (2, 3)], receivers=[(0, 0), (3, 4)],
                          wavelet=small_wavelet(2, nt=40))  # fmt: skip
    velocity = small_velocity(4, 5)
    hessian = jacfwd(grad(lambda v: misfit(sf.simulate(v, survey))))(velocity).reshape(20, 20)
    assert relative(hessian, hessian.T) < 1e-11
    columns = jacfwd(lambda v: sf.simulate(v, survey))(velocity).reshape(-1, 20)
    rows = torch.func.jacrev(lambda v: sf.simulate(v, survey))(velocity).reshape(-1, 20)
    assert relative(columns, rows) < 1e-11


@pytest.mark.usefixtures("no_twin")
def test_many_models_are_each_on_its_own() -> None:
    survey, velocity = shots("free"), small_velocity(3, 14, 17)
    tangent = directions(velocity, survey)[0]

    def product(v: Tensor, t: Tensor) -> Tensor:
        return jvp(grad(lambda u: misfit(sf.simulate(u, survey))), (v,), (t,))[1]

    each = torch.stack([product(v, t) for v, t in zip(velocity, tangent, strict=True)])
    assert torch.equal(vmap(product)(velocity, tangent), each)


def test_third_derivatives_go_through_the_twin() -> None:
    survey, velocity = small_survey("cpml", nt=30, wavelet=small_wavelet(3, 2, nt=30)), small_velocity(14, 17)
    tangent = directions(velocity, survey)[0]

    def third(forward: Callable[..., Tensor]) -> Tensor:
        def second(v: Tensor) -> Tensor:
            return jvp(grad(lambda u: misfit(forward(u, survey))), (v,), (tangent,))[1]

        return jvp(second, (velocity,), (tangent,))[1]

    assert relative(third(sf.simulate), third(sf.reference.simulate)) < 1e-11


@pytest.mark.parametrize("storage", [sf.Storage("all"), sf.Storage("checkpoint"), sf.Storage(every=3)])
def test_curvature_does_not_depend_on_what_was_kept(storage: sf.Storage) -> None:
    survey, velocity = shots("cpml"), small_velocity(14, 17)
    tangent = directions(velocity, survey)[0]

    def product(storage: sf.Storage | None) -> Tensor:
        leaf = velocity.clone().requires_grad_()
        data = sf.simulate(leaf, survey, storage=storage)
        (slope,) = torch.autograd.grad(data, leaf, torch.ones_like(data), create_graph=True)
        (second,) = torch.autograd.grad((slope * tangent).sum(), leaf)
        return second

    assert torch.equal(product(storage), product(None))


def test_float32_and_shared_by_threads() -> None:
    """A grid so large that the shot is shared by the threads."""
    survey = sf.Survey(
        shape=(330, 300), spacing=10.0, dt=1e-3, nt=40, sources=[(150, 150)],
        receivers=[(150, 40 * k) for k in range(7)],
        wavelet=sf.wavelets.ricker(25.0, 1e-3, 40),
    )  # fmt: skip
    velocity = 2000 + 1000 * torch.rand(330, 300)
    tangent = 50 * torch.randn(330, 300)

    def both() -> tuple[Tensor, Tensor]:
        data_t = jvp(lambda v: sf.simulate(v, survey), (velocity,), (tangent,))[1]
        return data_t, jvp(grad(lambda v: sf.simulate(v, survey).square().sum()), (velocity,), (tangent,))[1]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = both()
        torch.set_num_threads(2)
        shared = both()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) and bool(a.abs().max() > 0) for a, b in zip(alone, shared, strict=True))
