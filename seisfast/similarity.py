"""Structural similarity (SSIM) and its multi-scale form, differentiable, for losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zero", "valid", "reflect"]

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
    luminance, contrast = _terms(x, y, window, sigma, padding, data_range, constants, sample_covariance)
    return (luminance * contrast).mean()


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
        luminance, contrast = _terms(x, y, fitting, sigma, "valid", data_range, constants, False)
        term = (luminance * contrast if level == levels - 1 else contrast).mean(dim=(1, 2, 3))
        terms.append(term.mean() if batch_means else term)
        if level < levels - 1:
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


def _terms(
    x: Tensor,
    y: Tensor,
    window: int,
    sigma: float | None,
    padding: Padding,
    data_range: float,
    constants: tuple[float, float],
    sample_covariance: bool,
) -> tuple[Tensor, Tensor]:
    """Maps of the luminance and the contrast-structure term, `[maps, 1, rows, columns]`."""
    check_window(window, sigma, padding, data_range)
    rows, columns = x.shape[-2:]
    limit = 2 * min(rows, columns) - 1 if padding == "reflect" else min(rows, columns)
    if padding != "zero" and window > limit:
        raise ValueError(
            f'a window of {window} cells with padding "{padding}" does not fit maps of {rows} x {columns} '
            f"cells (largest: {limit})"
        )
    c1, c2 = ((k * data_range) ** 2 for k in constants)
    with torch.autocast(x.device.type, enabled=False):
        # Four maps as four channels: only the sum of the two variances is needed. Convolved channel by
        # channel, because CUDA then takes torch's own float32 kernel: TF32 would lose E[x^2] - E[x]^2.
        moments = torch.cat([x, y, x * x + y * y, x * y], dim=1)
        mean_x, mean_y, squares, product = _blur(moments, window, sigma, padding).chunk(4, dim=1)
        means = mean_x * mean_y
        mean_squares = mean_x * mean_x + mean_y * mean_y
        bias = window**2 / (window**2 - 1) if sample_covariance and window > 1 else 1.0
        contrast = (2 * bias * (product - means) + c2) / (bias * (squares - mean_squares) + c2)
        luminance = (2 * means + c1) / (mean_squares + c1)
    return luminance, contrast


def _blur(maps: Tensor, window: int, sigma: float | None, padding: Padding) -> Tensor:
    """Weighted mean in a window around every cell, one axis after the other."""
    if sigma is None:
        kernel = torch.full((window,), 1 / window, dtype=torch.float64, device=maps.device)
    else:
        offset = torch.arange(window, dtype=torch.float64, device=maps.device) - window // 2
        kernel = torch.exp(-(offset**2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
    channels, half = maps.shape[1], window // 2
    if padding == "reflect":
        maps = F.pad(maps, (half, half, half, half), mode="reflect")
    pad = half if padding == "zero" else 0
    kernel = kernel.to(maps.dtype).expand(channels, 1, 1, window)
    maps = F.conv2d(maps, kernel.transpose(-1, -2), padding=(pad, 0), groups=channels)
    return F.conv2d(maps, kernel, padding=(0, pad), groups=channels)


def _clamped_power(term: Tensor, exponent: float) -> Tensor:
    """max(term, 0)^exponent with a zero gradient, not an infinite one, where the term is not positive."""
    positive = term > 0
    return torch.where(positive, torch.where(positive, term, 1.0) ** exponent, 0.0)
