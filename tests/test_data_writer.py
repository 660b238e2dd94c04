"""Datasets written to disk: layout, kills, full disks, other settings."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SHAPE, SURVEY, contents, small_survey, write_stored

from seisfast.boundaries import CPML
from seisfast.data import StoredDataset, write
from seisfast.geology import CurveFault, SeisInv
from seisfast.propagator import simulate
from seisfast.survey import Survey

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


def copy_of(stored: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stored, folder / "copy"))


def edit_manifest(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))


def test_files_have_openfwis_layout_and_the_records_of_the_models(stored: Path) -> None:
    expected = [
        "data1.npy",
        "data2.npy",
        "data3.npy",
        "dataset.json",
        "model1.npy",
        "model2.npy",
        "model3.npy",
    ]
    assert list(contents(stored)) == expected
    velocity = GEOLOGY(range(25), seed=4)
    for number, models in enumerate(velocity.split(10), start=1):
        data, model = (np.load(stored / f"{name}{number}.npy") for name in ("data", "model"))
        assert data.dtype == model.dtype == np.dtype("<f4")
        np.testing.assert_array_equal(model, models[:, None].numpy())
        np.testing.assert_array_equal(data, simulate(models, SURVEY).numpy())
        assert np.abs(data).max() > 0


def test_files_do_not_depend_on_the_batch(stored: Path, tmp_path: Path) -> None:
    write(GEOLOGY, SURVEY, tmp_path, 25, seed=4, per_file=10, batch=100, progress=False)
    assert contents(tmp_path) == contents(stored)


def test_manifest_tells_how_it_was_made(stored: Path) -> None:
    content = json.loads((stored / "dataset.json").read_text())
    assert content["complete"] is True
    assert content["settings"]["seed"] == 4
    assert Survey.from_dict(content["settings"]["survey"]) == SURVEY
    assert [file["models"] for file in content["files"]] == [10, 10, 5]
    assert content["record_shape"] == [2, 40, 8]


def test_a_finished_dataset_is_left_alone(stored: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in stored.glob("*.npy")}
    open_survey = small_survey(shape=None)
    assert write(GEOLOGY, open_survey, stored, 25, seed=4, per_file=10, progress=False) == stored
    assert {path: path.stat().st_mtime_ns for path in stored.glob("*.npy")} == before


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
sys.path.insert(0, {tests!r})
from small_data import GEOLOGY, SURVEY
from seisfast.data import write
{before}
write(GEOLOGY, SURVEY, {folder!r}, {count}, per_file=50, batch=1)
"""


def start_writing(folder: Path, count: int, before: str = "") -> subprocess.Popen[str]:
    script = SCRIPT.format(
        root=str(ROOT),
        tests=str(ROOT / "tests"),
        folder=str(folder),
        count=count,
        before=textwrap.dedent(before),
    )
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)


def models_written(folder: Path) -> int:
    """Models that dataset.json vouches for."""
    try:
        content = json.loads((folder / "dataset.json").read_text())
    except FileNotFoundError:
        return 0
    return sum(file["models"] for file in content["files"][: content["current"]]) + content["current_models"]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    count, folder = 400, tmp_path / "killed"
    done = []
    for goal in (20, 70):
        process = start_writing(folder, count)
        deadline = time.monotonic() + 60
        while models_written(folder) < goal and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
        done.append(models_written(folder))
    assert 20 <= done[0] < done[1] < count
    with pytest.raises(ValueError, match=r"killed is not complete: \d of 8 pairs of files"):
        StoredDataset(folder)
    finished = (folder / "data1.npy").stat().st_mtime_ns
    write(GEOLOGY, SURVEY, folder, count, per_file=50, batch=7, progress=False)
    assert (folder / "data1.npy").stat().st_mtime_ns == finished, "a finished file was written again"
    write(GEOLOGY, SURVEY, tmp_path / "whole", count, per_file=50, progress=False)
    assert contents(folder) == contents(tmp_path / "whole")


def interrupted(stored: Path, folder: Path, models: int) -> Path:
    """A copy of the dataset as a kill leaves it that had `models` of the second pair counted."""
    target = copy_of(stored, folder)
    for name in ("data3.npy", "model3.npy"):
        (target / name).unlink()
    for name in ("data2.npy", "model2.npy"):
        (target / name).rename(target / f"{name}.partial")
    edit_manifest(target, complete=False, current=1, current_models=models)
    return target


def resume(folder: Path) -> None:
    write(GEOLOGY, SURVEY, folder, 25, seed=4, per_file=10, batch=4, progress=False)


@pytest.mark.parametrize("counted", [0, 6, 10])
def test_what_was_not_counted_is_written_again(stored: Path, tmp_path: Path, counted: int) -> None:
    folder = interrupted(stored, tmp_path, counted)
    stride = 2 * 40 * 8 * 4
    with (folder / "data2.npy.partial").open("r+b") as file:
        file.seek(128 + counted * stride)
        file.write(b"\x07" * ((10 - counted) * stride))
    resume(folder)
    assert contents(folder) == contents(stored)


@pytest.mark.parametrize("size", [0, 50, 128, 128 + 3000, 128 + 5 * 20 * 24 * 4 + 1])
def test_a_partial_file_cut_short_costs_only_what_is_lost(stored: Path, tmp_path: Path, size: int) -> None:
    folder = interrupted(stored, tmp_path, 9)
    os.truncate(folder / "model2.npy.partial", size)
    resume(folder)
    assert contents(folder) == contents(stored)


@pytest.mark.parametrize("renamed", [("model2.npy",), ("model2.npy", "data2.npy")])
def test_a_kill_between_the_two_renamings(stored: Path, tmp_path: Path, renamed: tuple[str, ...]) -> None:
    folder = interrupted(stored, tmp_path, 10)
    for name in renamed:
        (folder / f"{name}.partial").rename(folder / name)
    before = {path.stat().st_ino for path in folder.glob("data2.npy*")}
    resume(folder)
    assert contents(folder) == contents(stored)
    assert {(folder / "data2.npy").stat().st_ino} == before, "a full file was simulated again"


@pytest.mark.parametrize("name", ["data2.npy", "model1.npy"])
def test_a_deleted_file_is_made_again(stored: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / name).unlink()
    resume(folder)
    assert contents(folder) == contents(stored)


def test_a_damaged_file_is_named_on_resume(stored: Path, tmp_path: Path) -> None:
    folder = interrupted(stored, tmp_path, 3)
    os.truncate(folder / "data1.npy", 1000)
    with pytest.raises(ValueError, match=r"data1\.npy is damaged: 10 models make 25728 bytes, found 1000"):
        resume(folder)
    (folder / "data1.npy").unlink()
    resume(folder)
    assert contents(folder) == contents(stored)


def test_a_full_disk_keeps_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    limit = 128 + 30 * 2 * 40 * 8 * 4 + 77
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    process = start_writing(folder, 60, before=full)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert "OSError: [Errno 27] no room left on the disk: 30 of 60 models are written and kept" in stderr
    assert models_written(folder) == 30
    write(GEOLOGY, SURVEY, folder, 60, per_file=50, progress=False)
    write(GEOLOGY, SURVEY, tmp_path / "whole", 60, per_file=50, progress=False)
    assert contents(folder) == contents(tmp_path / "whole")


def test_too_little_room_is_told_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 5_000, 5_000))
    stride = 4 * (2 * 40 * 8 + 20 * 24)
    with pytest.raises(OSError, match=rf"too little room .* {1000 * stride:,} bytes .* needed, 5,000 bytes") as caught:
        write(GEOLOGY, SURVEY, tmp_path / "new", 1000, progress=False)
    assert caught.value.errno == errno.ENOSPC
    assert not list((tmp_path / "new").glob("data*"))
    write(GEOLOGY, SURVEY, tmp_path / "new", 1, progress=False)


def test_two_processes_do_not_write_the_same_folder(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another process is writing this dataset"):
            write(GEOLOGY, SURVEY, tmp_path, 3, progress=False)
    write(GEOLOGY, SURVEY, tmp_path, 3, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "seed is 4, asked for 5"),
        ({"count": 26}, "count is 25, asked for 26"),
        ({"per_file": 5}, "per_file is 10, asked for 5"),
        ({"geology": CurveFault(shape=SHAPE)}, 'geology.name is "SeisInv", asked for "CurveFault"'),
        (
            {"geology": SeisInv(shape=SHAPE, interfaces=(2,))},
            r"geology.interfaces is \[1, 2, 3, 4\], asked for \[2\]",
        ),
        ({"survey": small_survey(dt=9e-4)}, "survey.dt is 0.001, asked for 0.0009"),
        ({"survey": small_survey(boundary=CPML(5))}, "survey.boundary.width is 4, asked for 5"),
        (
            {"survey": small_survey(wavelet=torch.ones(40))},
            r"survey.wavelet is \[.* \.\.\. \(\d+ characters\), asked for",
        ),
    ],
)
def test_other_settings_are_refused(stored: Path, changes: dict[str, object], message: str) -> None:
    before = contents(stored)
    settings = {"geology": GEOLOGY, "survey": SURVEY, "count": 25, "seed": 4, "per_file": 10, **changes}
    with pytest.raises(ValueError, match=f"other settings: {message}"):
        write(folder=stored, progress=False, **settings)
    assert contents(stored) == before


def test_all_differences_are_named(stored: Path) -> None:
    with pytest.raises(ValueError, match=r"survey\.order is 4, asked for 2; seed is 4, asked for 0; count is 25"):
        write(GEOLOGY, small_survey(order=2), stored, 9, per_file=10, progress=False)


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "data1.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"folder must be empty or hold a dataset\.json, got data1\.npy"):
        write(GEOLOGY, SURVEY, tmp_path, 3, progress=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "zarr"}', '{"format": "seisfast dataset 1"}'])
def test_a_damaged_manifest_is_named(stored: Path, tmp_path: Path, text: str) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json is not the description of a seisfast dataset"):
        StoredDataset(folder)
    with pytest.raises(ValueError, match=r"dataset\.json is not the description of a seisfast dataset"):
        resume(folder)


def test_progress_bar_counts_models(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(GEOLOGY, SURVEY, tmp_path, 3)
    assert capfd.readouterr() == ("", ""), "no bar where there is no terminal"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda f: write("SeisInv", SURVEY, f, 3),
            TypeError,
            "geology must be a seisfast.geology.Geology, got str",
        ),
        (lambda f: write(GEOLOGY, {}, f, 3), TypeError, "survey must be a seisfast.Survey, got dict"),
        (
            lambda f: write(SeisInv(), SURVEY, f, 3),
            ValueError,
            r"survey must have the shape \(100, 100\) of the geology",
        ),
        (
            lambda f: write(SeisInv(shape=(8, 8)), small_survey(shape=None), f, 3),
            ValueError,
            r"sources must lie inside",
        ),
        (
            lambda f: write(GEOLOGY, small_survey(dt=2e-3), f, 3),
            ValueError,
            "survey.dt must be at most 0.0015.* got 0.002",
        ),
        (
            lambda f: write(GEOLOGY, small_survey(wavelet=torch.ones(3, 2, 1, 40)), f, 3),
            ValueError,
            "one wavelet for all models",
        ),
        (lambda f: write(GEOLOGY, SURVEY, f, 0), ValueError, "count must be at least 1, got 0"),
        (lambda f: write(GEOLOGY, SURVEY, f, 2.0), TypeError, "count must be a whole number, got 2.0"),
        (lambda f: write(GEOLOGY, SURVEY, f, 3, per_file=0), ValueError, "per_file must be at least 1"),
        (lambda f: write(GEOLOGY, SURVEY, f, 3, batch=-1), ValueError, "batch must be at least 1"),
        (lambda f: write(GEOLOGY, SURVEY, f, 3, seed=-1), ValueError, "seed must lie in"),
    ],
)
def test_bad_arguments(tmp_path: Path, make: Callable[[Path], object], error: type[Exception], message: str) -> None:
    folder = tmp_path / "new"
    with pytest.raises(error, match=message):
        make(folder)
    assert not folder.exists(), "nothing is begun"
