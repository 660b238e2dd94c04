"""Flat and curved layers without faults, after OpenFWI's Vel family: FlatVel and CurveVel."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import NamedTuple

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
    growing,
    growth,
    paint,
    separated,
    shuffled,
    stacked,
    wave,
)

CONTRAST = 0.05
"""Smallest difference between the velocities of two layers, as a part of the range (150 m/s of 3,000)."""

PER_CURVE = 3


class Curve(NamedTuple):
    """The sine that all interfaces of a model follow; lengths in model depths."""

    length: tuple[float, float]
    """Shortest and longest wave."""
    swing: tuple[float, float]
    """Smallest and largest swing to either side."""
    steepest: float
    """Steepest flank, depth gained per distance; it cuts the swing of short waves."""


CURVES = {
    "A": Curve(length=(0.8, 2.5), swing=(0.03, 0.1), steepest=0.4),
    "B": Curve(length=(0.4, 2.0), swing=(0.04, 0.15), steepest=0.9),
}


@dataclasses.dataclass(frozen=True)
class _Vel(Geology):
    """What FlatVel and CurveVel share: layers that reach from side to side, and their velocities."""

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    layers: tuple[int, ...] = (3, 4, 5, 6, 7)
    version: str = "B"

    def __post_init__(self) -> None:
        """Check that the layers fit into the depth and the velocity range."""
        super().__post_init__()
        object.__setattr__(self, "version", check_version(self.version))
        object.__setattr__(self, "layers", choices("layers", self.layers, lowest=2))
        growth(self.velocity, max(self.layers), CONTRAST)
        check_rows(self.shape, max(self.layers))

    def _draws(self) -> list[int]:
        return [max(self.layers)] * 3 + [PER_CURVE]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        pick_velocity, pick_order, pick_thickness, pick_curve = uniform
        nz = self.shape[0]
        layers = chosen(self.layers, index)
        velocities = growing(pick_velocity, layers, self.velocity, growth(self.velocity, max(self.layers), CONTRAST))
        if self.version == "B":
            velocities = shuffled(velocities, pick_order, layers)
        depth = self._bent(_depths(pick_thickness, layers)[..., None], pick_curve)
        rows = separated(depth * nz, layers - 1, nz)
        z = torch.arange(nz, device=index.device)[:, None]
        return paint(velocities, (z >= row[:, None] for row in rows.unbind(1)), self.shape)

    @abc.abstractmethod
    def _bent(self, depth: Tensor, pick: Tensor) -> Tensor:
        """Depths of the interfaces, `[models, interfaces, 1 or nx]`, from those of flat ones, `[..., 1]`."""


class FlatVel(_Vel):
    """Flat layers of constant velocity, after OpenFWI's FlatVel-A and FlatVel-B.

    In version A the velocity grows with depth. In version B the layers lie in any order. Two layers of a model
    differ by 150 m/s or more. Model `i` has `layers[i % len(layers)]` layers, so every number has an equal part
    of any long run.

    Attributes:
        shape: (nz, nx) cells, a row for every layer or more.
        velocity: (slowest, fastest) in m/s.
        layers: Numbers of layers, in equal parts.
        version: "A" or "B".

    Raises:
        TypeError: When a field is of another kind.
        ValueError: When a field is out of its range, or the layers do not fit into the grid or the velocities.

    Source: Deng et al., "OpenFWI", NeurIPS 2022 (arXiv 2111.02926): grid, range of velocities, flat layers, and B
    as the difficult version of A by the order of velocities. The generator was not released, and numbers and
    thicknesses of layers are ours: from 3 to 7 layers, the thickest of a model at most four times the thinnest before
    they are rounded to rows.
    """

    def _bent(self, depth: Tensor, pick: Tensor) -> Tensor:
        return depth


class CurveVel(_Vel):
    """Layers between parallel sines, after OpenFWI's CurveVel-A and CurveVel-B.

    As `FlatVel`, but all interfaces of a model follow one sine: long and gentle in version A; in version B it may
    be short and steep. No layer ends inside the model. Lengths scale with the depth of the model, so a wide grid
    shows more waves of the same form.

    Attributes:
        shape: (nz, nx) cells, a row for every layer or more.
        velocity: (slowest, fastest) in m/s.
        layers: Numbers of layers, in equal parts.
        version: "A" or "B".

    Raises:
        TypeError: When a field is of another kind.
        ValueError: When a field is out of its range, or the layers do not fit into the grid or the velocities.

    Source: as `FlatVel`; the paper gives sines, their lengths and swings (`CURVES`) are ours.
    """

    def _bent(self, depth: Tensor, pick: Tensor) -> Tensor:
        curve = CURVES[self.version]
        x = centres(self.shape, pick.device)[1][0, 0]
        length = between(pick[:, :1], *curve.length)
        swing = torch.minimum(between(pick[:, 1:2], *curve.swing), curve.steepest / (2.0 * math.pi) * length)
        bend = (swing * wave(x / length + pick[:, 2:]))[:, None]
        swing = swing[..., None]
        return swing + (1.0 - 2.0 * swing) * depth + bend


def _depths(pick_thickness: Tensor, layers: Tensor) -> Tensor:
    """Depths of the interfaces, `[models, interfaces]`, in model depths; those behind the last lie at 1."""
    place = torch.arange(pick_thickness.shape[1], device=layers.device)
    thickness = torch.where(place < layers[:, None], between(pick_thickness, 0.5, 2.0), 0.0)
    depth = stacked(thickness)
    return depth[:, :-1] / depth[:, -1:]
