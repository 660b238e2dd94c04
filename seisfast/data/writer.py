"""A dataset simulated once to disk, by this process or by many, which survives a kill at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch

from seisfast.cluster import worker_device
from seisfast.data.checks import check_count, check_pair
from seisfast.data.manifest import NAME, Layout, Manifest, Precision, Shard
from seisfast.data.progress import Bar, model_bar
from seisfast.data.shards import WRITERS, Simulation, changed, make_shard
from seisfast.geology import Geology
from seisfast.geology.base import check_seed
from seisfast.survey import Survey

if TYPE_CHECKING:
    from distributed import Client

PER_FILE = {"npy": 500, "zarr": 100}
"""Models in a shard: OpenFWI's 500, and what is still held in memory while it is compressed."""

SAVE_SECONDS = 1.0
"""Finished shards are written down as often: for thousands of them dataset.json takes its time, and files that it does
not know are found again."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(
    geology: Geology,
    survey: Survey,
    folder: str | os.PathLike[str],
    count: int,
    *,
    seed: int = 0,
    per_file: int | None = None,
    batch: int | None = None,
    layout: Layout = "npy",
    dtype: Precision = "float32",
    device: str | torch.device = "cpu",
    scheduler: str | Client | None = None,
    progress: bool = True,
) -> Path:
    """Simulate the first `count` models of a seed and store them.

    With the layout "npy", OpenFWI's, the folder gets `data{k}.npy` (records, `[n, shots, time, receivers]`) and
    `model{k}.npy` (velocities in m/s, float32 `[n, 1, nz, nx]`), k = 1, 2, ... With "zarr" it becomes a Zarr 3 group of
    the arrays `records` and `velocity`, sharded and compressed (zstd), each model a chunk of its own. dataset.json
    holds the settings, and of every finished file its size and SHA-256.

    A file under its final name is complete. After a kill or a full disk the same call goes on: behind the last batch
    that is on the disk ("npy"), or with the shard that was not complete ("zarr"); the files become the same bytes as
    without the interruption. Finished files that are missing or have another size are made again, with a warning. When
    all is there the call returns at once.

    Args:
        geology: Generator of the velocity models.
        survey: Acquisition; its shape must be that of the geology, or open.
        folder: Made when it is absent; must be empty or hold this dataset.
        count: Number of models.
        seed: Seed of the geology.
        per_file: Models in a shard; 500 ("npy", as OpenFWI) or 100 ("zarr") when None.
        batch: Models simulated at a time; 20 on a CPU and 128 elsewhere when None. Not a setting: it may change on
            resume.
        layout: "npy" or "zarr" (needs `seisfast[io]`).
        dtype: Of the records: "float32", or "float16", which is half the size and less exact; dataset.json states the
            largest relative L2 error. With "zarr" every record is scaled by a power of two first.
        device: Where to simulate; "auto": on a GPU where there is one, each worker of a cluster for itself.
        scheduler: Dask cluster whose workers write the shards (needs `seisfast[dask]`): a `distributed.Client`, the
            address of a scheduler, the path of its file, or "local" or "local:4" for processes on this machine.
            They must see `folder` under the same path. None: this process does.
        progress: Show a progress bar on a terminal.

    Returns:
        The folder.

    Raises:
        ImportError: When the layout or the scheduler needs a package that is not installed.
        TypeError: When an argument has the wrong type.
        ValueError: When survey and geology do not fit, the folder holds something else or was begun with
            other settings, or records do not fit float16; the setting is named.
        OSError: When the disk has no room, before work with the bytes needed, or in the middle; then all
            finished models are kept.
        BlockingIOError: When another process is writing to the folder.
    """
    plan, origin = planned(
        geology, survey, count, seed=seed, per_file=per_file, batch=batch, layout=layout, dtype=dtype, device=device
    )
    target = Path(folder)
    check_target(target)
    if _is_there(target, plan):
        return target
    target.mkdir(parents=True, exist_ok=True)
    with _only_writer(target):
        begun = (target / NAME).exists()
        manifest = stored_or(plan, target)
        try:
            _write(target, manifest, origin, scheduler, progress)
        except BaseException:
            if not begun:
                _leave_nothing(target, manifest)
            raise
    return target


def _write(
    folder: Path, manifest: Manifest, origin: Simulation, scheduler: str | Client | None, progress: bool
) -> None:
    """Make what is missing of a dataset."""
    count = sum(shard.models for shard in manifest.shards)
    _drop_changed(manifest, folder)
    _check_room(folder, manifest)
    with _told_when_full(folder, count):
        manifest.description = WRITERS[manifest.settings["layout"]].prepare(folder, manifest)
        manifest.save(folder)
        saved = time.monotonic()
        ready = sum(shard.models for shard in manifest.shards if shard.ready)
        bar = Bar("simulate", count, ready, shown=progress)
        try:
            for number, shard in _made(folder, manifest, origin, scheduler, bar):
                manifest.shards[number] = shard
                if time.monotonic() - saved >= SAVE_SECONDS:
                    manifest.save(folder)
                    saved = time.monotonic()
        finally:
            bar.close()
            manifest.save(folder)


def planned(
    geology: Geology,
    survey: Survey,
    count: int,
    *,
    seed: int,
    per_file: int | None,
    batch: int | None,
    layout: Layout,
    dtype: Precision,
    device: str | torch.device,
) -> tuple[Manifest, Simulation]:
    """What `write` is to do, checked; its arguments, its errors."""
    check_pair(geology, survey)
    for name, value, allowed in (("layout", layout, get_args(Layout)), ("dtype", dtype, get_args(Precision))):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    count, per_file = (
        check_count(name, value)
        for name, value in (
            ("count", count),
            ("per_file", PER_FILE[layout] if per_file is None else per_file),
        )
    )
    if batch is not None:
        check_count("batch", batch)
    manifest = Manifest.plan(
        geology, survey, count, seed=check_seed(seed), per_file=per_file, layout=layout, dtype=dtype
    )
    place = "auto" if device == "auto" else str(torch.device(device))
    return manifest, Simulation(geology, survey, seed, place, batch)


def verify(folder: str | os.PathLike[str], *, progress: bool = True) -> list[str]:
    """Read all files of a stored dataset and compare them with the digests in dataset.json.

    Shards with files that are missing or changed are marked there, so that the call (or command) that wrote the dataset
    makes them again, and `StoredDataset` refuses the folder until then.

    Args:
        folder: Of the dataset.
        progress: Show a progress bar on a terminal.

    Returns:
        A line for each file that is not as it was written, and one for shards that were never finished; none when all
        is well.

    Raises:
        FileNotFoundError: When the folder holds no dataset.json.
        ValueError: When dataset.json is damaged.
        BlockingIOError: When another process is writing to the folder.
    """
    target = Path(folder)
    if not (target / NAME).is_file():
        raise FileNotFoundError(f"{target} holds no {NAME}, so nothing says what its files must be")
    with contextlib.ExitStack() as stack:
        marking = os.access(target, os.W_OK)
        if marking:  # else it is an archive, or somebody else's
            stack.enter_context(_only_writer(target))
        manifest = Manifest.read(target)
        before = list(manifest.shards)
        found = changed(target, manifest.description, contents=True)
        count = sum(shard.models for shard in manifest.shards)
        with model_bar("check", count, shown=progress) as advance:
            for number, shard in enumerate(before):
                wrong = changed(target, shard.files, contents=True)
                manifest.shards[number] = dataclasses.replace(shard, damaged=bool(wrong))
                found += wrong
                advance(shard.models)
        if marking and manifest.shards != before:
            manifest.save(target)
    missing = sum(not shard.files for shard in manifest.shards)
    if missing:
        found.append(f"{target} is not complete: {missing} of {len(manifest.shards)} shards are not written yet")
    return found


def _made(
    folder: Path,
    manifest: Manifest,
    origin: Simulation,
    scheduler: str | Client | None,
    bar: Bar,
) -> Iterator[tuple[int, Shard]]:
    """The shards that are missing, as they become ready."""
    missing = [number for number, shard in enumerate(manifest.shards) if not shard.ready]
    if scheduler is not None:
        from seisfast.data.cluster import made_by_workers

        yield from made_by_workers(folder, manifest, missing, origin, scheduler, bar.advance)
        return
    here = dataclasses.replace(origin, device=str(worker_device(origin.device)))
    for number in missing:
        yield number, make_shard(folder, manifest, number, here, bar.advance, bar.found)


def check_target(folder: Path) -> None:
    """Refuse a folder that holds something else than a dataset.

    Raises:
        ValueError: Naming what is there.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a folder, {folder} is a file")
    if not folder.exists() or (folder / NAME).exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign:
        raise ValueError(f"folder must be empty or hold a {NAME}, got {foreign[0]} without one in {folder}")


def stored_or(plan: Manifest, folder: Path) -> Manifest:
    """The manifest of a dataset that is begun, after checking that it is this one; else the plan."""
    if not (folder / NAME).exists():
        return plan
    manifest = Manifest.read(folder)
    manifest.check_same(plan, folder)
    return manifest


def _is_there(folder: Path, plan: Manifest) -> bool:
    """Whether all files are there, of their sizes; nothing is written, so the folder may be somebody else's."""
    if not (folder / NAME).exists():
        return False
    manifest = Manifest.read(folder)
    if (
        manifest.settings != plan.settings
        or not manifest.complete
        or changed(folder, manifest.description, contents=True)
    ):
        return False
    return not any(changed(folder, shard.files, contents=False) for shard in manifest.shards)


def _drop_changed(manifest: Manifest, folder: Path) -> None:
    """Forget shards whose files are not what was written, and delete these files, so that they are made again."""
    writer = WRITERS[manifest.settings["layout"]]
    for number, shard in enumerate(manifest.shards):
        wrong = changed(folder, shard.files, contents=False)
        if shard.damaged and not wrong:
            wrong = [f"{folder / shard.files[0].path} or its partner was found changed"]
        if wrong:
            for line in wrong:
                warnings.warn(f"{line}: its models are simulated again", stacklevel=4)
            writer(folder, manifest, number).remove()  # first: files without an entry are taken for whole
            manifest.shards[number] = Shard(shard.models)
            manifest.save(folder)


def _leave_nothing(folder: Path, manifest: Manifest) -> None:
    """Take back the beginning of a dataset that has no model yet, so that the folder is free for another."""
    writer = WRITERS[manifest.settings["layout"]]
    shards = [writer(folder, manifest, number) for number in range(len(manifest.shards))]
    if any(shard.started for shard in shards):
        return
    for path in folder.iterdir():
        if path.name.startswith(".") and not path.name.startswith(".shard"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_room(folder: Path, manifest: Manifest) -> None:
    writer = WRITERS[manifest.settings["layout"]]
    missing = [number for number, shard in enumerate(manifest.shards) if not shard.ready]
    models = sum(len(manifest.models(number)) for number in missing if not writer(folder, manifest, number).complete)
    partial = sum(path.stat().st_size for path in folder.glob("*.npy.partial"))
    free, needed = shutil.disk_usage(folder).free, manifest.bytes_of(models) - partial
    if needed <= free:
        return
    figures = f"{needed:,} bytes ({needed / 1e9:.3g} GB) needed, {free:,} bytes ({free / 1e9:.3g} GB) free"
    if manifest.settings["layout"] == "zarr":
        warnings.warn(f"there may be too little room on the disk: {figures}, before compression", stacklevel=4)
        return
    raise OSError(errno.ENOSPC, f"too little room on the disk: {figures}", str(folder))


@contextlib.contextmanager
def _told_when_full(folder: Path, count: int) -> Iterator[None]:
    """Say what is kept when the disk (or a quota) is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM or not (folder / NAME).exists():
            raise
        kept = sum(shard.models for shard in Manifest.read(folder).shards if shard.ready)
        raise OSError(
            error.errno,
            f"no room left on the disk: {kept} of {count} models are finished, what the unfinished files hold is kept, "
            "too; make room and run the same command again to go on",
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
