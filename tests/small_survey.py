"""Small surveys with every boundary, for the tests of the acoustic operator: a call takes a millisecond."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seisfast.boundaries import CPML, Boundary, Faces, Free, Sponge
from seisfast.propagator import simulate
from seisfast.storage import Storage
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
COMPILED = [name for name in BOUNDARIES if name != "sponge_vmin"]  # the twin differentiates that one along tangents
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
EXACT = [Storage("all"), Storage("checkpoint"), Storage()]  # all of the same gradient, to the bit
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


def shots(boundary: str, **changes: object) -> Survey:
    """Three shots of two sources, for any number of models."""
    return small_survey(boundary, **{"wavelet": small_wavelet(3, 2), **changes})


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


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 3) -> Tensor:
    """Normal deviates, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradient(
    velocity: Tensor, survey: Survey, weights: Tensor, run: Callable[..., Tensor] = simulate, **arguments: object
) -> Tensor:
    """Gradient of the weighted sum of the records."""
    leaf = velocity.detach().clone().requires_grad_()
    return torch.autograd.grad((run(leaf, survey, **arguments) * weights).sum(), leaf)[0]


def relative(value: Tensor, expected: Tensor) -> float:
    """Relative L2 difference."""
    value, expected = value.detach().double(), expected.detach().double()
    return float((value - expected).norm() / expected.norm())


# -- positions between cells -------------------------------------------------------------------------------------------

Places = Any  # what torch.as_tensor takes
NOISE = noise(2, 14, seed=5)
SOURCES, RECEIVERS = [[1.3, 2.2], [4.0, 5.0]], [[2.2, 3.0], [3.1, 0.4], [5.0, 6.0]]
UNUSUAL: dict[str, dict[str, Any]] = {
    "between": {},
    "dipoles": {"source_kind": "dipole_z", "receiver_kind": ["pressure", "gradient_x", "gradient_z"]},
    "mask": {"receiver_mask": [[True, False, True], [False, True, True]]},
}


def tiny_survey(sources: Places = SOURCES, receivers: Places = RECEIVERS, **changes: object) -> Survey:
    """Two shots and three receivers, some between cells, on 6 x 7 cells, 14 samples of noise."""
    settings: dict[str, object] = {"shape": (6, 7), "nt": 14, "dt": 8e-4, "wavelet": NOISE, "boundary": CPML(3)}
    return small_survey(sources=sources, receivers=receivers, **{**settings, **changes})


def double(values: Places, requires_grad: bool = False) -> Tensor:
    """Float64."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)
