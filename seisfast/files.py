"""Files that are never half there."""

from __future__ import annotations

import contextlib
import glob
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file, flush to disk and rename: atomic on every POSIX file system."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes this name, in the way of `replace_file`, when the block ends without an error.

    A name has one writer at a time.
    """
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # of a process that was killed
        stale.unlink(missing_ok=True)
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put new names of a folder on the disk (a file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
