"""Salt bodies in sediments, after the two data sets of FCNVMB."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from seisfast.geology.base import (
    Geology,
    between,
    centres,
    choices,
    chosen,
    column,
    growing,
    growth,
    paint,
    stacked,
    wave,
)

KINDS = ("seg", "simulated")

HORIZONS = 7
"""Thin reflectors of a "seg" model above its flat basement."""

FAULTS = 3
"""Straight thin lines of a "seg" model."""

REFLECTOR, FAULT = 1.3, 1.2
"""Velocity of a reflector and of a fault line by that of the rock around, measured: 3152 / 2420, 2451 / 2044."""

BASEMENT, FASTEST = 0.3276, 0.643
"""Velocity of the basement and of the fastest reflector as parts of the range: 2477, 3417 of 1500 to 4482 m/s."""

LAYERS = (5, 6, 7, 8, 9, 10)
"""Numbers of layers around the salt of the 100 simulated models, measured; each in about equal parts."""

CONTRAST = 0.005
"""Smallest growth from layer to layer of a "simulated" model, as a part of the velocity range."""

SEDIMENTS = 0.8
"""Part of the velocity range that the layers of a "simulated" model use: 2000 to 4000 of 2000 to 4500 m/s."""


@dataclasses.dataclass(frozen=True)
class Salt(Geology):
    """Sediments around one irregular salt body of constant velocity, `velocity[1]`.

    "seg" follows the 2-D sections of the SEG/EAGE salt model; measured on ten of them (201 x 301 cells of 10 m):
    water of 1500 m/s in the first 3 to 13 rows, then rock from 1.83 km/s in row 20 to 2.4 to 2.5 in row 100, an arch
    that lifts the horizons and slows the rock in its core, slower rock (2.0 to 2.2 km/s in row 120) below the arch,
    thin reflectors 1.3 times as fast as the rock, a flat one in row 174 and a basement of 2477 m/s from row 183. The
    body takes 6 to 8 % of the cells in rows 54 to 176, is 139 to 157 columns wide, and has a flat or toothed top, a
    tail and sometimes a root. Five of the ten have no salt: `bodies=(1, 0)`.

    "simulated" follows FCNVMB's made-up models; measured on 100 of them: 5 to 10 layers around the body whose
    velocities are as if drawn evenly from 2000 to 4000 m/s and sorted, nearly flat and slightly rough interfaces (6.5
    rows from crest to trough), a body of 4500 m/s from about column 33 to 261 of 301, half of them two domes on the
    floor (8 to 24 % of the cells, top in row 80 to 161), half lenses (4 to 11 %, rows 73 to 160).
    With `velocity=(2000, 4500)` the velocities are theirs; 5 of their 100 have no salt.

    Lengths scale with the depth of the model, positions in x with its width.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s; the fastest is that of the salt.
        kind: "seg" or "simulated".
        bodies: Numbers of salt bodies, 0 or 1, which the models take in equal parts.

    Source: Yang and Ma, "Deep-learning inversion: A next-generation seismic velocity model building method",
    Geophysics 84(4), 2019, who show both data sets but give no generator. The forms here are ours, fitted to the
    figures above.
    """

    shape: tuple[int, int] = (201, 301)
    velocity: tuple[float, float] = (1500.0, 4482.0)
    kind: str = "seg"
    bodies: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        """Check the kind, the numbers of bodies and that the layers fit into the velocity range."""
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        object.__setattr__(self, "bodies", choices("bodies", self.bodies, lowest=0))
        if max(self.bodies) > 1:
            raise ValueError(f"bodies must be 0 or 1, got {max(self.bodies)}")
        if self.kind == "simulated":
            growth(self._sediments, max(LAYERS), CONTRAST)

    @property
    def _sediments(self) -> tuple[float, float]:
        low, high = self.velocity
        return low, low + SEDIMENTS * (high - low)

    def _draws(self) -> list[int]:
        if self.kind == "seg":
            return [1, 8, HORIZONS, 3 * FAULTS, 14]
        return [max(LAYERS), max(LAYERS), 3 * (max(LAYERS) - 1), 12]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        z, x = centres(self.shape, index.device)
        if self.kind == "seg":
            middle = uniform[0][:, 0]
            lowest = 0.5 * chosen(self.bodies, index).to(z.dtype) - 0.3
            models = _arched(z, x, self.velocity, middle, lowest, *uniform[1:4])
            salt = _tongue(z, x, middle, uniform[4])
        else:
            models = self._layers(z, x, index, *uniform[:3])
            salt = _domes_or_lens(z, x, uniform[3])
        salt = salt & column(chosen(self.bodies, index) == 1)
        return torch.where(salt, self.velocity[1], models).clamp(*self.velocity)

    def _layers(self, z: Tensor, x: Tensor, index: Tensor, velocity: Tensor, thick: Tensor, rough: Tensor) -> Tensor:
        count = chosen(LAYERS, index // len(self.bodies))
        step = growth(self._sediments, max(LAYERS), CONTRAST)
        velocities = growing(velocity, count, self._sediments, step)
        place = torch.arange(thick.shape[1], device=index.device)
        depth = stacked(torch.where(place < count[:, None], between(thick, 0.3, 1.5), 0.0))
        depth = depth[:, :-1] / depth[:, -1:]

        def below() -> Iterator[Tensor]:
            for level, pick in zip(depth.unbind(1), rough.view(len(index), -1, 3).unbind(1), strict=True):
                edge = column(level) + 0.006 * wave(x * column(between(pick[:, 0], 0.8, 2.0)) + column(pick[:, 2]))
                edge = edge + 0.006 * wave(x * column(between(pick[:, 1], 3.0, 9.0)) + 3.0 * column(pick[:, 2]))
                yield z >= edge + 0.004 * wave(x * column(between(pick[:, 2], 11.0, 17.0)) + column(pick[:, 0]))

        return paint(velocities, below(), self.shape)


def _arched(
    z: Tensor,
    x: Tensor,
    velocity: tuple[float, float],
    middle: Tensor,
    lowest: Tensor,
    pick: Tensor,
    pick_level: Tensor,
    pick_fault: Tensor,
) -> Tensor:
    """Water, sediments, slower rock below an arched horizon, reflectors, faults and basement, in m/s.

    Velocities below are parts of the range above the slowest, as in the measured profiles.
    """
    cell, width = 1.0 / z.shape[1], x.shape[2] / z.shape[1]
    water, slope, height, breadth, level, drop, length, phase = (column(value) for value in pick.unbind(1))
    distance = (x - between(column(middle), 0.35, 0.65) * width) / between(breadth, 0.4, 0.7)
    falloff = 1.0 / (1.0 + distance * distance)
    arch = (column(lowest) + (0.8 - column(lowest)) * height) * falloff * falloff
    bent = arch + 0.06 * wave(x * between(length, 0.7, 1.8) + phase)
    horizon = z + bent * z * (1.0 - z)
    upper = (0.075 + 0.52 * z) * (1.0 - 0.3 * arch)
    lower = 0.41 * z - between(drop, 0.0, 0.04)
    share = upper + (lower - upper) * ((horizon - between(level, 0.5, 0.68)) * 25.0).clamp(0.0, 1.0)
    span = velocity[1] - velocity[0]
    speed = velocity[0] + span * share.clamp(min=0.0)

    reach = 0.6 * cell * (1.0 + bent * (1.0 - 2.0 * z))
    thin = ((z - 0.87).abs() < 0.5 * cell).expand_as(speed)
    for place, value in enumerate(pick_level.unbind(1)):
        thin = thin | ((horizon - column(0.1 + 0.8 / HORIZONS * (place + between(value, 0.2, 0.9)))).abs() < reach)
    speed = torch.where(thin, REFLECTOR * speed, speed)
    for start, lean, top in pick_fault.view(len(pick), FAULTS, 3).permute(1, 2, 0):
        first, dip = column(between(top, 0.1, 0.6)), column(between(lean, -1.0, 1.0))
        line = column(between(start, 0.1, 0.9)) * width + dip * (z - first)
        near = ((x - line).abs() < 0.5 * cell) & (z > first) & (z < first + 0.3)
        speed = torch.where(near, FAULT * speed, speed)

    speed = speed.clamp(max=velocity[0] + FASTEST * span)
    speed = torch.where(z > 0.91, velocity[0] + span * BASEMENT, speed)
    floor = between(water, 0.027, 0.05) + between(slope, -0.024, 0.024) * (x * (1.0 / width) - 0.5)
    return torch.where(z < floor, velocity[0], speed)


def _tongue(z: Tensor, x: Tensor, middle: Tensor, pick: Tensor) -> Tensor:
    """Cells of a body with a bulb, a tail and sometimes a root below the bulb, bool `[models, nz, nx]`."""
    width = x.shape[2] / z.shape[1]
    (level, half, side, thick, under, bend, tilt, phase, rough, teeth, root, deep, stout, lean) = (
        column(value) for value in pick.unbind(1)
    )
    direction = 2.0 * (side < 0.5).to(z.dtype) - 1.0
    rooted = (root < 0.6).to(z.dtype)
    along = direction * (x - between(column(middle), 0.4, 0.6) * width) / between(half, 0.33, 0.41)
    full = (1.0 - along * along).clamp(min=0.0)
    axis = between(level, 0.43, 0.5) - 0.03 * rooted + between(bend, -0.02, 0.09) * along * along
    axis = axis + between(tilt, 0.0, 0.06) * along
    height = (between(thick, 0.14, 0.2) - 0.06 * rooted) * full * (1.0 - 0.6 * along)
    height = height * (1.0 + 0.2 * wave(along * between(rough, 0.7, 1.6) + phase))
    notch = (wave(along * between(rough, 2.5, 4.0) + phase) - 0.2).clamp(min=0.0) * (1.0 - 2.0 * (along - 0.2).abs())
    height = height - 0.12 * (teeth < 0.5) * notch.clamp(min=0.0)
    base = axis + between(under, 0.02, 0.06) * full
    body = (full > 0.0) & (z > axis - height.clamp(min=0.0)) & (z < base)

    down = (z - axis) / between(deep, 0.25, 0.43)
    stem = along + 0.55 + between(lean, 0.05, 0.5) * down
    thickness = between(stout, 0.2, 0.3)
    inside = stem * stem < thickness * thickness * (1.0 - down * down * down)
    return body | ((rooted > 0.0) & inside & (down > 0.0))


def _domes_or_lens(z: Tensor, x: Tensor, pick: Tensor) -> Tensor:
    """Cells of two domes on the floor or, in half of the models, of a lens, bool `[models, nz, nx]`."""
    part = x * (z.shape[1] / x.shape[2])
    (form, left, right, split, lean, high, second, over, under, level, tilt, phase) = (
        column(value) for value in pick.unbind(1)
    )
    left, right = between(left, 0.1, 0.13), between(right, 0.85, 0.885)
    foot = between(split, 0.42, 0.58)
    rough = 1.0 + 0.06 * wave(part * 5.0 + phase)
    tall = between(high, 0.2, 0.6)
    first = tall * _dome(part, left, foot + 0.06, between(lean, 0.3, 0.6))
    other = torch.minimum(between(second, 0.08, 0.36), tall) * _dome(
        part, foot - 0.06, right, between(phase, 0.4, 0.75)
    )
    domes = z > 1.0 - torch.maximum(first, other) * rough

    along = 2.0 * (part - left) / (right - left) - 1.0
    full = (1.0 - along * along).clamp(min=0.0)
    axis = between(level, 0.52, 0.66) + between(tilt, -0.03, 0.05) * along
    bulge = 0.45 * wave(along * between(lean, 0.5, 0.9) + phase)
    roof = axis - between(over, 0.02, 0.12) * full * (1.0 + bulge)
    lens = (full > 0.0) & (z > roof) & (z < axis + between(under, 0.05, 0.12) * full * (1.0 - bulge))
    return torch.where(form < 0.5, domes, lens)


def _dome(part: Tensor, left: Tensor, right: Tensor, crest: Tensor) -> Tensor:
    """0 outside left ... right, 1 at the crest, which is a part of the way from left to right."""
    top = left + crest * (right - left)
    away = torch.maximum((top - part) / (top - left), (part - top) / (right - top))
    return ((1.0 - away) * (1.0 + 0.8 * away)).clamp(min=0.0)
