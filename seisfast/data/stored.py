"""Datasets on disk: those of `write`, in either layout, and OpenFWI's own folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seisfast import geology as geologies
from seisfast.data.checks import check_count, check_epoch
from seisfast.data.manifest import NAME, Manifest
from seisfast.data.npy_files import NpySource
from seisfast.data.parts import check_part, share
from seisfast.data.shards import changed
from seisfast.data.zarr_files import ZarrSource
from seisfast.geology.base import check_seed, derived_seed
from seisfast.survey import Survey


class Source(Protocol):
    """Files that hold models: what `StoredDataset` needs of a layout."""

    models: int
    record_shape: tuple[int, ...]
    model_shape: tuple[int, ...]

    def records(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the records of some models, `[models, shots, time, receivers]`."""

    def velocities(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the velocities of some models, `[models, 1, nz, nx]`."""

    def where(self, number: int) -> str:
        """The place of a model's record, for messages."""


class StoredDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of record and velocity, read from disk when they are asked for.

    Reads folders made by `seisfast.data.write`, in either layout, OpenFWI's as released, and Zarr groups of the same
    arrays: `data{k}.npy` and `model{k}.npy` (in one folder or in subfolders `data/` and `model/`), or
    `seis{a}_{b}_{c}.npy` and `vel{a}_{b}_{c}.npy`. .npy files are memory-mapped and single models of a Zarr group read,
    so a dataset may be larger than the memory; copies for the workers of a DataLoader open their own.

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
        error: Largest relative L2 error of a record by storing it in half precision; None where it was not.

    Raises:
        FileNotFoundError: When the folder or one file of a pair is missing.
        ImportError: When a Zarr group needs zarr, which is not installed.
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
        self.error: float | None = None
        self._source = self._open()
        shots, samples, receivers = self._source.record_shape
        self.geometry: dict[str, Any] = {
            "shots": shots,
            "receivers": receivers,
            "samples": samples,
            "shape": tuple(self._source.model_shape[1:]),
        }
        self._indices = range(self._source.models) if indices is None else self._checked(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Record `[shots, time, receivers]` and velocity `[1, nz, nx]` of one model, float32 copies."""
        records, velocity = self.read([index])
        return records[0], velocity[0]

    def read(self, indices: Sequence[int], *, pinned: bool = False) -> tuple[Tensor, Tensor]:
        """A batch: records `[models, shots, time, receivers]` and velocities `[models, 1, nz, nx]`, float32.

        Args:
            indices: Places in the dataset, as `dataset[i]` takes them.
            pinned: In memory from which a GPU copies by itself.
        """
        kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu", "pin_memory": pinned}
        numbers = [self._indices[index] for index in indices]
        records = torch.empty(len(numbers), *self._source.record_shape, **kind)
        velocity = torch.empty(len(numbers), *self._source.model_shape, **kind)
        self._source.records(numbers, records.numpy())
        self._source.velocities(numbers, velocity.numpy())
        return records, velocity

    def where(self, index: int) -> str:
        """The place of a model's record, for messages: " (row 3 of data2.npy)"."""
        return f" ({self._source.where(self._indices[index])})"

    def velocity(self, index: int) -> Tensor:
        """Velocity `[1, nz, nx]` of one model; its record is not read."""
        velocity = torch.empty(1, *self._source.model_shape, dtype=torch.float32, device="cpu")
        self._source.velocities([self._indices[index]], velocity.numpy())
        return velocity[0]

    def _open(self) -> Source:
        """What the folder holds; survey, geology and error are set where it says them."""
        if (self.folder / NAME).exists():
            manifest = Manifest.read(self.folder)
            if not manifest.complete:
                finished = sum(shard.ready for shard in manifest.shards)
                raise ValueError(
                    f"{self.folder} is not complete: {finished} of {len(manifest.shards)} shards; "
                    "run the command that made it again to finish it"
                )
            self._describe(manifest.settings)
            self.error = manifest.error
            if manifest.settings["layout"] == "npy":
                return NpySource.of_manifest(self.folder, manifest)
            described = changed(self.folder, manifest.description, contents=True)
            of_shards = (changed(self.folder, shard.files, contents=False) for shard in manifest.shards)
            for wrong in chain(described, *of_shards):
                raise ValueError(f"{wrong}; run the command that made {self.folder} again to mend it")
        if (self.folder / "zarr.json").exists():
            source = ZarrSource(self.folder)
            self._describe(source.settings)
            return source
        return NpySource.of_others(self.folder)

    def _describe(self, settings: dict[str, Any]) -> None:
        if "survey" in settings:
            self.survey = Survey.from_dict(settings["survey"])
        described = settings.get("geology", {"name": None})
        if described["name"] in geologies.NAMES:
            self.geology = geologies.build(**described)

    def _checked(self, indices: Sequence[int]) -> list[int]:
        total = self._source.models
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
