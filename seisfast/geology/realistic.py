"""Dense layers, folds, faults and salt, after the models that SeisInvNet 2.0 was trained on."""

from __future__ import annotations

import dataclasses

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

KINDS = ("layers", "folds", "faults", "salt")

CONTRAST = 0.02
"""Smallest growth of velocity from layer to layer, as a part of the velocity range (60 m/s of 3,000)."""

BELOW_SALT = 0.8
"""Part of the velocity range that the layers of a model with salt use."""

FAULTS = 3
"""Most faults of a model."""

BENDS = 2
"""Hills or troughs that join the waves of the folding."""

GENTLE = 0.2
"""Bending of the "layers" by that of the "folds"."""


@dataclasses.dataclass(frozen=True)
class SeisInv2(Geology):
    """Many layers whose velocity grows with depth: almost flat, folded, folded and faulted, folded around salt.

    Theirs: the three modules (folded layers; faults cut through them; a salt body put into them), forms put together
    from simple functions, velocities assigned to the finished structure; 2 to 11 layers on 100 x 100 cells, 1500 to
    4500 m/s, as in GeoFWI. Ours: every function and its range. Layers bend along two sinusoids and two bells, weaker
    towards the floor; one to three straight, roughly parallel faults displace what
    lies beyond them along their dip;
    salt is an ellipse of wavy outline, with or without a stem to the floor, of `velocity[1]`, and lifts
    the layers above and beside it.

    Model `i` has `kinds[i % len(kinds)]` and, one round of kinds after the other, the next number of layers, so a
    long run has equal parts of all pairs. Thin layers may vanish between two rows. Lengths scale with the depth.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s.
        kinds: Structures to choose from: "layers", "folds", "faults", "salt".
        layers: Numbers of layers, in equal parts.

    Source: Ren et al., "Building complex seismic velocity models for deep learning inversion", IEEE Access 9, 2021;
    Liu et al., "Deep learning seismic full waveform inversion for realistic structural models", Geophysics 86(1), 2021.
    """

    shape: tuple[int, int] = (100, 100)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    kinds: tuple[str, ...] = KINDS
    layers: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11)

    def __post_init__(self) -> None:
        """Check the kinds and that the layers fit into the velocity range."""
        super().__post_init__()
        if isinstance(self.kinds, str) or not isinstance(self.kinds, (tuple, list)):
            raise TypeError(f"kinds must be a sequence of names, got {self.kinds!r}")
        object.__setattr__(self, "kinds", tuple(self.kinds))
        if not self.kinds or any(kind not in KINDS for kind in self.kinds):
            raise ValueError(f"kinds must hold some of {', '.join(KINDS)}, got {self.kinds}")
        object.__setattr__(self, "layers", choices("layers", self.layers, lowest=2))
        growth(self._around_salt, max(self.layers), CONTRAST)

    @property
    def _around_salt(self) -> tuple[float, float]:
        low, high = self.velocity
        return low, low + BELOW_SALT * (high - low)

    def _draws(self) -> list[int]:
        most = max(self.layers)
        return [most, most, 5 + 3 * BENDS, 2 + 5 * FAULTS, 9]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        pick_velocity, pick_thickness, pick_fold, pick_fault, pick_salt = uniform
        kind = chosen([KINDS.index(name) for name in self.kinds], index)
        count = chosen(self.layers, index // len(self.kinds))
        z, x = centres(self.shape, index.device)
        width = self.shape[1] / self.shape[0]
        salt, lift = _salt(z, x, width, pick_salt)
        has_salt = column(kind == KINDS.index("salt"))
        z, x = _before_faulting(z, x, width, kind == KINDS.index("faults"), pick_fault)
        strength = 1.0 - (1.0 - GENTLE) * (kind == KINDS.index("layers")).to(z.dtype)
        depth = z + lift * has_salt + _bending(z, x, width, column(strength), pick_fold)
        ranges = self._around_salt, self.velocity
        slower, others = (self._velocities(pick_velocity, count, part) for part in ranges)
        interfaces = _interfaces(pick_thickness, count).unbind(1)
        velocities = torch.where(has_salt[:, 0], slower, others)
        models = paint(velocities, (depth >= column(level) for level in interfaces), self.shape)
        return torch.where(salt & has_salt, self.velocity[1], models)

    def _velocities(self, pick: Tensor, count: Tensor, velocity: tuple[float, float]) -> Tensor:
        return growing(pick, count, velocity, growth(velocity, max(self.layers), CONTRAST))


def _interfaces(pick: Tensor, count: Tensor) -> Tensor:
    """Depths of the interfaces before bending, `[models, most layers - 1]`; those a model lacks lie on its floor."""
    place = torch.arange(pick.shape[1], device=pick.device)
    depth = stacked(torch.where(place < count[:, None], between(pick, 0.35, 1.3), 0.0))
    lines = depth[:, :-1] / depth[:, -1:]
    return torch.where(place[:-1] + 1 < count[:, None], lines, torch.inf)


def _bending(z: Tensor, x: Tensor, width: float, strength: Tensor, pick: Tensor) -> Tensor:
    """Depth gained by dip, two sinusoids and bells, `[models, nz, nx]`; half as much on the floor as at the top."""
    dip, long, long_phase, short, short_phase = (column(value) for value in pick[:, :5].unbind(1))
    relief = between(dip, -0.15, 0.15) * (x - 0.5 * width)
    relief = relief + 0.05 * wave(x * between(long, 0.4, 1.0) + long_phase)
    relief = relief + 0.02 * wave(x * between(short, 1.2, 2.6) + short_phase)
    for bell in pick[:, 5:].reshape(len(pick), BENDS, 3).unbind(1):
        height, middle, half = (column(value) for value in bell.unbind(1))
        away = (x - middle * width) / between(half, 0.12, 0.35)
        relief = relief + between(height, -0.14, 0.14) / (1.0 + away * away)
    return strength * relief * (1.0 - 0.5 * z)


def _before_faulting(z: Tensor, x: Tensor, width: float, faulted: Tensor, pick: Tensor) -> tuple[Tensor, Tensor]:
    """Where the matter of each cell was before the faults of the models that have some; youngest first."""
    most = 1.0 + torch.floor(pick[:, 0] * FAULTS)
    trend = column(between(pick[:, 1], -0.6, 0.6))
    for number, fault in enumerate(pick[:, 2:].reshape(len(pick), FAULTS, 5).unbind(1)):
        level, place, lean, throw, side = (column(value) for value in fault.unbind(1))
        slope = trend + between(lean, -0.25, 0.25)
        shift = between(throw, -0.16, 0.16)
        shift = shift + 0.05 * torch.sign(shift)
        across = (x - between(place, 0.1, 0.9) * width) - slope * (z - between(level, 0.3, 0.7))
        beyond = ((across > 0.0) == (side < 0.5)) & column(faulted & (most > number))
        moved = shift / torch.sqrt(1.0 + slope * slope) * beyond
        z, x = z - moved, x - slope * moved
    return z, x


def _salt(z: Tensor, x: Tensor, width: float, pick: Tensor) -> tuple[Tensor, Tensor]:
    """Cells of the body, bool, and depth that the layers around it gain by being lifted, `[models, nz, nx]`."""
    level, place, high, wide, form, wavy, phase, lean, drag = (column(value) for value in pick.unbind(1))
    stem = form < 0.5
    height, half = between(high, 0.1, 0.22), between(wide, 0.14, 0.34)
    dz = z - between(level, 0.42, 0.68)
    dx = (x - between(place, 0.25, 0.75) * width) - between(lean, -0.4, 0.4) * dz
    up, across = dz / height, dx / half
    ripple = wave(x * between(wavy, 1.5, 3.5) + phase) + 0.6 * wave(z * between(wavy, 1.5, 4.0) + 2.0 * phase)
    bound = 1.0 + 0.22 * ripple
    near = torch.where(stem & (dz > 0.0), 0.15 * up, up)
    body = near * near + across * across * torch.where(stem & (dz > 0.0), 1.0 + 0.6 * up.clamp(0.0, 2.0), 1.0) < bound
    pull = between(drag, 0.03, 0.12) / (1.0 + 0.4 * (up * up + across * across))
    return body, pull
