"""Datasets written to disk: layout, kills, full disks, other settings."""

from __future__ import annotations

import errno
import fcntl
import hashlib
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
from seisfast.data import StoredDataset, verify, write
from seisfast.data.manifest import Manifest
from seisfast.geology import CurveFault, SeisInv
from seisfast.propagator import simulate
from seisfast.survey import Survey

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


def copy_of(stored: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stored, folder / "copy"))


def forget(folder: Path, *shards: int) -> None:
    """Let dataset.json not know that these shards are finished."""
    content = json.loads((folder / "dataset.json").read_text())
    for number in shards:
        content["shards"][number]["files"] = []
    (folder / "dataset.json").write_text(json.dumps(content))


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
    assert [shard["models"] for shard in content["shards"]] == [10, 10, 5]
    for shard in content["shards"]:
        for file in shard["files"]:
            written = (stored / file["path"]).read_bytes()
            assert (file["bytes"], file["sha256"]) == (len(written), hashlib.sha256(written).hexdigest())
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
from seisfast.data import npy_files, write, writer
npy_files.SYNC_SECONDS = writer.SAVE_SECONDS = 0.0
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
    """Models in finished files, and whole ones in partial files."""
    try:
        shards = json.loads((folder / "dataset.json").read_text())["shards"]
    except FileNotFoundError:
        return 0
    partial = sum((path.stat().st_size - 128) // (20 * 24 * 4) for path in folder.glob("model*.partial"))
    return sum(shard["models"] for shard in shards if shard["files"]) + max(0, partial)


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
    with pytest.raises(ValueError, match=r"killed is not complete: \d of 8 shards"):
        StoredDataset(folder)
    finished = (folder / "data1.npy").stat().st_mtime_ns
    write(GEOLOGY, SURVEY, folder, count, per_file=50, batch=7, progress=False)
    assert (folder / "data1.npy").stat().st_mtime_ns == finished, "a finished file was written again"
    write(GEOLOGY, SURVEY, tmp_path / "whole", count, per_file=50, progress=False)
    assert contents(folder) == contents(tmp_path / "whole")


def interrupted(stored: Path, folder: Path) -> Path:
    """A copy of the dataset as a kill leaves it just before it gives the second pair of files its names."""
    target = copy_of(stored, folder)
    for name in ("data3.npy", "model3.npy"):
        (target / name).unlink()
    for name in ("data2.npy", "model2.npy"):
        (target / name).rename(target / f"{name}.partial")
    forget(target, 1, 2)
    return target


def resume(folder: Path) -> None:
    write(GEOLOGY, SURVEY, folder, 25, seed=4, per_file=10, batch=4, progress=False)


@pytest.mark.parametrize("safe", [0, 6, 10])
def test_what_did_not_reach_the_disk_is_written_again(stored: Path, tmp_path: Path, safe: int) -> None:
    folder = interrupted(stored, tmp_path)
    for name, stride in (("data2.npy.partial", 2 * 40 * 8 * 4), ("model2.npy.partial", 20 * 24 * 4)):
        with (folder / name).open("r+b") as file:
            file.seek(128 + safe * stride)
            file.write(bytes((10 - safe) * stride))
    resume(folder)
    assert contents(folder) == contents(stored)


@pytest.mark.parametrize("size", [0, 50, 128, 128 + 3000, 128 + 5 * 20 * 24 * 4 + 1])
def test_a_partial_file_cut_short_costs_only_what_is_lost(stored: Path, tmp_path: Path, size: int) -> None:
    folder = interrupted(stored, tmp_path)
    os.truncate(folder / "model2.npy.partial", size)
    resume(folder)
    assert contents(folder) == contents(stored)


@pytest.mark.parametrize("renamed", [("model2.npy",), ("model2.npy", "data2.npy")])
def test_a_kill_between_the_two_renamings(stored: Path, tmp_path: Path, renamed: tuple[str, ...]) -> None:
    folder = interrupted(stored, tmp_path)
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
    with pytest.warns(UserWarning, match=f"{name} is missing: its models are simulated again"):
        resume(folder)
    assert contents(folder) == contents(stored)


def test_a_truncated_file_is_told_and_made_again(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    os.truncate(folder / "data1.npy", 1000)
    untouched = (folder / "data2.npy").stat().st_ino
    with pytest.warns(UserWarning, match=r"data1\.npy has 1,000 bytes instead of 25,728: its models are simulated"):
        resume(folder)
    assert contents(folder) == contents(stored)
    assert (folder / "data2.npy").stat().st_ino == untouched


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))


def test_a_changed_bit_is_found_by_verify_and_made_again(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    assert verify(folder, progress=False) == []
    flip_a_bit(folder / "data2.npy")
    assert verify(folder, progress=False) == [f"{folder / 'data2.npy'} has another content than was written"]
    with pytest.raises(ValueError, match="copy is not complete: 2 of 3 shards"):
        StoredDataset(folder)
    with pytest.warns(UserWarning, match=r"data2\.npy or its partner was found changed: its models are sim"):
        resume(folder)
    assert contents(folder) == contents(stored)
    assert verify(folder, progress=False) == []


def test_files_that_come_back_are_taken_back(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / "data2.npy").rename(tmp_path / "away")
    assert len(verify(folder, progress=False)) == 1
    (tmp_path / "away").rename(folder / "data2.npy")
    assert verify(folder, progress=False) == []
    assert len(StoredDataset(folder)) == 25


def test_leftovers_of_another_run_are_not_taken_for_this_one(stored: Path, tmp_path: Path) -> None:
    folder = interrupted(stored, tmp_path)
    (folder / "dataset.json").unlink()
    with pytest.raises(ValueError, match=r"folder must be empty or hold a dataset\.json, got data1\.npy"):
        resume(folder)
    for path in folder.glob("*.npy"):
        path.unlink()
    with pytest.raises(ValueError, match=r"folder must be empty or hold a dataset\.json, got data2\.npy\.partial"):
        resume(folder)


def test_a_partial_file_with_another_header_is_begun_anew(stored: Path, tmp_path: Path) -> None:
    folder = interrupted(stored, tmp_path)
    with (folder / "data2.npy.partial").open("r+b") as file:
        file.seek(20)
        file.write(b"?")
    resume(folder)
    assert contents(folder) == contents(stored)


def test_a_start_that_fails_leaves_the_folder_free(tmp_path: Path) -> None:
    quiet = small_survey(wavelet=1e-6 * SURVEY.wavelet)
    with pytest.raises(ValueError, match="dtype must be float32"):
        write(GEOLOGY, quiet, tmp_path, 4, dtype="float16", progress=False)
    with pytest.raises(ValueError, match="scheduler must be"):
        write(GEOLOGY, quiet, tmp_path, 4, scheduler="nowhere", progress=False)
    assert contents(tmp_path) == {}
    write(GEOLOGY, quiet, tmp_path, 4, progress=False)


def test_a_full_disk_for_the_manifest_counts_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Manifest.save

    def full(self: Manifest, folder: Path) -> None:
        if sum(shard.ready for shard in self.shards) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, folder)

    monkeypatch.setattr(Manifest, "save", full)
    monkeypatch.setattr("seisfast.data.writer.SAVE_SECONDS", 0.0)
    with pytest.raises(OSError, match="no room left on the disk: 10 of 25 models are finished"):
        write_stored(tmp_path)
    monkeypatch.undo()
    write_stored(tmp_path)
    assert verify(tmp_path, progress=False) == []


def test_an_archive_is_checked_without_writing(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.open

    def reading(self: Path, mode: str = "r", **options: object) -> object:
        assert "w" not in mode, f"{self} is written to"
        return plain(self, mode, **options)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "open", reading)
    assert verify(stored, progress=False) == []
    assert write(GEOLOGY, SURVEY, stored, 25, seed=4, per_file=10, progress=False) == stored


def test_another_version_goes_on_with_a_warning(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted(stored, tmp_path)
    monkeypatch.setattr("seisfast.__version__", "99.0")
    with pytest.warns(UserWarning, match=r"was begun with seisfast .* and goes on with 99\.0"):
        resume(folder)


def test_verify_tells_what_is_missing(stored: Path, tmp_path: Path) -> None:
    folder = interrupted(stored, tmp_path)
    (folder / "model1.npy").unlink()
    told = [f"{folder / 'model1.npy'} is missing", f"{folder} is not complete: 2 of 3 shards are not written yet"]
    assert verify(folder, progress=False) == told
    with pytest.raises(FileNotFoundError, match=r"holds no dataset\.json"):
        verify(tmp_path, progress=False)


def test_a_full_disk_keeps_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    limit = 128 + 30 * 2 * 40 * 8 * 4 + 77
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    process = start_writing(folder, 60, before=full)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert "OSError: [Errno 27] no room left on the disk: 0 of 60 models are finished, what the unfinished" in stderr
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


# half precision


def relative_error(stored: torch.Tensor, true: torch.Tensor) -> float:
    """The largest relative L2 error of a record."""
    off = (stored.double() - true.double()).flatten(1).norm(dim=1)
    return float((off / true.double().flatten(1).norm(dim=1)).max())


def test_half_precision_states_its_error(tmp_path: Path) -> None:
    loud = small_survey(wavelet=1e3 * SURVEY.wavelet)
    write(GEOLOGY, loud, tmp_path, 12, per_file=5, batch=3, dtype="float16", progress=False)
    assert np.load(tmp_path / "data2.npy").dtype == np.float16
    dataset = StoredDataset(tmp_path)
    records, velocity = dataset.read(range(12))
    assert torch.equal(velocity[:, 0], GEOLOGY(range(12)))
    error = relative_error(records, simulate(velocity[:, 0], loud))
    assert dataset.error is not None
    assert 1e-4 < error <= dataset.error < 5e-4


def test_an_interrupted_half_precision_set_states_the_same_error(tmp_path: Path) -> None:
    loud = small_survey(wavelet=1e3 * SURVEY.wavelet)

    def fill(folder: Path) -> Path:
        return write(GEOLOGY, loud, folder, 10, per_file=5, batch=2, dtype="float16", progress=False)

    whole, broken = fill(tmp_path / "whole"), fill(tmp_path / "broken")
    for name in ("data1.npy", "model1.npy"):
        (broken / name).rename(broken / f"{name}.partial")
    os.truncate(broken / "model1.npy.partial", 128 + 3 * 20 * 24 * 4)
    forget(broken, 0)
    fill(broken)
    assert contents(broken) == contents(whole)


@pytest.mark.parametrize(("factor", "message"), [(1e8, "float16 ends at 65504"), (1e-6, "float16 may be wrong by")])
def test_records_that_float16_cannot_hold_are_refused(tmp_path: Path, factor: float, message: str) -> None:
    survey = small_survey(wavelet=factor * SURVEY.wavelet)
    with pytest.raises(ValueError, match=f"dtype must be float32, or the layout zarr, which scales: .*{message}"):
        write(GEOLOGY, survey, tmp_path, 4, dtype="float16", progress=False)
