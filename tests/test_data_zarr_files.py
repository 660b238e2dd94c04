"""Datasets as Zarr groups: layout, precision, kills, damage."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SURVEY, small_survey

from seisfast.data import StoredDataset, verify, write
from seisfast.data.shards import Simulation
from seisfast.propagator import simulate
from seisfast.survey import Survey

if sys.version_info < (3, 11):
    pytest.skip("zarr 3 needs Python 3.11", allow_module_level=True)
import zarr


def write_zarr(folder: Path, **changes: object) -> Path:
    """25 models in shards of 10, 10 and 5."""
    settings: dict[str, object] = {"seed": 4, "per_file": 10, "batch": 3, "layout": "zarr", "progress": False}
    return write(GEOLOGY, SURVEY, folder, 25, **{**settings, **changes})


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock" and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("stored"))


def copy_of(stored: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stored, folder / "copy"))


def test_zarr_itself_reads_models_and_what_they_are(stored: Path) -> None:
    group = zarr.open_group(stored, mode="r")
    velocity = GEOLOGY(range(25), seed=4)
    np.testing.assert_array_equal(group["velocity"][:, 0], velocity.numpy())
    np.testing.assert_array_equal(group["records"][7], simulate(velocity[7], SURVEY).numpy())
    assert group["records"].metadata.dimension_names == ("model", "shot", "time", "receiver")
    assert Survey.from_dict(group.attrs["settings"]["survey"]) == SURVEY
    assert group.attrs["settings"]["seed"] == 4
    assert group.attrs["units"]["velocity"] == "m/s"
    assert sorted(path.name for path in (stored / "records" / "c").iterdir()) == ["0", "1", "2"]


def test_one_model_is_read_without_the_rest_of_its_shard(stored: Path) -> None:
    array = zarr.open_group(stored, mode="r")["records"]
    assert array.chunks == (1, 2, 40, 8)
    assert array.shards == (10, 2, 40, 8)


def test_a_dataset_reads_it_like_any_other(stored: Path) -> None:
    dataset = StoredDataset(stored, [24, 3, 3])
    records, velocity = dataset.read([0, 1, 2])
    expected = GEOLOGY([24, 3, 3], seed=4)
    assert torch.equal(velocity[:, 0], expected)
    assert torch.equal(records, simulate(expected, SURVEY))
    assert dataset.survey == SURVEY
    assert dataset.geology == GEOLOGY
    assert dataset.where(0) == " (row 24 of records)"
    assert torch.equal(dataset.velocity(1), velocity[1])
    copied = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copied[0][0], records[0])


def test_a_group_without_dataset_json_is_read_too(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / "dataset.json").unlink()
    dataset = StoredDataset(folder)
    assert len(dataset) == 25
    assert dataset.survey == SURVEY


def test_half_precision_is_scaled_and_states_its_error(tmp_path: Path) -> None:
    quiet = small_survey(wavelet=1e-12 * SURVEY.wavelet)
    folder = write(GEOLOGY, quiet, tmp_path, 12, per_file=5, layout="zarr", dtype="float16", progress=False)
    dataset = StoredDataset(folder)
    records, velocity = dataset.read(range(12))
    true = simulate(velocity[:, 0], quiet)
    off = (records.double() - true.double()).flatten(1).norm(dim=1) / true.double().flatten(1).norm(dim=1)
    assert dataset.error is not None
    assert 1e-4 < off.max() <= dataset.error < 5e-4
    scale = zarr.open_group(folder, mode="r")["scale"][:]
    assert np.all(np.frexp(scale)[0] == 0.5), "a power of two costs no digit"


def test_silent_records_keep_a_scale_of_one(tmp_path: Path) -> None:
    silent = small_survey(wavelet=torch.zeros(40))
    folder = write(GEOLOGY, silent, tmp_path, 3, layout="zarr", dtype="float16", progress=False)
    assert verify(folder, progress=False) == []
    dataset = StoredDataset(folder)
    assert not dataset.read(range(3))[0].any()
    assert dataset.error == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_kill_costs_the_shard_that_was_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    loud = small_survey(wavelet=1e3 * SURVEY.wavelet)

    def fill(folder: Path) -> Path:
        return write(GEOLOGY, loud, folder, 25, per_file=10, batch=3, layout="zarr", dtype=dtype, progress=False)

    made: list[range] = []
    plain = Simulation.batches

    def dying(self: Simulation, models: range) -> object:
        for batch in plain(self, models):
            made.append(models)
            if len(made) == 6:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(Simulation, "batches", dying)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "broken")
    monkeypatch.undo()
    shards = json.loads((tmp_path / "broken" / "dataset.json").read_text())["shards"]
    assert [bool(shard["files"]) for shard in shards] == [True, False, False]
    assert files(fill(tmp_path / "broken")) == files(fill(tmp_path / "whole"))


def test_files_that_dataset_json_does_not_know_yet_are_not_made_again(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    content = json.loads((folder / "dataset.json").read_text())
    content["shards"][1]["files"] = []
    (folder / "dataset.json").write_text(json.dumps(content))
    before = (folder / "records/c/1/0/0/0").stat().st_ino
    write_zarr(folder)
    assert files(folder) == files(stored)
    assert (folder / "records/c/1/0/0/0").stat().st_ino == before


def test_a_truncated_shard_is_told_and_made_again(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    os.truncate(folder / "records/c/2/0/0/0", 100)
    with pytest.warns(UserWarning, match=r"records/c/2/0/0/0 has 100 bytes instead of .*: its models are simulated"):
        write_zarr(folder)
    assert files(folder) == files(stored)


@pytest.mark.parametrize("place", [1000, -20], ids=["body", "index"])
def test_a_changed_shard_is_found_and_refused_when_read(stored: Path, tmp_path: Path, place: int) -> None:
    folder = copy_of(stored, tmp_path)
    path = folder / "records/c/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"records is damaged \(.*\); seisfast simulate --check --output"):
        StoredDataset(folder).read(range(10))
    assert verify(folder, progress=False) == [f"{path} has another content than was written"]
    with pytest.warns(UserWarning, match="or its partner was found changed: its models are simulated again"):
        write_zarr(folder)
    assert files(folder) == files(stored)


def test_a_missing_shard_is_not_read_as_nothing(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / "records/c/1/0/0/0").unlink()
    with pytest.raises(ValueError, match=r"records/c/1/0/0/0 is missing; run the command that made"):
        StoredDataset(folder)


@pytest.mark.parametrize("name", ["records/zarr.json", "scale/zarr.json", "zarr.json"])
@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_a_damaged_description_is_found_and_mended(tmp_path: Path, name: str, damage: str) -> None:
    loud = small_survey(wavelet=1e3 * SURVEY.wavelet)
    settings = {"per_file": 5, "layout": "zarr", "dtype": "float16", "progress": False}
    folder = write(GEOLOGY, loud, tmp_path, 10, **settings)
    before = files(folder)
    (folder / name).unlink() if damage == "gone" else (folder / name).write_bytes(b"")
    assert len(verify(folder, progress=False)) == 1
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        StoredDataset(folder)
    write(GEOLOGY, loud, tmp_path, 10, **settings)
    assert files(folder) == before


def test_the_layout_is_a_setting(stored: Path) -> None:
    with pytest.raises(ValueError, match=r'other settings: layout is "zarr", asked for "npy"'):
        write_zarr(stored, layout="npy")
    with pytest.raises(ValueError, match="layout must be one of npy, zarr, got 'hdf5'"):
        write_zarr(stored, layout="hdf5")
    with pytest.raises(ValueError, match="dtype must be one of float32, float16, got 'float64'"):
        write_zarr(stored, dtype="float64")


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"records": (3, 2, 40, 8)}, ValueError, "must have the array velocity, it has records"),
        ({"records": (3, 2, 40), "velocity": (3, 1, 5, 5)}, ValueError, r"\[models, shots, time, receivers\], got"),
        ({"records": (3, 2, 40, 8), "velocity": (3, 5, 5, 1)}, ValueError, r"\[models, 1, nz, nx\], got"),
        ({"records": (3, 2, 40, 8), "velocity": (4, 1, 5, 5)}, ValueError, "as many velocity as records, got 4 and 3"),
    ],
)
def test_groups_that_are_no_datasets(
    tmp_path: Path, arrays: dict[str, tuple[int, ...]], error: type[Exception], message: str
) -> None:
    group = zarr.create_group(tmp_path)
    for name, shape in arrays.items():
        group.create_array(name, shape=shape, dtype="float32")
    with pytest.raises(error, match=message):
        StoredDataset(tmp_path)


def test_whole_numbers_are_no_records(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path)
    for name, shape in {"records": (3, 2, 40, 8), "velocity": (3, 1, 5, 5)}.items():
        group.create_array(name, shape=shape, dtype="int16")
    with pytest.raises(TypeError, match="records must hold floating-point numbers, got int16"):
        StoredDataset(tmp_path)
