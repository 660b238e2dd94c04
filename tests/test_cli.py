"""The command line: the whole road from simulation to report, Ctrl-C, one clear line for every mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from small_data import SURVEY
from small_run import stored_and_runs

from seisfast.cli import VERBS, main
from seisfast.training import read_log

ROOT = Path(__file__).resolve().parent.parent
SMALL_SURVEY = ["--survey", "seisinv", "--survey_options", "{nt: 60, shots: 2, receivers: 6}"]
SMALL_GEOLOGY = ["--geology", "seisinv", "--geology_options.shape", "[20, 24]"]
NARROW = ["--network", "convbaseline", "--network_options.width", "0.05", "--loss", "l2", "--batch_size", "6"]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    mpl.use("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in data/, runs in runs/, and single records and models as files."""
    made = stored_and_runs(tmp_path_factory.mktemp("cli"))
    np.save(made / "records.npy", np.load(made / "data" / "data3.npy"))
    np.save(made / "models.npy", np.load(made / "data" / "model3.npy"))
    np.save(made / "record.npy", np.load(made / "data" / "data3.npy")[0])
    np.save(made / "model.npy", np.load(made / "data" / "model3.npy")[0, 0])
    np.save(made / "turned.npy", np.load(made / "data" / "data3.npy")[0].transpose(0, 2, 1))
    np.save(made / "holes.npy", np.full((2, 40, 8), np.nan))
    np.save(made / "words.npy", np.array(["a", "b"]))
    (made / "text.npy").write_text("not an array")
    (made / "survey.json").write_text(json.dumps(SURVEY.to_dict()))
    (made / "broken.json").write_text("{")
    (made / "list.json").write_text("[]")
    return made


def ok(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Standard output of a command that must succeed."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


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
       "--validation_count", 6, "--run", run, *NARROW, "--epochs", 1)  # fmt: skip
    ok(capsys, "train", "--config", run / "config.yaml", "--resume", "--epochs", 2)
    assert len(read_log(run)) == 2


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


# Mistakes


# What the commands below have in common -> the rest of a command and what its error must say.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "": [
        ("", "VERB|verb"),
        ("invert", "invalid choice: 'invert'"),
        ("train --nosuch 1", "unrecognized arguments: --nosuch"),
        ("train --lr fast", "--lr: Expected a float. Got value: fast"),
        ("train --velocity_range 3", "--velocity_range: not a valid value: 3"),
        ("train --config nowhere.yaml", "nowhere.yaml"),
        ("train --data {f}/data", "--run is needed"),
        ("train --run {f}/runs/seisinvnet --data {f}/data", "already holds a run"),
        ("info --shape 0 5", "shape"),
        ("info --shape 5", "--shape"),
        ("info --boundary rigid", "--boundary must be cpml or sponge"),
    ],
    "train --run {t}/run": [
        ("", "give either --data .* or --geology"),
        ("--data {f}/data --geology seisinv", "give either --data .* or --geology"),
        ("--data {f}/nowhere", "folder does not exist"),
        ("--data {f}", "has no partner"),
        ("--data {f}/data --lr -1", "lr must be positive"),
        ("--data {f}/data --network resnet", "network must be one of seisinvnet"),
        ("--data {f}/data --network_options.widht 1", "network_options do not fit"),
        ("--data {f}/data --loss_options.window 3", "window"),
        ("--data {f}/data --resume", "there is no run to resume"),
        ("--geology seisinv", "--survey is needed"),
        ("--geology flatvel --survey seisinv", "--geology must be one of curvefault, seisinv"),
        ("--geology seisinv --geology_options.depth 3 --survey seisinv", "--geology_options: "),
    ],
    "simulate": [
        ("", "give either --geology .* or --velocity"),
        ("--geology seisinv --survey seisinv", "--output is needed"),
        ("--geology seisinv --survey seisinv --output {t}/d --count 0", "count must be at least 1"),
        ("--geology seisinv --survey seisinv --output {t}/d --compare {f}/record.npy", "--compare belongs"),
        ("--velocity {f}/model.npy --survey openfwi", "give --output .* --compare .* or both"),
        ("--velocity {f}/model.npy --survey openfwi --output {t}/d.txt", "must end in .npy"),
        ("--velocity {f}/model.npy --survey openfwi --compare {f}/record.npy", r"must be \[5, 1000, 24\]"),
    ],
    "simulate --survey openfwi --output {t}/d.npy": [
        ("--velocity {f}/nowhere.npy", "--velocity: there is no file"),
        ("--velocity {f}/text.npy", "text.npy is not a .npy array"),
        ("--velocity {f}/words.npy", "one array of real numbers"),
        ("--velocity {f}/records.npy", r"must hold \[nz, nx\]"),
    ],
    "simulate --velocity {f}/model.npy --output {t}/d.npy": [
        ("", "--survey is needed"),
        ("--survey kaggle", "--survey must be seisinv, openfwi"),
        ("--survey no.json", "there is no file no.json"),
        ("--survey {f}/broken.json", "is not JSON"),
        ("--survey {f}/list.json", "must hold an object"),
        ("--survey {f}/survey.json --survey_options.nt 3", "belong to the presets"),
        ("--survey openfwi --survey_options.dx 3", "--survey_options: .*unexpected keyword argument 'dx'"),
        ("--survey openfwi --sources 0:99", "between 0 and 23"),
        ("--survey openfwi --sources 5", "START:STOP"),
        ("--survey openfwi --receivers 9:3", "--receivers must"),
        ("--survey openfwi --depth 3", "--depth is the row of"),
        ("--survey openfwi --frequency -3", "frequency"),
    ],
    "predict --output {t}/v.npy": [
        ("--records {f}/record.npy", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--records is needed"),
        ("--checkpoint {f}/runs --records {f}/record.npy", "there is no checkpoint at"),
        ("--checkpoint {f}/model.npy --records {f}/record.npy", "is not a checkpoint"),
    ],
    "predict --checkpoint {f}/runs/seisinvnet --output {t}/v.npy": [
        ("--records {f}/turned.npy", "in another order"),
        ("--records {f}/model.npy", "records must be"),
        ("--records {f}/record.npy --truth {f}/models.npy", r"the true models must be \[20, 24\]"),
        ("--records {f}/record.npy --truth {f}/model.npy --preset kaggle", "preset must be"),
        ("--records {f}/records.npy --index 5", "--index must lie between 0 and 4"),
    ],
    "evaluate --output {t}/out": [
        ("--data {f}/data", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--data is needed"),
        ("--checkpoint {f}/runs/seisinvnet {f}/runs/seisinvnet --data {f}/data", "twice"),
        ("--checkpoint {f}/runs/seisinvnet --data {f}/data --split some", "--split"),
        ("--checkpoint {f}/runs/seisinvnet --data {f}/data --preset kaggle", "preset must be"),
        ("--checkpoint {f}/runs/seisinvnet --data {f}/data --examples 0", "examples must be at least 1"),
    ],
    "plot --output {t}/a.png": [
        ("", "give one of --velocity, --records and --runs"),
        ("--velocity {f}/model.npy --records {f}/record.npy", "give one of"),
        ("--records {f}/record.npy --predicted {f}/model.npy", "--predicted needs --velocity"),
        ("--velocity {f}/model.npy --profiles", "--profiles needs --predicted"),
        ("--velocity {f}/model.npy --cmap nosuch", "nosuch"),
        ("--records {f}/model.npy", r"must hold \[shots, time, receivers\]"),
        ("--records {f}/record.npy --shots 7", "shots must lie between 0 and 1"),
        ("--runs {f}/data", "no training log"),
        ("maps", "invalid choice: 'maps'"),
    ],
    "plot features --output {t}/a.png": [
        ("--data {f}/data", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--data is needed"),
        ("--checkpoint {f}/runs --data {f}/data", "there is no checkpoint at"),
        ("--checkpoint {f}/runs/convbaseline --data {f}/data", "need SeisInvNet, .* holds a ConvBaseline"),
        ("--velocity {f}/model.npy", "takes --checkpoint and --data, not --velocity"),
        ("--profiles", "takes --checkpoint and --data, not --profiles"),
        ("--index 0", "takes --checkpoint and --data, not --index"),
        ("--perc 90", "takes --checkpoint and --data, not --perc"),
    ],
    "plot features --checkpoint {f}/runs/seisinvnet --output {t}/a.png": [
        ("--data {f}/nowhere.npy", "--data: there is no file"),
        ("--data {f}/text.npy", "text.npy is not a .npy array"),
        ("--data {f}/turned.npy", "in another order"),
        ("--data {f}/model.npy", r"must hold \[shots, time, receivers\] or a batch"),
        ("--data {f}/holes.npy", "records must be finite"),
        ("--data {f}/records.npy --split test", "--split belongs to --data that is a folder"),
        ("--data {f}/records.npy --count 6", "--count must be at most the 5 models of .*records.npy, got 6"),
        ("--data {f}/data --count 3", "--count must be at most the 2 models of the test part of .*data, got 3"),
        ("--data {f}/data --count 0", "--count must be at least 1, got 0"),
        ("--data {f}/data --count some", "--count: not a valid value: some"),
        ("--data {f}/data --batch_size 0", "--batch_size must be at least 1, got 0"),
        ("--data {f}/data --split some", "--split: not a valid value: some"),
        ("--data {f}/data --cmap nosuch", "no colour map 'nosuch'"),
    ],
    "plot wavefield --output {t}/a.gif": [
        ("", "--velocity is needed"),
        ("--velocity {f}/model.npy", "--survey is needed"),
        ("--velocity {f}/model.npy --records {f}/record.npy", "takes --velocity and --survey, not --records"),
        ("--velocity {f}/model.npy --shots 1", "takes --velocity and --survey, not --shots"),
        ("--checkpoint {f}/runs/seisinvnet", "--checkpoint belongs to the feature maps"),
        ("--velocity {f}/nowhere.npy --survey seisinv", "--velocity: there is no file"),
        ("--velocity {f}/holes.npy --survey seisinv", "velocity must be finite and positive, got nan"),
        ("--velocity {f}/model.npy --survey kaggle", "--survey must be seisinv, openfwi"),
    ],
    "plot wavefield --velocity {f}/models.npy --survey {f}/survey.json --output {t}/a.gif": [
        ("--index 5", "--index must lie between 0 and 4"),
        ("--shot 2", "--shot must lie between 0 and 1, got 2"),
        ("--shot -1", "--shot must lie between 0 and 1, got -1"),
        ("--every 0", r"--every must lie between 1 and 39 \(of 40 samples\), got 0"),
        ("--every 40", r"--every must lie between 1 and 39 \(of 40 samples\), got 40"),
        ("--every some", "--every: not a valid value: some"),
        ("--fps 0", r"--fps must lie in \(0, 50\], got 0"),
        ("--fps 51", r"--fps must lie in \(0, 50\], got 51"),
        ("--perc 0", r"--perc must lie in \(0, 100\], got 0"),
        ("--cmap nosuch", "no colour map 'nosuch'"),
        ("--device tpu", "tpu"),
    ],
    "plot wavefield --velocity {f}/model.npy --survey {f}/survey.json": [
        ("", "--output is needed"),
        ("--output {t}/a.avi", "must end in .gif, .mp4, .png, .pdf or .svg, got .*a.avi"),
        ("--output {t}/a.png --fps 5", "--fps belongs to .gif and .mp4, --output is .*a.png"),
    ],
    "plot --velocity {f}/model.npy": [
        ("--output {t}/a.png --shot 1", "--shot belongs to the wavefield: seisfast plot wavefield"),
        ("--output {t}/a.png --checkpoint {f}/runs/seisinvnet", "--checkpoint belongs to the feature maps"),
        ("", "--output is needed"),
        ("--output {t}/a.gif", "must end in .png, .pdf or .svg"),
    ],
}


def test_a_video_needs_ffmpeg(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mpl.rcParams, "animation.ffmpeg_path", "no-such-program")
    arguments = ["plot", "wavefield", "--velocity", folder / "model.npy", "--survey", folder / "survey.json"]
    assert main([*map(str, arguments), "--output", str(tmp_path / "a.mp4")]) == 2
    assert "--output: .mp4 needs the program ffmpeg" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [(f"{begin} {rest}", message) for begin, cases in MISTAKES.items() for rest, message in cases],
)
def test_a_mistake_is_one_clear_line(
    command: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    arguments = command.format(f=folder, t=tmp_path).split()
    try:
        code = main(arguments)
    except SystemExit as stop:  # what the parser itself refuses
        code = stop.code  # type: ignore[assignment]
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seisfast")
    assert "error: " in line
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    assert sorted(path.name for path in folder.rglob("*")) == before
