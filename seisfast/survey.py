"""The survey: grid, time axis, sources, receivers, wavelet and boundary of a set of shots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seisfast.arguments import (
    cells,
    extent,
    grid,
    ordinary_tensors,
    positive,
    repeats,
    samples,
    spacings,
    tensor_of,
    whole,
)
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
from seisfast.resampling import REACH, upsampled
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
    receivers_repeat: bool
    peak_frequency: float
    """Frequency at which the mean amplitude spectrum of the wavelets is largest, as given, Hz (0 for a silent one)."""
    _extent: dict[str, tuple[int, int, int, int]]
    _cache: dict[Any, Any]

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
        put(self, "spacing", spacings(spacing))
        put(self, "dt", positive("dt", dt))
        put(self, "nt", whole("nt", nt))
        if order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
        put(self, "order", int(order))
        put(self, "boundary", check_boundary(CPML() if boundary is None else boundary))
        placed = {
            "sources": cells("sources", sources, "[shots, 2] or [shots, per_shot, 2]", 1),
            "receivers": cells("receivers", receivers, "[receivers, 2] or [shots, receivers, 2]", 0),
        }
        for name, array in placed.items():
            put(self, name, tensor_of(array))
        put(self, "_extent", {name: extent(array) for name, array in placed.items()})
        put(self, "receivers_repeat", repeats(placed["receivers"]))
        if self.receivers.shape[0] not in (1, self.shots):
            raise ValueError(
                f"receivers must be shared ([receivers, 2]) or one set for each of the {self.shots} shots, "
                f"got {self.receivers.shape[0]} sets"
            )
        put(self, "wavelet", samples(wavelet, self.shots, self.sources.shape[1], self.nt))
        put(self, "peak_frequency", _peak_frequency(self.wavelet, self.dt))
        put(self, "shape", None)
        put(self, "_cache", {})
        if shape is not None:
            put(self, "shape", self.check_shape(grid(shape)))
        if isinstance(self.boundary, Sponge) and self.spacing[0] != self.spacing[1]:
            raise ValueError(f"spacing must have dz = dx under a Sponge, got {self.spacing}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Survey is immutable; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Survey is immutable; {name!r} cannot be deleted")

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

    def substeps(self, fastest: float, slowest: float) -> int:
        """Smallest number of steps per sample that is stable for a model with these extreme velocities in m/s."""
        limit = self.largest_dt(fastest, slowest)
        steps = math.ceil(self.dt / limit)
        return steps if self.dt / steps <= limit else steps + 1

    def refined(self, substeps: int) -> Survey:
        """This survey in steps of ``dt / substeps``, as `simulate` runs it: the wavelet resampled band-limited.

        It begins `resampling.REACH` samples early and ends as many late; one substep is the survey itself.
        """
        steps = whole("substeps", substeps)
        if steps == 1:
            return self

        def resampled() -> Tensor:
            return upsampled(self.wavelet.double(), steps)

        held = ("wavelet", steps), torch.float64, self.wavelet.device
        changes = {
            "dt": self.dt / steps,
            "nt": steps * (self.nt + 2 * REACH),
            "wavelet": resampled() if self.wavelet.requires_grad else self._held(*held, resampled),
            "_cache": self._cache.setdefault(steps, {}),
        }
        fine: Survey = object.__new__(Survey)
        for name, value in {**self.__dict__, **changes}.items():
            object.__setattr__(fine, name, value)
        return fine

    def profile(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Layer coefficients of the padded grid in one vector.

        C-PML: ``a_z [nz_p], b_z [nz_p], a_x [nx_p], b_x [nx_p]``. Sponge: damping per m/s of slowest velocity along
        ``z [nz_p]`` and ``x [nx_p]``.
        """
        return self._held(("profile", shape), dtype, device, lambda: self._profiles(shape))

    def array(self, name: str, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        """`sources`, `receivers` or `wavelet` on a device and in a dtype, converted once.

        A wavelet that requires grad is converted at every call, so that its gradient flows.
        """
        given: Tensor = getattr(self, name)
        wanted = given.dtype if dtype is None else dtype
        if given.requires_grad or (given.device == device and given.dtype == wanted):
            return given.to(device, wanted)
        return self._held((name,), wanted, device, lambda: given)

    def _held(
        self, name: tuple[Any, ...], dtype: torch.dtype, device: torch.device, make: Callable[[], Tensor]
    ) -> Tensor:
        """What `make` gives, in this dtype on this device, from the cache where it may be held.

        Not held is what a transform or a capture around this call would mark as its own.
        """
        held = self._cache
        key = (*name, dtype, device)
        if key in held:
            found: Tensor = held[key]
            return found
        if torch.compiler.is_compiling():
            return make().to(device, dtype)
        with ordinary_tensors():
            made = make().to(device, dtype)
        captured = made.is_cuda and torch.cuda.is_current_stream_capturing()
        if not captured and not torch._C._functorch.is_functorch_wrapped_tensor(made):
            held[key] = made
        return made

    def _profiles(self, shape: tuple[int, int]) -> Tensor:
        boundary = self.boundary
        if isinstance(boundary, Sponge):
            side = boundary.profile(self.spacing[0], self.dt)
            parts = [np.concatenate([side[::-1], np.zeros(n), side]) for n in shape]
            return torch.from_numpy(np.concatenate(parts))
        faces = faces_of(boundary)
        nothing = (np.zeros(0), np.zeros(0))
        dz, dx = self.spacing
        low_high = (
            (nothing if isinstance(faces.top, Free) else faces.top.coefficients(dz, self.dt),
             faces.bottom.coefficients(dz, self.dt)),
            (faces.left.coefficients(dx, self.dt), faces.right.coefficients(dx, self.dt)),
        )  # fmt: skip
        parts = [
            np.concatenate([low[k][::-1], np.zeros(n), high[k]])
            for n, (low, high) in zip(shape, low_high, strict=True)
            for k in (0, 1)
        ]
        return torch.from_numpy(np.concatenate(parts))

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The model's (nz, nx), when this survey fits on it.

        Raises:
            ValueError: another shape than the survey's, positions outside, or a boundary that needs more cells.
        """
        if len(shape) != 2 or any(int(n) < 1 for n in shape):
            raise ValueError(f"shape must be (nz, nx) with at least one cell each, got {tuple(shape)}")
        nz, nx = (int(n) for n in shape)
        if self.shape is not None and (nz, nx) != self.shape:
            raise ValueError(f"velocity must have the survey's {_by(self.shape)} cells (nz x nx), got {_by((nz, nx))}")
        for name in ("sources", "receivers"):
            top, left, bottom, right = self._extent[name]
            if top < int(self.free_surface) or left < 0 or bottom >= nz or right >= nx:
                raise ValueError(_outside(name, getattr(self, name), (nz, nx)))
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
        nz, nx = whole("nz", nz), whole("nx", nx)
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
        nx = grid(shape)[1]
        shots, receivers, depth = whole("shots", shots), whole("receivers", receivers), whole("depth", depth, 0)
        columns = [int((k + 0.5) * nx / shots) for k in range(shots)]
        spread = np.round(np.linspace(0, nx - 1, receivers)).astype(np.int64)
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
        if not isinstance(values["wavelet"], Tensor):
            values["wavelet"] = torch.tensor(values["wavelet"], dtype=torch.float64)
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Survey) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (self.to_dict(), self.wavelet.dtype, self.wavelet.requires_grad))

    def __repr__(self) -> str:
        grid = "any grid" if self.shape is None else _by(self.shape) + " cells"
        return (
            f"Survey({grid} of {self.spacing[0]:g} x {self.spacing[1]:g} m, {self.shots} shots, "
            f"{self.receivers_per_shot} receivers, {self.nt} samples of {self.dt * 1e3:g} ms, "
            f"order {self.order}, {self.boundary})"
        )


def _peak_frequency(wavelet: Tensor, dt: float) -> float:
    """Where the mean amplitude spectrum of wavelets `[..., time]` is largest, Hz."""
    length = max(4 * wavelet.shape[-1], 256)
    flat = wavelet.detach().to("cpu", torch.float64).reshape(-1, wavelet.shape[-1])
    return float(torch.fft.rfft(flat, n=length).abs().mean(0).argmax()) / (length * dt)


def _rebuilt(description: dict[str, Any], dtype: torch.dtype, requires_grad: bool) -> Survey:
    """A survey from `to_dict`, its wavelet in its own dtype, for copies and pickles."""
    wavelet = torch.tensor(description["wavelet"], dtype=dtype, requires_grad=requires_grad)
    return Survey.from_dict({**description, "wavelet": wavelet})


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


def _outside(name: str, positions: Tensor, shape: tuple[int, int]) -> str:
    """The message for the first position outside the model, else on its free surface."""
    flat = positions.reshape(-1, 2)
    outside = ((flat < 0) | (flat >= torch.tensor(shape, dtype=torch.int32))).any(1).nonzero()
    k = int(outside[0] if len(outside) else (flat[:, 0] == 0).nonzero()[0])
    iz, ix = flat[k].tolist()
    which = f"{name}[{k // positions.shape[1]}, {k % positions.shape[1]}]"
    if len(outside):
        return f"{name} must lie inside the {_by(shape)} model (nz x nx), got (iz, ix) = ({iz}, {ix}) for {which}"
    return f"{name} must lie below the free surface (iz >= 1; pressure is zero on row 0), got iz = 0 for {which}"
