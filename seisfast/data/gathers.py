"""Shot gathers with their positions in metres, as files have them, and the way from there to a survey and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisfast.arguments import Array, Flags, flags, grid, positive, real, spacings, whole
from seisfast.data.matching import mix_traces, nearest
from seisfast.resampling import resampled
from seisfast.survey import Survey
from seisfast.wavelets import ricker


@dataclass(frozen=True, eq=False)
class Gathers:
    """Records of shots and where they were made. Positions are (x, z) in metres, z downwards.

    Args:
        records: `[shots, time, receivers]`, kept as float32; zero where `mask` is False.
        dt: interval of the samples, s.
        sources: one (x, z) for each shot, `[shots, 2]`.
        receivers: (x, z), `[receivers, 2]` for all shots or `[shots, receivers, 2]`; kept as the latter, NaN where a
            shot has fewer traces than others.
        mask: bool `[shots, receivers]`, False where there is no trace or a dead one; all True when left out.
        start: delay of the recording, s; 0 for records as `simulate` gives them.

    Raises:
        TypeError: records that are not real numbers, or a dt or start that is no number.
        ValueError: shapes that do not fit each other, or values that are not finite where the mask is True.
    """

    records: Tensor
    dt: float
    sources: Array
    receivers: Array
    mask: Flags = None  # type: ignore[assignment]  # always an array once made
    start: float = 0.0

    def __post_init__(self) -> None:
        records = _real_records(self.records)
        if records.dim() != 3 or records.numel() == 0:
            raise ValueError(f"records must be [shots, time, receivers], got shape {list(records.shape)}")
        shots, _, count = records.shape
        sources = np.array(self.sources, dtype=np.float64)
        if sources.shape != (shots, 2):
            raise ValueError(f"sources must be [shots, 2] = [{shots}, 2] of (x, z), got shape {list(sources.shape)}")
        receivers = np.array(self.receivers, dtype=np.float64)
        if receivers.shape not in ((count, 2), (shots, count, 2)):
            raise ValueError(
                f"receivers must be [receivers, 2] = [{count}, 2] of (x, z), or [{shots}, {count}, 2], "
                f"got shape {list(receivers.shape)}"
            )
        receivers = np.array(np.broadcast_to(receivers, (shots, count, 2)))
        mask = np.ones((shots, count), bool) if self.mask is None else flags("mask", self.mask, (shots, count))
        for name, values in (("sources", sources), ("receivers", receivers[mask])):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, got NaN or infinity")
        finite = torch.isfinite(records).all(1).numpy() | ~mask
        if not finite.all():
            shot, trace = (int(k) for k in np.argwhere(~finite)[0])
            raise ValueError(f"records must be finite, got NaN or infinity in trace {trace} of shot {shot}")
        kept = {
            "records": records if mask.all() else torch.where(torch.from_numpy(mask)[:, None], records, 0.0),
            "dt": positive("dt", self.dt),
            "sources": sources,
            "receivers": receivers,
            "mask": mask,
            "start": real("start", self.start),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, records: Tensor | npt.ArrayLike, survey: Survey) -> Gathers:
        """Records of a survey, `[shots, time, receivers]`, with its positions in metres.

        Raises:
            TypeError: records that are not real numbers.
            ValueError: records of another shape than the survey's, or several sources in a shot.
        """
        records = _real_records(records)
        wanted = [survey.shots, survey.nt, survey.receivers_per_shot]
        if list(records.shape) != wanted:
            raise ValueError(
                f"records must be the survey's [shots, time, receivers] = {wanted}, got shape {list(records.shape)}"
            )
        receivers = np.broadcast_to(_metres(survey, "receivers"), (survey.shots, survey.receivers_per_shot, 2))
        return cls(records, survey.dt, _sources(survey), receivers, _live(survey))

    def __repr__(self) -> str:
        shots, nt, count = self.records.shape
        missing = "" if self.mask.all() else f", {int((~self.mask).sum())} traces missing"
        low, high = self.extent
        return (
            f"Gathers({shots} shots, {count} receivers{missing}, {nt} samples of {self.dt * 1e3:g} ms, "
            f"x {low[0]:g} to {high[0]:g} m, z {low[1]:g} to {high[1]:g} m)"
        )

    @property
    def extent(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Smallest and largest (x, z) of all sources and receivers, m."""
        points = np.concatenate([self.sources, self.receivers[self.mask]])
        (x0, z0), (x1, z1) = points.min(0).tolist(), points.max(0).tolist()
        return (x0, z0), (x1, z1)

    def survey(
        self,
        *,
        spacing: float | tuple[float, float],
        shape: tuple[int, int] | None = None,
        frequency: float | None = None,
        wavelet: Any = None,  # noqa: ANN401 - anything torch.as_tensor takes
        dt: float | None = None,
        nt: int | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Survey:
        """A survey with these sources and receivers, between cells where they are not on them.

        Args:
            spacing: metres, one number or (dz, dx); cell (0, 0) is at x = 0, z = 0.
            shape: (nz, nx) cells; left out, it is taken from the first velocity.
            frequency: peak of a Ricker wavelet, Hz. It begins at 0 s and has whole steps to its peak, so another dt
                moves the peak by up to a step.
            wavelet: as `Survey` takes it, instead.
            dt: time step, s; that of the gathers when left out. `onto` places the records in time.
            nt: samples; as many as end with the gathers when left out.
            options: further arguments of `Survey`, such as `order` and `boundary`.

        Raises:
            TypeError, ValueError: neither or both of frequency and wavelet, positions outside the model, or what
                `Survey` refuses.
        """
        if (frequency is None) == (wavelet is None):
            raise ValueError("give either frequency, the peak of a Ricker wavelet in Hz, or wavelet")
        dz, dx = spacings(spacing)
        step = self.dt if dt is None else positive("dt", dt)
        samples = int((self._end + 1e-6 * self.dt) / step) if nt is None else whole("nt", nt)
        size = None if shape is None else grid(shape)
        self._check_inside((dx, dz), None if size is None else (size[1], size[0]))
        receivers = np.where(self.mask[..., None], self.receivers, 0.0)
        shared = bool((receivers == receivers[0]).all())
        return Survey(
            shape=size,
            spacing=(dz, dx),
            dt=step,
            nt=samples,
            sources=_cells(self.sources, dz, dx),
            receivers=_cells(receivers[0] if shared else receivers, dz, dx),
            wavelet=ricker(frequency, step, samples) if frequency is not None else wavelet,
            receiver_mask=None if self.mask.all() else self.mask,
            **options,
        )

    def onto(self, survey: Survey, *, tolerance: float | None = None, traces: str = "nearest") -> Tensor:
        """The records that the sources and receivers of a survey would have, at its times.

        `simulate` gives the field after each step: sample n of the gathers is taken at ``start + (n + 1) dt`` with
        their dt, that of the records returned lies at ``(n + 1) dt`` with the survey's. What is before a positive start
        is zero. Times are resampled band-limited: up to three quarters of the lower of the two Nyquist frequencies the
        error is 1e-6, except within 16 samples of the ends; what is above the survey's Nyquist frequency is taken out.

        Args:
            survey: with one source in each shot.
            tolerance: metres by which a source or trace may be off; half of the larger spacing when left out, and for
                traces that are interpolated at least their mean interval.
            traces: "nearest" takes the nearest trace; "linear" interpolates between the two neighbours, each within the
                tolerance, along the axis on which the receivers lie. That blurs waves whose arrivals differ by more
                than about a quarter of a period from one trace to the next.

        Returns:
            `[shots, time, receivers]`, float32; zero where the survey has no receiver, and before the gathers' start.

        Raises:
            ValueError: a shot or receiver of the survey with no gather or trace within the tolerance, or times after
                the end of the gathers, or all before their start.
        """
        if traces not in ("nearest", "linear"):
            raise ValueError(f'traces must be "nearest" or "linear", got {traces!r}')
        near = max(survey.spacing) / 2 if tolerance is None else positive("tolerance", tolerance)
        # How many samples of the survey, each the field after its step, are not after the start.
        silent = max(0, int(self.start / survey.dt + 1e-6))
        if silent >= survey.nt or survey.nt * survey.dt > self._end + 1e-6 * self.dt:
            raise ValueError(
                f"survey must end in the {self.start:g} to {self._end:g} s that the gathers have, got 0 to "
                f"{survey.nt * survey.dt:g} s ({survey.nt} samples of {survey.dt:g} s)"
            )
        begin = self.start + self.dt - (silent + 1) * survey.dt  # first sample, from the first one asked for
        wanted, heard = _sources(survey), _metres(survey, "receivers")
        chosen, off = nearest(wanted, self.sources, (np.arange(len(wanted)), np.arange(len(self.sources))))
        if (off > near).any():
            k = int(np.argmax(off > near))
            raise ValueError(
                f"survey's shot {k} at {_at(wanted[k])} has no gather within {near:g} m: the nearest, "
                f"{int(chosen[k])}, at {_at(self.sources[chosen[k]])}, is {off[k]:.4g} m away; a larger "
                "tolerance allows it"
            )
        records = torch.zeros(survey.shots, survey.nt, survey.receivers_per_shot)
        for k, shot in enumerate(chosen.tolist()):
            mask = self.mask[shot]
            there = self.receivers[shot][mask]
            asked = heard[k if len(heard) > 1 else 0]
            taking = _live(survey)[k]
            numbers = np.flatnonzero(taking), np.flatnonzero(mask)
            weights = mix_traces(asked[taking], there, numbers, traces, near, tolerance is None, f"shot {k}")
            live = self.records[shot][:, torch.from_numpy(mask)]
            moved = resampled(live, self.dt, begin, survey.dt, survey.nt - silent)
            records[k, silent:][:, torch.from_numpy(taking)] = (moved.double() @ weights).float()
        return records

    def _check_inside(self, spacing: tuple[float, float], cells: tuple[int, int] | None) -> None:
        """Refuse positions outside a model of so many cells along (x, z) that begins at (0, 0)."""
        low, high = self.extent
        width, depth = (np.inf if cells is None else (cells[k] - 1) * spacing[k] for k in (0, 1))
        slack = 1e-6 * min(spacing)  # as `_cells` rounds
        if min(low) < -slack or high[0] > width + slack or high[1] > depth + slack:
            model = "start at 0" if cells is None else f"lie in 0 to {width:g} m and 0 to {depth:g} m"
            raise ValueError(
                f"positions must {model} along x and z, got x {low[0]:g} to {high[0]:g} m and z {low[1]:g} to "
                f'{high[1]:g} m; the geometry {{"origin": [x, z]}} of read_segy moves them'
            )

    @property
    def _end(self) -> float:
        """Time of the field in the last sample, which is that after its step, s."""
        return self.start + self.records.shape[1] * self.dt


def _real_records(records: Any) -> Tensor:  # noqa: ANN401
    values = records.detach().cpu() if isinstance(records, Tensor) else torch.from_numpy(np.array(records))
    if values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"records must be real numbers, got {values.dtype}")
    return values.to(torch.float32)


def _metres(survey: Survey, name: str) -> Array:
    """`sources` or `receivers` of a survey as (x, z) in metres, `[sets, positions, 2]`."""
    metres: Array = survey.positions(name) * np.array(survey.spacing)
    return metres[..., ::-1]


def _sources(survey: Survey) -> Array:
    """The one source of each shot, (x, z) in metres `[shots, 2]`."""
    if survey.sources.shape[1] != 1:
        raise ValueError(f"survey must have one source in each shot, got {survey.sources.shape[1]}")
    return _metres(survey, "sources")[:, 0]


def _live(survey: Survey) -> Flags:
    """Whether a receiver takes part in a shot, `[shots, receivers]`."""
    mask = survey.receiver_mask
    every = np.ones((survey.shots, survey.receivers_per_shot), bool)
    return every if mask is None else every & mask.numpy()


def _cells(metres: Array, dz: float, dx: float) -> Array:
    """(x, z) in metres as (iz, ix), whole where they are to a millionth."""
    cells = metres[..., ::-1] / np.array([dz, dx])
    whole_cells = np.rint(cells)
    rounded: Array = np.where(np.abs(cells - whole_cells) < 1e-6, whole_cells, cells)
    return rounded


def _at(point: Array) -> str:
    return f"(x, z) = ({point[0]:g}, {point[1]:g}) m"
