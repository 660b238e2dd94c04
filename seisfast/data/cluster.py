"""The shards of a dataset, made by the workers of a Dask cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seisfast.cluster import as_completed, connected, worker_device
from seisfast.data.manifest import NAME, Manifest, Shard
from seisfast.data.shards import Simulation, make_shard

if TYPE_CHECKING:
    from distributed import Client


def made_by_workers(
    folder: Path,
    manifest: Manifest,
    numbers: list[int],
    origin: Simulation,
    scheduler: str | Client,
    advance: Callable[[int], object],
) -> Iterator[tuple[int, Shard]]:
    """Shards as workers finish them.

    Every shard is written by one worker, into the folder that all see. When a worker dies, another one goes on with its
    files where they are; what it had finished is found and not made again.

    Args:
        folder: Of the dataset.
        manifest: Of the dataset, already in the folder.
        numbers: Of the shards to make.
        origin: Where their models come from.
        scheduler: See `seisfast.cluster.connected`.
        advance: Is told of every model of a finished shard.

    Raises:
        FileNotFoundError: When a worker does not see the folder.
        RuntimeError: When a worker has another version of seisfast, or the workers of a shard died again and again.
    """
    import seisfast

    where = str(folder.resolve())
    with connected(scheduler) as client:
        arguments = [(where, seisfast.__version__, number, origin) for number in numbers]
        for place, shard in as_completed(client, _shard_of_worker, arguments):
            advance(shard.models)
            yield numbers[place], shard


def _shard_of_worker(where: str, version: str, number: int, origin: Simulation) -> Shard:
    """What a worker does, after checking that it is the one that was meant."""
    import socket

    import seisfast

    folder = Path(where)
    here = f"the worker on {socket.gethostname()}"
    if seisfast.__version__ != version:
        raise RuntimeError(f"{here} has seisfast {seisfast.__version__}, this process {version}")
    if not (folder / NAME).exists():
        raise FileNotFoundError(f"{here} sees no {NAME} in {folder}, which must be on a file system that all share")
    placed = dataclasses.replace(origin, device=str(worker_device(origin.device)))
    return make_shard(folder, Manifest.read(folder), number, placed)
