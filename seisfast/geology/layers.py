"""Layered models with gently undulating interfaces, as in the SeisInv data set."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from seisfast.geology.base import (
    Geology,
    between,
    choices,
    chosen,
    growing,
    growth,
    in_depths,
    paint,
    separated,
    stacked,
    wave,
)

CONTRAST = 0.08
"""Smallest growth of velocity across an interface, as a part of the velocity range (200 m/s of 2,500)."""

SWING = 0.08
"""Largest distance of an interface from its mean depth, as a part of the model's depth."""

WAVES = 3
"""Sinusoids that make up one interface."""


@dataclasses.dataclass(frozen=True)
class SeisInv(Geology):
    """Constant velocity per layer, growing with depth, between gently undulating interfaces that never cross.

    Types I to IV of the paper are models of one to four interfaces. Model `i` has
    `interfaces[i % len(interfaces)]` of them, so every type has an equal part of any long run. Types,
    range and growth with depth are the paper's; thicknesses, swings and wavelengths are ours.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s.
        interfaces: Numbers of interfaces, in equal parts.

    Source: Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, arXiv 1901.07733.
    """

    STREAM: ClassVar[int | None] = 0

    shape: tuple[int, int] = (100, 100)
    velocity: tuple[float, float] = (1500.0, 4000.0)
    interfaces: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Check that the layers fit into the depth and the velocity range."""
        super().__post_init__()
        object.__setattr__(self, "interfaces", choices("interfaces", self.interfaces, lowest=1))
        growth(self.velocity, max(self.interfaces) + 1, CONTRAST)
        if self.shape[0] <= max(self.interfaces):
            most = max(self.interfaces)
            raise ValueError(f"shape needs more rows than interfaces, got nz={self.shape[0]} for {most} interfaces")

    def _draws(self) -> list[int]:
        most = max(self.interfaces)
        return [most + 1, most + 1, most, most * WAVES, WAVES]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        pick_velocity, pick_thickness, pick_swing, pick_phase, pick_length = uniform
        count = chosen(self.interfaces, index)
        step = growth(self.velocity, max(self.interfaces) + 1, CONTRAST)
        velocities = growing(pick_velocity, count + 1, self.velocity, step)
        depth, swing = _depths(pick_thickness, pick_swing, count)
        curves = _curves(pick_phase.view(len(index), -1, WAVES), pick_length, self.shape)
        rows = separated((depth[..., None] + swing[..., None] * curves) * self.shape[0], count, self.shape[0])
        z = torch.arange(self.shape[0], device=index.device)[:, None]
        return paint(velocities, (z >= row[:, None] for row in rows.unbind(1)), self.shape)


def _depths(pick_thickness: Tensor, pick_swing: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Mean depths of the interfaces and how far each may swing, both `[models, interfaces]`, in model depths.

    Two neighbours together use at most four fifths of the distance between them, so they cannot cross.
    """
    layer = torch.arange(pick_thickness.shape[1], device=count.device)
    thickness = torch.where(layer <= count[:, None], between(pick_thickness, 0.5, 2.0), 0.0)
    thickness = thickness / stacked(thickness)[:, -1:]
    nearest = torch.minimum(thickness[:, :-1], thickness[:, 1:])
    swing = (0.4 * nearest).clamp(max=SWING) * between(pick_swing, 0.4, 1.0)
    return stacked(thickness)[:, :-1], swing


def _curves(pick_phase: Tensor, pick_length: Tensor, shape: tuple[int, int]) -> Tensor:
    """Undulations within [-1, 1], `[models, interfaces, nx]`.

    The waves of one interface are those of the interface above, a little out of step.
    """
    nz, nx = shape
    x = in_depths(torch.arange(nx, dtype=torch.float32, device="cpu"), nz, pick_phase.device)
    weights, waves_per_depth = (0.6, 0.25, 0.15), ((0.3, 0.9), (0.9, 1.6), (1.6, 2.6))
    first, drift = pick_phase[:, :1], between(pick_phase[:, 1:], -0.2, 0.2)
    phase = stacked(torch.cat([first, drift], dim=1))
    curves = torch.zeros(*phase.shape[:2], nx, dtype=torch.float32, device=phase.device)
    for number, (weight, (longest, shortest)) in enumerate(zip(weights, waves_per_depth, strict=True)):
        rate = between(pick_length[:, number], longest, shortest)
        curves += weight * wave(x * rate[:, None, None] + phase[:, :, number, None])
    return curves
