"""A dataset simulated once to disk in OpenFWI's layout, which survives a kill at any moment."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from seisfast.data.checks import check_count, check_pair
from seisfast.data.manifest import NAME, Manifest, Shard, sync_folder
from seisfast.data.progress import model_bar
from seisfast.geology import Geology
from seisfast.geology.base import check_seed
from seisfast.propagator import simulate
from seisfast.survey import Survey

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(
    geology: Geology,
    survey: Survey,
    folder: str | os.PathLike[str],
    count: int,
    *,
    seed: int = 0,
    per_file: int = 500,
    batch: int = 20,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Path:
    """Simulate the first `count` models of a seed and store them.

    The folder gets `data{k}.npy` (records, float32 `[n, shots, time, receivers]`), `model{k}.npy` (velocities
    in m/s, float32 `[n, 1, nz, nx]`), k = 1, 2, ..., and dataset.json (settings, files, progress). A file
    under its final name is complete. What is unfinished is named `.partial`; after every batch it is on the
    disk and counted in dataset.json. After a kill or a full disk the same call goes on behind the last
    counted batch, and the files become the same bytes as without the interruption. When all is there the call
    returns at once.

    Args:
        geology: Generator of the velocity models.
        survey: Acquisition; its shape must be that of the geology, or open.
        folder: Made when it is absent; must be empty or hold this dataset.
        count: Number of models.
        seed: Seed of the geology.
        per_file: Models in a file (OpenFWI has 500).
        batch: Models simulated at a time; a kill loses at most one batch. Not a setting: it may change on
            resume.
        device: Where to simulate.
        progress: Show a progress bar on a terminal.

    Returns:
        The folder.

    Raises:
        TypeError: When an argument has the wrong type.
        ValueError: When survey and geology do not fit, the folder holds something else or was begun with
            other settings, or a stored file is damaged; the file or setting is named.
        OSError: When the disk has no room, before work with the bytes needed, or in the middle; then all
            counted models are kept.
        BlockingIOError: When another process is writing to the folder.
    """
    check_pair(geology, survey)
    count, per_file, batch = (
        check_count(name, value) for name, value in (("count", count), ("per_file", per_file), ("batch", batch))
    )
    plan = Manifest.plan(geology, survey, count, check_seed(seed), per_file)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with _only_writer(target):
        manifest = _stored_or(plan, target)
        pairs = [_Pair(target, manifest, number) for number in range(len(plan.shards))]
        ready = sum(pair.done for pair in pairs)
        if ready == count and manifest.complete:
            return target
        _check_room(target, sum(pair.missing_bytes for pair in pairs))
        with _told_when_full(target, pairs), model_bar("simulate", count, ready, shown=progress) as advance:
            manifest.complete = False
            manifest.save(target)
            for pair in pairs:
                pair.write(geology, survey, batch, device, advance)
            manifest.current, manifest.current_models, manifest.complete = 0, 0, True
            manifest.save(target)
    return target


class _File:
    """One .npy file that grows model by model under a `.partial` name."""

    def __init__(self, path: Path, models: int, shape: tuple[int, ...]) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self.models = models
        self.stride = 4 * int(np.prod(shape))
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (models, *shape)}
        )
        self.header = header.getvalue()

    def whole_models(self) -> int:
        """Models in the finished file, or whole ones in the partial file.

        Raises:
            ValueError: When the finished file has another size or header than it must have.
        """
        if self.path.exists():
            size, expected = self.path.stat().st_size, len(self.header) + self.models * self.stride
            with self.path.open("rb") as file:
                begins = file.read(len(self.header))
            if size != expected or begins != self.header:
                raise ValueError(
                    f"{self.path} is damaged: {self.models} models make {expected} bytes, found {size} or "
                    "another header. Delete the file and run the same command again to redo its models"
                )
            return self.models
        if not self.partial.exists():
            return 0
        return min(self.models, max(0, self.partial.stat().st_size - len(self.header)) // self.stride)

    def open(self, done: int) -> IO[bytes]:
        """The partial file, cut behind `done` models."""
        file = self.partial.open("r+b" if done else "wb", buffering=0)
        if not done:
            _append(file, self.header)
        file.truncate(len(self.header) + done * self.stride)
        file.seek(0, os.SEEK_END)
        return file


class _Pair:
    """A data file and its model file."""

    def __init__(self, folder: Path, manifest: Manifest, number: int) -> None:
        shard: Shard = manifest.shards[number]
        self.folder, self.manifest, self.number = folder, manifest, number
        self.first = sum(earlier.models for earlier in manifest.shards[:number])
        self.models = shard.models
        self.data = _File(folder / shard.data, shard.models, manifest.record_shape)
        self.model = _File(folder / shard.model, shard.models, manifest.model_shape)
        self.done = self._safe_models()

    def _safe_models(self) -> int:
        """Models that need no work: all of two finished files, the counted ones of partial files."""
        found = min(self.data.whole_models(), self.model.whole_models())
        if self.data.path.exists() and self.model.path.exists():
            return found
        counted = self.manifest.current_models if self.manifest.current == self.number else 0
        safe = min(found, counted)
        if safe < self.models and (self.data.path.exists() or self.model.path.exists()):
            return 0
        return safe

    @property
    def missing_bytes(self) -> int:
        return (self.models - self.done) * (self.data.stride + self.model.stride)

    def write(
        self,
        geology: Geology,
        survey: Survey,
        batch: int,
        device: str | torch.device,
        advance: Callable[[int], object],
    ) -> None:
        if self.done < self.models:
            with self.data.open(self.done) as data, self.model.open(self.done) as model:
                self._count(self.done)
                while self.done < self.models:
                    stop = min(self.done + batch, self.models)
                    velocity = geology(range(self.first + self.done, self.first + stop), self.manifest.settings["seed"])
                    with torch.no_grad():
                        records = simulate(velocity.to(device), survey).to("cpu", torch.float32)
                    _append(data, records.contiguous().numpy().data)
                    _append(model, velocity.numpy().data)
                    os.fsync(data.fileno())
                    os.fsync(model.fileno())
                    self._count(stop)
                    advance(stop - self.done)
                    self.done = stop
        for file in (self.model, self.data):
            if file.partial.exists():
                os.replace(file.partial, file.path)
        sync_folder(self.folder)

    def _count(self, models: int) -> None:
        self.manifest.current, self.manifest.current_models = self.number, models
        self.manifest.save(self.folder)


def _append(file: IO[bytes], content: Any) -> None:  # noqa: ANN401 - anything with a buffer
    """Write all bytes; an unbuffered file may take fewer at a time."""
    left = memoryview(content).cast("B")
    while left:
        left = left[file.write(left) :]


def _stored_or(plan: Manifest, folder: Path) -> Manifest:
    """The manifest of a dataset that is begun, after checking that it is this one; else the plan."""
    if (folder / NAME).exists():
        manifest = Manifest.read(folder)
        manifest.check_same(plan, folder)
        return manifest
    foreign = sorted(path.name for path in folder.iterdir() if path.suffix == ".npy")
    if foreign:
        raise ValueError(f"folder must be empty or hold a {NAME}, got {foreign[0]} without one in {folder}")
    return plan


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"too little room on the disk: {needed:,} bytes ({needed / 1e9:.3g} GB) needed, "
            f"{free:,} bytes ({free / 1e9:.3g} GB) free",
            str(folder),
        )


@contextlib.contextmanager
def _told_when_full(folder: Path, pairs: list[_Pair]) -> Iterator[None]:
    """Say what is kept when the disk (or a quota) is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        kept, count = sum(pair.done for pair in pairs), sum(pair.models for pair in pairs)
        raise OSError(
            error.errno,
            f"no room left on the disk: {kept} of {count} models are written and kept; "
            "make room and run the same command again to go on",
            str(folder),
        ) from error


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing here; the system drops the lock however this one ends."""
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, "another process is writing this dataset", str(folder)) from error
        except OSError as error:
            # Some network file systems have no locks; there the user must take care.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        yield
