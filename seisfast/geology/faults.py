"""Folded and faulted layers, after OpenFWI's CurveFault family."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from seisfast.geology.base import Geology, between, choices, chosen, growing, growth, paint, stacked, wave

CONTRAST = 0.01
"""Smallest growth of velocity from layer to layer, as a part of the velocity range (30 m/s of 3,000)."""

FOLDS = ((0.4, 1.2, 3.0, 0.2), (0.3, 0.7, 0.7, 0.04), (0.15, 0.3, 0.25, 0.01))
"""Waves of the folding: shortest and longest wavelength, steepest flank, largest swing, in model depths."""

STRIKE_SLIP = 0.6
"""Part of the faulted models whose youngest fault brings another section into the plane."""

PER_FAULT = 6
PER_FOLD = 3


@dataclasses.dataclass(frozen=True)
class CurveFault(Geology):
    """Curved layers cut by dipping faults, like the models of OpenFWI's CurveFault-B.

    A model is painted backwards in time: every cell is moved back along its faults, the youngest first, then
    out of the folds, and takes the velocity of the layer it comes from. Younger faults displace older ones,
    low-angle faults repeat the section, and folds are cut off at faults. In part of the models the youngest
    fault also brings a section of other thicknesses and velocities beside the first. Within a section the
    velocity grows with depth.

    Lengths scale with the depth of the model, so a wide grid shows more folds of the same form.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s.
        layers: Numbers of layers of a section; the models take them in equal parts.
        faults: Numbers of faults, likewise; model `i` has `faults[i % len(faults)]`.

    Source: Deng et al., "OpenFWI", NeurIPS 2022; the numbers of layers follow the names of the released files
    (`vel6_1_0.npy` to `vel8_1_31.npy`, lanl/OpenFWI `split_files`). The generator was not released; this is
    ours, matched by eye and by statistics to a released sample.
    """

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    layers: tuple[int, ...] = (6, 7, 8)
    faults: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Check the numbers of layers and faults."""
        super().__post_init__()
        object.__setattr__(self, "layers", choices("layers", self.layers, lowest=2))
        growth(self.velocity, max(self.layers), CONTRAST)
        object.__setattr__(self, "faults", choices("faults", self.faults, lowest=0))

    def _draws(self) -> list[int]:
        layers, faults = max(self.layers), max(1, *self.faults)
        return [PER_FAULT * faults, 1 + PER_FOLD * len(FOLDS), 3, layers, layers, layers, layers, 2]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        pick_faults, pick_folds, pick_block, *pick_section = uniform
        faults = chosen(self.faults, index)
        layers = chosen(self.layers, index // len(self.faults))
        cells = _cells(self.shape, index.device)
        z, x, moved = _before_faulting(*cells, faults, pick_faults.view(len(index), -1, PER_FAULT))
        other = moved & (pick_block[:, 0] < STRIKE_SLIP)[:, None, None]
        x = x + other * _column(between(pick_block[:, 1], -0.25, 0.25))
        depth = z - _folding(x, pick_folds)
        first, second = _sections(layers, self.velocity, pick_block[:, 2:], *pick_section)
        return torch.where(other, self._fill(depth, *second), self._fill(depth, *first))

    def _fill(self, depth: Tensor, velocities: Tensor, interfaces: Tensor) -> Tensor:
        return paint(velocities, (depth >= _column(level) for level in interfaces.unbind(1)), self.shape)


def _column(values: Tensor) -> Tensor:
    """One value per model, `[models]`, against maps, `[models, nz, nx]`."""
    return values[:, None, None]


def _cells(shape: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres of the cells, z and x, `[1, nz, nx]`, in model depths."""
    nz, nx = shape
    z = (torch.arange(nz, dtype=torch.float32, device=device) + 0.5) / nz
    x = (torch.arange(nx, dtype=torch.float32, device=device) + 0.5) / nz
    return z[None, :, None].expand(1, nz, nx), x.expand(1, nz, nx)


def _before_faulting(z: Tensor, x: Tensor, faults: Tensor, pick: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the matter of each cell was before the faults, and whether the youngest fault moved it.

    Args:
        z: Depth of the cells `[1, nz, nx]`, in model depths.
        x: Distance of the cells, likewise.
        faults: Number of faults `[models]`.
        pick: Random numbers `[models, most faults, PER_FAULT]`, the youngest fault first.
    """
    width = x.shape[2] / x.shape[1]
    moved = torch.zeros((), dtype=torch.bool, device=z.device)
    for number, of_fault in enumerate(pick.unbind(1)):
        pick_z, pick_x, pick_dip, pick_bend, pick_throw, pick_side = (_column(c) for c in of_fault.unbind(1))
        lean = between(pick_dip, -1.1, 1.1)
        down = 1.0 / torch.sqrt(1.0 + lean * lean)
        dz = z - between(pick_z, 0.2, 0.8)
        dx = x - between(pick_x, 0.1, 0.9) * width
        along = (dz + lean * dx) * down
        across = (dx - lean * dz) * down
        beyond = (across > between(pick_bend, -0.3, 0.3) * along * along) == (pick_side < 0.5)
        hit = beyond & _column(faults > number)
        throw = between(pick_throw, -0.35, 0.35)
        throw = (throw + torch.where(throw < 0.0, -0.05, 0.05)) * down * hit
        z, x = z - throw, x - throw * lean
        if number == 0:
            moved = hit
    return z, x, moved


def _folding(x: Tensor, pick: Tensor) -> Tensor:
    """Depth gained by folding and tilting at distance x, both `[models, nz, nx]` in model depths."""
    depth = between(_column(pick[:, 0]), -0.3, 0.3) * x
    waves = pick[:, 1:].reshape(len(pick), len(FOLDS), PER_FOLD).unbind(1)
    for (shortest, longest, steepest, largest), of_wave in zip(FOLDS, waves, strict=True):
        length = between(of_wave[:, 0], shortest, longest)
        flank = between(of_wave[:, 1], 0.3, 1.0) * steepest
        swing = (flank * length / (2.0 * math.pi)).clamp(max=largest)
        depth = depth + _column(swing) * wave(x / _column(length) + _column(of_wave[:, 2]))
    return depth


def _sections(
    layers: Tensor,
    velocity: tuple[float, float],
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
    step = growth(velocity, pick_velocity.shape[1], CONTRAST)
    share = between(pick_share, 0.2, 0.6)

    def changed(pick: Tensor, change: Tensor) -> Tensor:
        return pick + share * (change - pick)

    def interfaces(pick: Tensor) -> Tensor:
        place = torch.arange(pick.shape[1], device=pick.device)
        thickness = torch.where(place < layers[:, None], between(pick, 0.25, 1.25), 0.0)
        depth = stacked(thickness)
        top, bottom = between(pick_span[:, :1], 0.05, 0.2), between(pick_span[:, 1:], 0.95, 1.25)
        return top + (bottom - top) * depth[:, :-1] / depth[:, -1:]

    first = growing(pick_velocity, layers, velocity, step), interfaces(pick_thickness)
    pick_velocity = changed(pick_velocity, change_velocity)
    pick_thickness = changed(pick_thickness, change_thickness)
    return first, (growing(pick_velocity, layers, velocity, step), interfaces(pick_thickness))
