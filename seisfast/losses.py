"""Training losses on [0, 1] velocity maps `[batch, 1, nz, nx]`; each is a callable (prediction, target)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from seisfast.similarity import Padding, check_maps, check_window, mean_similarities, msssim

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class L1:
    """Mean absolute error."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar; ValueError when the shapes differ."""
        prediction, target = check_maps(prediction, target, ("prediction", "target"))
        return (prediction - target).abs().mean()


@dataclass(frozen=True)
class L2:
    """Mean squared error."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar; ValueError when the shapes differ."""
        prediction, target = check_maps(prediction, target, ("prediction", "target"))
        return (prediction - target).square().mean()


@dataclass(frozen=True)
class L2SSIM:
    """Mean squared error minus the weighted structural similarity in windows of several sizes.

    loss = mean (p - g)^2 - sum over r of weight_r * mean over cells of SSIM_r(p, g). With weights that add to
    one its least value is -1. The paper's own constants are not readable, so the defaults are ours.

    Attributes:
        windows: Sides r of the Gaussian windows in cells.
        sigmas: Their standard deviations; None means 1.5 r / 11.
        weights: Their weights lambda_r; None means equal ones that add to one.
        constants: K1 and K2 of SSIM (0.01^2 and 0.03^2 at range 1).
        data_range: Largest minus smallest possible value of the maps.
        padding: "reflect" gives every cell a window; "valid" and "zero" as in `similarity.ssim`.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020.
    """

    windows: tuple[int, ...] = (5, 11, 23)
    sigmas: tuple[float, ...] | None = None
    weights: tuple[float, ...] | None = None
    constants: tuple[float, float] = (0.01, 0.03)
    data_range: float = 1.0
    padding: Padding = "reflect"

    def __post_init__(self) -> None:
        if not self.windows:
            raise ValueError("windows must name at least one window, got none")
        for name in ("sigmas", "weights"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.windows):
                raise ValueError(f"{name} must have one entry per window ({len(self.windows)}), got {len(values)}")
        if self.weights is not None and not all(math.isfinite(w) and w >= 0 for w in self.weights):
            raise ValueError(f"weights must not be negative, got {self.weights}")
        for window, sigma, _ in self._scales():
            check_window(window, sigma, self.padding, self.data_range)

    def _scales(self) -> list[tuple[int, float, float]]:
        count = len(self.windows)
        sigmas = self.sigmas or tuple(1.5 * window / 11 for window in self.windows)
        weights = self.weights or (1 / count,) * count
        return list(zip(self.windows, sigmas, weights, strict=True))

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar; ValueError when the shapes differ or a window does not fit the maps."""
        prediction, target = check_maps(prediction, target, ("prediction", "target"))
        windows, sigmas, weights = zip(*self._scales(), strict=True)
        similarities = mean_similarities(
            prediction,
            target,
            list(zip(windows, sigmas, strict=True)),
            self.padding,
            self.data_range,
            self.constants,
        )
        loss = (prediction - target).square().mean()
        for weight, similarity in zip(weights, similarities, strict=True):
            loss = loss - weight * similarity
        return loss


@dataclass(frozen=True)
class SeisInvNetReleased:
    """The released loss: mean squared error + 1 - multi-scale SSIM with every term mapped by (t + 1) / 2.

    Attributes:
        repeat_last_level: True reproduces the released code, which counts the last level four times.

    Source:
        aaspip/geofwi, `geofwi/train.py`.
    """

    repeat_last_level: bool = False

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar; ValueError when the shapes differ or a side has under 16 cells."""
        prediction, target = check_maps(prediction, target, ("prediction", "target"))
        similarity = msssim(
            prediction,
            target,
            mapped=True,
            repeat_last_level=self.repeat_last_level,
            batch_means=True,
        )
        return (prediction - target).square().mean() + 1 - similarity


_LOSSES: dict[str, Callable[..., Loss]] = {
    "l1": L1,
    "l2": L2,
    "l2_ssim": L2SSIM,
    "seisinvnet_released": SeisInvNetReleased,
}
NAMES = tuple(_LOSSES)


def build(name: str, **options: Any) -> Loss:  # noqa: ANN401
    """Make a loss by its name.

    Args:
        name: "l1", "l2", "l2_ssim" or "seisinvnet_released".
        **options: Arguments of the loss's class; lists stand for tuples (configuration files).

    Returns:
        A callable (prediction, target) -> scalar.

    Raises:
        ValueError: The name or an option is unknown, or an option is out of its range.
    """
    if name not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(NAMES)}, got {name!r}")
    known = list(inspect.signature(_LOSSES[name]).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"loss {name} has the options {known}, got {unknown}")
    return _LOSSES[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
