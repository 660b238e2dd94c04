"""Losses: their definitions, gradients, names and refusals."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from seisfast import losses
from seisfast.similarity import msssim, ssim


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    target = torch.rand(2, 1, 26, 24, dtype=torch.float64)
    return (target + 0.2 * torch.randn_like(target)).clamp(0, 1), target


def test_l1_and_l2(maps: tuple[Tensor, Tensor]) -> None:
    difference = maps[0] - maps[1]
    assert float(losses.build("l1")(*maps)) == pytest.approx(float(difference.abs().mean()), abs=1e-15)
    assert float(losses.build("l2")(*maps)) == pytest.approx(float((difference**2).mean()), abs=1e-15)


def test_l2_ssim_is_the_interfaces_formula(maps: tuple[Tensor, Tensor]) -> None:
    terms = [float(ssim(*maps, window=r, sigma=1.5 * r / 11, padding="reflect")) for r in (5, 11, 23)]
    expected = float((maps[0] - maps[1]).square().mean()) - sum(terms) / 3
    assert float(losses.build("l2_ssim")(*maps)) == pytest.approx(expected, abs=1e-14)


def test_every_argument_of_l2_ssim(maps: tuple[Tensor, Tensor]) -> None:
    loss = losses.build(
        "l2_ssim",
        windows=[3, 8],
        sigmas=[1.0, 2.0],
        weights=[0.7, 0.2],
        constants=[0.02, 0.05],
        data_range=2.0,
        padding="valid",
    )
    expected = float((maps[0] - maps[1]).square().mean())
    for window, sigma, weight in ((3, 1.0, 0.7), (8, 2.0, 0.2)):
        expected -= weight * float(ssim(*maps, window, sigma, "valid", 2.0, constants=(0.02, 0.05)))
    assert float(loss(*maps)) == pytest.approx(expected, abs=1e-14)


def test_released_loss(maps: tuple[Tensor, Tensor]) -> None:
    error = float((maps[0] - maps[1]).square().mean())
    options = {"mapped": True, "batch_means": True}
    for repeat in (False, True):
        loss = losses.build("seisinvnet_released", repeat_last_level=repeat)
        expected = error + 1 - float(msssim(*maps, repeat_last_level=repeat, **options))
        assert float(loss(*maps)) == pytest.approx(expected, abs=1e-14)
    assert losses.build("seisinvnet_released") == losses.SeisInvNetReleased(repeat_last_level=False)


@pytest.mark.parametrize(("name", "least"), [("l1", 0.0), ("l2", 0.0), ("l2_ssim", -1.0), ("seisinvnet_released", 0.0)])
class TestEveryLoss:
    """What every loss promises."""

    def test_least_for_the_truth(self, name: str, least: float, maps: tuple[Tensor, Tensor]) -> None:
        loss = losses.build(name)
        assert float(loss(maps[1], maps[1])) == pytest.approx(least, abs=1e-12)
        assert float(loss(*maps)) > least + 1e-3

    def test_gradient(self, name: str, least: float, maps: tuple[Tensor, Tensor]) -> None:
        prediction = maps[0].requires_grad_()
        loss = losses.build(name)
        (gradient,) = torch.autograd.grad(loss(prediction, maps[1]), prediction)
        direction = torch.randn_like(gradient)
        with torch.no_grad():
            ahead = loss(prediction + 1e-6 * direction, maps[1])
            behind = loss(prediction - 1e-6 * direction, maps[1])
        slope = float(ahead - behind) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-8)

    def test_descending_it_reaches_the_truth(self, name: str, least: float, maps: tuple[Tensor, Tensor]) -> None:
        prediction = torch.full_like(maps[1], 0.5).requires_grad_()
        optimiser = torch.optim.Adam([prediction], 0.05)
        loss = losses.build(name)
        for _ in range(60):
            optimiser.zero_grad()
            loss(prediction, maps[1]).backward()
            optimiser.step()
        assert float((prediction - maps[1]).detach().abs().mean()) < 0.05

    def test_half_precision_prediction(self, name: str, least: float, maps: tuple[Tensor, Tensor]) -> None:
        value = losses.build(name)(maps[0].bfloat16(), maps[1].float())
        assert value.dtype == torch.float32

    def test_pickle(self, name: str, least: float) -> None:
        loss = losses.build(name)
        assert pickle.loads(pickle.dumps(loss)) == loss

    def test_shapes_never_broadcast(self, name: str, least: float) -> None:
        with pytest.raises(
            ValueError,
            match=r"prediction and target must have the same shape, got \[2, 1, 24, 24\] and \[2, 24, 24\]",
        ):
            losses.build(name)(torch.rand(2, 1, 24, 24), torch.rand(2, 24, 24))
        with pytest.raises(TypeError, match=r"target must be a floating-point tensor, got torch\.uint8"):
            losses.build(name)(torch.rand(1, 1, 24, 24), torch.ones(1, 1, 24, 24, dtype=torch.uint8))

    def test_unknown_option(self, name: str, least: float) -> None:
        with pytest.raises(ValueError, match=rf"loss {name} has the options .*, got \['colour'\]"):
            losses.build(name, colour="red")


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="one of l1, l2, l2_ssim, seisinvnet_released, got 'huber'"):
        losses.build("huber")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": []}, "at least one window"),
        ({"windows": [4]}, "window must be odd"),
        ({"windows": [5, 11], "sigmas": [1.0]}, r"sigmas must have one entry per window \(2\), got 1"),
        ({"weights": [0.5]}, r"weights must have one entry per window \(3\), got 1"),
        ({"weights": [0.5, 0.5, -1.0]}, "weights must not be negative"),
        ({"sigmas": [1.0, 0.0, 1.0]}, "sigma must be positive"),
        ({"padding": "wrap"}, "padding must be"),
        ({"data_range": 0.0}, "data_range must be positive"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.build("l2_ssim", **options)


def test_maps_smaller_than_the_windows() -> None:
    with pytest.raises(ValueError, match=r"a window of 23 cells .* does not fit maps of 11 x 30"):
        losses.build("l2_ssim")(torch.rand(1, 1, 11, 30), torch.rand(1, 1, 11, 30))
    with pytest.raises(ValueError, match="at least 16 x 16 cells, got 11 x 30"):
        losses.build("seisinvnet_released")(torch.rand(1, 1, 11, 30), torch.rand(1, 1, 11, 30))
