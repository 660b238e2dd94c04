"""The unit of work of a stored dataset: one shard, simulated and put on the disk by one process, whoever runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seisfast.data import half
from seisfast.data.manifest import File, Manifest, Shard
from seisfast.data.npy_files import NpyShard, described
from seisfast.data.prefetch import ahead
from seisfast.data.zarr_files import ZarrShard
from seisfast.geology import Geology
from seisfast.propagator import simulate
from seisfast.survey import Survey

WRITERS: dict[str, type[NpyShard] | type[ZarrShard]] = {"npy": NpyShard, "zarr": ZarrShard}

BATCH = {"cpu": 20, "cuda": 128}
"""Models simulated at a time: a kill loses so many, and a GPU wants more of them."""


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Where the models of a dataset come from.

    Attributes:
        geology: Generator of the velocity models.
        survey: Acquisition.
        seed: Seed of the geology.
        device: Where to simulate, as `torch.device` takes it, or "auto".
        batch: Models simulated at a time; None leaves that to the device, `BATCH`.
    """

    geology: Geology
    survey: Survey
    seed: int
    device: str
    batch: int | None

    def velocity(self, models: range) -> npt.NDArray[np.float32]:
        """Velocities `[models, 1, nz, nx]`."""
        return self.geology(models, self.seed)[:, None].numpy()

    def batches(self, models: range) -> Generator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], None, None]:
        """Records `[batch, shots, time, receivers]` and velocities `[batch, 1, nz, nx]`, in order.

        On CUDA a thread simulates the next batch while this one is stored.
        """
        made = self._simulated(models)
        return ahead(made) if torch.device(self.device).type == "cuda" else made

    def _simulated(
        self, models: range
    ) -> Generator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], None, None]:
        device = torch.device(self.device)
        batch = self.batch or BATCH[device.type]
        for start in range(models.start, models.stop, batch):
            velocity = self.geology(range(start, min(start + batch, models.stop)), self.seed, device=device)
            with torch.no_grad():
                records = simulate(velocity, self.survey)
            stored = torch.empty(records.shape, dtype=torch.float32, pin_memory=device.type == "cuda").copy_(records)
            yield stored.numpy(), velocity.cpu()[:, None].numpy()


def make_shard(
    folder: Path,
    manifest: Manifest,
    number: int,
    origin: Simulation,
    advance: Callable[[int], object] = int,
    found: Callable[[int], object] = int,
) -> Shard:
    """Bring a shard on the disk; what is there and right stays.

    Args:
        folder: Of the dataset.
        manifest: Of the dataset.
        number: Of the shard.
        origin: Where its models come from.
        advance: Is told of every model that is made.
        found: Is told of the models that were on the disk before.

    Returns:
        The description for dataset.json.

    Raises:
        OSError: The disk is full; what is complete is kept.
        ValueError: Half precision cannot hold the records.
    """
    models = manifest.models(number)
    shard = WRITERS[manifest.settings["layout"]](folder, manifest, number)
    with _alone(folder / f".shard{number + 1}.lock"):
        before = done = shard.safe_models(lambda part: origin.velocity(models[part.start : part.stop]))
        found(done)
        worst = 0.0
        if not shard.complete:
            shard.open(done)
            try:
                with contextlib.closing(origin.batches(models[done:])) as batches:
                    for records, velocity in batches:
                        *stored, bound = stored_arrays(records, velocity, manifest.settings, models[done])
                        shard.append(*stored)
                        worst = max(worst, bound)
                        done += len(velocity)
                        advance(len(velocity))
            except BaseException:
                shard.close()
                raise
        files = shard.finish()
        if manifest.settings["dtype"] == "float32":
            return Shard(len(models), files)
        if before:
            worst = max(worst, half.error_bound(shard.stored_records()[:before]))
        return Shard(len(models), files, worst)


def changed(folder: Path, files: tuple[File, ...], *, contents: bool) -> list[str]:
    """What is wrong with files that were finished: a line for each that is missing or changed.

    Args:
        folder: Of the dataset.
        files: As they were described when they were written.
        contents: Compare digests, which reads everything; else only sizes.
    """
    wrong = []
    for file in files:
        path = folder / file.path
        if not path.exists():
            wrong.append(f"{path} is missing")
        elif path.stat().st_size != file.bytes:
            wrong.append(f"{path} has {path.stat().st_size:,} bytes instead of {file.bytes:,}")
        elif contents and described(path, folder).sha256 != file.sha256:
            wrong.append(f"{path} has another content than was written")
    return wrong


def stored_arrays(
    records: npt.NDArray[np.float32], velocity: npt.NDArray[np.float32], settings: dict[str, Any], first: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
    """Records as they are stored, velocities, the scale of each record, and the largest error of one.

    Raises:
        ValueError: Half precision cannot hold the records of these models, of which `first` is the first.
    """
    scale = np.ones(len(records), np.float32)
    if settings["dtype"] == "float32":
        return records, velocity, scale, 0.0
    if settings["layout"] == "zarr":
        scale = half.powers(records)
        stored = half.halved(records * scale[:, None, None, None])
    else:
        stored = half.halved(records)
    bound = half.error_bound(stored)
    if bound <= half.WORST:
        return stored, velocity, scale, bound
    peak = float(np.abs(records).max())
    last = first + len(records) - 1
    if bound == math.inf:
        raise ValueError(
            f"dtype must be float32, or the layout zarr, which scales: float16 ends at {half.LARGEST:g}, "
            f"and the records of the models {first} to {last} reach {peak:g}"
        )
    raise ValueError(
        f"dtype must be float32, or the layout zarr, which scales: the records of the models {first} to {last} "
        f"reach only {peak:g}, where float16 may be wrong by more than {half.WORST:g} of them"
    )


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; the next one waits, and finds what the first has written.

    A worker that was thought dead may still be writing when another is sent to do its work. The system drops the lock
    however a process ends.
    """
    import fcntl

    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            # Some network file systems have no locks. One process needs none; the workers of a cluster do, for one that
            # was thought dead may still be writing.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        yield
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)
