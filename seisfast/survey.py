"""The survey: grid, time axis, sources, receivers, wavelet and boundary of a set of shots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seisfast.boundaries import (
    CPML,
    Boundary,
    Faces,
    Free,
    Sponge,
    boundary_from_dict,
    boundary_to_dict,
    check_boundary,
    faces_of,
    padding,
)
from seisfast.wavelets import ricker

ORDERS = (2, 4, 6, 8)


class Survey:
    """An acquisition on a regular grid. Immutable; its arrays follow the velocity's device and dtype.

    Args:
        shape: (nz, nx) cells of the model; left out, it is taken from the first velocity.
        spacing: metres, one number or (dz, dx).
        dt: time step and sample interval, s.
        nt: number of samples; sample n of a record is the field after step n and its injection.
        sources: int cells (iz, ix), `[shots, 2]` or `[shots, per_shot, 2]`.
        receivers: int cells (iz, ix), `[receivers, 2]` (shared) or `[shots, receivers, 2]`.
        wavelet: `[time]`, `[shots, time]`, `[shots, per_shot, time]` or `[models, shots, per_shot, time]`;
            a tensor that requires grad receives its gradient.
        order: accuracy in space, 2, 4, 6 or 8.
        boundary: `CPML`, `Sponge` or `Faces`.

    Raises:
        TypeError: positions that are not integers, a wavelet that is not floating point.
        ValueError: a wrong shape, a position outside the model, a value that is not finite or positive, or a
            boundary that does not fit the grid.
    """

    shape: tuple[int, int] | None
    spacing: tuple[float, float]
    dt: float
    nt: int
    sources: Tensor
    receivers: Tensor
    wavelet: Tensor
    order: int
    boundary: Boundary

    def __init__(
        self,
        *,
        spacing: float | tuple[float, float],
        dt: float,
        nt: int,
        sources: Any,  # noqa: ANN401 - anything torch.as_tensor takes
        receivers: Any,  # noqa: ANN401
        wavelet: Any,  # noqa: ANN401
        shape: tuple[int, int] | None = None,
        order: int = 4,
        boundary: Boundary | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "spacing", _spacing(spacing))
        put(self, "dt", _positive("dt", dt))
        put(self, "nt", _count("nt", nt))
        if order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
        put(self, "order", int(order))
        put(self, "boundary", check_boundary(CPML() if boundary is None else boundary))
        put(self, "sources", _positions("sources", sources, "[shots, 2] or [shots, per_shot, 2]"))
        put(self, "receivers", _positions("receivers", receivers, "[receivers, 2] or [shots, receivers, 2]"))
        if self.sources.dim() == 2:
            put(self, "sources", self.sources[:, None])
        if self.receivers.dim() == 2:
            put(self, "receivers", self.receivers[None])
        if self.receivers.shape[0] not in (1, self.shots):
            raise ValueError(
                f"receivers must be shared ([receivers, 2]) or one set for each of the {self.shots} shots, "
                f"got {self.receivers.shape[0]} sets"
            )
        put(self, "wavelet", _wavelet(wavelet, self.shots, self.sources.shape[1], self.nt))
        put(self, "shape", None)
        put(self, "_cache", {})
        put(self, "receivers_repeat", _repeats(self.receivers))
        if shape is not None:
            put(self, "shape", self.check_shape(shape))
        if isinstance(self.boundary, Sponge) and self.spacing[0] != self.spacing[1]:
            raise ValueError(f"spacing must have dz = dx under a Sponge, got {self.spacing}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Survey is immutable; make a new one instead of setting {name!r}")

    # -- derived -------------------------------------------------------------------------------------------------

    @property
    def shots(self) -> int:
        """Number of shots."""
        return int(self.sources.shape[0])

    @property
    def receivers_per_shot(self) -> int:
        """Number of receivers of each shot."""
        return int(self.receivers.shape[1])

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Cells added at the (top, bottom, left, right)."""
        return padding(self.boundary)

    @property
    def free_surface(self) -> bool:
        """Whether the top face is free."""
        return isinstance(self.boundary, Faces) and isinstance(self.boundary.top, Free)

    @property
    def peak_frequency(self) -> float:
        """Frequency at which the mean amplitude spectrum of the wavelets is largest, Hz (0 for a silent one)."""
        cached: float | None = self._cache.get("peak")  # type: ignore[attr-defined]
        if cached is None:
            length = max(4 * self.nt, 256)
            flat = self.wavelet.detach().to("cpu", torch.float64).reshape(-1, self.nt)
            spectrum = torch.fft.rfft(flat, n=length).abs().mean(0)
            cached = float(spectrum.argmax()) / (length * self.dt)
            self._cache["peak"] = cached  # type: ignore[attr-defined]
        return cached

    def padded_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Cells of the grid that the wave runs on, layers included."""
        top, bottom, left, right = self.padding
        return shape[0] + top + bottom, shape[1] + left + right

    def largest_dt(self, fastest: float, slowest: float) -> float:
        """Largest stable time step, s, for a model with these extreme velocities in m/s.

        The largest eigenvalue of the discrete Laplacian is ``S (1/dz^2 + 1/dx^2)``, S the sum of the absolute
        weights; a sponge lowers the limit a little: ``(v dt)^2 S <= 4 - 2 kappa dt``.
        """
        total = sum(abs(w) for w in second_weights(self.order)[1:]) * 2 + abs(second_weights(self.order)[0])
        stiffness = fastest**2 * total * (self.spacing[0] ** -2 + self.spacing[1] ** -2)
        kappa = 0.0
        if isinstance(self.boundary, Sponge):
            kappa = slowest * float(self.boundary.profile(self.spacing[0], 1.0)[-1])
        return (math.sqrt(kappa**2 + 4.0 * stiffness) - kappa) / stiffness

    def profile(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Layer coefficients of the padded grid in one vector.

        C-PML: ``a_z [nz_p], b_z [nz_p], a_x [nx_p], b_x [nx_p]``. Sponge: damping per m/s of slowest velocity along
        ``z [nz_p]`` and ``x [nx_p]``.
        """
        key = (shape, dtype, device)
        if key not in self._cache:  # type: ignore[attr-defined]
            made = torch.from_numpy(np.concatenate(self._profiles(shape))).to(device, dtype)
            if torch.compiler.is_compiling():
                return made
            self._cache[key] = made  # type: ignore[attr-defined]
        result: Tensor = self._cache[key]  # type: ignore[attr-defined]
        return result

    def _profiles(self, shape: tuple[int, int]) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        boundary = self.boundary
        if isinstance(boundary, Sponge):
            side = boundary.profile(self.spacing[0], self.dt)
            return [np.concatenate([side[::-1], np.zeros(n), side]) for n in shape]
        faces = faces_of(boundary)
        nothing = (np.zeros(0), np.zeros(0))
        dz, dx = self.spacing
        low_high = (
            (nothing if isinstance(faces.top, Free) else faces.top.coefficients(dz, self.dt),
             faces.bottom.coefficients(dz, self.dt)),
            (faces.left.coefficients(dx, self.dt), faces.right.coefficients(dx, self.dt)),
        )  # fmt: skip
        return [
            np.concatenate([low[k][::-1], np.zeros(n), high[k]])
            for n, (low, high) in zip(shape, low_high, strict=True)
            for k in (0, 1)
        ]

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The model's (nz, nx), when this survey fits on it.

        Raises:
            ValueError: another shape than the survey's, positions outside, or a boundary that needs more cells.
        """
        if len(shape) != 2 or any(int(n) < 1 for n in shape):
            raise ValueError(f"shape must be (nz, nx) with at least one cell each, got {tuple(shape)}")
        nz, nx = (int(n) for n in shape)
        if self.shape is not None and (nz, nx) != self.shape:
            raise ValueError(
                f"velocity must have the survey's {_by(self.shape)} cells (nz x nx), got {_by((nz, nx))}"
            )
        for name, positions in (("sources", self.sources), ("receivers", self.receivers)):
            _check_inside(name, positions, (nz, nx), self.free_surface)
        reach = self.order // 2
        if self.free_surface and nz <= reach:
            raise ValueError(f"Free() with order {self.order} needs more than {reach} rows, got nz = {nz}")
        if isinstance(self.boundary, Sponge) and min(self.padded_shape((nz, nx))) <= self.order:
            raise ValueError("Sponge is too narrow: the periodic grid must be wider than the stencil")
        return nz, nx

    def fix_shape(self, shape: tuple[int, int]) -> None:
        """Check that this survey fits on the model; one made without a shape takes this one, for good."""
        if self.shape is None or self.shape != shape:
            object.__setattr__(self, "shape", self.check_shape(shape))

    # -- presets -------------------------------------------------------------------------------------------------

    @classmethod
    def openfwi(cls, nx: int = 70, nz: int = 70, frequency: float = 15.0) -> Survey:
        """The survey behind OpenFWI's Vel, Fault and Style families: 5 shots, a receiver on every column.

        Args:
            nx: columns of 10 m.
            nz: rows of 10 m.
            frequency: peak frequency, Hz.

        Source: lanl/OpenFWI `dataset_config.json` and issue 12.
        """
        columns = np.round(np.linspace(0, nx - 1, 5)).astype(np.int64)
        return cls(
            shape=(nz, nx),
            spacing=10.0,
            dt=1e-3,
            nt=1000,
            sources=[(1, int(ix)) for ix in columns],
            receivers=[(1, ix) for ix in range(nx)],
            wavelet=ricker(frequency, 1e-3, 1000),
            boundary=Sponge(120),
        )

    @classmethod
    def seisinv(
        cls,
        *,
        shape: tuple[int, int] = (100, 100),
        spacing: float = 10.0,
        dt: float = 1e-3,
        nt: int = 1000,
        shots: int = 20,
        receivers: int = 32,
        frequency: float = 15.0,
        depth: int = 1,
        boundary: Boundary | None = None,
    ) -> Survey:
        """A survey like that of SeisInvNet; the paper does not give these numbers, so every one is an argument.

        Args:
            shape: (nz, nx) cells.
            spacing: metres.
            dt: s.
            nt: samples.
            shots: sources, evenly spaced, half an interval from the sides (ix = 2, 7, ..., 97 at the defaults).
            receivers: receivers at round(linspace(0, nx - 1, receivers)).
            frequency: peak frequency of the Ricker wavelet, Hz.
            depth: row of all sources and receivers.
            boundary: default ``CPML(14, frequency)``.

        Raises:
            ValueError: as for `Survey`.

        Source: Li et al. (2020), IEEE TGRS 58(3), for the counts of shots and receivers.
        """
        nx = shape[1]
        columns = [int((k + 0.5) * nx / _count("shots", shots)) for k in range(shots)]
        spread = np.round(np.linspace(0, nx - 1, _count("receivers", receivers))).astype(np.int64)
        return cls(
            shape=shape,
            spacing=spacing,
            dt=dt,
            nt=nt,
            sources=[(depth, ix) for ix in columns],
            receivers=[(depth, int(ix)) for ix in spread],
            wavelet=ricker(frequency, dt, nt),
            boundary=CPML(14, frequency=frequency) if boundary is None else boundary,
        )

    # -- as text -------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description that `from_dict` reads back exactly."""
        return {
            "shape": None if self.shape is None else list(self.shape),
            "spacing": list(self.spacing),
            "dt": self.dt,
            "nt": self.nt,
            "sources": self.sources.tolist(),
            "receivers": (self.receivers[0] if self.receivers.shape[0] == 1 else self.receivers).tolist(),
            "wavelet": self.wavelet.detach().to("cpu", torch.float64).tolist(),
            "order": self.order,
            "boundary": boundary_to_dict(self.boundary),
        }

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Survey:
        """The survey that `to_dict` described.

        Raises:
            ValueError: a missing or unknown key, or a value that `Survey` refuses.
        """
        values = dict(description)
        known = {"shape", "spacing", "dt", "nt", "sources", "receivers", "wavelet", "order", "boundary"}
        if set(values) != known:
            raise ValueError(
                f"a survey needs the keys {sorted(known)}; "
                f"missing {sorted(known - set(values))}, unknown {sorted(set(values) - known)}"
            )
        for name in ("shape", "spacing"):
            values[name] = None if values[name] is None else tuple(values[name])
        values["boundary"] = boundary_from_dict(values["boundary"])
        values["wavelet"] = torch.tensor(values["wavelet"], dtype=torch.float64)
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Survey) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return (Survey.from_dict, (self.to_dict(),))

    def __repr__(self) -> str:
        grid = "any grid" if self.shape is None else _by(self.shape) + " cells"
        return (
            f"Survey({grid} of {self.spacing[0]:g} x {self.spacing[1]:g} m, {self.shots} shots, "
            f"{self.receivers_per_shot} receivers, {self.nt} samples of {self.dt * 1e3:g} ms, "
            f"order {self.order}, {self.boundary})"
        )


def second_weights(order: int) -> list[float]:
    """Central weights of the second derivative at distances 0 .. order / 2, for unit spacing.

    Source: Fornberg (1988), Mathematics of Computation 51.
    """
    r = order // 2
    sides = [2.0 * (-1) ** (k + 1) * _ratio(r, k) / k**2 for k in range(1, r + 1)]
    return [-2.0 * sum(sides), *sides]


def first_weights(order: int) -> list[float]:
    """Central weights of the first derivative at distances 0 .. order / 2, for unit spacing (antisymmetric).

    Source: Fornberg (1988), Mathematics of Computation 51.
    """
    r = order // 2
    return [0.0, *((-1) ** (k + 1) * _ratio(r, k) / k for k in range(1, r + 1))]


def _ratio(r: int, k: int) -> float:
    return math.factorial(r) ** 2 / (math.factorial(r - k) * math.factorial(r + k))


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return int(value)


def _spacing(spacing: float | tuple[float, float]) -> tuple[float, float]:
    pair = (spacing, spacing) if isinstance(spacing, (int, float, np.floating)) else tuple(spacing)
    if len(pair) != 2:
        raise ValueError(f"spacing must be one number or (dz, dx), got {spacing!r}")
    return _positive("spacing", pair[0]), _positive("spacing", pair[1])


def _positions(name: str, positions: Any, forms: str) -> Tensor:  # noqa: ANN401
    cells = torch.as_tensor(np.asarray(positions) if isinstance(positions, (list, tuple)) else positions)
    if cells.numel() == 0:
        raise ValueError(f"{name} must hold at least one position (iz, ix), got shape {tuple(cells.shape)}")
    if cells.is_floating_point() or cells.is_complex() or cells.dtype == torch.bool:
        raise TypeError(
            f"{name} must be integer cells (iz, ix), got {cells.dtype}; round them to the grid first"
        )
    if cells.dim() not in (2, 3) or cells.shape[-1] != 2:
        raise ValueError(f"{name} must have shape {forms}, got {list(cells.shape)}")
    if int(cells.abs().max()) > 2**30:
        raise ValueError(f"{name} must be cell indices, got {int(cells.abs().max())}")
    return cells.detach().to("cpu", torch.int32).clone()


def _check_inside(name: str, positions: Tensor, shape: tuple[int, int], free: bool) -> None:
    flat = positions.reshape(-1, 2)
    limits = torch.tensor(shape, dtype=torch.int32)
    outside = ((flat < 0) | (flat >= limits)).any(1).nonzero()
    per_set = positions.shape[1]
    if len(outside):
        k = int(outside[0])
        iz, ix = flat[k].tolist()
        raise ValueError(
            f"{name} must lie inside the {_by(shape)} model (nz x nx), got (iz, ix) = ({iz}, {ix}) "
            f"for {name}[{k // per_set}, {k % per_set}]"
        )
    if free:
        on_surface = (flat[:, 0] == 0).nonzero()
        if len(on_surface):
            k = int(on_surface[0])
            raise ValueError(
                f"{name} must lie below the free surface (iz >= 1; pressure is zero on row 0), "
                f"got iz = 0 for {name}[{k // per_set}, {k % per_set}]"
            )


def _wavelet(wavelet: Any, shots: int, per_shot: int, nt: int) -> Tensor:  # noqa: ANN401
    samples = wavelet if isinstance(wavelet, Tensor) else torch.as_tensor(np.asarray(wavelet))
    if samples.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"wavelet must be float32 or float64, got {samples.dtype}")
    forms = {1: (nt,), 2: (shots, nt), 3: (shots, per_shot, nt)}
    dims = samples.dim()
    wanted = forms.get(dims, (samples.shape[0] if dims else 0, shots, per_shot, nt))
    if dims not in (1, 2, 3, 4) or tuple(samples.shape) != wanted or samples.numel() == 0:
        raise ValueError(
            f"wavelet must have shape [time] = [{nt}], [shots, time] = [{shots}, {nt}], [shots, per_shot, time] = "
            f"[{shots}, {per_shot}, {nt}] or [models, {shots}, {per_shot}, {nt}], got {list(samples.shape)}"
        )
    if not samples.requires_grad:
        samples = samples.clone()
    if not bool(torch.isfinite(samples.detach()).all()):
        raise ValueError("wavelet must be finite, got NaN or infinity")
    return samples


def _repeats(receivers: Tensor) -> bool:
    """Whether a cell occurs twice among the receivers of a shot (their adjoint must then be summed in order)."""
    keys = receivers[..., 0].to(torch.int64) * 2**31 + receivers[..., 1]
    ordered = keys.sort(dim=1).values
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())
