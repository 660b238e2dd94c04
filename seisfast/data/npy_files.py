"""Records and velocities as pairs of .npy files in OpenFWI's layout: found, memory-mapped, and grown model by model."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from seisfast.data.manifest import NAME, File, Manifest
from seisfast.files import sync_folder

Array = npt.NDArray[np.floating[Any]]

LAYOUTS = (("data", "model"), ("seis", "vel"), ("seismic", "vmodel"))
"""How the names of record and velocity files begin: OpenFWI's Vel and Style families, its Fault families, and
the copies used with DD-Net. A number follows, or several joined by underscores."""

SYNC_SECONDS = 1.0
"""A kill loses what was written in so many seconds; waiting for the disk after every batch would keep a GPU idle."""

_BLOCK = 1 << 24  # bytes hashed at a time


def names(number: int) -> tuple[str, str]:
    """Files of records and velocities of a shard; ours are numbered from 1, as OpenFWI's are."""
    return f"data{number + 1}.npy", f"model{number + 1}.npy"


class NpySource:
    """Pairs of files, memory-mapped when they are read.

    Args:
        pairs: Files of records `[n, shots, time, receivers]` and of velocities `[n, 1, nz, nx]`.

    Raises:
        FileNotFoundError, TypeError, ValueError: See `StoredDataset`.
    """

    def __init__(self, pairs: list[tuple[Path, Path]]) -> None:
        self._pairs = pairs
        self._maps: dict[Path, Array] = {}
        self._ends = np.cumsum([self._check(*pair) for pair in pairs]).tolist()
        self.models: int = self._ends[-1]
        self.record_shape: tuple[int, ...] = self._map(pairs[0][0]).shape[1:]
        self.model_shape: tuple[int, ...] = self._map(pairs[0][1]).shape[1:]

    @classmethod
    def of_others(cls, folder: Path) -> NpySource:
        """The pairs in a folder that has no dataset.json."""
        return cls(_find_pairs(folder))

    @classmethod
    def of_manifest(cls, folder: Path, manifest: Manifest) -> NpySource:
        """The pairs that a dataset.json states."""
        pairs = []
        for number, shard in enumerate(manifest.shards):
            data, model = (folder / name for name in names(number))
            for path, shape in ((data, manifest.record_shape), (model, manifest.model_shape)):
                found = _memory_map(path).shape
                if found != (shard.models, *shape):
                    raise ValueError(
                        f"{path} must have the shape {[shard.models, *shape]} that {NAME} states, got {list(found)}"
                    )
            pairs.append((data, model))
        return cls(pairs)

    def records(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the records of some models, `[models, shots, time, receivers]`."""
        self._copy(0, numbers, out)

    def velocities(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the velocities of some models, `[models, 1, nz, nx]`."""
        self._copy(1, numbers, out)

    def where(self, number: int) -> str:
        """The row and the file of a model's record, for messages."""
        pair, row = self._place(number)
        return f"row {row} of {pair[0].name}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def _copy(self, which: int, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        for target, number in zip(out, numbers, strict=True):
            pair, row = self._place(number)
            np.copyto(target, self._map(pair[which])[row], casting="same_kind")

    def _place(self, number: int) -> tuple[tuple[Path, Path], int]:
        pair = bisect.bisect_right(self._ends, number)
        return self._pairs[pair], number - (self._ends[pair - 1] if pair else 0)

    def _map(self, path: Path) -> Array:
        if path not in self._maps:
            self._maps[path] = _memory_map(path)
        return self._maps[path]

    def _check(self, data: Path, model: Path) -> int:
        """Number of models in a pair of files that fit each other and the first pair."""
        records, velocities = self._map(data), self._map(model)
        for path, array, axes in (
            (data, records, "n, shots, time, receivers"),
            (model, velocities, "n, 1, nz, nx"),
        ):
            first = self._map(self._pairs[0][path is model])
            if array.ndim != 4 or 0 in array.shape or (path is model and array.shape[1] != 1):
                raise ValueError(f"{path} must have the shape [{axes}], got {list(array.shape)}")
            if array.shape[1:] != first.shape[1:]:
                expected = ", ".join(map(str, first.shape[1:]))
                raise ValueError(
                    f"{path} must have the shape [n, {expected}] of the other files, got {list(array.shape)}"
                )
        if len(records) != len(velocities):
            raise ValueError(
                f"{data} and {model} must hold as many models, "
                f"got {len(records)} records and {len(velocities)} velocities"
            )
        return len(records)


class NpyShard:
    """A pair of files that grow model by model as `.partial`, and get their names when they are complete.

    Records are on the disk before the velocities that belong to them are written, so the velocities in the partial
    file, compared with what they must be, tell how many models are safe.

    Args:
        folder: Of the dataset.
        manifest: Of the dataset.
        number: Of the shard.
    """

    def __init__(self, folder: Path, manifest: Manifest, number: int) -> None:
        self.models = manifest.shards[number].models
        data, model = names(number)
        kind = "<f2" if manifest.settings["dtype"] == "float16" else "<f4"
        self.data = _Growing(folder / data, kind, (self.models, *manifest.record_shape))
        self.model = _Growing(folder / model, "<f4", (self.models, *manifest.model_shape))
        self._waiting: list[npt.NDArray[np.float32]] = []
        self._synced = 0.0

    @staticmethod
    def prepare(folder: Path, manifest: Manifest) -> tuple[File, ...]:
        """Nothing describes the files but they themselves."""
        del folder, manifest
        return ()

    @property
    def complete(self) -> bool:
        """Whether both files are there, of their sizes."""
        return self.data.complete and self.model.complete

    @property
    def started(self) -> bool:
        """Whether there are models."""
        return max(self.data.whole_models(), self.model.whole_models()) > 0

    def safe_models(self, velocity: Callable[[range], npt.NDArray[np.float32]]) -> int:
        """Models in the partial files that need no work.

        Args:
            velocity: The velocities that the shard must have, `[models, 1, nz, nx]`, for a range of its models.
        """
        if self.complete:
            return self.models
        whole = min(self.data.whole_models(), self.model.whole_models())
        written = self.model.read(whole)
        right = (written == velocity(range(whole))).all(axis=(1, 2, 3)) if whole else np.zeros(0, dtype=bool)
        return whole if right.all() else int(right.argmin())

    def open(self, done: int) -> None:
        """Go on behind so many models."""
        for file in (self.data, self.model):
            file.open(done)
        self._synced = time.monotonic()

    def append(self, records: Array, velocities: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> None:
        """Write models; `scale` must be 1: this layout has no place for another."""
        del scale
        self.data.append(records)
        self._waiting.append(velocities)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        """Put what was written on the disk."""
        self.data.sync()
        for velocities in self._waiting:
            self.model.append(velocities)
        self.model.sync()
        self._waiting.clear()
        self._synced = time.monotonic()

    def finish(self) -> tuple[File, ...]:
        """Give complete files their names."""
        self._sync()
        return self.data.finish(), self.model.finish()

    def stored_records(self) -> Array:
        """The records of a complete shard, mapped."""
        return _memory_map(self.data.path)

    def close(self) -> None:
        """Leave the files as they are, with all models whose records were written."""
        with contextlib.suppress(OSError):  # a full disk
            self._sync()
        self.data.close()
        self.model.close()

    def remove(self) -> None:
        """Delete the finished files."""
        for file in (self.data, self.model):
            file.path.unlink(missing_ok=True)


class _Growing:
    """One .npy file that grows under a `.partial` name."""

    def __init__(self, path: Path, kind: str, shape: tuple[int, ...]) -> None:
        self.path, self.kind, self.shape = path, np.dtype(kind), shape
        self.partial = path.with_name(f"{path.name}.partial")
        self.stride = self.kind.itemsize * int(np.prod(shape[1:]))
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
        self.header = header.getvalue()
        self.size = len(self.header) + shape[0] * self.stride
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()

    @property
    def complete(self) -> bool:
        return self._whole(self.path)

    def _whole(self, path: Path) -> bool:
        if not path.exists() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return file.read(len(self.header)) == self.header

    def _started(self) -> Path:
        """The file that holds what is there: the partial one, or a finished one whose partner is missing."""
        return self.path if self.complete else self.partial

    def whole_models(self) -> int:
        started = self._started()
        if not started.exists():
            return 0
        with started.open("rb") as file:
            if file.read(len(self.header)) != self.header:
                return 0
        return min(self.shape[0], max(0, started.stat().st_size - len(self.header)) // self.stride)

    def read(self, models: int) -> Array:
        """The first models of what is there."""
        if not models:
            return np.empty((0, *self.shape[1:]), self.kind)
        with self._started().open("rb") as file:
            file.seek(len(self.header))
            content = np.fromfile(file, self.kind, models * int(np.prod(self.shape[1:])))
        return content.reshape(models, *self.shape[1:])

    def open(self, done: int) -> None:
        if self.complete:
            os.replace(self.path, self.partial)
        self._file = self.partial.open("r+b" if done else "wb", buffering=0)
        if not done:
            self._write(self.header)
        else:
            self._file.truncate(len(self.header) + done * self.stride)
            self._digest.update(self.header)
            self._file.seek(len(self.header))
            while block := self._file.read(_BLOCK):
                self._digest.update(block)

    def append(self, values: Array) -> None:
        assert self._file is not None
        self._write(np.ascontiguousarray(values, self.kind).data)

    def sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())

    def _write(self, content: Any) -> None:  # noqa: ANN401 - anything with a buffer
        """Write all bytes; an unbuffered file may take fewer at a time."""
        assert self._file is not None
        left = memoryview(content).cast("B")
        self._digest.update(left)
        while left:
            left = left[self._file.write(left) :]

    def finish(self) -> File:
        if self._file is None:
            return described(self.path, self.path.parent)
        self.close()
        os.replace(self.partial, self.path)
        sync_folder(self.path.parent)
        return File(self.path.name, self.size, self._digest.hexdigest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def described(path: Path, folder: Path) -> File:
    """Size and digest of a file, read from the disk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def _find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of record and velocity files in a folder of others, in the order of their numbers."""
    for data, model in LAYOUTS:
        records = _numbered(folder, data)
        velocities = _numbered(folder, model)
        if not records and not velocities:
            continue
        for key in sorted({*records, *velocities}):
            if key not in records or key not in velocities:
                present = records.get(key) or velocities[key]
                absent = (model if key in records else data) + "_".join(map(str, key)) + ".npy"
                raise FileNotFoundError(f"{present} has no partner {absent} in {folder}")
        return [(records[key], velocities[key]) for key in sorted(records)]
    raise FileNotFoundError(
        f"{folder} holds no dataset: expected {NAME}, pairs like data1.npy and model1.npy, "
        "or seis2_1_0.npy and vel2_1_0.npy, or a Zarr group with the arrays records and velocity"
    )


def _numbered(folder: Path, name: str) -> dict[tuple[int, ...], Path]:
    """Files `name` + numbers + `.npy` of a folder, or of its subfolder `name`, by their numbers."""
    pattern = re.compile(re.escape(name) + r"(\d+(?:_\d+)*)\.npy")
    for place in (folder, folder / name):
        if place.is_dir():
            found = {match[1]: place / match[0] for path in place.iterdir() if (match := pattern.fullmatch(path.name))}
            if found:
                return {tuple(map(int, key.split("_"))): path for key, path in found.items()}
    return {}


def _memory_map(path: Path) -> Array:
    """An array of floating-point numbers on disk, checked against the size of its file."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole .npy file (truncated or damaged): {error}") from error
    if not isinstance(array, np.memmap) or array.offset + array.nbytes != path.stat().st_size:
        raise ValueError(f"{path} is not one .npy array of the size its header says")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"{path} must hold floating-point numbers, got {array.dtype}")
    return array
