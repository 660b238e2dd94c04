"""Generated sets as a Zarr 3 group: sharded, compressed, one model addressable, described by attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seisfast.data.manifest import File, Manifest
from seisfast.data.npy_files import Array, described
from seisfast.files import replace_file

FORMAT = "seisfast zarr 1"
RECORDS, VELOCITY, SCALE = "records", "velocity", "scale"


class ZarrSource:
    """A group with the arrays `records [models, shots, time, receivers]` and `velocity [models, 1, nz, nx]`.

    With an array `scale [models]` a record is what is stored divided by its scale, a power of two.

    Raises:
        ImportError: When zarr is not installed.
        TypeError: When an array does not hold floating-point numbers.
        ValueError: When the folder is not such a group, or its arrays do not fit each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: Any = None
        self._scale: npt.NDArray[np.float32] | None = None
        group = self._group()
        for name, axes in ((RECORDS, "models, shots, time, receivers"), (VELOCITY, "models, 1, nz, nx")):
            if name not in group:
                raise ValueError(f"{folder} must have the array {name}, it has {', '.join(sorted(group)) or 'none'}")
            array = group[name]
            if array.ndim != 4 or 0 in array.shape or (name == VELOCITY and array.shape[1] != 1):
                raise ValueError(f"{folder / name} must have the shape [{axes}], got {list(array.shape)}")
            if not np.issubdtype(array.dtype, np.floating):
                raise TypeError(f"{folder / name} must hold floating-point numbers, got {array.dtype}")
        if self.settings.get("dtype") == "float16" and SCALE not in group:
            raise ValueError(f"{folder} must have the array {SCALE} beside records in half precision")
        self.models: int = group[RECORDS].shape[0]
        self.record_shape: tuple[int, ...] = group[RECORDS].shape[1:]
        self.model_shape: tuple[int, ...] = group[VELOCITY].shape[1:]
        for name, count in ((name, group[name].shape[0]) for name in (VELOCITY, SCALE) if name in group):
            if count != self.models:
                raise ValueError(f"{folder} must hold as many {name} as records, got {count} and {self.models}")

    @property
    def settings(self) -> dict[str, Any]:
        """What the set was made with; empty for groups of others."""
        attributes = self._group().attrs
        return dict(attributes.get("settings", {})) if attributes.get("format") == FORMAT else {}

    def records(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the records of some models, `[models, shots, time, receivers]`."""
        group = self._group()
        self._copy(RECORDS, numbers, out)
        if SCALE in group:
            if self._scale is None:
                self._scale = np.asarray(group[SCALE][:], np.float32)
            out /= self._scale[list(numbers), None, None, None]

    def velocities(self, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        """Copy the velocities of some models, `[models, 1, nz, nx]`."""
        self._copy(VELOCITY, numbers, out)

    def where(self, number: int) -> str:
        """The place of a model's record, for messages."""
        return f"row {number} of {RECORDS}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _copy(self, name: str, numbers: Sequence[int], out: npt.NDArray[np.float32]) -> None:
        array = self._group()[name]
        try:
            for target, number in zip(out, numbers, strict=True):  # one by one: zarr is 50 times slower with a list
                np.copyto(target, array[number], casting="same_kind")
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            raise ValueError(
                f"{self._folder / name} is damaged ({error}); "
                f"seisfast simulate --check --output {self._folder} finds what"
            ) from error

    def _group(self) -> Any:  # noqa: ANN401 - zarr is optional
        if self._opened is None:
            zarr = _zarr()
            try:
                self._opened = zarr.open_group(self._folder, mode="r")
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise ValueError(f"{self._folder} is not a Zarr group that can be read: {error}") from error
        return self._opened


class ZarrShard:
    """The chunk files of a shard, made in memory and put on the disk whole.

    A kill loses the shard: what is not complete is not there.

    Args:
        folder: Of the dataset.
        manifest: Of the dataset.
        number: Of the shard.
    """

    def __init__(self, folder: Path, manifest: Manifest, number: int) -> None:
        self.folder, self.manifest, self.number = folder, manifest, number
        self.models = manifest.shards[number].models
        self._parts: list[tuple[Array, Array, Array]] = []

    @staticmethod
    def prepare(folder: Path, manifest: Manifest) -> tuple[File, ...]:
        """Write the description of the group and its arrays, where it is not there as it was written."""
        known = manifest.description
        if known and all(
            (folder / file.path).exists() and described(folder / file.path, folder) == file for file in known
        ):
            return known
        made = _metadata(manifest)
        for path, content in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / path, content)
        return tuple(described(folder / path, folder) for path in made)

    @property
    def complete(self) -> bool:
        """Whether all files are there: each was put there whole."""
        return all((self.folder / path).exists() for path in self._paths())

    @property
    def started(self) -> bool:
        """Whether there are models."""
        return any((self.folder / path).exists() for path in self._paths())

    def safe_models(self, velocity: Callable[[range], npt.NDArray[np.float32]]) -> int:
        """All models or none."""
        del velocity
        return self.models if self.complete else 0

    def open(self, done: int) -> None:
        """Begin, always with the first model."""
        assert done in (0, self.models)

    def append(self, records: Array, velocities: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> None:
        """Keep models until the shard is finished."""
        self._parts.append((records, velocities, scale))

    @classmethod
    def encoded_bytes(cls, manifest: Manifest, records: Array, velocities: Array, scale: Array) -> int:
        """Size of a shard of these models, the only one of its manifest."""
        shard = cls(Path(), manifest, 0)
        return sum(map(len, shard._encoded({RECORDS: records, VELOCITY: velocities, SCALE: scale}).values()))

    def finish(self) -> tuple[File, ...]:
        """Compress what was kept and put it on the disk."""
        if self._parts:
            arrays = (np.concatenate(part) for part in zip(*self._parts, strict=True))
            values = dict(zip((RECORDS, VELOCITY, SCALE), arrays, strict=True))
            encoded = self._encoded(values)
            self._parts.clear()
            for path, content in encoded.items():
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                replace_file(self.folder / path, content)
        return tuple(described(self.folder / path, self.folder) for path in self._paths())

    def stored_records(self) -> Array:
        """The records of a complete shard as they are stored."""
        group = _zarr().open_group(self.folder, mode="r")
        models = self.manifest.models(self.number)
        return np.asarray(group[RECORDS][models.start : models.stop])

    def close(self) -> None:
        """Forget what was kept."""
        self._parts.clear()

    def remove(self) -> None:
        """Delete the finished files."""
        for path in self._paths():
            (self.folder / path).unlink(missing_ok=True)

    def _paths(self) -> list[str]:
        return [f"{name}/c/{self.number}" + "/0" * (axes - 1) for name, axes in _axes(self.manifest).items()]

    def _encoded(self, values: dict[str, Array]) -> dict[str, bytes]:
        """Content of the chunk files: zarr writes the shard into memory."""
        store: dict[str, Any] = {}
        group = _new_group(store, self.manifest)
        models = self.manifest.models(self.number)
        for name in _axes(self.manifest):
            group[name][models.start : models.stop] = values[name]
        return {path: store[path].to_bytes() for path in self._paths()}


def _axes(manifest: Manifest) -> dict[str, int]:
    """Number of axes of each array of a set."""
    arrays = {RECORDS: 4, VELOCITY: 4}
    return {**arrays, SCALE: 1} if manifest.settings["dtype"] == "float16" else arrays


def _metadata(manifest: Manifest) -> dict[str, bytes]:
    store: dict[str, Any] = {}
    _new_group(store, manifest)
    return {path: content.to_bytes() for path, content in store.items()}


def _new_group(store: dict[str, Any], manifest: Manifest) -> Any:  # noqa: ANN401 - zarr is optional
    """The group of a set, without its content, in a store in memory."""
    zarr = _zarr()
    settings = manifest.settings
    group = zarr.create_group(
        zarr.storage.MemoryStore(store),
        attributes={
            "format": FORMAT,
            "version": manifest.version,
            "settings": settings,
            "units": {RECORDS: "pressure as seisfast.simulate returns it, times scale where there is one",
                      VELOCITY: "m/s", "time": "s", "distance": "m"},
        },
    )  # fmt: skip
    count, per_file = settings["count"], settings["per_file"]
    for name, shape, kind, axes in (
        (RECORDS, manifest.record_shape, settings["dtype"], ("model", "shot", "time", "receiver")),
        (VELOCITY, manifest.model_shape, "float32", ("model", "property", "z", "x")),
    ):
        group.create_array(
            name,
            shape=(count, *shape),
            dtype=kind,
            chunks=(1, *shape),
            shards=(per_file, *shape),
            compressors=zarr.codecs.ZstdCodec(level=1, checksum=True),
            fill_value=float("nan"),  # what is not written is no number; silence is
            dimension_names=axes,
        )
    if SCALE in _axes(manifest):
        group.create_array(
            SCALE,
            shape=(count,),
            dtype="float32",
            chunks=(per_file,),
            fill_value=float("nan"),
            dimension_names=("model",),
        )
    return group


def _zarr() -> Any:  # noqa: ANN401 - zarr is optional
    try:
        import zarr
        import zarr.codecs
        import zarr.storage
    except ImportError as error:
        raise ImportError("the Zarr layout needs zarr 3 (Python 3.11 or later): pip install 'seisfast[io]'") from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ImportError(f"the Zarr layout needs zarr 3 (Python 3.11 or later), found {zarr.__version__}")
    return zarr
