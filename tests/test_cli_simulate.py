"""The command line of stored datasets: layouts, dry runs, checks, clusters."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import small_cli
from small_cli import ok
from small_data import SURVEY, contents

from seisfast.cli import main
from seisfast.data import StoredDataset
from seisfast.data import estimate as module_function

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


def test_what_does_not_fit_together(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--output is needed: the folder of the data set to check" in error(capsys, "simulate", "--check")
    assert "holds no dataset.json" in error(capsys, "simulate", "--check", "--output", str(tmp_path))
    assert "scheduler must be" in error(capsys, *words, "--scheduler", "nowhere")
    assert "per_file must be at least 1, got 0" in error(capsys, *words, "--per_file", "0")
