"""dataset.json: what a stored dataset was made with, which files it has, and how far it is."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from seisfast.geology import Geology
from seisfast.survey import Survey

NAME = "dataset.json"
FORMAT = "seisfast dataset 1"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One pair of files: records `[models, shots, time, receivers]` and velocities `[models, 1, nz, nx]`."""

    data: str
    model: str
    models: int


@dataclasses.dataclass
class Manifest:
    """The content of dataset.json.

    Attributes:
        settings: geology, survey, seed, count and per_file as plain values.
        record_shape: (shots, time, receivers).
        model_shape: (1, nz, nx).
        shards: All pairs of files, in order.
        current: Number of the pair being written.
        current_models: Models of that pair that are safe on the disk.
        complete: Whether all pairs are written.
        version: The seisfast that wrote it.
    """

    settings: dict[str, Any]
    record_shape: tuple[int, int, int]
    model_shape: tuple[int, int, int]
    shards: list[Shard]
    current: int = 0
    current_models: int = 0
    complete: bool = False
    version: str = ""

    @classmethod
    def plan(cls, geology: Geology, survey: Survey, count: int, seed: int, per_file: int) -> Manifest:
        """The manifest of a dataset that is not begun; its files are numbered from 1, as OpenFWI's are."""
        import seisfast

        settings = {
            "geology": geology.to_dict(),
            "survey": {**survey.to_dict(), "shape": list(geology.shape)},
            "seed": seed,
            "count": count,
            "per_file": per_file,
        }
        shards = [
            Shard(f"data{number}.npy", f"model{number}.npy", min(per_file, count - start))
            for number, start in enumerate(range(0, count, per_file), start=1)
        ]
        return cls(
            settings=json.loads(json.dumps(settings)),
            record_shape=(survey.shots, survey.nt, survey.receivers_per_shot),
            model_shape=(1, *geology.shape),
            shards=shards,
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
            content.pop("units")
            content["shards"] = [Shard(**shard) for shard in content.pop("files")]
            content["record_shape"] = tuple(content["record_shape"])
            content["model_shape"] = tuple(content["model_shape"])
            return cls(**content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is not the description of a seisfast dataset: {error}") from error

    def save(self, folder: Path) -> None:
        """Replace dataset.json in one step, so that a kill leaves the old one or the new one."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        content["files"] = content.pop("shards")
        content["units"] = {"data": "pressure as seisfast.simulate returns it", "model": "m/s"}
        partial = folder / f"{NAME}.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / NAME)
        sync_folder(folder)

    def check_same(self, asked: Manifest, folder: Path) -> None:
        """Refuse to go on with other settings than those of the folder.

        Raises:
            ValueError: Naming every setting that differs, its value in the folder and the value asked for.
        """
        found = _differences("", self.settings, asked.settings)
        if found:
            raise ValueError(
                f"{folder} holds a dataset with other settings: {'; '.join(found)}. "
                "Give the same settings to go on with it, or another folder"
            )


def sync_folder(folder: Path) -> None:
    """Put new names of a folder on the disk (a file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
