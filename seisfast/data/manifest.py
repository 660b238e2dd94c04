"""dataset.json: what a stored dataset was made with, which files it has, and how far it is."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from pathlib import Path
from typing import Any, Literal

from seisfast.files import replace_file
from seisfast.geology import Geology
from seisfast.survey import Survey

NAME = "dataset.json"
FORMAT = "seisfast dataset 2"

Layout = Literal["npy", "zarr"]
Precision = Literal["float32", "float16"]


@dataclasses.dataclass(frozen=True)
class File:
    """A finished file: where it is in the folder, its size and its digest.

    Attributes:
        path: Below the folder, with slashes.
        bytes: Size.
        sha256: Digest of the content, as `sha256sum` prints it.
    """

    path: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Shard:
    """So many neighbouring models, and the files that hold them.

    Attributes:
        models: How many.
        files: Once they are complete; none before.
        error: Largest relative L2 error that half precision makes in one of the records; None in full precision.
        damaged: `verify` found the files changed: they are made again.
    """

    models: int
    files: tuple[File, ...] = ()
    error: float | None = None
    damaged: bool = False

    @property
    def ready(self) -> bool:
        """Whether the files are complete, as far as is known."""
        return bool(self.files) and not self.damaged


@dataclasses.dataclass
class Manifest:
    """The content of dataset.json.

    Attributes:
        settings: geology, survey, seed, count, per_file, layout and dtype as plain values.
        record_shape: (shots, time, receivers).
        model_shape: (1, nz, nx).
        shards: All of them, in order.
        description: Files that describe the arrays, in the layout "zarr".
        version: The seisfast that wrote it.
    """

    settings: dict[str, Any]
    record_shape: tuple[int, int, int]
    model_shape: tuple[int, int, int]
    shards: list[Shard]
    description: tuple[File, ...] = ()
    version: str = ""

    @classmethod
    def plan(
        cls, geology: Geology, survey: Survey, count: int, *, seed: int, per_file: int, layout: Layout, dtype: Precision
    ) -> Manifest:
        """The manifest of a dataset that is not begun."""
        import seisfast

        settings = {
            "geology": geology.to_dict(),
            "survey": {**survey.to_dict(), "shape": list(geology.shape)},
            "seed": seed,
            "count": count,
            "per_file": per_file,
            "layout": layout,
            "dtype": dtype,
        }
        return cls(
            settings=json.loads(json.dumps(settings)),
            record_shape=(survey.shots, survey.nt, survey.receivers_per_shot),
            model_shape=(1, *geology.shape),
            shards=[Shard(min(per_file, count - start)) for start in range(0, count, per_file)],
            version=seisfast.__version__,
        )

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            ValueError: When dataset.json is not one that seisfast wrote.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError(f'format must be "{FORMAT}"')
            for told in ("units", "complete"):
                content.pop(told)
            content["shards"] = [
                Shard(**{**shard, "files": tuple(File(**file) for file in shard["files"])})
                for shard in content["shards"]
            ]
            content["description"] = tuple(File(**file) for file in content["description"])
            content["record_shape"] = tuple(content["record_shape"])
            content["model_shape"] = tuple(content["model_shape"])
            return cls(**content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is not the description of a seisfast dataset: {error}") from error

    @property
    def complete(self) -> bool:
        """Whether all shards are ready."""
        return all(shard.ready for shard in self.shards)

    @property
    def error(self) -> float | None:
        """Largest relative L2 error of a record by half precision, as far as it is written."""
        return max((shard.error for shard in self.shards if shard.error is not None), default=None)

    @property
    def bytes(self) -> int:
        """Size of all finished files."""
        return sum(file.bytes for shard in self.shards for file in shard.files)

    def models(self, number: int) -> range:
        """Numbers of the models of a shard."""
        first = number * int(self.settings["per_file"])
        return range(first, first + self.shards[number].models)

    def bytes_of(self, models: int) -> int:
        """Size of so many models without headers or compression."""
        record, model = math.prod(self.record_shape), math.prod(self.model_shape)
        return models * (record * (2 if self.settings["dtype"] == "float16" else 4) + 4 * model)

    def save(self, folder: Path) -> None:
        """Replace dataset.json in one step, so that a kill leaves the old one or the new one."""
        content = {
            "format": FORMAT,
            "version": self.version,
            "complete": self.complete,
            "units": {"records": "pressure as seisfast.simulate returns it", "velocity": "m/s"},
            "settings": self.settings,
            "record_shape": self.record_shape,
            "model_shape": self.model_shape,
            "description": [dataclasses.asdict(file) for file in self.description],
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
        }
        replace_file(folder / NAME, json.dumps(content, indent=1).encode())

    def check_same(self, asked: Manifest, folder: Path) -> None:
        """Refuse to go on with other settings than those of the folder; warn of another version.

        Raises:
            ValueError: Naming every setting that differs, its value in the folder and the value asked for.
        """
        found = _differences("", self.settings, asked.settings)
        if found:
            raise ValueError(
                f"{folder} holds a dataset with other settings: {'; '.join(found)}. "
                "Give the same settings to go on with it, or another folder"
            )
        if self.version != asked.version:
            warnings.warn(
                f"{folder} was begun with seisfast {self.version} and goes on with {asked.version}: the last digits of "
                "its records may differ",
                stacklevel=4,
            )


def _differences(name: str, stored: Any, asked: Any) -> list[str]:  # noqa: ANN401 - JSON values
    if isinstance(stored, dict) and isinstance(asked, dict):
        missing = object()
        return [
            text
            for key in dict.fromkeys([*stored, *asked])
            for text in _differences(
                f"{name}.{key}" if name else key, stored.get(key, missing), asked.get(key, missing)
            )
        ]
    if stored == asked:
        return []
    return [f"{name} is {_short(stored)}, asked for {_short(asked)}"]


def _short(value: Any) -> str:  # noqa: ANN401 - JSON values
    text = "absent" if type(value) is object else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]} ... ({len(text)} characters)"
