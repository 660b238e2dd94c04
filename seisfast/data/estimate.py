"""How many bytes a dataset will take and how long its simulation, measured on a few of its models."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seisfast.cluster import worker_device
from seisfast.data.manifest import Manifest
from seisfast.data.shards import BATCH, WRITERS, Simulation, stored_arrays
from seisfast.data.writer import check_target, planned, stored_or
from seisfast.data.zarr_files import ZarrShard
from seisfast.geology import Geology
from seisfast.survey import Survey

SECONDS = 1.0
"""The models of a probe are simulated again until they have taken so long."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What `write` would do.

    Attributes:
        count: Models of the dataset.
        ready: Models that are in the folder already.
        shards: Shards of the dataset.
        bytes: Size of the whole dataset; compressed records as large as those of the probe.
        free: Free bytes on the disk of the folder.
        rate: Models per second of this process, storing them not included.
        seconds: What the models that are missing take at this rate.
        device: Where the probe ran.
        threads: That it had there.
    """

    count: int
    ready: int
    shards: int
    bytes: int
    free: int
    rate: float
    seconds: float
    device: str
    threads: int


def estimate(
    geology: Geology,
    survey: Survey,
    folder: str | os.PathLike[str],
    count: int,
    *,
    probe: int | None = None,
    **options: Any,  # noqa: ANN401
) -> Estimate:
    """What `seisfast.data.write` would do; nothing is written.

    Args:
        geology: As `write` takes it, like the next three.
        survey: Acquisition.
        folder: Need not exist.
        count: Number of models.
        probe: Models that are simulated, several times if that is quick; 8 on a CPU and a batch on a GPU when None.
        **options: Those of `write` that say what is stored, and batch and device.

    Raises:
        TypeError, ValueError: As `write`.
    """
    defaults = {"seed": 0, "per_file": None, "batch": None, "layout": "npy", "dtype": "float32", "device": "cpu"}
    plan, origin = planned(geology, survey, count, **{**defaults, **options})
    target = Path(folder)
    check_target(target)
    manifest = stored_or(plan, target)
    ready = sum(shard.models for shard in manifest.shards if shard.ready)
    existing = next(place for place in (target, *target.resolve().parents) if place.exists())
    device = worker_device(origin.device)
    if probe is None:
        probe = 8 if device.type == "cpu" else origin.batch or BATCH["cuda"]
    rate, size = _measured(plan, dataclasses.replace(origin, device=str(device)), range(min(probe, count)))
    return Estimate(
        count, ready, len(plan.shards), round(size * count), shutil.disk_usage(existing).free, rate,
        (count - ready) / rate, str(device), torch.get_num_threads() if device.type == "cpu" else 1,
    )  # fmt: skip


def _measured(plan: Manifest, origin: Simulation, models: range) -> tuple[float, float]:
    """Models per second, and bytes per model as they will be stored."""
    parts = list(origin.batches(models))  # also warms up
    start, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - start < SECONDS:
        for _, velocity in origin.batches(models):
            done += len(velocity)
    rate = done / (time.perf_counter() - start)
    stored = [stored_arrays(*part, plan.settings, models.start)[:3] for part in parts]
    if not issubclass(WRITERS[plan.settings["layout"]], ZarrShard):
        return rate, plan.bytes_of(1)
    few = Manifest.plan(
        origin.geology, origin.survey, len(models),
        **{**{name: plan.settings[name] for name in ("seed", "layout", "dtype")}, "per_file": len(models)},
    )  # fmt: skip
    arrays = [np.concatenate(part) for part in zip(*stored, strict=True)]
    return rate, ZarrShard.encoded_bytes(few, *arrays) / len(models)


def spent(seconds: float) -> str:
    """A duration as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def size(count: float) -> str:
    """A number of bytes as one says it."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
