"""Positions of sources and receivers: what was given, and the cells, with their weights, that stand for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seisfast.arguments import Array, Flags, Kinds, is_moving, ordinary_tensors, read, repeats, tensor_of
from seisfast.blur import product_dtype
from seisfast.boundaries import Sponge

if TYPE_CHECKING:
    from seisfast.survey import Survey

# What a position fires or hears: the pressure, or its derivative along an axis.
KINDS = {
    "sources": ("monopole", "dipole_z", "dipole_x"),
    "receivers": ("pressure", "gradient_z", "gradient_x"),
}

RADIUS = 5  # cells that the kernel reaches to either side
SHARPNESS = 8.25  # of its window: chosen for values and slopes from four to ten points per shortest wavelength
_SINC = [(-1) ** n * math.pi ** (2 * n) / math.factorial(2 * n + 1) for n in range(14)]
_WINDOW = [(SHARPNESS / 2) ** (2 * n) / (math.factorial(n) * math.factorial(n + 2)) for n in range(26)]


def kernel(distance: Tensor) -> Tensor:
    """Weight of a cell at a distance in cells, at most `RADIUS`: 1 at zero, 0 at every other whole distance.

    A sinc in a Kaiser window of order two, ``y I_2(b sqrt(y))`` with ``y = 1 - (distance / RADIUS)^2``; the usual
    window, of order zero, ends with a step, and the gradient by a position would jump where it enters a cell. Ours has
    two continuous derivatives. Sinc and window are power series, so that autograd's derivatives are exact everywhere.

    Source: Hicks (2002), Geophysics 67(1); windows of higher order: Lewitt (1990), JOSA A 7(10).
    """
    whole = distance.detach().round()
    rest = distance - whole
    series = _polynomial(_SINC, rest * rest)  # sin(pi rest) / (pi rest)
    near = whole == 0
    sinc = torch.where(near, series, (1 - 2 * (whole % 2)) * rest * series / torch.where(near, 1.0, distance))
    inside = 1 - (distance / RADIUS) ** 2
    value: Tensor = sinc * inside * inside * _polynomial(_WINDOW, inside) / _polynomial(_WINDOW, 1.0)
    return value


def slope(distance: Tensor) -> Tensor:
    """Derivative of the kernel."""
    derivative: Tensor = torch.func.grad(lambda d: kernel(d).sum())(distance)
    return derivative


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:  # noqa: ANN401 - a number or a tensor
    value: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@dataclass(frozen=True)
class Taps:
    """Positions as weighted sums of cells. An entry is a position with one of its cells.

    Args:
        cells: int32 `[sets, cells, 2]`, each once in a set; some may lie in the layers.
        low: the last cell at or before each position, `[sets * size, 2]`.
        position: number of an entry's position, `[entries]`.
        element: place of an entry in the matrix, `[entries]`.
        tap: an entry's cell before mirror and wrap, `[entries, 2]`.
        differs: axes along which an entry weighs with the slope of the kernel, `[entries, 2]`; None where none does.
        factor: sign of the mirror, over metres where an entry differs, `[entries]`.
        size: positions of a set.
    """

    cells: Tensor
    low: Tensor
    position: Tensor
    element: Tensor
    tap: Tensor
    differs: Tensor | None
    factor: Tensor
    size: int

    def to(self, device: torch.device) -> Taps:
        """The same on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def matrix(self, positions: Tensor) -> Tensor:
        """Weights of the cells in positions `[sets or 1, size, 2]`: float64 `[sets, size, cells]`, differentiable.

        They are NaN for a position that has left its `low` cell and the next, between which its cells are these.
        """
        sets, cells = self.cells.shape[:2]
        flat = positions.double().expand(sets, self.size, 2).reshape(-1, 2)
        rest = flat - self.low
        flat = torch.where((rest >= 0) & (rest <= 1), flat, torch.nan)
        distance = flat[self.position] - self.tap
        weight = kernel(distance)
        if self.differs is not None:
            weight = torch.where(self.differs, slope(distance), weight)
        weight = weight[:, 0] * weight[:, 1] * self.factor
        return weight.new_zeros(sets * self.size * cells).index_add(0, self.element, weight).view(sets, -1, cells)


def place(positions: Array, axes: Kinds, moving: bool, survey: Survey, shape: tuple[int, int]) -> Taps:
    """The cells that stand for positions on the grid of a survey.

    Above a free surface they are the odd mirror of those below; beyond a sponge they are those at the other side, for
    the grid is periodic; beyond a C-PML there are none.

    Args:
        positions: (iz, ix) inside the model, `[sets, size, 2]`; NaN for one that takes no part.
        axes: the axis along which each weighs with the slope, -1 for none, `[sets, size]`.
        moving: weights are needed also next to these values, not only at them.
        survey: gives the grid.
        shape: (nz, nx) of the model.
    """
    top, _, left, _ = survey.padding
    padded = np.array(survey.padded_shape(shape))
    low = np.floor(np.nan_to_num(positions)).astype(np.int64)
    taps = low[..., None] + np.arange(1 - RADIUS, RADIUS + 1)
    distance = positions[..., None] - taps  # [sets, size, 2, taps]
    differs = axes[..., None] == np.arange(2)
    between = differs | (positions != low)  # else one cell along this axis
    needed = (np.abs(distance) < RADIUS) & (between[..., None] | (distance == 0))
    if moving:
        needed = np.isfinite(distance)
    s, n, i, k = np.nonzero(needed[:, :, 0, :, None] & needed[:, :, 1, None, :])

    tap = np.stack([taps[s, n, 0, i], taps[s, n, 1, k]], -1)
    cell = tap + np.array([top, left])
    factor = np.where(differs[s, n], 1 / np.array(survey.spacing), 1.0).prod(-1)
    if survey.free_surface:
        factor *= np.sign(cell[:, 0])  # zero on the surface itself
        cell[:, 0] = np.abs(cell[:, 0])
    if isinstance(survey.boundary, Sponge):
        cell %= padded
    kept = (factor != 0) & (cell >= 0).all(-1) & (cell < padded).all(-1)
    s, n, tap, cell, factor = s[kept], n[kept], tap[kept], cell[kept], factor[kept]

    # Sets hold their own cells, and then others of the survey until all are equally long.
    number = cell[:, 0] * padded[1] + cell[:, 1]
    every = np.unique(number)
    own = [np.unique(number[s == k]) for k in range(len(positions))]
    longest = max(len(cells) for cells in own)
    filled = np.stack([np.append(c, np.setdiff1d(every, c)[: longest - len(c)]) for c in own])
    column = np.concatenate([np.searchsorted(c, number[s == k]) for k, c in enumerate(own)])
    cells = np.stack([filled // padded[1] - top, filled % padded[1] - left], -1)
    position = s * positions.shape[1] + n
    return Taps(
        cells=tensor_of(cells.astype(np.int32)), low=tensor_of(low.reshape(-1, 2)), position=tensor_of(position),
        element=tensor_of(position * longest + column), tap=tensor_of(tap),
        differs=tensor_of(differs[s, n]) if differs.any() else None, factor=tensor_of(factor), size=positions.shape[1],
    )  # fmt: skip


class Points:
    """The sources or the receivers of a survey.

    Args:
        name: "sources" or "receivers".
        given: (iz, ix) in cells as `arguments.positions` gives them, `[sets, size, 2]`; of sources also `[sets, 2]`, of
            receivers also `[size, 2]`.
        kinds: places in `KINDS[name]`, `[1 or shots, size]`.
        mask: which take part, `[shots, size]`; None: all.

    Raises:
        ValueError: a position that takes part and is no number of cells.
    """

    def __init__(self, name: str, given: Tensor, kinds: Kinds, mask: Flags | None = None) -> None:
        self.name, self.given, self.kinds, self.mask = name, given, kinds, mask
        self.moving = is_moving(given)
        values = self.values()
        whole = not self.moving and not (values % 1 > 0).any()
        self.on_cells = whole and mask is None and not kinds.any()
        self.repeats = self.on_cells and repeats(values)
        if not self.moving:
            self.given = tensor_of(np.nan_to_num(values, nan=-1).astype(np.int32 if whole else np.float64))
        self.extent = _extent(values)
        self._taps: dict[tuple[int, int], Taps] = {}
        self._copies: dict[torch.device, tuple[Taps, Taps]] = {}

    @property
    def tensor(self) -> Tensor:
        """The positions `[sets, size, 2]`: whole ones that do not move in int32."""
        return self.given if self.given.dim() == 3 else self.given.unsqueeze(1 if self.name == "sources" else 0)

    @property
    def kind(self) -> str | list[Any]:
        """One name for all, or one for each, `[size]` or `[shots, size]`."""
        names = np.array(KINDS[self.name])[self.kinds]
        if (names == names[0, 0]).all():
            return str(names[0, 0])
        each: list[Any] = (names[0] if len(names) == 1 else names).tolist()
        return each

    def values(self) -> Array:
        """(iz, ix) in cells as they are now, `[sets, size, 2]`; NaN for one that takes part in no shot.

        Raises:
            ValueError: one that takes part and is no number of cells.
        """
        values = read(self.name, self.tensor).astype(np.float64)
        wrong = ~(np.abs(values) <= 2**30)
        if self.mask is not None:
            unused = ~(self.mask.any(0, keepdims=True) if len(values) == 1 else self.mask)
            values[unused], wrong[unused] = np.nan, False
        if wrong.any():
            k, i, axis = np.argwhere(wrong)[0]
            raise ValueError(
                f"{self.name} must be numbers of cells, got {values[k, i, axis]:.16g} for {self.name}[{k}, {i}]"
            )
        return values

    def listed(self) -> list[Any]:
        """The values as nested lists, integers where all are whole; -1 for one that takes part in no shot."""
        values = np.nan_to_num(self.values(), nan=-1)
        listed: list[Any] = (values if (values % 1).any() else values.astype(np.int64)).tolist()
        return listed

    def words(self) -> list[str]:
        """What is unusual about them: kinds, and how many take no part."""
        words = [KINDS[self.name][k] for k in np.unique(self.kinds)] if self.kinds.any() else []
        return words if self.mask is None else [*words, f"{(~self.mask).sum()} masked"]

    def check_inside(self, shape: tuple[int, int], free_surface: bool, values: Array | None = None) -> None:
        """Whether all lie inside a model of (nz, nx) cells, below its free surface.

        Raises:
            ValueError: one that does not.
        """
        top, left, bottom, right = self.extent if values is None else _extent(values)
        beyond = left < 0 or bottom > shape[0] - 1 or right > shape[1] - 1
        if beyond or (top <= 0 if free_surface else top < 0):
            raise ValueError(_outside(self.name, self.values(), shape))

    def on_grid(
        self, survey: Survey, shape: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """The cells that stand for them, int32 `[sets, cells, 2]`, and their weights `[sets, size, cells]`.

        No weights where they are cells themselves.
        """
        if self.on_cells:
            return survey.array(self.name, device), None
        taps = self._placed(survey, shape)
        if self.moving:
            there = self._copy(taps, device)
            return there.cells, there.matrix(self.tensor.to(device)).to(dtype)
        cpu, key = torch.device("cpu"), (self.name, "weights", shape)
        weights = survey.held(key, torch.float64, cpu, lambda: taps.matrix(self.tensor))
        return (
            survey.held((self.name, "cells", shape), torch.int32, device, lambda: taps.cells),
            survey.held(key, dtype, device, lambda: weights),
        )

    def _placed(self, survey: Survey, shape: tuple[int, int]) -> Taps:
        """Their cells on models of this shape; where they can move they are read again, as far as that is possible."""
        found = self._taps.get(shape)
        closed = torch.compiler.is_compiling() or (self.given.is_cuda and torch.cuda.is_current_stream_capturing())
        if found is not None and (closed or not self.moving):
            return found
        if closed:
            raise RuntimeError(
                f"{self.name} between cells need Survey(shape=...) or one eager call before they compile"
            )
        values = self.values()
        self.check_inside(shape, survey.free_surface, values)
        if found is None or not np.array_equal(found.low, np.floor(np.nan_to_num(values)).reshape(-1, 2)):
            taking = values if self.mask is None else np.where(self.mask[..., None], values, np.nan)
            sets = max(len(taking), len(self.kinds))
            taking, axes = (np.broadcast_to(a, (sets, *a.shape[1:])) for a in (taking, self.kinds - 1))
            found = self._taps[shape] = place(taking, axes, self.moving, survey, shape)
        return found

    def _copy(self, taps: Taps, device: torch.device) -> Taps:
        if device.type == "cpu":
            return taps
        original, copy = self._copies.get(device, (None, None))
        if copy is None or original is not taps:
            with ordinary_tensors():
                copy = taps.to(device)
            if not torch.compiler.is_compiling():
                self._copies[device] = (taps, copy)
        return copy


def _extent(values: Array) -> tuple[float, float, float, float]:
    """Smallest iz and ix, largest iz and ix: plain numbers, which a compiled call can check."""
    low, high = np.nanmin(values, (0, 1)), np.nanmax(values, (0, 1))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _outside(name: str, values: Array, shape: tuple[int, int]) -> str:
    """The message for the first position outside the model, else on its free surface."""
    outside = (values < 0) | (values > np.array(shape) - 1)
    k, i = np.argwhere(outside.any(-1) if outside.any() else values[..., 0] == 0)[0]
    where = f"({values[k, i, 0]:.16g}, {values[k, i, 1]:.16g}) for {name}[{k}, {i}]"
    if outside.any():
        return f"{name} must lie inside the {shape[0]} x {shape[1]} model (nz x nx), got (iz, ix) = {where}"
    return f"{name} must lie below the free surface (iz > 0; pressure is zero on row 0), got (iz, ix) = {where}"


def spread(wavelet: Tensor, weights: Tensor) -> Tensor:
    """Pulses of positions `[..., shots, positions, time]` as those of cells, by weights `[shots, positions, cells]`."""
    return _product(weights.mT, wavelet)


def gather(data: Tensor, weights: Tensor) -> Tensor:
    """Records of cells `[..., shots, time, cells]` as those of positions, by weights `[sets, positions, cells]`."""
    return _product(data, weights.mT)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Matrix product that nothing rounds, whatever torch allows."""
    dtype = product_dtype(one)
    with torch.autocast(one.device.type, enabled=False):
        return (one.to(dtype) @ other.to(dtype)).to(one.dtype)
