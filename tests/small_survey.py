"""Small surveys with every boundary, for the tests of the acoustic operator: a call takes a millisecond."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seisfast.boundaries import CPML, Boundary, Faces, Free, Sponge
from seisfast.survey import Survey
from seisfast.wavelets import ricker

ORDERS = (2, 4, 6, 8)
BOUNDARIES: dict[str, Boundary] = {
    "cpml": CPML(5),
    "unequal": Faces(top=CPML(2), bottom=CPML(7), left=CPML(0), right=CPML(3, frequency=25.0, vmax=3000.0)),
    "free": Faces(top=Free(), bottom=CPML(6), left=CPML(3), right=CPML(5)),
    "sponge": Sponge(7),
    "sponge_vmin": Sponge(8, vmin_gradient=True),
    "rigid": CPML(0),
}
NT = 70


def small_survey(boundary: str | Boundary = "cpml", **changes: object) -> Survey:
    """Three shots of two sources, five receivers of each shot's own, 14 x 17 cells (dz != dx without a sponge)."""
    layers = BOUNDARIES[boundary] if isinstance(boundary, str) else boundary
    settings: dict[str, object] = {
        "shape": (14, 17),
        "spacing": 10.0 if isinstance(layers, Sponge) else (9.0, 11.0),
        "dt": 1e-3,
        "nt": NT,
        "sources": [[(1, 2), (6, 6)], [(4, 8), (4, 9)], [(13, 16), (1, 0)]],
        "receivers": [[(1 + s, 3 * k + s) for k in range(5)] for s in range(3)],
        "wavelet": small_wavelet(2, 3, 2),
        "boundary": layers,
    }
    return Survey(**{**settings, **changes})  # type: ignore[arg-type]


def small_wavelet(*leading: int, nt: int = NT, dtype: torch.dtype = torch.float64) -> Tensor:
    """A different smooth pulse around 15 Hz for each leading index, `[*leading, nt]`."""
    pulse = ricker(15.0, 1e-3, 300)
    rows = []
    for k in range(math.prod(leading)):
        first = 40 + (7 * k * k + 13 * k) % 30
        rows.append(pulse[first : first + nt] * (0.5 + 0.37 * k % 1))
    return torch.stack(rows).reshape(*leading, nt).to(dtype)


def small_velocity(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random velocities between 2000 and 3500 m/s."""
    generator = torch.Generator().manual_seed(2)
    return (2000.0 + 1500.0 * torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)


def relative(value: Tensor, expected: Tensor) -> float:
    """Relative L2 difference."""
    value, expected = value.detach().double(), expected.detach().double()
    return float((value - expected).norm() / expected.norm())
