"""Flat or folded layers cut by faults, after OpenFWI's Fault family: FlatFault and CurveFault."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from seisfast.geology.base import (
    Geology,
    between,
    centres,
    check_rows,
    check_version,
    choices,
    chosen,
    column,
    growing,
    growth,
    paint,
    stacked,
    wave,
)

PER_FAULT = 6
PER_FOLD = 3


class Fold(NamedTuple):
    """One wave of the folding; lengths in model depths."""

    length: tuple[float, float]
    """Shortest and longest wave."""
    steepest: float
    """Steepest flank, depth gained per distance."""
    largest: float
    """Largest swing to either side."""


class Faults(NamedTuple):
    """How a version is faulted; lengths in model depths."""

    layers: tuple[int, ...]
    """Numbers of layers of a section, unless others are asked for."""
    faults: tuple[int, ...]
    """Numbers of faults, unless others are asked for."""
    normal: bool
    """Whether the rock above a fault always moves down, so that velocity grows with depth across it, too."""
    depth: tuple[float, float]
    """Depths between which a fault has its middle."""
    distance: tuple[float, float]
    """Where its middle lies from left to right, as parts of the model's width."""
    lean: float
    """Largest distance gained per depth along a fault, to either side."""
    throw: tuple[float, float]
    """Smallest and largest displacement along a fault."""
    bend: float
    """Largest curvature of a fault to either side."""
    strike_slip: float
    """Part of the faulted models whose youngest fault brings another section into the plane."""
    contrast: float
    """Smallest growth of velocity from layer to layer, as a part of the velocity range."""
    top: tuple[float, float]
    """Depths between which the first layer begins."""
    bottom: tuple[float, float]
    """Depths between which the last layer ends."""
    tilt: float
    """Largest tilt of folded layers, depth gained per distance."""
    folds: tuple[Fold, ...]
    """Waves of folded layers."""


STYLES = {
    "A": Faults(
        layers=(2, 3, 4), faults=(1,), normal=True, depth=(0.4, 0.6), distance=(0.3, 0.7), lean=0.6,
        throw=(0.05, 0.15), bend=0.0, strike_slip=0.0, contrast=0.05, top=(0.0, 0.1), bottom=(0.9, 1.0),
        tilt=0.1, folds=(Fold((0.8, 2.0), 0.4, 0.08),),
    ),
    "B": Faults(
        layers=(6, 7, 8), faults=(1, 2, 3, 4), normal=False, depth=(0.2, 0.8), distance=(0.1, 0.9), lean=1.1,
        throw=(0.05, 0.4), bend=0.3, strike_slip=0.6, contrast=0.01, top=(0.05, 0.2), bottom=(0.95, 1.25),
        tilt=0.3, folds=(Fold((0.4, 1.2), 3.0, 0.2), Fold((0.3, 0.7), 0.7, 0.04), Fold((0.15, 0.3), 0.25, 0.01)),
    ),
}  # fmt: skip
"""The two versions. With the ranges of version A every fault cuts all interfaces of a model as wide as deep."""


@dataclasses.dataclass(frozen=True)
class _Fault(Geology):
    """What FlatFault and CurveFault share: a section of layers, and the faults that cut it.

    A model is painted backwards in time: every cell is moved back along its faults, the youngest first, then
    out of the folds, and takes the velocity of the layer it comes from.
    """

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    layers: tuple[int, ...] = ()
    faults: tuple[int, ...] = ()
    version: str = "B"

    folded: ClassVar[bool]

    def __post_init__(self) -> None:
        """Check the version, take its numbers where none are given, and check that the layers fit."""
        super().__post_init__()
        object.__setattr__(self, "version", check_version(self.version))
        object.__setattr__(self, "layers", choices("layers", _or_default(self.layers, self._style.layers), lowest=2))
        object.__setattr__(self, "faults", choices("faults", _or_default(self.faults, self._style.faults), lowest=0))
        growth(self.velocity, max(self.layers), self._style.contrast)
        check_rows(self.shape, max(self.layers))

    @property
    def _style(self) -> Faults:
        style = STYLES[self.version]
        return style if self.folded else style._replace(tilt=0.0, folds=())

    def _draws(self) -> list[int]:
        layers, faults = max(self.layers), max(1, *self.faults)
        return [PER_FAULT * faults, 1 + PER_FOLD * len(self._style.folds), 3, layers, layers, layers, layers, 2]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        pick_faults, pick_folds, pick_block, *pick_section = uniform
        style = self._style
        faults = chosen(self.faults, index)
        layers = chosen(self.layers, index // len(self.faults))
        z, x = (part.expand(1, *self.shape) for part in centres(self.shape, index.device))
        z, x, moved = _before_faulting(z, x, faults, pick_faults.view(len(index), -1, PER_FAULT), style)
        other = moved & (pick_block[:, 0] < style.strike_slip)[:, None, None]
        x = x + other * column(between(pick_block[:, 1], -0.25, 0.25))
        depth = z - _folding(x, pick_folds, style) if self.folded else z
        first, second = _sections(layers, self.velocity, style, pick_block[:, 2:], *pick_section)
        models = self._fill(depth, *first)
        return torch.where(other, self._fill(depth, *second), models) if style.strike_slip else models

    def _fill(self, depth: Tensor, velocities: Tensor, interfaces: Tensor) -> Tensor:
        return paint(velocities, (depth >= column(level) for level in interfaces.unbind(1)), self.shape)


class FlatFault(_Fault):
    """Flat layers cut by dipping faults, after OpenFWI's FlatFault-A and FlatFault-B.

    As `CurveFault` without folds and tilts: every layer is flat within each block between the faults.

    Attributes:
        shape: (nz, nx) cells, a row for every layer or more.
        velocity: (slowest, fastest) in m/s.
        layers: Numbers of layers of a section; the models take them in equal parts. Empty: 2, 3 and 4 in version
            A, 6, 7 and 8 in version B.
        faults: Numbers of faults, likewise; model `i` has `faults[i % len(faults)]`. Empty: 1 in version A, 1 to 4
            in version B.
        version: "A" or "B".

    Raises:
        TypeError: When a field is of another kind.
        ValueError: When a field is out of its range, or the layers do not fit into the grid or the velocities.

    Source: as `CurveFault`.
    """

    folded = False


class CurveFault(_Fault):
    """Curved layers cut by dipping faults, after OpenFWI's CurveFault-A and CurveFault-B.

    Version B, the one unless told otherwise: many layers, strong folds, and up to four faults. Younger faults
    displace older ones, low-angle faults repeat the section, and folds are cut off at faults. In part of the
    models the youngest fault also brings a section of other thicknesses and velocities beside the first. Within a
    section the velocity grows with depth.

    Version A: few layers, gentle folds, and one straight normal fault with a throw of 5 to 15 % of the depth. The
    velocity grows with depth everywhere, and neighbouring layers differ by 150 m/s or more (30 m/s in version B).

    Lengths scale with the depth of the model, so a wide grid shows more folds of the same form.

    Attributes:
        shape: (nz, nx) cells, a row for every layer or more.
        velocity: (slowest, fastest) in m/s.
        layers: Numbers of layers of a section; the models take them in equal parts. Empty: 2, 3 and 4 in version
            A, 6, 7 and 8 in version B.
        faults: Numbers of faults, likewise; model `i` has `faults[i % len(faults)]`. Empty: 1 in version A, 1 to 4
            in version B.
        version: "A" or "B".

    Raises:
        TypeError: When a field is of another kind.
        ValueError: When a field is out of its range, or the layers do not fit into the grid or the velocities.

    Source: Deng et al., "OpenFWI", NeurIPS 2022 (arXiv 2111.02926): grid and range of velocities; its data page
    gives "one fault" for version A. The numbers of layers follow the names of the released files (`vel2_1_0.npy`
    to `vel4_1_35.npy` in version A, `vel6_1_0.npy` to `vel8_1_35.npy` in version B, 36 for each number;
    lanl/OpenFWI `split_files`). The generator was not released; all else is ours, version B matched by eye and by
    statistics to a released sample.
    """

    STREAM: ClassVar[int | None] = 0  # SeisInv's: each takes the numbers for other purposes

    folded = True


def _or_default(given: tuple[int, ...], default: tuple[int, ...]) -> tuple[int, ...]:
    """What was given, unless it is empty; `choices` checks what else it may be."""
    return default if hasattr(given, "__len__") and len(given) == 0 else given


def _before_faulting(
    z: Tensor, x: Tensor, faults: Tensor, pick: Tensor, style: Faults
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the matter of each cell was before the faults, and whether the youngest fault moved it.

    Args:
        z: Depth of the cells `[1, nz, nx]`, in model depths.
        x: Distance of the cells, likewise.
        faults: Number of faults `[models]`.
        pick: Random numbers `[models, most faults, PER_FAULT]`, the youngest fault first.
        style: Places, dips, bends and throws of the faults.
    """
    smallest, largest = style.throw
    width = x.shape[2] / x.shape[1]
    moved = torch.zeros((), dtype=torch.bool, device=z.device)
    for number, of_fault in enumerate(pick.unbind(1)):
        pick_z, pick_x, pick_dip, pick_bend, pick_throw, pick_side = (column(c) for c in of_fault.unbind(1))
        lean = between(pick_dip, -style.lean, style.lean)
        down = 1.0 / torch.sqrt(1.0 + lean * lean)
        dz = z - between(pick_z, *style.depth)
        dx = x - between(pick_x, *style.distance) * width
        along = (dz + lean * dx) * down
        across = (dx - lean * dz) * down
        beyond = (across > between(pick_bend, -style.bend, style.bend) * along * along) == (pick_side < 0.5)
        hit = beyond & column(faults > number)
        throw = between(pick_throw, smallest - largest, largest - smallest)
        if style.normal:
            throw = torch.where((lean < 0.0) == (pick_side < 0.5), -throw.abs(), throw.abs())
        throw = (throw + torch.where(throw < 0.0, -smallest, smallest)) * down
        throw = torch.where(hit, throw, 0.0)
        z, x = z - throw, x - throw * lean
        if number == 0:
            moved = hit
    return z, x, moved


def _folding(x: Tensor, pick: Tensor, style: Faults) -> Tensor:
    """Depth gained by folding and tilting at distance x, both `[models, nz, nx]` in model depths."""
    depth = between(column(pick[:, 0]), -style.tilt, style.tilt) * x
    waves = pick[:, 1:].reshape(len(pick), len(style.folds), PER_FOLD).unbind(1)
    for fold, of_wave in zip(style.folds, waves, strict=True):
        length = between(of_wave[:, 0], *fold.length)
        flank = between(of_wave[:, 1], 0.3, 1.0) * fold.steepest
        swing = (flank * length / (2.0 * math.pi)).clamp(max=fold.largest)
        depth = depth + column(swing) * wave(x / column(length) + column(of_wave[:, 2]))
    return depth


def _sections(
    layers: Tensor,
    velocity: tuple[float, float],
    style: Faults,
    pick_share: Tensor,
    pick_velocity: Tensor,
    change_velocity: Tensor,
    pick_thickness: Tensor,
    change_thickness: Tensor,
    pick_span: Tensor,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Velocities `[models, most layers]` and depths of the interfaces of the two sections of a model.

    The second section is the first, changed by a fifth to three fifths towards another draw.
    """
    step = growth(velocity, pick_velocity.shape[1], style.contrast)
    share = between(pick_share, 0.2, 0.6)

    def changed(pick: Tensor, change: Tensor) -> Tensor:
        return pick + share * (change - pick)

    def interfaces(pick: Tensor) -> Tensor:
        place = torch.arange(pick.shape[1], device=pick.device)
        thickness = torch.where(place < layers[:, None], between(pick, 0.25, 1.25), 0.0)
        depth = stacked(thickness)
        top, bottom = between(pick_span[:, :1], *style.top), between(pick_span[:, 1:], *style.bottom)
        return top + (bottom - top) * depth[:, :-1] / depth[:, -1:]

    first = growing(pick_velocity, layers, velocity, step), interfaces(pick_thickness)
    pick_velocity = changed(pick_velocity, change_velocity)
    pick_thickness = changed(pick_thickness, change_thickness)
    return first, (growing(pick_velocity, layers, velocity, step), interfaces(pick_thickness))
