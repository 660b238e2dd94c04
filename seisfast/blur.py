"""Weighted means in a window around every cell of a map, for structural similarity: in exact float32, and fast.

A window's weights, its size and its padding rule along one axis are one band matrix, so that a mean over windows is
two matrix products; windows of several sizes are stacked and share them. Large maps are convolved instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zero", "valid", "reflect"]
Window: TypeAlias = tuple[int, float | None]  # side in cells; standard deviation in cells, None for equal weights

# Products cost side^3, convolutions side^2 times the window. On two cores, forward and backward, products take 0.1 to
# 0.3 of the time at 100 to 256 cells, 0.6 at 1024 and as long at 2048.
_LARGEST_PRODUCT = 1024

_Key: TypeAlias = tuple[int, tuple[Window, ...], Padding, torch.device, torch.dtype, int]
_bands: dict[_Key, Tensor] = {}
_MOST_BANDS = 32  # kept
_LARGEST_BAND = 256  # cells; those of larger maps are made anew, which is little beside their products


def window_means(moments: Tensor, windows: Sequence[Window], padding: Padding) -> Tensor:
    """Means of maps in a window around every cell, for several windows.

    Args:
        moments: Maps `[nz, channels, nx]`, float32 or float64.
        windows: Their sides and standard deviations, of one side if padding is "valid".
        padding: "zero", "reflect" or "valid", see `similarity.ssim`.

    Returns:
        `[windows, rows, channels, columns]`. On CUDA, and where the CPU may round the factors of products, float32
        maps give float64: no setting that allows TF32 or bfloat16 touches the result.
    """
    if max(moments.shape[0], moments.shape[-1]) > _LARGEST_PRODUCT:
        return torch.stack([_convolved(moments, window, padding) for window in windows])
    nz, channels, nx = moments.shape
    maps = moments.to(product_dtype(moments))
    down, across = (band_matrices(size, windows, padding, maps) for size in (nz, nx))
    rows = down.flatten(0, 1) @ maps.flatten(1)
    return torch.bmm(rows.view(len(windows), -1, nx), across.mT).view(len(windows), -1, channels, across.shape[1])


def band_matrices(size: int, windows: Sequence[Window], padding: Padding, like: Tensor) -> Tensor:
    """Matrices `[windows, means, size]` that take the weighted means along an axis of `size` cells.

    Small ones are kept from call to call, but made anew where a tensor is not what it seems: under torch.compile,
    while a CUDA graph is captured, and among fake tensors.
    """
    captured = like.is_cuda and torch.cuda.is_current_stream_capturing()
    if torch.compiler.is_compiling() or captured or type(like) is not Tensor or size > _LARGEST_BAND:
        return _make_bands(size, windows, padding, like.device, like.dtype)
    # A stream of CUDA may run ahead of the one that makes a matrix: each has its own.
    stream = torch.cuda.current_stream(like.device).cuda_stream if like.is_cuda else 0
    key = (size, tuple(windows), padding, like.device, like.dtype, stream)
    if key not in _bands:
        with torch.inference_mode(False), torch.no_grad():  # else no later gradient could pass through it
            made = _make_bands(size, windows, padding, like.device, like.dtype)
        if type(made) is not Tensor:
            return made
        while len(_bands) >= _MOST_BANDS:
            _bands.pop(next(iter(_bands)), None)
        _bands[key] = made
        return made
    return _bands[key]


def _make_bands(
    size: int, windows: Sequence[Window], padding: Padding, device: torch.device, dtype: torch.dtype
) -> Tensor:
    cells = torch.arange(size, dtype=torch.float64, device=device)
    made = []
    for window, sigma in windows:
        centres = cells if padding != "valid" else cells[: size - window + 1] + window // 2
        matrix = _weight(cells - centres[:, None], window, sigma)
        if padding == "reflect":  # a cell beyond an edge is the one as far inside; a window reaches one edge's once
            behind = _weight(-cells - centres[:, None], window, sigma) * (cells > 0)
            beyond = _weight(2.0 * (size - 1) - cells - centres[:, None], window, sigma) * (cells < size - 1)
            matrix = matrix + behind + beyond
        made.append(matrix)
    return torch.stack(made).to(dtype)


def _weight(offset: Tensor, window: int, sigma: float | None) -> Tensor:
    """Weights, of sum 1, of cells at an offset from the window's centre; an even window has one cell more before it."""
    inside = (offset >= -(window // 2)) & (offset <= (window - 1) // 2)
    if sigma is None:
        return inside.to(offset.dtype) / window
    places = torch.arange(window, dtype=torch.float64, device=offset.device) - window // 2
    total = torch.exp(-(places**2) / (2 * sigma**2)).sum()
    return torch.where(inside, torch.exp(-(offset**2) / (2 * sigma**2)), 0.0) / total


def product_dtype(maps: Tensor) -> torch.dtype:
    """The type in which a matrix product of these maps is exact to float32."""
    if maps.dtype == torch.float64 or maps.is_cuda:
        return torch.float64
    return torch.float64 if _cpu_may_round() else torch.float32


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _cpu_may_round() -> bool:
    """Whether `torch.set_float32_matmul_precision`, or its newer form, lets CPU products round to bfloat16 or TF32."""
    newer = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    if newer is not None:
        return newer.fp32_precision not in ("none", "ieee")
    return torch.get_float32_matmul_precision() != "highest"


def _convolved(moments: Tensor, window: Window, padding: Padding) -> Tensor:
    """`window_means` of one window by convolutions, one axis after the other: `[rows, channels, columns]`.

    Channel by channel, because CUDA then takes torch's own float32 kernel.
    """
    side, channels, half = window[0], moments.shape[1], window[0] // 2
    places = torch.arange(side, dtype=torch.float64, device=moments.device) - half
    kernel = _weight(places, *window).to(moments.dtype).expand(channels, 1, 1, side)
    maps = moments.transpose(0, 1)[None]
    if padding == "reflect":
        maps = F.pad(maps, (half, half, half, half), mode="reflect")
    pad = half if padding == "zero" else 0
    maps = F.conv2d(maps, kernel.transpose(-1, -2), padding=(pad, 0), groups=channels)
    return F.conv2d(maps, kernel, padding=(0, pad), groups=channels)[0].transpose(0, 1)
