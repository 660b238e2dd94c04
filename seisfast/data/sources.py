"""Velocity models wherever they come from, read part by part: a data set, a generator, arrays, .npy files."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisfast.arguments import whole
from seisfast.data.stored import StoredDataset
from seisfast.geology import Geology

Files = str | PathLike[str] | Sequence[str | PathLike[str]]
Models = StoredDataset | Geology | Tensor | npt.NDArray[Any] | Files


@dataclass(frozen=True)
class Source:
    """A set of models.

    Attributes:
        name: for messages.
        count: number of models.
        shape: (nz, nx) of each.
        read: models from a number up to another, float64 `[models, nz, nx]` on the CPU.
        place: where a model is, for messages: "model 3 of models.npy".
        spacing: (dz, dx) in metres, None when unknown.
        record: the record of a model, `[shots, time, receivers]`; None where there are no records.
    """

    name: str
    count: int
    shape: tuple[int, int]
    read: Callable[[int, int], Tensor]
    place: Callable[[int], str]
    spacing: tuple[float, float] | None = None
    record: Callable[[int], Tensor] | None = None


def source_of(models: Models, count: int | None = None, seed: int = 0) -> Source:
    """The first `count` models of a set, or all of them.

    Args:
        models: a `StoredDataset`; a `Geology`, which needs `count`; a tensor or array `[nz, nx]`, `[models, nz, nx]` or
            `[models, 1, nz, nx]`; or the .npy files of such arrays, which are mapped into memory.
        count: how many models.
        seed: of a `Geology`.

    Raises:
        FileNotFoundError: no such file.
        TypeError: something else, or a count or seed that is no whole number.
        ValueError: arrays of another shape or of different shapes, a count below 1 or above the number of models, or a
            `Geology` without a count.
    """
    wanted = None if count is None else whole("count", count)
    if isinstance(models, Geology):
        if wanted is None:
            raise ValueError(f"count must say how many models of {models.name} to make, got none")
        return _generated(models, wanted, seed)
    whole_set = _stored(models) if isinstance(models, StoredDataset) else _arrays(models)
    if wanted is None or wanted == whole_set.count:
        return whole_set
    if wanted > whole_set.count:
        raise ValueError(f"count must be at most the {whole_set.count} models of {whole_set.name}, got {count}")
    return replace(whole_set, count=wanted)


def _generated(geology: Geology, count: int, seed: int) -> Source:
    def read(start: int, stop: int) -> Tensor:
        return geology(range(start, stop), seed).double()

    return Source(geology.label, count, geology.shape, read, lambda k: f"model {k} of {geology.name}")


def _stored(dataset: StoredDataset) -> Source:
    def read(start: int, stop: int) -> Tensor:
        return torch.cat([dataset.velocity(k) for k in range(start, stop)]).double()

    return Source(
        str(dataset.folder), len(dataset), dataset.geometry["shape"], read,
        lambda k: f"model {k} of {dataset.folder}{dataset.where(k)}",
        None if dataset.survey is None else dataset.survey.spacing, lambda k: dataset[k][0],
    )  # fmt: skip


def _arrays(models: Tensor | npt.NDArray[Any] | Files) -> Source:
    """One set of all models of one or several arrays."""
    if isinstance(models, Tensor):
        here = models.detach().cpu()
        named: list[tuple[str, Any]] = [("the array", (here.float() if here.dtype == torch.bfloat16 else here).numpy())]
    elif isinstance(models, np.ndarray):
        named = [("the array", models)]
    elif isinstance(models, (str, PathLike)):
        named = [(str(models), _mapped(Path(models)))]
    elif isinstance(models, Sequence) and all(isinstance(file, (str, PathLike)) for file in models):
        named = [(str(file), _mapped(Path(file))) for file in models]
    else:
        raise TypeError(f"models must be a data set, a geology, an array or .npy files, got {type(models).__name__}")
    if not named:
        raise ValueError("models must name at least one file, got none")
    names, arrays = [name for name, _ in named], [_batch(name, array) for name, array in named]
    nz, nx = arrays[0].shape[1:]
    for name, array in zip(names, arrays, strict=True):
        if array.shape[1:] != (nz, nx):
            found = list(array.shape[1:])
            raise ValueError(f"models must have one shape, got {[nz, nx]} in {names[0]} and {found} in {name}")
    begins = np.cumsum([0, *(len(array) for array in arrays)]).tolist()

    def read(start: int, stop: int) -> Tensor:
        parts = [
            array[max(start - begin, 0) : stop - begin]
            for array, begin in zip(arrays, begins, strict=False)
            if begin < stop and start < begin + len(array)
        ]
        return torch.from_numpy(np.concatenate(parts).astype(np.float64, order="C"))

    def place(k: int) -> str:
        file = bisect.bisect_right(begins, k) - 1
        return f"model {k - begins[file]} of {names[file]}"

    name = names[0] if len(names) == 1 else f"{len(names)} files"
    return Source(name, begins[-1], (nz, nx), read, place)


def _batch(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The models of an array as `[models, nz, nx]`."""
    if array.dtype.kind not in "fiu":
        raise TypeError(f"models must be real numbers, got {array.dtype} in {name}")
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(
            f"models must be [nz, nx], [models, nz, nx] or [models, 1, nz, nx], got {list(array.shape)} in {name}"
        )
    return array if array.ndim == 3 else array[None]


def _mapped(file: Path) -> npt.NDArray[Any]:
    """The array of a .npy file, on disk until it is read."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file} is not a .npy array: {error}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file} must hold one array of real numbers")
    return array
