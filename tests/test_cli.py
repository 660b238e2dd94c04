"""The command line: help and facts, genuine records, the whole road from simulation to report, files, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_cli
from small_cli import ok, png

from seisfast.cli import VERBS, main
from seisfast.training import read_log

folder, quiet = small_cli.folder, small_cli.quiet
ROOT = Path(__file__).resolve().parent.parent
SMALL_SURVEY = ["--survey", "seisinv", "--survey_options", "{nt: 60, shots: 2, receivers: 6}"]
SMALL_GEOLOGY = ["--geology", "seisinv", "--geology_options.shape", "[20, 24]"]
NARROW = ["--network", "convbaseline", "--network_options.width", "0.05", "--loss", "l2", "--batch_size", "6"]


# Help and facts


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: seisfast {verb} [options]")
    options = re.findall(r"^  (--\w+)", text, re.MULTILINE)
    assert len(options) > 1
    assert "NoneType" not in text
    assert "type:" not in text


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seisfast", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(f"\n    {verb} " in done.stdout for verb in VERBS)


def test_info_names_the_build_and_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    text = ok(capsys, "info", "--shape", 100, 100)
    for word in (
        "seisfast ",
        "torch ",
        "cuda ",
        "architectures ",
        "vector level ",
        "threads ",
        "devices ",
        "128 x 128",
    ):
        assert word in text
    assert "310 x 310" in ok(capsys, "info", "--shape", 70, 70, "--boundary", "sponge")
    assert "engine" not in ok(capsys, "info")


# Genuine records


@pytest.mark.parametrize(
    ("records", "options", "limit", "last"),
    [
        ("openfwi_sample/seismic", "", 5e-5, 998),
        ("marmousi_pair/geo_split_client1", "--sources 0:85:21 --receivers 0:95", 1e-4, 999),
        ("marmousi_pair/geo_split_client2", "--sources 105:190:21 --receivers 95:190", 1e-4, 999),
        ("marmousi_pair/freq_split_client1", "--sources 0:85:21 --receivers 0:95 --frequency 5", 1e-4, 999),
        (
            "marmousi_pair/freq_split_client2",
            "--sources 105:190:21 --receivers 95:190 --frequency 20",
            1e-4,
            999,
        ),
        ("marmousi_pair/density_split_client2", "--sources 105:190:21 --receivers 95:190:3", 1e-4, 999),
    ],
)
def test_genuine_records_are_reproduced(
    records: str, options: str, limit: float, last: int, data_dir: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    velocity = data_dir / Path(records).parent / "velocity.npy"
    reference = data_dir / f"{records}.npy"
    code = main(["simulate", "--velocity", str(velocity), "--survey", "openfwi", *options.split(),
                 "--compare", str(reference), "--output", str(tmp_path / "d.npy")])  # fmt: skip
    captured = capsys.readouterr()
    assert code == 0, captured.err
    found = re.search(r"relative L2 error to \S+: (\S+) over samples 0 to (\d+)", captured.out)
    assert found is not None, captured.out
    assert float(found[1]) < limit
    assert int(found[2]) == last
    assert ("the last sample of every trace is zero there" in captured.out) == (last == 998)
    assert ("seisfast: warning: 3 points per shortest wavelength" in captured.err) == ("20" in options.split())
    written, expected = np.load(tmp_path / "d.npy"), np.load(reference)
    assert written.shape == expected.shape
    assert written.dtype == np.float32


# The whole road


def test_from_simulation_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    simulate = ["simulate", *SMALL_GEOLOGY, *SMALL_SURVEY, "--count", 14, "--per_file", 8, "--output", data]
    assert "14 models of SeisInv" in ok(capsys, *simulate)
    before = (data / "data1.npy").stat().st_mtime_ns
    ok(capsys, *simulate)
    assert (data / "data1.npy").stat().st_mtime_ns == before

    (tmp_path / "train.yaml").write_text("epochs: 1\nlr: 2.0e-3\nnetwork_options:\n  width: 0.05\n")
    train = [
        "train",
        "--config",
        tmp_path / "train.yaml",
        "--data",
        data,
        "--run",
        run,
        *NARROW,
        "--epochs",
        2,
    ]
    assert ok(capsys, *train).endswith(f"{run / 'best.pt'}\n")
    echoed = (run / "config.yaml").read_text()
    for line in (f'data: "{data}"', "epochs: 2", "lr: 0.002", 'network: "convbaseline"'):
        assert line in echoed.splitlines()
    ok(capsys, "train", "--config", run / "config.yaml", "--resume", "--epochs", 3)
    assert [row["epoch"] for row in read_log(run)] == [1, 2, 3]

    text = ok(capsys, "evaluate", "--checkpoint", run, run / "last.pt", "--data", data, "--output", out,
              "--misfit", 1, "--examples", 1)  # fmt: skip
    for name in (
        "ConvBaseline (run/best)",
        "ConvBaseline (run/last)",
        "mean model",
        "best velocity-with-depth",
    ):
        assert name in text
    assert {path.name for path in out.iterdir()} == {
        "figures", "metrics.csv", "metrics.json", "report.html", "table.txt"
    }  # fmt: skip
    assert all(png(path) for path in (out / "figures").iterdir())
    everything = ok(capsys, "evaluate", "--checkpoint", run, "--data", data, "--output", out, "--split", "all")
    assert "14 test models" in everything
    assert "mean model" not in everything, "references made of the test models would be unfair"


def test_endless_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    ok(capsys, "train", *SMALL_GEOLOGY, *SMALL_SURVEY, "--sources", "3:20:10", "--depth", 2, "--count", 12,
       "--validation_count", 6, "--repeats", 3, "--run", run, *NARROW, "--epochs", 1)  # fmt: skip
    ok(capsys, "train", "--config", run / "config.yaml", "--resume", "--epochs", 2)
    assert [row["batches"] for row in read_log(run)] == [6, 6]


def test_prediction_of_files(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "runs" / "seisinvnet"
    one = ok(capsys, "predict", "--checkpoint", run, "--records", folder / "record.npy",
             "--output", tmp_path / "one.npy")  # fmt: skip
    assert "one.npy: [20, 24]" in one
    velocity = np.load(tmp_path / "one.npy")
    assert velocity.shape == (20, 24)
    assert velocity.min() >= 1500.0
    assert png(tmp_path / "one.png")
    many = ok(capsys, "predict", "--checkpoint", run / "last.pt", "--records", folder / "records.npy",
              "--output", tmp_path / "many.npy", "--truth", folder / "models.npy",
              "--misfit", "--index", 3)  # fmt: skip
    assert np.load(tmp_path / "many.npy").shape == (5, 20, 24)
    found = {name: float(value) for name, value in re.findall(r"(\w+) ([\d.e+-]+)(?:,|\n)", many)}
    truth = np.load(folder / "models.npy")[:, 0]
    assert found["mae_ms"] == pytest.approx(np.abs(np.load(tmp_path / "many.npy") - truth).mean(), rel=1e-3)
    assert "data misfit 0." in many


def test_one_model_over_any_survey(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "d.npy"
    for name, shape in (("model", (2, 40, 8)), ("models", (5, 2, 40, 8))):
        velocity = folder / f"{name}.npy"
        ok(capsys, "simulate", "--velocity", velocity, "--survey", folder / "survey.json", "--output", out)
        assert np.load(out).shape == shape
    text = ok(capsys, "simulate", "--velocity", folder / "model.npy", "--survey", folder / "survey.json",
              "--compare", folder / "record.npy", "--dtype", "float64")  # fmt: skip
    assert float(text.split(": ")[1].split()[0]) < 1e-5
    ok(capsys, "simulate", "--velocity", folder / "model.npy", "--survey", folder / "survey.json",
       "--frequency", 12, "--receivers", "0:24:2", "--output", out)  # fmt: skip
    assert np.load(out).shape == (2, 40, 12)


# Ctrl-C


def test_ctrl_c_saves_and_prints_the_command_that_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--data", str(folder / "data"), "--run", str(run), *NARROW, "--epochs", "100000"]
    child = subprocess.Popen(
        [sys.executable, "-m", "seisfast", *arguments], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    end = time.monotonic() + 60
    while not ((run / "log.jsonl").exists() and read_log(run)):
        assert time.monotonic() < end
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in errors
    found = re.search(r"go on with: seisfast (.*)", errors)
    assert found is not None, errors
    done = len(read_log(run))
    ok(capsys, *found[1].split(), "--epochs", done + 1)
    assert [row["epoch"] for row in read_log(run)] == list(range(1, done + 2))
