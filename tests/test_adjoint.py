"""The adjoint: exact transpose of the wavelet map, exact derivative in velocity, and who gets a gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from small_survey import (
    BOUNDARIES,
    DTYPES,
    EXACT,
    NT,
    ORDERS,
    gradient,
    noise,
    relative,
    small_survey,
    small_velocity,
    small_wavelet,
)
from torch import Tensor

import seisfast as sf

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")


# -- the wavelet map is linear and its transpose exact -----------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_dot_product_of_the_wavelet_map(boundary: str, order: int, dtype: torch.dtype) -> None:
    wavelet = noise(2, 3, 2, NT, dtype=dtype).requires_grad_()
    data = sf.simulate(small_velocity(2, 14, 17, dtype=dtype), small_survey(boundary, order=order, wavelet=wavelet))
    residual = noise(*data.shape, dtype=dtype, seed=4)
    (grad,) = torch.autograd.grad(data, wavelet, residual)
    data, residual = data.detach().double(), residual.double()
    difference = (data * residual).sum() - (wavelet.detach().double() * grad.double()).sum()
    assert abs(float(difference / (data.norm() * residual.norm()))) < {torch.float64: 1e-13, torch.float32: 1e-6}[dtype]


def test_dot_product_over_a_thousand_steps() -> None:
    wavelet = noise(1000).requires_grad_()
    for boundary in (sf.CPML(14), sf.Sponge(30), sf.Faces(top=sf.Free())):
        survey = sf.Survey(
            spacing=10.0, dt=1e-3, nt=1000, sources=[(2, 5), (9, 30)], receivers=[(1, ix) for ix in range(0, 40, 4)],
            wavelet=wavelet, boundary=boundary,
        )  # fmt: skip
        data = sf.simulate(small_velocity(24, 40), survey)
        residual = noise(*data.shape, seed=4)
        (grad,) = torch.autograd.grad(data, wavelet, residual)
        difference = (data.detach() * residual).sum() - (wavelet.detach() * grad).sum()
        assert abs(float(difference / (data.detach().norm() * residual.norm()))) < 1e-13


@pytest.mark.parametrize("leading", [(), (3,), (3, 2), (1, 3, 2), (2, 3, 2)], ids=str)
def test_gradient_of_every_form_of_the_wavelet(leading: tuple[int, ...]) -> None:
    velocity, weights = small_velocity(2, 14, 17), noise(2, 3, NT, 5)
    grads = []
    for run in (sf.simulate, sf.reference.simulate):
        wavelet = small_wavelet(*leading).requires_grad_()
        grads += torch.autograd.grad((run(velocity, small_survey(wavelet=wavelet)) * weights).sum(), wavelet)
    assert grads[0].shape == (*leading, NT)
    assert relative(grads[0], grads[1]) < 1e-12


def test_gradient_of_a_float32_wavelet_comes_back_in_float32() -> None:
    velocity, weights = small_velocity(2, 14, 17), noise(2, 3, NT, 5)
    single = small_wavelet(3, dtype=torch.float32).requires_grad_()
    double = single.detach().double().requires_grad_()
    grads = [
        torch.autograd.grad((sf.simulate(velocity, small_survey(wavelet=w)) * weights).sum(), w)[0]
        for w in (single, double)
    ]
    assert grads[0].dtype == torch.float32
    assert torch.equal(grads[0], grads[1].float())


# -- velocity ----------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_equal_the_twins(boundary: str, order: int, dtype: torch.dtype) -> None:
    velocity, weights = small_velocity(2, 14, 17, dtype=dtype), noise(2, 3, NT, 5, dtype=dtype)
    pairs = []
    for run in (sf.simulate, sf.reference.simulate):
        leaves = velocity.clone().requires_grad_(), small_wavelet(2, 3, 2, dtype=dtype).requires_grad_()
        data = run(leaves[0], small_survey(boundary, order=order, wavelet=leaves[1]))
        pairs.append(torch.autograd.grad((data * weights).sum(), leaves))
    for ours, twins in zip(*pairs, strict=True):
        assert relative(ours, twins) < {torch.float64: 1e-12, torch.float32: 5e-5}[dtype]


@pytest.mark.parametrize(
    ("boundary", "order"),
    [*((name, 4) for name in BOUNDARIES), ("cpml", 2), ("unequal", 6), ("free", 8), ("sponge", 2), ("sponge_vmin", 6)],
)
def test_gradcheck(boundary: str, order: int) -> None:
    layers = {"cpml": sf.CPML(3), "sponge": sf.Sponge(4), "sponge_vmin": sf.Sponge(4, vmin_gradient=True)}
    velocity = small_velocity(6, 7)
    slowest = velocity.argmin()

    def record(free: Tensor, wavelet: Tensor) -> Tensor:
        # under the detached sponge the slowest velocity is a constant, so its cell is held
        held = torch.where(torch.arange(42).view(6, 7) == slowest, velocity, free) if boundary == "sponge" else free
        survey = small_survey(
            layers.get(boundary, boundary), order=order, shape=(6, 7), nt=13, dt=8e-4, wavelet=wavelet,
            sources=[(1, 1), (5, 6)], receivers=[[(1, 0), (4, 4)], [(2, 3), (5, 6)]],
        )  # fmt: skip
        return sf.simulate(held, survey)

    inputs = (velocity.clone().requires_grad_(), noise(2, 13).requires_grad_())
    assert torch.autograd.gradcheck(record, inputs, eps=1e-2, atol=1e-8, rtol=1e-6, fast_mode=False)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_taylor_remainders_fall_with_the_first_and_second_power(boundary: str) -> None:
    survey, velocity = small_survey(boundary), small_velocity(2, 14, 17)
    step = noise(2, 14, 17) * 30
    step[velocity == velocity.amin((1, 2), keepdim=True)] = 0.0  # holds vmin, which the sponge detaches
    weights = noise(2, 3, NT, 5, seed=5)
    slope = float((gradient(velocity, survey, weights) * step).sum())
    start = float((sf.simulate(velocity, survey) * weights).sum())
    sizes = [2.0**-k for k in range(3, 8)]
    values = [float((sf.simulate(velocity + h * step, survey) * weights).sum()) for h in sizes]
    for remainders, power in (
        ([abs(value - start) for value in values], 1.0),
        ([abs(value - start - h * slope) for h, value in zip(sizes, values, strict=True)], 2.0),
    ):
        rates = [math.log2(a / b) for a, b in itertools.pairwise(remainders)]
        assert rates[-1] == pytest.approx(power, abs=0.05), rates


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", ["cpml", "unequal", "sponge", "rigid"])
def test_gradient_of_a_model_of_one_cell(boundary: str, order: int) -> None:
    """The whole layer copies that one cell: its gradient sums them all."""
    survey = small_survey(
        boundary, shape=(1, 1), sources=[(0, 0)], receivers=[(0, 0)], wavelet=small_wavelet(), order=order, dt=9e-4
    )
    velocity, weights = small_velocity(1, 1), noise(1, NT, 1)
    ours = gradient(velocity, survey, weights)
    assert float(ours) != 0
    assert float(ours) == pytest.approx(float(gradient(velocity, survey, weights, sf.reference.simulate)), rel=1e-11)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradient_of_one_step_is_the_injections(boundary: str) -> None:
    survey = small_survey(boundary, nt=1, sources=[(3, 3)], receivers=[(3, 3), (3, 4)], wavelet=[1.5])
    velocity = small_velocity(14, 17)
    expected = torch.zeros_like(velocity)
    expected[3, 3] = 2 * velocity[3, 3] * 1e-6 * 1.5 * 7.0
    found = gradient(velocity, survey, torch.tensor([[[7.0, 100.0]]], dtype=torch.float64))
    assert torch.allclose(found, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradient_with_repeated_receivers_and_one_on_the_source(boundary: str) -> None:
    cells = [(4, 8), (2, 2), (4, 8), (2, 2), (2, 3)]
    survey = small_survey(boundary, sources=[(4, 8), (2, 2)], receivers=cells, wavelet=small_wavelet())
    velocity, weights = small_velocity(2, 14, 17), noise(2, 2, NT, 5)
    ours = gradient(velocity, survey, weights)
    assert relative(ours, gradient(velocity, survey, weights, sf.reference.simulate)) < 1e-12
    assert torch.equal(ours, gradient(velocity, survey, weights))


def test_gradient_flows_through_what_made_the_velocity() -> None:
    survey = small_survey(wavelet=small_wavelet())
    depth = torch.linspace(0, 1, 14, dtype=torch.float64)[:, None]
    weights = noise(3, NT, 5)

    def slope(run: Callable[[Tensor, sf.Survey], Tensor]) -> Tensor:
        trend = torch.tensor([2100.0, 900.0], dtype=torch.float64, requires_grad=True)
        velocity = (trend[0] + trend[1] * depth).expand(14, 17)
        return torch.autograd.grad((run(velocity, survey) * weights).sum(), trend)[0]

    assert relative(slope(sf.simulate), slope(sf.reference.simulate)) < 1e-11


def test_residuals_need_not_be_contiguous() -> None:
    survey, velocity = small_survey(), small_velocity(2, 14, 17).requires_grad_()
    data = sf.simulate(velocity, survey)
    weights = noise(2, 5, NT, 3)
    turned = torch.autograd.grad(data, velocity, weights.transpose(1, 3), retain_graph=True)[0]
    assert torch.equal(turned, torch.autograd.grad(data, velocity, weights.transpose(1, 3).contiguous())[0])
    spread = torch.autograd.grad(sf.simulate(velocity, survey).sum(), velocity)[0]  # an expanded one
    assert torch.equal(spread, gradient(velocity, survey, torch.ones(2, 3, NT, 5, dtype=torch.float64)))


# -- the same to the bit -----------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_repeat_whatever_the_threads_and_the_neighbours(boundary: str, dtype: torch.dtype) -> None:
    survey = small_survey(boundary, wavelet=small_wavelet(3, 2))
    velocity, weights = small_velocity(4, 14, 17, dtype=dtype), noise(4, 3, NT, 5, dtype=dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = gradient(velocity, survey, weights)
        assert torch.equal(gradient(velocity, survey, weights), expected)
        torch.set_num_threads(2)
        assert torch.equal(gradient(velocity, survey, weights), expected)
    finally:
        torch.set_num_threads(before)
    singles = [gradient(v, survey, w) for v, w in zip(velocity, weights, strict=True)]
    assert torch.equal(torch.stack(singles), expected)
    turned = velocity.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(gradient(turned, survey, weights), expected)


def test_a_graph_kept_gives_the_same_gradient_again() -> None:
    survey = small_survey()
    for storage in EXACT:
        velocity = small_velocity(2, 14, 17).requires_grad_()
        loss = sf.simulate(velocity, survey, storage=storage).square().sum()
        first = torch.autograd.grad(loss, velocity, retain_graph=True)[0]
        assert torch.equal(torch.autograd.grad(loss, velocity)[0], first)


# -- the sponge's slowest velocity -------------------------------------------------------------------------------------


def tied_model() -> tuple[Tensor, Tensor]:
    """Two models whose minimum is shared by 3 and by 5 cells, and the mask of those cells."""
    velocity = small_velocity(2, 14, 17) + 100.0
    mask = torch.zeros(2, 14, 17, dtype=torch.bool)
    for m, cells in enumerate([[(0, 0), (7, 8), (13, 16)], [(3, 3), (3, 4), (0, 16), (9, 1), (12, 12)]]):
        for iz, ix in cells:
            mask[m, iz, ix] = True
    return velocity.masked_fill(mask, 2050.0), mask


def test_vmin_term_is_what_finite_differences_see_and_is_shared_equally_among_ties() -> None:
    velocity, mask = tied_model()
    weights = noise(2, 3, NT, 5)
    detached, exact = small_survey(sf.Sponge(6)), small_survey(sf.Sponge(6, vmin_gradient=True))
    held, full = gradient(velocity, detached, weights), gradient(velocity, exact, weights)
    assert torch.equal(held[~mask], full[~mask])
    for m in range(2):
        shares = (full - held)[m][mask[m]]
        assert shares.abs().min() > 0
        assert torch.allclose(shares, shares[:1].expand_as(shares), rtol=1e-9, atol=0)

        def misfit(step: float, model: int = m) -> float:
            moved = velocity.clone()
            moved[model][mask[model]] += step  # all ties together: the minimum moves with them
            return float((sf.simulate(moved, detached) * weights).sum())

        slope = (misfit(0.01) - misfit(-0.01)) / 0.02
        assert slope == pytest.approx(float(full[m][mask[m]].sum()), rel=1e-6)
        assert abs(slope - float(held[m][mask[m]].sum())) > 1e-3 * abs(slope)
    assert relative(full, gradient(velocity, exact, weights, sf.reference.simulate)) < 1e-11


def test_vmin_is_detached_by_default() -> None:
    velocity, mask = tied_model()
    weights = noise(2, 3, NT, 5)
    survey = small_survey(sf.Sponge(6))
    held = gradient(velocity, survey, weights)
    for step, cell in ((0.01, (0, 5, 5)), (0.01, (1, 0, 0))):
        assert not mask[cell]
        up, down = velocity.clone(), velocity.clone()
        up[cell] += step
        down[cell] -= step
        slope = float(((sf.simulate(up, survey) - sf.simulate(down, survey)) * weights).sum()) / (2 * step)
        assert slope == pytest.approx(float(held[cell]), rel=1e-5)


# -- who gets a gradient -----------------------------------------------------------------------------------------------


def test_only_what_asks_gets_a_gradient() -> None:
    plain_velocity = small_velocity(2, 14, 17)
    assert not sf.simulate(plain_velocity, small_survey()).requires_grad

    wavelet = small_wavelet(3).requires_grad_()
    learned = small_survey(wavelet=wavelet)
    data = sf.simulate(plain_velocity, learned)
    data.square().sum().backward()
    assert wavelet.grad is not None
    assert plain_velocity.grad is None

    velocity = plain_velocity.clone().requires_grad_()
    survey = small_survey(wavelet=wavelet.detach())
    sf.simulate(velocity, survey).square().sum().backward()
    assert velocity.grad is not None
    assert survey.wavelet.grad is None
    assert not survey.wavelet.requires_grad
    with torch.no_grad():
        assert not sf.simulate(velocity, learned).requires_grad


def test_wavelet_gradient_is_the_same_with_and_without_the_velocitys() -> None:
    velocity, weights = small_velocity(2, 14, 17), noise(2, 3, NT, 5)
    wavelet = small_wavelet(3, 2).requires_grad_()
    survey = small_survey(wavelet=wavelet)
    alone = torch.autograd.grad((sf.simulate(velocity, survey) * weights).sum(), wavelet)[0]
    leaf = velocity.clone().requires_grad_()
    both = torch.autograd.grad((sf.simulate(leaf, survey) * weights).sum(), (leaf, wavelet))
    assert torch.equal(both[1], alone)
    assert torch.equal(both[0], gradient(velocity, small_survey(wavelet=wavelet.detach()), weights))


def test_unused_models_shots_and_samples_get_zeros() -> None:
    velocity = small_velocity(2, 14, 17).requires_grad_()
    wavelet = small_wavelet(2, 3, 2).requires_grad_()
    data = sf.simulate(velocity, small_survey(wavelet=wavelet))
    by_velocity, by_wavelet = torch.autograd.grad(data[1, 2, :40].square().sum(), (velocity, wavelet))
    assert not by_velocity[0].any()
    assert by_velocity[1].any()
    assert not by_wavelet[0].any()
    assert not by_wavelet[1, :2].any()
    assert not by_wavelet[1, 2, :, 40:].any()
    assert by_wavelet[1, 2, :, :30].any()


def test_gradients_accumulate() -> None:
    velocity = small_velocity(14, 17).requires_grad_()
    survey = small_survey(wavelet=small_wavelet())
    sf.simulate(velocity, survey).square().sum().backward()
    once = velocity.grad.clone()
    sf.simulate(velocity, survey).square().sum().backward()
    assert torch.equal(velocity.grad, 2 * once)
