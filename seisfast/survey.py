"""The survey: grid, time axis, sources, receivers, wavelet and boundary of a set of shots."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seisfast.arguments import (
    Array,
    flags,
    grid,
    item,
    kinds,
    ordinary_tensors,
    positions,
    positive,
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
    padding,
    profiles,
)
from seisfast.positions import KINDS, Points
from seisfast.resampling import inner_steps, upsampled
from seisfast.stencil import second_weights
from seisfast.wavelets import ricker

ORDERS = (2, 4, 6, 8)


class Survey:
    """An acquisition on a regular grid. Immutable; its arrays follow the velocity's device and dtype.

    Args:
        shape: (nz, nx) cells of the model; left out, it is taken from the first velocity.
        spacing: metres, one number or (dz, dx).
        dt: time step and sample interval, s.
        nt: number of samples; sample n of a record is the field after step n and its injection.
        sources: (iz, ix) in cells, `[shots, 2]` or `[shots, per_shot, 2]`; floating-point ones may lie between cells. A
            tensor that requires grad receives its gradient, and is followed where an optimiser moves it.
        receivers: likewise, `[receivers, 2]` (shared) or `[shots, receivers, 2]`.
        wavelet: `[time]`, `[shots, time]`, `[shots, per_shot, time]` or `[models, shots, per_shot, time]`;
            a tensor that requires grad receives its gradient.
        order: accuracy in space, 2, 4, 6 or 8.
        boundary: `CPML`, `Sponge` or `Faces`.
        source_kind: "monopole", or "dipole_z" or "dipole_x", the derivative of the monopole's record by the position
            of the source along that axis, per metre. One for all, or one for each, `[per_shot]` or `[shots, per_shot]`.
        receiver_kind: "pressure", or "gradient_z" or "gradient_x", its derivative along that axis, per metre. One for
            all, or one for each, `[receivers]` or `[shots, receivers]`.
        receiver_mask: bool `[shots, receivers]`; where False the record is zero, without gradient, and the position
            may be anything.

    Raises:
        TypeError: positions that are not numbers, a wavelet that is not floating point, a mask that is not boolean.
        ValueError: a wrong shape, a position outside the model, a value that is not finite or positive, an unknown
            kind, or a boundary that does not fit the grid.

    Source: positions between cells as in `seisfast.positions`.
    """

    shape: tuple[int, int] | None
    spacing: tuple[float, float]
    dt: float
    nt: int
    wavelet: Tensor
    order: int
    boundary: Boundary
    receiver_mask: Tensor | None
    peak_frequency: float
    """Frequency at which the mean amplitude spectrum of the wavelets is largest, as given, Hz: 0 for a silent one, and
    for one without an oscillation, such as a Gaussian, to which checks by this frequency do not apply."""
    _points: dict[str, Points]
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
        source_kind: Any = "monopole",  # noqa: ANN401 - a name or lists of names
        receiver_kind: Any = "pressure",  # noqa: ANN401
        receiver_mask: Any = None,  # noqa: ANN401
    ) -> None:
        put = object.__setattr__
        put(self, "spacing", spacings(spacing))
        put(self, "dt", positive("dt", dt))
        put(self, "nt", whole("nt", nt))
        if order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
        put(self, "order", int(order))
        put(self, "boundary", check_boundary(CPML() if boundary is None else boundary))
        fired = positions("sources", sources, "[shots, 2] or [shots, per_shot, 2]")
        heard = positions("receivers", receivers, "[receivers, 2] or [shots, receivers, 2]")
        shots, per_shot = len(fired), 1 if fired.dim() == 2 else fired.shape[1]
        sets, count = (1, len(heard)) if heard.dim() == 2 else heard.shape[:2]
        if sets not in (1, shots):
            raise ValueError(
                f"receivers must be shared ([receivers, 2]) or one set for each of the {shots} shots, got {sets} sets"
            )
        mask = None if receiver_mask is None else flags("receiver_mask", receiver_mask, (shots, count))
        put(self, "receiver_mask", None if mask is None else tensor_of(mask))
        fires = kinds("source_kind", source_kind, KINDS["sources"], (shots, per_shot))
        hears = kinds("receiver_kind", receiver_kind, KINDS["receivers"], (shots, count))
        points = (
            Points("sources", fired, fires),
            Points("receivers", heard, hears, mask if mask is None or not mask.all() else None),
        )
        put(self, "_points", {p.name: p for p in points})
        put(self, "wavelet", samples(wavelet, self.shots, self.sources.shape[1], self.nt))
        put(self, "peak_frequency", _peak_frequency(self.wavelet, self.dt))
        put(self, "shape", None)
        put(self, "_cache", {})
        if isinstance(self.boundary, Sponge) and self.spacing[0] != self.spacing[1]:
            raise ValueError(f"spacing must have dz = dx under a Sponge, got {self.spacing}")
        if shape is not None:
            self.fix_shape(grid(shape))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Survey is immutable; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Survey is immutable; {name!r} cannot be deleted")

    # -- derived -------------------------------------------------------------------------------------------------

    @property
    def sources(self) -> Tensor:
        """Positions `[shots, per_shot, 2]`: int32 where all are whole and none can move."""
        return self._points["sources"].tensor

    @property
    def receivers(self) -> Tensor:
        """Positions `[shots or 1, receivers, 2]`: int32 where all are whole and none can move."""
        return self._points["receivers"].tensor

    @property
    def shots(self) -> int:
        """Number of shots."""
        return int(self.sources.shape[0])

    @property
    def receivers_per_shot(self) -> int:
        """Number of receivers of each shot."""
        return int(self.receivers.shape[1])

    @property
    def receivers_repeat(self) -> bool:
        """Whether a cell holds several receivers of a shot."""
        return self._points["receivers"].repeats

    @property
    def source_kind(self) -> str | list[Any]:
        """Kind of all sources, or of each."""
        return self._points["sources"].kind

    @property
    def receiver_kind(self) -> str | list[Any]:
        """Kind of all receivers, or of each."""
        return self._points["receivers"].kind

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Cells added at the (top, bottom, left, right)."""
        return padding(self.boundary)

    @property
    def free_surface(self) -> bool:
        """Whether the top face is free."""
        return isinstance(self.boundary, Faces) and isinstance(self.boundary.top, Free)

    @property
    def vmin_gradient(self) -> bool:
        """Whether the gradient of the velocity goes through the sponge's damping as well."""
        return isinstance(self.boundary, Sponge) and self.boundary.vmin_gradient

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
            "nt": inner_steps(self.nt, steps),
            "wavelet": resampled() if self.wavelet.requires_grad else self.held(*held, resampled),
            "_cache": self._cache.setdefault(steps, {}),
        }
        fine: Survey = object.__new__(Survey)
        for name, value in {**self.__dict__, **changes}.items():
            object.__setattr__(fine, name, value)
        return fine

    def shot(self, shot: int) -> Survey:
        """The survey of one shot alone: its sources, receivers, mask, kinds and wavelets.

        Gradients flow to the wavelet and the positions of this survey where those require grad.

        Args:
            shot: which one, from 0.

        Raises:
            TypeError: a shot that is no integer.
            ValueError: a shot that is not there, or whose receivers are all masked.
        """
        k = item("shot", shot, self.shots)
        if self.receiver_mask is not None and not self.receiver_mask[k].any():
            raise ValueError(f"shot must be one with a receiver that takes part, got {k}, where receiver_mask has none")
        return self.subset([k])

    def subset(self, shots: Sequence[int]) -> Survey:
        """The survey of some shots, in this order, otherwise as `shot`.

        Args:
            shots: which ones, from 0.

        Raises:
            TypeError: a shot that is no integer.
            ValueError: no shot, one that is not there, or none with a receiver that takes part.
        """
        kept = [item("shots", shot, self.shots) for shot in shots]
        if not kept:
            raise ValueError("shots must name at least one shot, got none")
        run = kept == list(range(kept[0], kept[0] + len(kept)))
        rows = slice(kept[0], kept[0] + len(kept)) if run else kept  # a slice follows positions that move
        dims = self.wavelet.dim()
        return self._replaced(
            sources=self.sources[rows],
            receivers=self.receivers if len(self.receivers) == 1 else self.receivers[rows],
            wavelet=self.wavelet if dims == 1 else self.wavelet[rows] if dims < 4 else self.wavelet[:, rows],
            source_kind=_kinds_of(self.source_kind, kept),
            receiver_kind=_kinds_of(self.receiver_kind, kept),
            receiver_mask=None if self.receiver_mask is None else self.receiver_mask[rows],
        )

    def _replaced(self, **changes: Any) -> Survey:  # noqa: ANN401
        """A survey made of this one's arguments, whatever they are, and of changed ones."""
        names = inspect.signature(Survey).parameters
        return Survey(**{**{name: getattr(self, name) for name in names}, **changes})

    def profile(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Layer coefficients of the padded grid in one vector.

        C-PML: ``a_z [nz_p], b_z [nz_p], a_x [nx_p], b_x [nx_p]``. Sponge: damping per m/s of slowest velocity along
        ``z [nz_p]`` and ``x [nx_p]``.
        """
        return self.held(
            ("profile", shape),
            dtype,
            device,
            lambda: torch.from_numpy(profiles(self.boundary, shape, self.spacing, self.dt)),
        )

    def array(self, name: str, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        """`sources`, `receivers` or `wavelet` on a device and in a dtype, converted once.

        A wavelet that requires grad is converted at every call, so that its gradient flows.
        """
        given: Tensor = getattr(self, name)
        wanted = given.dtype if dtype is None else dtype
        if given.requires_grad or (given.device == device and given.dtype == wanted):
            return given.to(device, wanted)
        return self.held((name,), wanted, device, lambda: given)

    def positions(self, name: str) -> Array:
        """`sources` or `receivers` as they are now, (iz, ix) in cells, float64 `[sets, positions, 2]`.

        NaN for a receiver that takes part in no shot.
        """
        return self._points[name].values()

    def cells(
        self, name: str, shape: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """The cells that stand for `sources` or `receivers`, and their weights: see `Points.on_grid`."""
        return self._points[name].on_grid(self, shape, device, dtype)

    def held(
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
        for points in self._points.values():
            points.check_inside((nz, nx), self.free_surface)
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
            for name in KINDS:
                self.cells(name, shape, torch.device("cpu"), torch.float64)

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
        """A JSON-able description that `from_dict` reads back exactly; kinds and mask only where not default."""
        unusual: dict[str, Any] = {}
        if self.source_kind != "monopole":
            unusual["source_kind"] = self.source_kind
        if self.receiver_kind != "pressure":
            unusual["receiver_kind"] = self.receiver_kind
        if self.receiver_mask is not None:
            unusual["receiver_mask"] = self.receiver_mask.tolist()
        sources, receivers = (self._points[name].listed() for name in KINDS)
        return {
            "shape": None if self.shape is None else list(self.shape),
            "spacing": list(self.spacing),
            "dt": self.dt,
            "nt": self.nt,
            "sources": sources,
            "receivers": receivers[0] if len(receivers) == 1 else receivers,
            "wavelet": self.wavelet.detach().to("cpu", torch.float64).tolist(),
            "order": self.order,
            "boundary": boundary_to_dict(self.boundary),
            **unusual,
        }

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Survey:
        """The survey that `to_dict` described.

        Raises:
            ValueError: a missing or unknown key, or a value that `Survey` refuses.
        """
        values = dict(description)
        known = {"shape", "spacing", "dt", "nt", "sources", "receivers", "wavelet", "order", "boundary"}
        optional = {"source_kind", "receiver_kind", "receiver_mask"}
        if set(values) - optional != known:
            raise ValueError(
                f"a survey needs the keys {sorted(known)}; "
                f"missing {sorted(known - set(values))}, unknown {sorted(set(values) - known - optional)}"
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
        kept = {"wavelet": self.wavelet} | {p.name: p.given for p in self._points.values() if p.moving}
        return (_rebuilt, (self.to_dict(), {name: (t.dtype, t.requires_grad) for name, t in kept.items()}))

    def __repr__(self) -> str:
        grid = "any grid" if self.shape is None else _by(self.shape) + " cells"
        fires, hears = (f" ({', '.join(p.words())})" if p.words() else "" for p in self._points.values())
        return (
            f"Survey({grid} of {self.spacing[0]:g} x {self.spacing[1]:g} m, {self.shots} shots{fires}, "
            f"{self.receivers_per_shot} receivers{hears}, {self.nt} samples of {self.dt * 1e3:g} ms, "
            f"order {self.order}, {self.boundary})"
        )


def _peak_frequency(wavelet: Tensor, dt: float) -> float:
    """Where the mean amplitude spectrum of wavelets `[..., time]` is largest, Hz."""
    length = max(4 * wavelet.shape[-1], 256)
    flat = wavelet.detach().to("cpu", torch.float64).reshape(-1, wavelet.shape[-1])
    return float(torch.fft.rfft(flat, n=length).abs().mean(0).argmax()) / (length * dt)


def _kinds_of(kind: str | list[Any], shots: list[int]) -> str | list[Any]:
    """The kinds of some shots: those of every shot where they are not given by shot."""
    by_shot = not isinstance(kind, str) and not isinstance(kind[0], str)
    return [kind[shot] for shot in shots] if by_shot else kind


def _rebuilt(description: dict[str, Any], tensors: dict[str, tuple[torch.dtype, bool]]) -> Survey:
    """A survey from `to_dict`, some arrays in their own dtype, for copies and pickles."""
    made = {
        name: torch.tensor(description[name], dtype=dtype, requires_grad=requires_grad)
        for name, (dtype, requires_grad) in tensors.items()
    }
    return Survey.from_dict({**description, **made})


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
