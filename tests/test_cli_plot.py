"""The plotting verb: pictures of models and records, feature maps, wavefields that move or stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest
import small_cli
from PIL import Image
from small_cli import ok, png

from seisfast.cli import main

folder, quiet = small_cli.folder, small_cli.quiet


def test_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, record = folder / "model.npy", folder / "record.npy"
    pictures: dict[str, list[object]] = {
        "model.png": ["--velocity", folder / "models.npy", "--index", 2, "--spacing", 10, "--cmap", "jet"],
        "survey.png": ["--velocity", model, "--survey", folder / "survey.json"],
        "errors.png": ["--velocity", model, "--predicted", model, folder / "models.npy", "--title", "A"],
        "wells.png": ["--velocity", model, "--predicted", model, "--profiles", "--survey", folder / "data"],
        "shots.png": ["--records", record, "--survey", folder / "data", "--perc", 95, "--shots", 0, 1],
        "plain.png": ["--records", folder / "records.npy", "--index", 4, "--cmap", "seismic"],
        "loss.png": [
            "--runs",
            folder / "runs" / "seisinvnet",
            folder / "runs" / "convbaseline",
            "--title",
            "B",
        ],
    }
    for name, options in pictures.items():
        ok(capsys, "plot", *options, "--output", tmp_path / name)
        assert png(tmp_path / name)
    ok(capsys, "plot", "--velocity", model, "--output", tmp_path / "new" / "model.pdf")
    assert (tmp_path / "new" / "model.pdf").read_bytes().startswith(b"%PDF")


def test_feature_maps_by_receiver_group(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "runs" / "seisinvnet"
    pictures: dict[str, tuple[list[object], int]] = {
        "test.png": (["--data", folder / "data"], 2),
        "train.png": (["--data", folder / "data", "--split", "train", "--count", 3, "--batch_size", 2], 3),
        "all.png": (["--data", folder / "data", "--split", "all", "--cmap", "magma"], 25),
        "records.png": (["--data", folder / "records.npy", "--count", 4, "--device", "cpu"], 4),
        "record.png": (["--data", folder / "record.npy", "--title", "One"], 1),
    }
    for name, (options, models) in pictures.items():
        text = ok(capsys, "plot", "features", "--checkpoint", run, *options, "--output", tmp_path / name)
        assert png(tmp_path / name)
        assert text.endswith(f"{tmp_path / name}\n")
        rows = [[float(share) for share in re.findall(r"([\d.]+) %", line)] for line in text.splitlines()[2:6]]
        assert all(len(row) == 4 and sum(row) == pytest.approx(100.0, abs=0.25) for row in rows)
        assert f"mean of {models} model" in text
    ok(capsys, "plot", "--checkpoint", run / "last.pt", "--data", folder / "data", "--output", tmp_path / "a.pdf",
       "features")  # fmt: skip


def test_a_wavefield_moves_or_stands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    survey = ["--survey", folder / "survey.json"]
    command = ["plot", "wavefield", "--velocity", folder / "models.npy", *survey]
    pictures: dict[str, list[object]] = {
        "new/moves.gif": ["--every", 8, "--shot", 1, "--index", 4, "--fps", 25, "--title", "A", "--device", "cpu"],
        "few.gif": ["--every", 20, "--perc", 95, "--cmap", "seismic"],
        "stands.png": [],
    }
    for name, options in pictures.items():
        assert ok(capsys, *command, *options, "--output", tmp_path / name) == f"{tmp_path / name}\n"
    for name, frames, milliseconds in (("new/moves.gif", 5, 40), ("few.gif", 2, 80)):
        with Image.open(tmp_path / name) as written:
            assert (written.n_frames, written.info["duration"]) == (frames, milliseconds)
    assert png(tmp_path / "stands.png")
    if shutil.which("ffmpeg"):
        ok(capsys, *command, "--every", 20, "--output", tmp_path / "moves.mp4")
        assert (tmp_path / "moves.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_video_needs_ffmpeg(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mpl.rcParams, "animation.ffmpeg_path", "no-such-program")
    arguments = ["plot", "wavefield", "--velocity", folder / "model.npy", "--survey", folder / "survey.json"]
    assert main([*map(str, arguments), "--output", str(tmp_path / "a.mp4")]) == 2
    assert "--output: .mp4 needs the program ffmpeg" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
