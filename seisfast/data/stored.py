"""Datasets on disk: those of `write` and OpenFWI's own folders, memory-mapped."""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seisfast import geology as geologies
from seisfast.data.checks import check_count, check_epoch
from seisfast.data.manifest import NAME, Manifest
from seisfast.data.parts import check_part, share
from seisfast.geology.base import check_seed, derived_seed
from seisfast.survey import Survey

LAYOUTS = (("data", "model"), ("seis", "vel"), ("seismic", "vmodel"))
"""How the names of record and velocity files begin: OpenFWI's Vel and Style families, its Fault families, and
the copies used with DD-Net. A number follows, or several joined by underscores."""


class StoredDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of record and velocity, read from disk when they are asked for.

    Reads folders made by `seisfast.data.write` and OpenFWI's as released: `data{k}.npy` and `model{k}.npy`
    (in one folder or in subfolders `data/` and `model/`), or `seis{a}_{b}_{c}.npy` and `vel{a}_{b}_{c}.npy`.
    Files are memory-mapped, so a dataset may be larger than the memory; copies for the workers of a
    DataLoader open their own.

    `dataset[i]` is `(record, velocity)`: float32 tensors `[shots, time, receivers]` in the units of the files
    and `[1, nz, nx]` in m/s.

    Args:
        folder: Where the files are.
        indices: Numbers of the models to use, in this order; all when None. `seisfast.geology.split` makes
            them.

    Attributes:
        geometry: Numbers of `shots`, `receivers` and `samples`, and `shape` (nz, nx).
        survey: The survey the records were simulated with, None for folders of others.
        geology: The generator of the velocities, None for folders of others and for generators of your own.

    Raises:
        FileNotFoundError: When the folder or one file of a pair is missing.
        TypeError: When an array does not hold floating-point numbers, or `indices` are not whole numbers.
        ValueError: When a file is truncated or damaged, has another shape than its partner or the other
            files, or the dataset is not complete. Every message names the file.
        IndexError: When `indices` leave the dataset.
    """

    def __init__(self, folder: str | os.PathLike[str], indices: Sequence[int] | range | None = None) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"folder does not exist: {self.folder}")
        self.survey: Survey | None = None
        self.geology: geologies.Geology | None = None
        self._maps: dict[Path, npt.NDArray[np.floating[Any]]] = {}
        if (self.folder / NAME).exists():
            self._pairs = self._read_manifest()
        else:
            self._pairs = _find_pairs(self.folder)
        sizes = [self._check(*pair) for pair in self._pairs]
        self._ends = np.cumsum(sizes).tolist()
        shots, samples, receivers = self._map(self._pairs[0][0]).shape[1:]
        shape = self._map(self._pairs[0][1]).shape[2:]
        self.geometry: dict[str, Any] = {
            "shots": shots,
            "receivers": receivers,
            "samples": samples,
            "shape": tuple(shape),
        }
        self._indices = range(self._ends[-1]) if indices is None else self._checked(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Record `[shots, time, receivers]` and velocity `[1, nz, nx]` of one model, float32 copies."""
        (data, model), row = self._place(index)
        return self._copy(data, row), self._copy(model, row)

    def read(self, indices: Sequence[int], *, pinned: bool = False) -> tuple[Tensor, Tensor]:
        """A batch: records `[models, shots, time, receivers]` and velocities `[models, 1, nz, nx]`, float32.

        Args:
            indices: Places in the dataset, as `dataset[i]` takes them.
            pinned: In memory from which a GPU copies by itself.
        """
        shots, samples, receivers = (self.geometry[name] for name in ("shots", "samples", "receivers"))
        kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu", "pin_memory": pinned}
        records = torch.empty(len(indices), shots, samples, receivers, **kind)
        velocity = torch.empty(len(indices), 1, *self.geometry["shape"], **kind)
        for k, index in enumerate(indices):
            (data, model), row = self._place(index)
            for target, path in ((records, data), (velocity, model)):
                np.copyto(target[k].numpy(), self._map(path)[row], casting="same_kind")
        return records, velocity

    def where(self, index: int) -> str:
        """The row and the file of a model's record, for messages: " (row 3 of data2.npy)"."""
        (data, _), row = self._place(index)
        return f" (row {row} of {data.name})"

    def velocity(self, index: int) -> Tensor:
        """Velocity `[1, nz, nx]` of one model; its record is not read."""
        (_, model), row = self._place(index)
        return self._copy(model, row)

    def _place(self, index: int) -> tuple[tuple[Path, Path], int]:
        number = self._indices[index]
        pair = bisect.bisect_right(self._ends, number)
        return self._pairs[pair], number - (self._ends[pair - 1] if pair else 0)

    def _copy(self, path: Path, row: int) -> Tensor:
        return torch.from_numpy(np.array(self._map(path)[row], dtype=np.float32, order="C"))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def _read_manifest(self) -> list[tuple[Path, Path]]:
        manifest = Manifest.read(self.folder)
        if not manifest.complete:
            finished = sum((self.folder / shard.data).exists() for shard in manifest.shards)
            raise ValueError(
                f"{self.folder} is not complete: {finished} of {len(manifest.shards)} pairs of files; "
                "run the command that made it again to finish it"
            )
        self.survey = Survey.from_dict(manifest.settings["survey"])
        described = manifest.settings["geology"]
        self.geology = geologies.build(**described) if described["name"] in geologies.NAMES else None
        for shard in manifest.shards:
            for name, shape in ((shard.data, manifest.record_shape), (shard.model, manifest.model_shape)):
                found = self._map(self.folder / name).shape
                if found != (shard.models, *shape):
                    raise ValueError(
                        f"{self.folder / name} must have the shape {[shard.models, *shape]} "
                        f"that {NAME} states, got {list(found)}"
                    )
        return [(self.folder / shard.data, self.folder / shard.model) for shard in manifest.shards]

    def _map(self, path: Path) -> npt.NDArray[np.floating[Any]]:
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

    def _checked(self, indices: Sequence[int]) -> list[int]:
        total = self._ends[-1]
        numbers = list(indices)
        if not numbers:
            raise ValueError("indices must name at least one model, got none")
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
                raise TypeError(f"indices must be whole numbers, got {number!r}")
            if not 0 <= number < total:
                raise IndexError(f"indices must lie in 0 ... {total - 1}, got {number}")
        return [int(number) for number in numbers]


def batches(
    dataset: StoredDataset,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    shuffle: bool = True,
    pinned: bool = False,
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch, in an order that depends on seed and epoch only.

    Args:
        dataset: Where the samples come from.
        batch_size: Samples in a batch; the last one may be smaller.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        start_batch: Batches to leave out at the beginning, to go on in the middle of an epoch.
        shuffle: Whether to change the order from epoch to epoch; without it the samples come in their own
            order.
        pinned: See `StoredDataset.read`.
        part: (number, parts): only this part of every batch, for processes that train together. A part of a batch of
            fewer models than parts may be empty.

    Returns:
        An iterator over `(records [batch, shots, time, receivers], velocity [batch, 1, nz, nx])`, float32.

    Raises:
        TypeError: When a number is not whole.
        ValueError: When a number is out of its range.
    """
    check_count("batch_size", batch_size)
    check_epoch(epoch, start_batch)
    check_part(part)
    order = torch.arange(len(dataset))
    generator = torch.Generator().manual_seed(derived_seed(check_seed(seed), epoch))
    if shuffle:
        order = torch.randperm(len(dataset), generator=generator)

    def read() -> Iterator[tuple[Tensor, Tensor]]:
        for numbers in torch.split(order, batch_size)[start_batch:]:
            places = share(range(len(numbers)), part)
            yield dataset.read(numbers[places.start : places.stop].tolist(), pinned=pinned)

    return read()


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
        f"{folder} holds no dataset: expected {NAME}, or pairs like data1.npy and model1.npy, "
        "or seis2_1_0.npy and vel2_1_0.npy"
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


def _memory_map(path: Path) -> npt.NDArray[np.floating[Any]]:
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
