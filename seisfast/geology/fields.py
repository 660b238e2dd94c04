"""Maps that several families share: where cells lie, smooth random fields, smoothing, values between cells.

Everything is a fixed sequence of products, sums and gathers. Nothing is divided by a plain number, for which CUDA
multiplies by the rounded reciprocal: what depends on the shape alone is worked out by numpy and sent to the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def unit(maps: Tensor) -> Tensor:
    """Each map `[models, nz, nx]` shifted and scaled to reach from 0 to 1; a constant one becomes 0."""
    low = maps.amin((1, 2), keepdim=True)
    span = maps.amax((1, 2), keepdim=True) - low
    return (maps - low) / torch.where(span > 0.0, span, torch.ones_like(span))


class Noise:
    """A smooth random field: cubic B-splines over random numbers at the nodes of a coarse grid.

    Args:
        shape: (nz, nx) cells.
        spacing: Distance of the nodes in z and x, in model depths; at least two cells.
        offset: Part of the distance by which the nodes are moved, so that those of several fields do not coincide.

    Attributes:
        nodes: (in z, in x), all of them within reach of the model.
    """

    def __init__(self, shape: tuple[int, int], spacing: tuple[float, float], offset: float = 0.0) -> None:
        self._axes = [_spline(count, shape[0] * step, offset) for count, step in zip(shape, spacing, strict=True)]
        self.nodes = (self._axes[0][2], self._axes[1][2])

    @property
    def draws(self) -> int:
        """Random numbers that one field takes."""
        return self.nodes[0] * self.nodes[1]

    def __call__(self, uniform: Tensor) -> Tensor:
        """Fields `[models, nz, nx]` in [-1, 1] from random numbers in [0, 1), `[models, draws]`."""
        maps = 2.0 * uniform.reshape(-1, *self.nodes) - 1.0
        for axis, (first, weights, _) in enumerate(self._axes, start=1):
            index = torch.from_numpy(first).to(maps.device)
            weight = torch.from_numpy(weights).to(maps.device)[(..., *[None] * (2 - axis))]
            blended = maps.index_select(axis, index).mul_(weight[0])
            for place in range(1, 4):
                blended += maps.index_select(axis, index + place).mul_(weight[place])
            maps = blended
        return maps


def octaves(shape: tuple[int, int], spacings: Sequence[float], width: float, first: float = 0.0) -> list[Noise]:
    """Noise at several scales.

    Args:
        shape: (nz, nx) cells.
        spacings: Distances of the nodes in z, one for each scale, in model depths.
        width: How much farther apart the nodes are in x.
        first: Part of the distance by which the nodes of the first scale are moved; the others follow.
    """
    return [Noise(shape, (step, step * width), (first + 0.38 * place) % 1.0) for place, step in enumerate(spacings)]


def summed(noises: Sequence[Noise], weights: Sequence[float], uniform: Tensor) -> Tensor:
    """Weighted sum of fields that take their random numbers `[models, draws of all]` in turn."""
    parts = torch.split(uniform, [noise.draws for noise in noises], dim=1)
    total = weights[0] * noises[0](parts[0])
    for noise, weight, part in zip(noises[1:], weights[1:], parts[1:], strict=True):
        total += noise(part).mul_(weight)
    return total


def smoothed(maps: Tensor, reach: int, times: int) -> Tensor:
    """Running means over `2 * reach + 1` cells in z and in x, `times` over; edge values go on outside.

    One pass has the standard deviation sqrt(reach * (reach + 1) / 3) cells; three are near a Gaussian.

    Args:
        maps: `[models, nz, nx]`.
        reach: Cells on either side.
        times: Number of passes.
    """
    share = float(np.float32(1.0 / (2 * reach + 1)))
    for axis in [1, 2] * times:
        first, *others = _neighbours(maps, reach, axis)
        maps = first.clone()
        for other in others:
            maps += other
        maps *= share
    return maps


def between_cells(values: Tensor, start: Tensor, stride: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear interpolation in maps that lie one behind the other in memory.

    Args:
        values: All maps, flat.
        start: Place of the first value of each model's map, int64 `[models]`.
        stride: (nz, nx) of each model's map, int64 `[models, 2]`.
        rows: Where to look, in cells of the map from its first centre, `[models, nz]`; beyond the edge is its edge.
        columns: Likewise, `[models, nx]`.

    Returns:
        `[models, nz, nx]`, float32, never outside the four values around a place by more than rounding.
    """
    (top, bottom, down), (left, right, across) = (
        _brackets(rows, stride[:, :1]),
        _brackets(columns, stride[:, 1:]),
    )
    width, origin = stride[:, 1, None], start[:, None]
    upper, lower = (origin + line * width for line in (top, bottom))

    def line(rows_of: Tensor) -> Tensor:
        near, far = (values[rows_of[:, :, None] + place[:, None, :]].float() for place in (left, right))
        return near * (1.0 - across[:, None, :]) + far * across[:, None, :]

    return line(upper) * (1.0 - down[:, :, None]) + line(lower) * down[:, :, None]


def crop(shape: tuple[int, int], size: Tensor, step: Tensor, pick: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cells of a model lie in a larger map of which they show a part, for `between_cells`.

    The part begins at an edge between cells of the map, so with a step of 1 it shows its values unchanged.

    Args:
        shape: (nz, nx) cells of the model.
        size: Rows and columns of each model's map, `[models, 2]`.
        step: Cells of the map for one cell of the model, `[models]`; at most `size / shape`.
        pick: Random numbers in [0, 1) that place the part in z and x, `[models, 2]`.
        mirrored: Whether x runs from right to left, bool `[models]`.

    Returns:
        Rows `[models, nz]` and columns `[models, nx]`, in cells of the map from its first centre.
    """
    places = []
    for axis, count in enumerate(shape):
        cell = torch.arange(count, dtype=torch.float32, device=step.device)
        if axis == 1:
            cell = torch.where(mirrored[:, None], (count - 1.0) - cell, cell)
        room = torch.floor((size[:, axis] - step * count).clamp(min=0.0))
        first = torch.minimum(torch.floor((room + 1.0) * pick[:, axis]), room)
        places.append(first[:, None] + ((cell + 0.5) * step[:, None] - 0.5))
    return places[0], places[1]


def _brackets(places: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cells on both sides of each place, inside the map, and the part of the way to the second."""
    inside = torch.minimum(places.clamp(min=0.0), (count - 1).to(places.dtype))
    first = torch.floor(inside)
    low = first.long()
    return low, torch.minimum(low + 1, count - 1), inside - first


def _neighbours(maps: Tensor, reach: int, axis: int) -> Iterator[Tensor]:
    """The maps shifted by -reach ... reach cells along an axis."""
    count = maps.shape[axis]
    place = torch.arange(-reach, count + reach, device=maps.device).clamp(0, count - 1)
    wide = maps.index_select(axis, place)
    for shift in range(2 * reach + 1):
        yield wide.narrow(axis, shift, count)


def _spline(count: int, step: float, offset: float) -> tuple[np.ndarray, np.ndarray, int]:
    """First of the four nodes around each of `count` cells, their weights `[4, count]`, number of nodes."""
    place = (np.arange(count) + 0.5) / max(step, 2.0) + offset
    first = np.floor(place).astype(np.int64)
    t = place - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return first, weights.astype(np.float32), int(first[-1]) + 4
