"""Structural similarity (SSIM) and its multi-scale form, differentiable, for losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seisfast.blur import Padding, Window, window_means

__all__ = ["MSSSIM_WEIGHTS", "Padding", "check_maps", "check_window", "mean_similarities", "msssim", "ssim"]

# Wang, Simoncelli and Bovik (2003), fine to coarse.
MSSSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(
    x: Tensor,
    y: Tensor,
    window: int = 11,
    sigma: float | None = 1.5,
    padding: Padding = "zero",
    data_range: float = 1.0,
    *,
    constants: tuple[float, float] = (0.01, 0.03),
    sample_covariance: bool = False,
) -> Tensor:
    """Mean structural similarity of two maps; the defaults are OpenFWI's.

    Every convention of the field is a choice of the arguments, and they differ by more than most claimed
    gains: state them beside a number. Half-precision maps are computed in float32, also under autocast.

    Args:
        x: Maps `[..., nz, nx]`.
        y: Maps of the same shape.
        window: Side of the window in cells.
        sigma: Standard deviation of the Gaussian window in cells; None makes the window uniform.
        padding: "zero" surrounds the maps by zeros, "reflect" mirrors them without repeating the edge,
            "valid" takes only windows inside the maps.
        data_range: Largest minus smallest possible value, L.
        constants: K1 and K2 of C1 = (K1 L)^2 and C2 = (K2 L)^2.
        sample_covariance: Divide variances by the number of cells less one (scikit-image's default).

    Returns:
        The mean over all windows of all maps, a scalar.

    Raises:
        TypeError: The maps are not floating-point tensors.
        ValueError: The shapes differ, the window does not fit, or an argument is out of its range.

    Source:
        Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", IEEE TIP 13(4), 2004.
    """
    x, y = check_maps(x, y)
    return _similarity(
        x, y, [(window, sigma)], padding, data_range, constants, luminance=True, sample_covariance=sample_covariance
    ).mean()


def msssim(
    x: Tensor,
    y: Tensor,
    window: int = 11,
    sigma: float = 1.5,
    data_range: float = 1.0,
    *,
    weights: Sequence[float] = MSSSIM_WEIGHTS,
    constants: tuple[float, float] = (0.01, 0.03),
    mapped: bool = False,
    repeat_last_level: bool = False,
    batch_means: bool = False,
) -> Tensor:
    """Multi-scale structural similarity: the product over levels of contrast^w, times luminance at the last.

    Levels are halved by 2 x 2 means, windows lie inside the maps, and a level smaller than the window shrinks
    the window to fit, as the released SeisInvNet does (an even window is off-centre by half a cell).

    Args:
        x: Maps `[..., nz, nx]`, at least 2^(levels - 1) cells on each side.
        y: Maps of the same shape.
        window: Side of the Gaussian window in cells.
        sigma: Standard deviation of the window in cells.
        data_range: Largest minus smallest possible value.
        weights: One exponent per level, fine to coarse.
        constants: K1 and K2, see `ssim`.
        mapped: Replace every term t by (t + 1) / 2 (released SeisInvNet). Otherwise a negative term counts as
            zero.
        repeat_last_level: The released code multiplies the last level in once per other level (four times,
            not once); True reproduces that.
        batch_means: Average every level over the maps before the product (released code), so a value depends
            on the batch. Otherwise the product is taken map by map.

    Returns:
        The mean over the maps, a scalar.

    Raises:
        TypeError: The maps are not floating-point tensors.
        ValueError: The shapes differ, the maps are too small, or an argument is out of its range.

    Source:
        Wang, Simoncelli and Bovik, "Multiscale structural similarity", Asilomar 2003; aaspip/geofwi,
        `geofwi/train.py`.
    """
    x, y = check_maps(x, y)
    levels = len(weights)
    smallest = 2 ** (levels - 1)
    if levels == 0 or min(x.shape[-2:]) < smallest:
        raise ValueError(
            f"{levels} levels of multi-scale SSIM need maps of at least {smallest} x {smallest} cells, "
            f"got {x.shape[-2]} x {x.shape[-1]}"
        )
    terms = []
    for level in range(levels):
        fitting = min(window, *x.shape[-2:])
        last = level == levels - 1
        similarity = _similarity(x, y, [(fitting, sigma)], "valid", data_range, constants, luminance=last)
        term = similarity.mean(dim=(0, 1, 3))
        terms.append(term.mean() if batch_means else term)
        if not last:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    exponents = [float(weight) for weight in weights]
    if repeat_last_level:
        exponents[-1] *= levels - 1
    product = torch.ones_like(terms[0])
    for term, exponent in zip(terms, exponents, strict=True):
        product = product * (((term + 1) / 2) ** exponent if mapped else _clamped_power(term, exponent))
    return product.mean()


def check_maps(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Return two maps as `[maps, 1, nz, nx]` of one type, float32 at least.

    Raises:
        TypeError: An argument is not a floating-point tensor.
        ValueError: The shapes differ, have fewer than two dimensions, or are empty.
    """
    for name, value in zip(names, (x, y), strict=True):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a floating-point tensor, got {found}")
    if x.shape != y.shape:
        raise ValueError(f"{names[0]} and {names[1]} must have the same shape, got {list(x.shape)} and {list(y.shape)}")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"{names[0]} must be maps [..., nz, nx], got shape {list(x.shape)}")
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    shape = (-1, 1, *x.shape[-2:])
    return x.to(dtype).reshape(shape), y.to(dtype).reshape(shape)


def check_window(window: int, sigma: float | None, padding: str, data_range: float) -> None:
    """Raise ValueError unless the arguments of `ssim` that do not depend on the maps are in their ranges."""
    if padding not in ("zero", "valid", "reflect"):
        raise ValueError(f'padding must be "zero", "valid" or "reflect", got {padding!r}')
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"window must be a positive whole number of cells, got {window!r}")
    if padding != "valid" and window % 2 == 0:
        raise ValueError(f'window must be odd unless padding is "valid", got {window}')
    if sigma is not None and not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be positive, or None for a uniform window, got {sigma!r}")
    if not (math.isfinite(data_range) and data_range > 0):
        raise ValueError(f"data_range must be positive, got {data_range!r}")


def mean_similarities(
    x: Tensor,
    y: Tensor,
    windows: Sequence[Window],
    padding: Padding,
    data_range: float,
    constants: tuple[float, float],
) -> Tensor:
    """`ssim` of maps from `check_maps` in several windows at once, `[windows]`; the other arguments are `ssim`'s."""
    groups = [[window] for window in windows] if padding == "valid" else [list(windows)]
    means = [
        _similarity(x, y, group, padding, data_range, constants, luminance=True).mean(dim=(1, 2, 3)) for group in groups
    ]
    return torch.cat(means)


def _similarity(
    x: Tensor,
    y: Tensor,
    windows: Sequence[Window],
    padding: Padding,
    data_range: float,
    constants: tuple[float, float],
    *,
    luminance: bool,
    sample_covariance: bool = False,
) -> Tensor:
    """Contrast-structure term, times luminance if wanted, in every window: `[windows, rows, maps, columns]`."""
    for window, sigma in windows:
        check_window(window, sigma, padding, data_range)
        _check_fits(window, padding, x.shape[-2:])
    side = windows[0][0]
    bias = side**2 / (side**2 - 1) if sample_covariance and side > 1 else 1.0
    c1, c2 = ((k * data_range) ** 2 for k in constants)
    with torch.autocast(x.device.type, enabled=False):
        both = torch.stack([x[:, 0] + y[:, 0], x[:, 0] - y[:, 0]]).permute(2, 0, 1, 3)  # [rows, 2, maps, columns]
        moments = torch.cat([both, both.square()], dim=1)
        means = window_means(moments.flatten(1, 2), windows, padding)
        means = means.unflatten(2, moments.shape[1:3])
        similarity = _plain_similarity if torch.compiler.is_compiling() else _Similarity.apply
        maps: Tensor = similarity(means, 2 * c1, 2 * c2 / bias, luminance, x.dtype)
    return maps


def _check_fits(window: int, padding: Padding, shape: Sequence[int]) -> None:
    rows, columns = shape
    limit = 2 * min(rows, columns) - 1 if padding == "reflect" else min(rows, columns)
    if padding != "zero" and window > limit:
        raise ValueError(
            f'a window of {window} cells with padding "{padding}" does not fit maps of {rows} x {columns} '
            f"cells (largest: {limit})"
        )


# With u = x + y and v = x - y both terms are (a - b + k) / (a + b + k): luminance with the squared means of u and v for
# a and b, contrast with their variances.


def _ratios(means: Tensor, k1: float, k2: float, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Luminance and contrast, and their denominators, from the means `[..., (u, v, u^2, v^2), maps, columns]`."""
    mean, square = means.split(2, dim=2)
    first = mean * mean
    terms, below = [], []
    for values, k in ((first, k1), (square - first, k2)):
        a, b = values.to(dtype).unbind(2)
        a = a + k
        below.append(a + b)
        terms.append((a - b) / below[-1])
    return terms, below


def _plain_similarity(means: Tensor, k1: float, k2: float, luminance: bool, dtype: torch.dtype) -> Tensor:
    terms, _ = _ratios(means, k1, k2, dtype)
    return terms[0] * terms[1] if luminance else terms[1]


class _Similarity(torch.autograd.Function):
    """`_plain_similarity` with a gradient of few operations, which is differentiable itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(means: Tensor, k1: float, k2: float, luminance: bool, dtype: torch.dtype) -> Tensor:
        return _plain_similarity(means, k1, k2, luminance, dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.options = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return _pulled_back(grad, ctx.saved_tensors[0], *ctx.options), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:  # noqa: ANN401
        (means,) = ctx.saved_tensors
        slope = _pulled_back(torch.ones_like(means[:, :, 0]), means, *ctx.options)
        return (slope * tangent).sum(dim=2).to(ctx.options[-1])


def _pulled_back(grad: Tensor, means: Tensor, k1: float, k2: float, luminance: bool, dtype: torch.dtype) -> Tensor:
    """Gradient of `_plain_similarity`'s means from that of its result."""
    (light, contrast), (below_light, below_contrast) = _ratios(means, k1, k2, dtype)
    ratio = (grad * light if luminance else grad) / below_contrast
    turned = ratio * contrast
    by_u, by_v = ratio - turned, -ratio - turned  # of the squares
    by_mean_u, by_mean_v = -by_u, -by_v
    if luminance:
        ratio = grad * contrast / below_light
        turned = ratio * light
        by_mean_u, by_mean_v = ratio - turned - by_u, -ratio - turned - by_v
    twice = 2 * means[:, :, :2].to(dtype)
    parts = [twice[:, :, 0] * by_mean_u, twice[:, :, 1] * by_mean_v, by_u, by_v]
    return torch.stack(parts, dim=2).to(means.dtype)


def _clamped_power(term: Tensor, exponent: float) -> Tensor:
    """max(term, 0)^exponent with a zero gradient, not an infinite one, where the term is not positive."""
    positive = term > 0
    return torch.where(positive, torch.where(positive, term, 1.0) ** exponent, 0.0)
