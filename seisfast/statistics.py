"""Statistics of a set of velocity models and of its records: one pass, exact sums, plain numbers to keep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seisfast.arguments import positive, real, spacings, whole
from seisfast.data.progress import model_bar
from seisfast.data.sources import Models, Source, source_of
from seisfast.files import replace_file
from seisfast.metrics import interfaces

FORMAT = "seisfast statistics 1"
STEP = 20.0  # m/s: above the 4 to 9 m/s per cell of the SEG salt models' sediment, below CurveFault's contrasts
BATCH = 2**21  # cells worked on at a time, 16 MiB in float64
MOST_BINS = 100_000


@dataclass(frozen=True)
class RecordStatistics:
    """What `measure` finds in records.

    Attributes:
        smallest: smallest sample, in the units of the records.
        largest: largest sample.
        rms: root of the mean square of all samples.
        zero_traces: share of the traces in which every sample is zero.
        traces: how many traces there are.
    """

    smallest: float
    largest: float
    rms: float
    zero_traces: float
    traces: int


@dataclass(frozen=True, eq=False)
class Statistics:
    """Result of `measure`. Velocities are in m/s and deviations are divided by the number of values, not one less.

    Attributes:
        models: number of models.
        mean: mean model, float64 `[nz, nx]`.
        deviation: standard deviation of each cell over the models, float64 `[nz, nx]`.
        depth_mean: mean velocity of each row, over all models and columns, float64 `[nz]`.
        depth_deviation: standard deviation of the same values, float64 `[nz]`.
        depth_smallest: slowest velocity of each row, float64 `[nz]`.
        depth_largest: fastest velocity of each row, float64 `[nz]`.
        interfaces: share of the models that have an interface at each cell, float64 `[nz, nx]`.
        edges: bounds of the histogram's bins, multiples of their width, float64 `[bins + 1]`.
        counts: cells of all models with ``edges[k] <= velocity < edges[k + 1]``, int64 `[bins]`.
        step: velocity step above which there is an interface, m/s.
        spacing: (dz, dx) in metres, None when unknown.
        records: what the records hold, None when they were not read.
        examples: some models, evenly spread over the set, float32 `[examples, nz, nx]`; `save` leaves them out.
    """

    models: int
    mean: Tensor
    deviation: Tensor
    depth_mean: Tensor
    depth_deviation: Tensor
    depth_smallest: Tensor
    depth_largest: Tensor
    interfaces: Tensor
    edges: Tensor
    counts: Tensor
    step: float
    spacing: tuple[float, float] | None
    records: RecordStatistics | None
    examples: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of a model, (nz, nx)."""
        return int(self.mean.shape[0]), int(self.mean.shape[1])

    @property
    def summary(self) -> dict[str, float]:
        """Of all cells: slowest, mean, standard deviation and fastest in m/s, and the share that are interfaces."""
        corner = self.mean[0, 0]
        mean = corner + (self.mean - corner).mean()
        return {
            "slowest": float(self.depth_smallest.min()),
            "mean": float(mean),
            "deviation": float((self.deviation.square() + (self.mean - mean).square()).mean().sqrt()),
            "fastest": float(self.depth_largest.max()),
            "interfaces": float(self.interfaces.mean()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values from which `from_dict` makes the same statistics, without the examples."""
        content = {name.name: getattr(self, name.name) for name in fields(self) if name.name != "examples"}
        plain = {key: value.tolist() if isinstance(value, Tensor) else value for key, value in content.items()}
        spacing = None if self.spacing is None else list(self.spacing)
        records = None if self.records is None else asdict(self.records)
        return {"format": FORMAT, **plain, "spacing": spacing, "records": records}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Statistics:
        """The statistics that `to_dict` described.

        Raises:
            ValueError: another format, a missing or unknown key, or arrays that do not fit each other.
        """
        values = dict(content)
        if values.pop("format", None) != FORMAT:
            raise ValueError(f'statistics must have the format "{FORMAT}", got {content.get("format")!r}')
        known = {field.name for field in fields(cls)} - {"examples"}
        if set(values) != known:
            raise ValueError(
                f"statistics must have the keys {sorted(known)}; missing {sorted(known - set(values))}, "
                f"unknown {sorted(set(values) - known)}"
            )
        for name, value in values.items():
            if isinstance(value, list) and name != "spacing":
                values[name] = torch.tensor(value, dtype=torch.int64 if name == "counts" else torch.float64)
        _check_shapes(values)
        spacing, records = values["spacing"], values["records"]
        values["spacing"] = None if spacing is None else spacings(tuple(spacing))
        values["records"] = None if records is None else RecordStatistics(**records)
        return cls(**values, examples=torch.empty(0, *values["mean"].shape))

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes `to_dict` as JSON; the file is never half there."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, (json.dumps(self.to_dict()) + "\n").encode())
        return file

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Statistics:
        """What `save` wrote, to the bit.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file that `save` did not write.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls.from_dict(content if isinstance(content, dict) else {})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} does not hold statistics of seisfast: {error}") from None


def measure(
    models: Models,
    *,
    count: int | None = None,
    seed: int = 0,
    step: float = STEP,
    bin_width: float = 50.0,
    spacing: float | tuple[float, float] | None = None,
    examples: int = 8,
    records: bool = False,
    progress: bool = False,
) -> Statistics:
    """Statistics of a set of velocity models in one pass, whose memory does not grow with the set.

    Sums are exact in float64 for velocities in whole m/s, so the order and the grouping of the models change nothing.

    Args:
        models: velocities in m/s: a `StoredDataset` (its records are left alone), a `Geology` with `count`, a tensor or
            array `[nz, nx]`, `[models, nz, nx]` or `[models, 1, nz, nx]`, or .npy files of such arrays, one or several.
        count: measure the first so many models; left out, all of them.
        seed: of the models of a `Geology`.
        step: an interface is a velocity step larger than this many m/s to the cell below or to the right, as the soft F
            of `seisfast.metrics` finds it, where any step counts.
        bin_width: of the histogram, m/s; bins begin at multiples of it, so two sets have bins in common.
        spacing: metres between cells, one number or (dz, dx); left out, that of the data set's survey.
        examples: how many models to keep.
        records: read the records of a `StoredDataset` as well, all of them.
        progress: show how far it is.

    Raises:
        FileNotFoundError: no such file.
        TypeError: another kind of models, or arguments that are not numbers.
        ValueError: models of another shape or of different shapes, velocities that are not finite and positive (with
            the first such model), a `count` below 1 or larger than the set, records without a data set, a step below
            zero, or too narrow bins.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, arXiv 1901.07733, describe their data set
        by its velocities against depth and by where its interfaces lie.
    """
    source = source_of(models, count, seed)
    if records and source.record is None:
        raise ValueError(f"records can only be read from a stored data set, got {source.name}")
    if not real("step", step) >= 0:
        raise ValueError(f"step must be at least 0 m/s, got {step}")
    shown = _evenly(source.count, whole("examples", examples, 0))
    metres = source.spacing if spacing is None else spacings(spacing)
    sums, heard = _Sums(float(step), positive("bin_width", bin_width)), _RecordSums()
    kept: list[Tensor] = []
    size = max(1, BATCH // (source.shape[0] * source.shape[1]))
    with model_bar("measure", source.count, shown=progress) as advance:
        for start in range(0, source.count, size):
            stop = min(start + size, source.count)
            batch = _checked(source, start, stop)
            sums.add(batch)
            kept += [batch[k - start].float() for k in shown if start <= k < stop]
            for k in range(start, stop):
                if records and source.record is not None:
                    heard.add(source.record(k), source.place(k))
                advance(1)
    pictures = torch.stack(kept) if kept else torch.empty(0, *source.shape)
    return Statistics(
        models=source.count, **sums.result(), step=float(step), spacing=metres,
        records=heard.result() if records else None, examples=pictures,
    )  # fmt: skip


def table(sets: Mapping[str, Statistics]) -> str:
    """The summaries of named sets as aligned text, and a line for the records of each set whose records were read."""
    head = ["", "models", "cells", "slowest", "mean", "deviation", "fastest", "interfaces"]
    rows = [head]
    for name, found in sets.items():
        numbers = found.summary
        share = numbers.pop("interfaces")
        cells = " x ".join(map(str, found.shape))
        rows.append([name, str(found.models), cells, *(f"{v:.0f}" for v in numbers.values()), f"{100 * share:.2f} %"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    steps = ", ".join(dict.fromkeys(f"{found.step:g}" for found in sets.values()))
    note = f"Velocities in m/s; interfaces: cells whose velocity differs from the next by more than {steps} m/s."
    heard = [
        f"{name}: records from {r.smallest:.4g} to {r.largest:.4g}, RMS {r.rms:.4g}, {100 * r.zero_traces:.2f} % of "
        f"{r.traces} traces are zero"
        for name, r in ((name, found.records) for name, found in sets.items())
        if r is not None
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", note, *heard])


class _Sums:
    """Sums over models, relative to the first model, so that nothing cancels where models are alike."""

    def __init__(self, step: float, bin_width: float) -> None:
        self.step, self.width = step, bin_width
        self.models = 0
        self.first_bin, self.counts = 0, torch.empty(0, dtype=torch.int64)

    def add(self, batch: Tensor) -> None:
        """Counts models `[n, nz, nx]`, float64."""
        if self.models == 0:
            self.first = batch[0].clone()
            self.sum, self.squares = torch.zeros_like(self.first), torch.zeros_like(self.first)
            self.crossed = torch.zeros_like(self.first, dtype=torch.int64)
            self.low, self.high = self.first.amin(1), self.first.amax(1)
        self._bin(batch)
        self.models += len(batch)
        self.low = torch.minimum(self.low, batch.amin((0, 2)))
        self.high = torch.maximum(self.high, batch.amax((0, 2)))
        self.crossed += interfaces(batch, self.step).sum(0)
        difference = batch - self.first
        self.sum += difference.sum(0)
        self.squares += difference.square_().sum(0)

    def _bin(self, batch: Tensor) -> None:
        low, high = (torch.stack(torch.aminmax(batch)) // self.width).long().tolist()
        if len(self.counts):
            low, high = min(low, self.first_bin), max(high, self.first_bin + len(self.counts) - 1)
        if high - low >= MOST_BINS:
            raise ValueError(
                f"bin_width must leave at most {MOST_BINS} bins, got {self.width:g} m/s for velocities from "
                f"{low * self.width:g} to {high * self.width:g} m/s"
            )
        grown = torch.zeros(high - low + 1, dtype=torch.int64)
        begin = self.first_bin - low if len(self.counts) else 0
        grown[begin : begin + len(self.counts)] = self.counts
        places = (batch // self.width).long().flatten() - low
        self.first_bin, self.counts = low, grown + torch.bincount(places, minlength=len(grown))

    def result(self) -> dict[str, Tensor]:
        """The statistics of the models that were added."""
        shift = self.sum / self.models
        variance = (self.squares / self.models - shift.square()).clamp(min=0)
        mean = self.first + shift
        of_row = mean[:, :1] + (mean - mean[:, :1]).mean(1, keepdim=True)
        of_row_variance = (variance + (mean - of_row).square()).mean(1)
        bins = torch.arange(self.first_bin, self.first_bin + len(self.counts) + 1, dtype=torch.float64)
        return {
            "mean": mean,
            "deviation": variance.sqrt(),
            "depth_mean": of_row[:, 0],
            "depth_deviation": of_row_variance.sqrt(),
            "depth_smallest": self.low,
            "depth_largest": self.high,
            "interfaces": self.crossed.double() / self.models,
            "edges": bins * self.width,
            "counts": self.counts,
        }


class _RecordSums:
    """Sums over the records of a data set, `[shots, time, receivers]` each."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")
        self.squares = 0.0
        self.samples = self.traces = self.zero = 0

    def add(self, record: Tensor, place: str) -> None:
        values = record.double()
        low, high = (float(v) for v in torch.aminmax(values))
        energy = float(values.square().sum())
        if not math.isfinite(energy):
            raise ValueError(f"records must be finite, got NaN or infinity in those of {place}")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.squares += energy
        self.samples += values.numel()
        silent = ~values.any(dim=1)
        self.zero, self.traces = self.zero + int(silent.sum()), self.traces + silent.numel()

    def result(self) -> RecordStatistics:
        rms = (self.squares / self.samples) ** 0.5
        return RecordStatistics(self.low, self.high, rms, self.zero / self.traces, self.traces)


def _checked(source: Source, start: int, stop: int) -> Tensor:
    """Models of a source, float64 `[models, nz, nx]`, all finite and positive."""
    batch = source.read(start, stop)
    low, high = (float(v) for v in torch.aminmax(batch))
    if not (low > 0 and high < float("inf")):
        wrong = ~(torch.isfinite(batch) & (batch > 0))
        k, iz, ix = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"models must be finite and positive, got {batch[k, iz, ix].item()} at (iz, ix) = ({iz}, {ix}) in "
            f"{source.place(start + k)}"
        )
    return batch


def _evenly(count: int, wanted: int) -> list[int]:
    """Numbers of so many models, evenly spread over all, fewer where there are fewer."""
    number = min(wanted, count)
    return [k * (count - 1) // max(1, number - 1) for k in range(number)]


def _check_shapes(values: Mapping[str, Any]) -> None:
    """Whether the arrays of `Statistics.from_dict` fit each other."""
    mean, counts = values["mean"], values["counts"]
    if not (isinstance(mean, Tensor) and mean.dim() == 2 and isinstance(counts, Tensor) and counts.dim() == 1):
        raise ValueError("mean must be [nz, nx] and counts [bins]")
    wanted: dict[str, tuple[int, ...]] = {name: tuple(mean.shape) for name in ("deviation", "interfaces")}
    wanted |= {f"depth_{name}": (len(mean),) for name in ("mean", "deviation", "smallest", "largest")}
    wanted["edges"] = (len(counts) + 1,)
    for name, shape in wanted.items():
        found = tuple(values[name].shape) if isinstance(values[name], Tensor) else None
        if found != shape:
            raise ValueError(f"{name} must have the shape {list(shape)}, got {found if found is None else list(found)}")
    if int(counts.sum()) != whole("models", values["models"]) * mean.numel():
        raise ValueError(f"counts must add up to the {values['models']} models of {list(mean.shape)} cells")
