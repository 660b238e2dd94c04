"""The verb that simulates: stored datasets with layouts, dry runs, checks, clusters; one file in parts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import small_cli
import torch
from small_cli import ok
from small_data import GEOLOGY, SURVEY, contents, small_survey

from seisfast import in_parts, simulate
from seisfast.cli import main
from seisfast.data import StoredDataset, progress
from seisfast.data import estimate as module_function
from seisfast.evaluation import relative_error

quiet = small_cli.quiet


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a small dataset."""
    monkeypatch.setattr(sys.modules[module_function.__module__], "SECONDS", 0.0)
    (tmp_path / "survey.json").write_text(json.dumps(SURVEY.to_dict()))
    survey = str(tmp_path / "survey.json")
    geology = ["--geology", "seisinv", "--geology_options.shape", "[20,24]"]
    return [
        "simulate",
        *geology,
        "--survey",
        survey,
        "--count",
        "12",
        "--per_file",
        "5",
        "--output",
        str(tmp_path / "set"),
    ]


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_dry_run_tells_bytes_and_time_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ok(capsys, *words, "--dry-run").splitlines()
    assert told[0] == f"{tmp_path / 'set'}: 12 models in 3 shards, 0 of them ready"
    assert told[1].startswith("53.8 kB in all, 4.48 kB per model; ")
    assert told[2].startswith("0 s for the rest at ")
    assert not (tmp_path / "set").exists()


def test_check_finds_damage_and_the_same_command_mends_it(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    ok(capsys, *words)
    before = contents(folder)
    assert ok(capsys, "simulate", "--check", "--output", folder) == f"{folder}: all files are as they were written\n"
    os.truncate(folder / "data2.npy", 3000)
    message = error(capsys, "simulate", "--check", "--output", str(folder))
    assert "data2.npy has 3000 bytes" in message.replace(",", "")
    assert "given again, makes what is missing or changed" in message
    main(words)
    assert "data2.npy has 3,000 bytes instead of 12,928: its models are simulated again" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs 3.11")
def test_zarr_in_half_precision(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ok(capsys, *words, "--layout", "zarr", "--half")
    assert "half precision: relative L2 error of a record at most 0.000" in told
    assert StoredDataset(tmp_path / "set").geometry["samples"] == 40


def test_options_of_sets_are_refused_beside_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.npy"
    np.save(model, np.full((20, 24), 2000.0, np.float32))
    words = ["simulate", "--velocity", str(model), "--survey", "seisinv", "--output"]
    for option in (["--dry-run"], ["--half"], ["--layout", "zarr"], ["--count", "3"], ["--scheduler", "local"]):
        assert "belongs to --geology, not to --velocity" in error(capsys, *words, str(tmp_path / "r.npy"), *option)
    assert "--output must be another file than --velocity" in error(capsys, *words, str(model))
    assert not (tmp_path / "r.npy").exists()


def test_what_does_not_fit_together(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--output is needed: the folder of the data set to check" in error(capsys, "simulate", "--check")
    assert "holds no dataset.json" in error(capsys, "simulate", "--check", "--output", str(tmp_path))
    assert "scheduler must be" in error(capsys, *words, "--scheduler", "nowhere")
    assert "per_file must be at least 1, got 0" in error(capsys, *words, "--per_file", "0")


def test_one_file_is_made_in_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "survey.json").write_text(json.dumps(SURVEY.to_dict()))
    models = GEOLOGY(range(5), 2)
    np.save(tmp_path / "models.npy", models)
    np.save(tmp_path / "expected.npy", simulate(models, SURVEY).numpy())
    command = ["simulate", "--velocity", tmp_path / "models.npy", "--survey", tmp_path / "survey.json",
               "--engine", "cpu", "--output", tmp_path / "new" / "records.npy"]  # fmt: skip
    monkeypatch.setattr(in_parts, "CPU_BYTES", 3 * 40 * 8 * 4)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told = ok(capsys, *command, "--compare", tmp_path / "expected.npy")
    assert told.splitlines()[0] == f"{tmp_path / 'new' / 'records.npy'}: [5, 2, 40, 8] float32"
    assert ": 0.00e+00 over samples 0 to 39" in told
    assert (tmp_path / "new" / "records.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["records.npy"]
    assert main([*map(str, command)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith("simulate: ")] == [
        *(f"simulate: {2 * k} of 10 shots ({20 * k} %)" for k in range(1, 6)), "simulate: 10 of 10 shots in 0:00:00",
    ]  # fmt: skip


def test_the_difference_is_that_of_all_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "survey.json").write_text(json.dumps(SURVEY.to_dict()))
    models = GEOLOGY(range(3), 2)
    np.save(tmp_path / "models.npy", models)
    records = simulate(models, SURVEY)
    other = records * torch.tensor([1.0, 1.25, 0.5])[:, None, None, None]
    other[:, :, -1] = 0.0
    np.save(tmp_path / "other.npy", other)
    np.save(tmp_path / "zero.npy", np.zeros_like(other))
    monkeypatch.setattr(in_parts, "CPU_BYTES", 1)
    command = ["simulate", "--velocity", tmp_path / "models.npy", "--survey", tmp_path / "survey.json", "--compare"]
    expected, samples = relative_error(records, other)
    told = ok(capsys, *command, tmp_path / "other.npy")
    assert f"{expected:.2e} over samples 0 to {samples - 1} (the last sample of every trace is zero" in told
    assert samples == 39
    assert "must not be zero everywhere" in error(capsys, *map(str, command), str(tmp_path / "zero.npy"))


def test_a_run_that_fails_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loud = SURVEY.wavelet.expand(3, 2, 1, 40).clone()
    loud[2] = 3e38
    (tmp_path / "survey.json").write_text(json.dumps(small_survey(wavelet=loud).to_dict()))
    np.save(tmp_path / "models.npy", GEOLOGY(range(3), 2))
    (tmp_path / "old.npy").write_text("old")
    command = ["simulate", "--velocity", tmp_path / "models.npy", "--survey", tmp_path / "survey.json", "--output"]
    assert "shot 0 of model 2 is not finite" in error(capsys, *map(str, command), str(tmp_path / "old.npy"))
    assert (tmp_path / "old.npy").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models.npy", "old.npy", "survey.json"]


def test_an_engine_belongs_to_one_file(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--engine belongs to --velocity, not to --geology, got cpu" in error(capsys, *words, "--engine", "cpu")
    np.save(tmp_path / "model.npy", GEOLOGY([0])[0])
    one = ["simulate", "--velocity", str(tmp_path / "model.npy"), "--survey", str(tmp_path / "survey.json"),
           "--device", "cpu", "--output", str(tmp_path / "a.npy"), "--engine"]  # fmt: skip
    assert "engine must be one of" in error(capsys, *one, "warp")
    assert "engine 'tiled' does not run on cpu" in error(capsys, *one, "tiled")
    assert not (tmp_path / "a.npy").exists()
