"""The same experiment in deepwave and Devito: their arguments from a velocity and a survey, the way back, and records.

Ours is ``u[n+1] = 2 u[n] - u[n-1] + (v dt)^2 (L[n] + w[n])`` with the record ``d[n] = u[n+1]``: wavelet sample n acts
at time n dt, record sample n is the field at (n + 1) dt. The other codes run some samples more, so that nothing is cut
off and what is converted there and back is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from seisfast.boundaries import CPML, Boundary, Faces, Free, faces_of
from seisfast.reference.acoustic import expand_wavelet
from seisfast.survey import Survey

Array = npt.NDArray[Any]


# -- deepwave ----------------------------------------------------------------------------------------------------------


def to_deepwave(velocity: Tensor, survey: Survey) -> dict[str, Any]:
    """Arguments of ``deepwave.scalar`` for what `simulate` runs.

    ``record_from_deepwave(deepwave.scalar(**to_deepwave(velocity, survey))[-1])`` is `simulate` until the first echo of
    the absorbing layer: it has our width, frequency and fastest velocity, but deepwave's profile. deepwave is
    ``u[n+1] = 2 u[n] - u[n-1] + (v dt)^2 (L[n] - f[n])`` with the record ``r[n] = u[n]``. So ``f = -w``,
    ``d[n] = r[n+1]``, and it runs one sample more. Its free surface lies a cell above its first row, ours is row 0:
    that row is left out.

    Args:
        velocity: `[nz, nx]`, m/s; gradients flow through it.
        survey: with CPML of one frequency and vmax on all faces, or Free on top.

    Returns:
        The arguments, arrays on the device and in the dtype of the velocity. The Courant number is the largest stable
        one, so that deepwave takes one step per sample unless the layer's vmax asks for more.

    Raises:
        ValueError: many models, a sponge, or faces that differ in frequency or vmax.
    """
    _one_model(velocity, survey, "deepwave")
    if not isinstance(survey.boundary, (CPML, Faces)):
        raise ValueError(f"boundary must be CPML, or Free on top, for deepwave, got {survey.boundary}")
    faces = faces_of(survey.boundary)
    layers = {(f.frequency, f.vmax) for f in (faces.top, faces.bottom, faces.left, faces.right) if isinstance(f, CPML)}
    if len(layers) > 1:
        raise ValueError(f"boundary must have one frequency and vmax on all faces for deepwave, got {survey.boundary}")
    ((frequency, vmax),) = layers
    largest = survey.largest_dt(1.0, 1.0) * math.hypot(*(1.0 / h for h in survey.spacing))
    surface = torch.tensor([int(survey.free_surface), 0], device=velocity.device)
    sources, receivers = (survey.array(name, velocity.device).long() - surface for name in ("sources", "receivers"))
    return {
        "v": velocity[1:] if survey.free_surface else velocity,
        "grid_spacing": list(survey.spacing),
        "dt": survey.dt,
        "source_amplitudes": -pad(_wavelets(velocity, survey), (0, 1)),
        "source_locations": sources,
        "receiver_locations": receivers.expand(survey.shots, -1, -1),
        "accuracy": survey.order,
        "pml_width": list(survey.padding),
        "pml_freq": frequency,
        "max_vel": vmax,
        "boundary": ["free" if survey.free_surface else "pml", "pml", "pml", "pml"],
        "courant_number": (1 - 1e-9) * largest,  # above the critical one it is refused
    }


def from_deepwave(
    v: Tensor,
    grid_spacing: float | Sequence[float],
    dt: float,
    *,
    source_amplitudes: Tensor,
    source_locations: Tensor,
    receiver_locations: Tensor,
    pml_freq: float,
    max_vel: float,
    accuracy: int = 4,
    pml_width: int | Sequence[int] = 20,
    boundary: str | Sequence[str] | None = None,
    courant_number: float | None = None,
) -> tuple[Tensor, Survey]:
    """Velocity and survey of a call of ``deepwave.scalar``, whose arguments these are.

    ``simulate(*from_deepwave(...))`` is ``record_from_deepwave`` of its record, as `to_deepwave` says. The survey has
    one sample less: deepwave's first is always zero, and its last amplitude is heard by no sample. A free surface adds
    row 0, a copy of deepwave's first row.

    Args:
        v: `[nz, nx]`, m/s.
        grid_spacing: metres, one number or (dz, dx).
        dt: s.
        source_amplitudes: `[shots, per_shot, time]`.
        source_locations: int cells (iz, ix), `[shots, per_shot, 2]`.
        receiver_locations: int cells (iz, ix), `[shots, receivers, 2]`.
        pml_freq: Hz; deepwave's default depends on the wavelet, so it is asked for.
        max_vel: m/s; deepwave's default depends on the model, so it is asked for.
        accuracy: order in space.
        pml_width: cells, one number or (top, bottom, left, right).
        boundary: None, "pml", or four of them of which the first may be "free".
        courant_number: ignored: `simulate` takes one step per sample unless it is given substeps.

    Raises:
        TypeError: as `Survey`.
        ValueError: as `Survey`, or a boundary that we do not have.
    """
    del courant_number
    kinds = [boundary or "pml"] * 4 if boundary is None or isinstance(boundary, str) else list(boundary)
    if kinds not in (["pml"] * 4, ["free", "pml", "pml", "pml"]):
        raise ValueError(f'boundary must be "pml", or "free" as the first of four, got {boundary!r}')
    widths = [pml_width] * 4 if isinstance(pml_width, int) else list(pml_width)
    layers = [CPML(width, pml_freq, max_vel) for width in widths]
    free = kinds[0] == "free"
    velocity = torch.cat([v[:1], v]) if free else v
    surface = torch.tensor([int(free), 0], device=v.device)
    alike = not free and len(set(layers)) == 1
    survey = Survey(
        shape=(velocity.shape[0], velocity.shape[1]), spacing=_spacing(grid_spacing), dt=dt,
        nt=source_amplitudes.shape[-1] - 1, wavelet=-source_amplitudes[..., :-1],
        sources=source_locations + surface, receivers=receiver_locations + surface, order=accuracy,
        boundary=layers[0] if alike else Faces(Free() if free else layers[0], *layers[1:]),
    )  # fmt: skip
    return velocity, survey


def record_from_deepwave(record: Tensor) -> Tensor:
    """Our record `[..., time, receivers]` from deepwave's receiver amplitudes `[..., receivers, time + 1]`."""
    return record[..., 1:].transpose(-1, -2)


def record_to_deepwave(data: Tensor) -> Tensor:
    """Deepwave's receiver amplitudes `[..., receivers, time + 1]` from our record `[..., time, receivers]`."""
    return pad(data.transpose(-1, -2), (1, 0))


# -- Devito ------------------------------------------------------------------------------------------------------------


def to_devito(velocity: Tensor, survey: Survey) -> dict[str, Any]:
    """What a Devito script for the same experiment needs, as numpy arrays in SI units.

    The script is that of Devito's acoustic examples: ``Eq(u.forward, solve(m * u.dt2 - u.laplace, u.forward))``, with
    ``src.inject(field=u.forward, expr=src * dt**2 / m)`` and ``rec.interpolate(expr=u)``. Its sample n reads ``u[n]``
    and adds to ``u[n+1]``, with our sign, and an Operator's own time bounds are 1 to samples - 2. So
    ``src[n+1] = w[n]``, ``rec[n+2] = d[n]``, and it runs three samples more. Absorbing cells (`nbl`) are the script's;
    records agree until their first echo. km/s and ms give the same record: ``v dt`` is a length either way.

    Args:
        velocity: `[nz, nx]`, m/s.
        survey: the acquisition; its boundary is not converted.

    Returns:
        ``vp`` `[nx, nz]` in m/s, the first axis x; ``spacing`` (dx, dz) in m; ``dt`` in s; ``space_order``; ``src``
        `[shots, time + 3, per_shot]`; ``src_coordinates`` `[shots, per_shot, 2]` and ``rec_coordinates``
        `[shots, receivers, 2]`, (x, z) in m from the centre of cell (0, 0), Devito's origin (0, 0).

    Raises:
        ValueError: many models.
    """
    _one_model(velocity, survey, "Devito")
    wavelets = pad(_wavelets(velocity, survey), (1, 2)).transpose(-1, -2)
    return {
        "vp": velocity.detach().cpu().numpy().T,
        "spacing": survey.spacing[::-1],
        "dt": survey.dt,
        "space_order": survey.order,
        "src": wavelets.detach().cpu().numpy(),
        "src_coordinates": _coordinates(survey.sources, survey.spacing),
        "rec_coordinates": _coordinates(survey.receivers.expand(survey.shots, -1, -1), survey.spacing),
    }


def from_devito(
    vp: Array,
    spacing: tuple[float, float],
    dt: float,
    *,
    src: Array,
    src_coordinates: Array,
    rec_coordinates: Array,
    space_order: int = 4,
    boundary: Boundary | None = None,
) -> tuple[Tensor, Survey]:
    """Velocity and survey of a Devito experiment, in the arrays that `to_devito` describes.

    ``simulate(*from_devito(...))`` is ``record_from_devito`` of its records. The survey has three samples less: the
    Operator's own time bounds leave out the first of `src`, and no sample hears the last two.

    Args:
        vp: `[nx, nz]`, m/s.
        spacing: (dx, dz), m.
        dt: s.
        src: `[shots, time + 3, per_shot]`.
        src_coordinates: (x, z) in m from the centre of cell (0, 0), `[shots, per_shot, 2]`, on grid points.
        rec_coordinates: the same of the receivers, `[shots, receivers, 2]`.
        space_order: 2, 4, 6 or 8.
        boundary: of our survey.

    Raises:
        TypeError: as `Survey`.
        ValueError: as `Survey`, or coordinates that are not on grid points.
    """
    steps = spacing[1], spacing[0]
    velocity = torch.from_numpy(np.ascontiguousarray(np.asarray(vp).T))
    wavelet = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(src)[:, 1:-2], 1, 2)))
    survey = Survey(
        shape=(velocity.shape[0], velocity.shape[1]), spacing=steps, dt=dt, nt=wavelet.shape[-1],
        sources=_cells("src_coordinates", src_coordinates, steps),
        receivers=_cells("rec_coordinates", rec_coordinates, steps),
        wavelet=wavelet, order=space_order, boundary=boundary,
    )  # fmt: skip
    return velocity, survey


def record_from_devito(record: Array) -> Tensor:
    """Our record `[..., time, receivers]` from the data of Devito's receivers, `[..., time + 3, receivers]`."""
    return torch.from_numpy(np.array(record[..., 2:-1, :]))


def record_to_devito(data: Tensor) -> Array:
    """The data of Devito's receivers, `[..., time + 3, receivers]`, from our record `[..., time, receivers]`."""
    return pad(data.detach().cpu(), (0, 0, 2, 1)).numpy()


# -- both --------------------------------------------------------------------------------------------------------------


def _one_model(velocity: Tensor, survey: Survey, code: str) -> None:
    if velocity.dim() != 2:
        raise ValueError(f"velocity must be one model [nz, nx] for {code}, got {list(velocity.shape)}")
    if survey.wavelet.dim() == 4 and survey.wavelet.shape[0] > 1:
        raise ValueError(f"wavelet must be that of one model for {code}, got {survey.wavelet.shape[0]} models")
    survey.check_shape(tuple(velocity.shape))
    plain = {
        "sources": survey.sources.dtype == torch.int32 and survey.source_kind == "monopole",
        "receivers": survey.receivers.dtype == torch.int32
        and survey.receiver_kind == "pressure"
        and survey.receiver_mask is None,
    }
    for name, found in plain.items():
        if not found:
            raise ValueError(f"{name} must be whole cells, of pressure and unmasked, for {code}, got {survey}")


def _wavelets(velocity: Tensor, survey: Survey) -> Tensor:
    """`[shots, per_shot, time]` like the velocity."""
    return expand_wavelet(survey, velocity[None])[0]


def _spacing(given: float | Sequence[float]) -> float | tuple[float, float]:
    return given if isinstance(given, (int, float)) else (given[0], given[1])


def _coordinates(cells: Tensor, spacing: tuple[float, float]) -> Array:
    """(x, z) in metres of cells (iz, ix)."""
    return (cells.double() * torch.tensor(spacing, dtype=torch.float64)).flip(-1).numpy()


def _cells(name: str, coordinates: Array, spacing: tuple[float, float]) -> Array:
    """Cells (iz, ix) of coordinates (x, z) in metres.

    Raises:
        ValueError: a coordinate that is not on a grid point, to a thousandth of a cell.
    """
    exact = np.asarray(coordinates, np.float64)[..., ::-1] / spacing
    cells = np.rint(exact)
    off = np.abs(exact - cells).max(-1) > 1e-3
    if off.any():
        x, z = np.asarray(coordinates)[off][0]
        raise ValueError(f"{name} must lie on grid points of {spacing[1]:g} x {spacing[0]:g} m, got ({x:g}, {z:g})")
    return cells.astype(np.int64)
