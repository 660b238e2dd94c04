"""What surrounds the model: absorbing layers, OpenFWI's sponge, the free surface, and which may stand together."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from seisfast.arguments import positive, whole

Profile = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CPML:
    """Convolutional perfectly matched layer on one face or on all faces.

    On the k-th of W cells from the model edge the depth is ``d = (k - 1) / (W - 1)``, the damping
    ``sigma = 5 vmax d^(4/3) / (spacing (W (1 - d) + 3.5))`` and the frequency shift
    ``alpha = (pi frequency / 2) (1 - d)``. The damping starts gently, where a step reflects, and has a pole 3.5 cells
    outside the last cell: it is steep where little is left of the wave. The first cell is not damped, so that the
    profile starts clear of sources and receivers at the edge; a layer of one cell does not absorb. `frequency` and
    `vmax` are constants of the survey, never read from the model, so that the adjoint is exact and a result does not
    depend on its neighbours in the batch.

    Args:
        width: cells; 0 leaves a rigid edge (pressure zero one cell outside the grid).
        frequency: peak frequency of the source, Hz.
        vmax: fastest velocity expected, m/s.

    Raises:
        ValueError: a negative width, or a frequency or vmax that is not positive and finite.

    Source: Komatitsch and Martin (2007), Geophysics 72(5), with a memory variable for the second derivative as in
    Pasalic and McGarry (2010), SEG Expanded Abstracts; damping with a pole after Bermudez et al. (2007), Journal of
    Computational Physics 223(2), its constants fitted to measured reflections (docs/layer).
    """

    width: int = 14
    frequency: float = 15.0
    vmax: float = 4500.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole("CPML width", self.width, 0))
        for name in ("frequency", "vmax"):
            object.__setattr__(self, name, positive(f"CPML {name}", getattr(self, name)))

    def coefficients(self, spacing: float, dt: float) -> tuple[Profile, Profile]:
        """Recursion coefficients (a, b) of the cells of this layer, from the model edge outwards, each `[width]`.

        Args:
            spacing: metres between cells across the layer.
            dt: time step, s.
        """
        if self.width == 0:
            return np.zeros(0), np.zeros(0)
        coefficients = []
        for k in range(
            self.width
        ):  # in plain floats: inside torch.compile numpy's functions are torch's, to other bits
            depth = k / max(self.width - 1, 1)
            sigma = 5.0 * self.vmax * depth ** (4.0 / 3.0) / (spacing * (self.width * (1.0 - depth) + 3.5))
            alpha = 0.5 * math.pi * self.frequency * (1.0 - depth)
            b = math.exp(-(sigma + alpha) * dt)
            coefficients.append((sigma / (sigma + alpha) * (b - 1.0), b))
        return np.array([a for a, _ in coefficients]), np.array([b for _, b in coefficients])


@dataclass(frozen=True)
class Sponge:
    """OpenFWI's damping frame on all four faces of a periodic grid, reproduced exactly.

    The damping scales with the slowest velocity of each model. That dependence is detached from the gradient unless
    `vmin_gradient` is set; then its term is shared equally among the cells that tie for the minimum, and the
    forward run keeps a second field per stored step.

    Args:
        width: cells on each side, at least 2.
        vmin_gradient: add the exact derivative through the slowest velocity.

    Raises:
        ValueError: a width below 2.

    Source: the public re-implementations of OpenFWI's generator (lanl/OpenFWI issue 12; jcottaar/seismic).
    """

    width: int = 120
    vmin_gradient: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole("Sponge width", self.width, 2))
        if not isinstance(self.vmin_gradient, bool):
            raise TypeError(f"Sponge vmin_gradient must be True or False, got {self.vmin_gradient!r}")

    def profile(self, spacing: float, dt: float) -> Profile:
        """Damping per step and per m/s of slowest velocity, from the model edge outwards, `[width]`."""
        thickness = (self.width - 1) * spacing
        kappa = 3.0 * math.log(1e7) / (2.0 * thickness)
        return np.asarray(kappa * dt * (np.arange(self.width) * spacing / thickness) ** 2)


@dataclass(frozen=True)
class Free:
    """Free surface on the top face: pressure is zero on row iz = 0 and its odd mirror image above."""


@dataclass(frozen=True)
class Faces:
    """One boundary object per face; a face left out is ``CPML()``.

    Args:
        top: ``CPML`` or ``Free``.
        bottom: ``CPML``.
        left: ``CPML``.
        right: ``CPML``.

    Raises:
        ValueError: any other combination.
    """

    top: CPML | Free = field(default_factory=CPML)
    bottom: CPML = field(default_factory=CPML)
    left: CPML = field(default_factory=CPML)
    right: CPML = field(default_factory=CPML)

    def __post_init__(self) -> None:
        for name in ("top", "bottom", "left", "right"):
            face: object = getattr(self, name)
            allowed = (CPML, Free) if name == "top" else (CPML,)
            if not isinstance(face, allowed):
                raise ValueError(
                    f"Faces {name} must be {' or '.join(a.__name__ for a in allowed)}, got {face!r}; "
                    "allowed are CPML on every face, Free on the top face beside CPML, or Sponge on all four faces "
                    "(boundary=Sponge())"
                )


Boundary = CPML | Sponge | Faces


def check_boundary(boundary: object) -> Boundary:
    """The boundary itself when it is one that a survey can have.

    Raises:
        ValueError: `Free` alone or anything else that is not a boundary, with the allowed ones.
    """
    if isinstance(boundary, (CPML, Sponge, Faces)):
        return boundary
    raise ValueError(f"boundary must be CPML, Sponge or Faces(top=Free() or CPML, ...), got {boundary!r}")


def faces_of(boundary: CPML | Faces) -> Faces:
    """The four faces of a boundary without a sponge."""
    return boundary if isinstance(boundary, Faces) else Faces(boundary, boundary, boundary, boundary)


def padding(boundary: Boundary) -> tuple[int, int, int, int]:
    """Cells added at the (top, bottom, left, right) of the model."""
    if isinstance(boundary, Sponge):
        return (boundary.width,) * 4
    faces = faces_of(boundary)
    top = 0 if isinstance(faces.top, Free) else faces.top.width
    return top, faces.bottom.width, faces.left.width, faces.right.width


def boundary_to_dict(boundary: Boundary | Free) -> dict[str, Any]:
    """A JSON-able description that `boundary_from_dict` reads."""
    if isinstance(boundary, Faces):
        names = ("top", "bottom", "left", "right")
        return {"kind": "Faces", **{name: boundary_to_dict(getattr(boundary, name)) for name in names}}
    return {"kind": type(boundary).__name__, **asdict(boundary)}


def boundary_from_dict(description: dict[str, Any]) -> Any:  # noqa: ANN401 - one of four classes
    """The boundary that `boundary_to_dict` described.

    Raises:
        ValueError: an unknown kind, or a field that it does not have.
    """
    classes: dict[str, Any] = {"CPML": CPML, "Sponge": Sponge, "Free": Free, "Faces": Faces}
    values = dict(description) if isinstance(description, dict) else {}
    made = classes.get(values.pop("kind", None))
    if made is None:
        raise ValueError(f"boundary kind must be one of {sorted(classes)}, got {description!r}")
    unknown = sorted(set(values) - {f.name for f in fields(made)})
    if unknown:
        raise ValueError(f"boundary {made.__name__} has no {', '.join(unknown)}")
    if made is Faces:
        values = {name: boundary_from_dict(face) for name, face in values.items()}
    return made(**values)


def profiles(boundary: Boundary, shape: tuple[int, int], spacing: tuple[float, float], dt: float) -> Profile:
    """What the kernels know of a boundary, one array: the damping of a sponge along z and x, or a and b of the layers.

    A sponge gives `[nz + nx]` of the padded grid, layers ``a_z, b_z, a_x, b_x``, zero inside the model.
    """
    if isinstance(boundary, Sponge):
        side = boundary.profile(spacing[0], dt)
        return np.concatenate([part for n in shape for part in (side[::-1], np.zeros(n), side)])
    faces = faces_of(boundary)
    nothing = (np.zeros(0), np.zeros(0))
    dz, dx = spacing
    top = nothing if isinstance(faces.top, Free) else faces.top.coefficients(dz, dt)
    along_z = top, faces.bottom.coefficients(dz, dt)
    along_x = faces.left.coefficients(dx, dt), faces.right.coefficients(dx, dt)
    return np.concatenate(
        [
            np.concatenate([low[k][::-1], np.zeros(n), high[k]])
            for n, (low, high) in zip(shape, (along_z, along_x), strict=True)
            for k in (0, 1)
        ]
    )
