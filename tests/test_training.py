"""The training loop: what it writes, what it repeats to the bit, how it stops, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import SURVEY, write_stored
from small_run import endless, parts, small_config
from torch import Tensor

from seisfast import losses
from seisfast.data import SimulatedDataset, StoredDataset
from seisfast.normalization import Normalization
from seisfast.training import Interrupted, TrainingConfig, checkpoint, fit, read_log
from seisfast.training.progress import StopSignals

ROOT = Path(__file__).resolve().parent.parent
Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def data(folder: Path) -> tuple[StoredDataset, StoredDataset]:
    return parts(folder)[:2]


def damaged(folder: Path, target: Path, name: str, models: slice) -> Path:
    """A folder like OpenFWI's with NaN in some models of one array."""
    target.mkdir()
    for kind in ("data", "model"):
        array = np.concatenate([np.load(folder / f"{kind}{k}.npy") for k in (1, 2, 3)])
        if kind == name:
            array[models] = np.nan
        np.save(target / f"{kind}1.npy", array)
    return target


def assert_same_run(one: Path, other: Path) -> None:
    """Equal weights and optimizer to the bit, and equal rows of the log but for the seconds."""
    first, second = (checkpoint.load(run / "last.pt") for run in (one, other))
    assert first["model"].keys() == second["model"].keys()
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name
    for key, state in first["optimizer"]["state"].items():
        assert all(torch.equal(value, second["optimizer"]["state"][key][name]) for name, value in state.items())
    assert torch.equal(first["random"]["cpu"], second["random"]["cpu"])
    rows = [[{**row, "elapsed": 0} for row in read_log(run)] for run in (one, other)]
    assert rows[0] == rows[1]
    best = [checkpoint.load(run / "best.pt") for run in (one, other)]
    assert best[0]["epoch"] == best[1]["epoch"]


def with_loss(monkeypatch: pytest.MonkeyPatch, at: int, change: Callable[[Tensor], Tensor]) -> None:
    """From now on the loss of the training batch with number `at` (from 1) is changed."""
    plain = losses.build("l2")
    calls = 0

    def changed(prediction: Tensor, target: Tensor) -> Tensor:
        nonlocal calls
        loss = plain(prediction, target)
        if prediction.requires_grad:
            calls += 1
            if calls == at:
                return change(loss)
        return loss

    monkeypatch.setattr(losses, "build", lambda name, **options: changed)


# a whole run


def test_a_run_learns_and_leaves_its_files(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config("convbaseline", epochs=8, lr=3e-3)
    best = fit(config, *data, tmp_path / "run", settings={"data": "somewhere"})
    assert best == tmp_path / "run" / "best.pt"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"best.pt", "last.pt", "log.jsonl", "config.yaml", "tensorboard"}
    rows = read_log(tmp_path / "run")
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["train_loss"] < 0.6 * rows[0]["train_loss"]
    lowest = min(rows, key=lambda row: row["validation_loss"])
    assert checkpoint.load(best)["epoch"] == lowest["epoch"]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 8
    assert printed[0].startswith("epoch 1/8: training loss ")
    assert printed[0].count("(best)") == 1


def test_the_validation_figures_are_those_of_the_saved_network(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    from seisfast.prediction import load

    predictor = load(fit(small_config(epochs=3), *data, tmp_path / "run", verbose=False))
    row = read_log(tmp_path / "run")[predictor.epoch - 1]
    records, velocity = (torch.stack(items) for items in zip(*(data[1][k] for k in range(len(data[1]))), strict=True))
    predicted = predictor(records)[:, None]
    unit = predictor.normalization.unit_velocity
    assert float((unit(predicted) - unit(velocity)).square().mean()) == pytest.approx(row["validation_loss"], rel=1e-4)
    assert float((predicted - velocity).abs().mean()) == pytest.approx(row["validation_mae"], rel=1e-4)


def test_the_learning_rate_falls_polynomially(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config = small_config("convbaseline", epochs=4, lr=2e-3, power=0.9)
    fit(config, *data, tmp_path / "run", verbose=False)
    for row in read_log(tmp_path / "run"):
        last_step = row["step"] - 1
        assert row["lr"] == pytest.approx(2e-3 * (1 - last_step / (4 * row["batches"])) ** 0.9)


def test_the_same_configuration_gives_the_same_bits_and_leaves_the_callers_random_numbers(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(small_config(), *data, tmp_path / "one", verbose=False)
    assert torch.equal(torch.rand(3), expected)
    fit(small_config(), *data, tmp_path / "two", verbose=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    fit(small_config(seed=1), *data, tmp_path / "three", verbose=False)
    rates = [read_log(tmp_path / name)[0]["train_loss"] for name in ("one", "three")]
    assert rates[0] != rates[1]


def test_bf16_trains(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    fit(
        small_config("convbaseline", precision="bf16", epochs=6, lr=3e-3),
        *data,
        tmp_path / "run",
        verbose=False,
    )
    rows = read_log(tmp_path / "run")
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert all(value.dtype != torch.bfloat16 for value in checkpoint.load(tmp_path / "run")["model"].values())


def test_a_wall_clock_budget_replaces_the_epochs(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config = small_config("convbaseline", minutes=0.01, epochs=1)
    start = time.monotonic()
    fit(config, *data, tmp_path / "run", verbose=False)
    assert 0.6 <= time.monotonic() - start < 6.0
    rows = read_log(tmp_path / "run")
    assert len(rows) > 1
    rates = [row["lr"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.3e-3
    again = fit(config, *data, tmp_path / "run", resume=True, verbose=False)
    assert again.is_file()
    assert len(read_log(tmp_path / "run")) == len(rows), "a spent budget trains no further"


def test_a_budget_shorter_than_an_epoch_still_gives_a_network(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    best = fit(small_config(minutes=1e-6), *data, tmp_path / "run", verbose=False)
    (row,) = read_log(tmp_path / "run")
    assert (row["batches"], checkpoint.load(best)["epoch"]) == (1, 1)


def test_models_simulated_while_training(tmp_path: Path) -> None:
    fit(small_config(), endless(), endless(6, seed=1), tmp_path / "run", verbose=False)
    content = checkpoint.load(tmp_path / "run")
    assert content["survey"] == SURVEY.to_dict()
    assert content["geology"]["name"] == "SeisInv"
    assert content["normalization"]["velocity_range"] == [1500.0, 4000.0]


def test_a_last_batch_of_one_model_is_left_out(folder: Path, tmp_path: Path) -> None:
    train = StoredDataset(folder, range(13))
    fit(small_config("convbaseline", epochs=1), train, train, tmp_path / "run", verbose=False)
    assert read_log(tmp_path / "run")[0]["batches"] == 2


def test_the_units_come_from_the_data_or_the_caller(
    data: tuple[StoredDataset, StoredDataset], folder: Path, tmp_path: Path
) -> None:
    fit(
        small_config(epochs=1, data_transform="log", zero_last_sample=True),
        *data,
        tmp_path / "a",
        verbose=False,
    )
    units = checkpoint.load(tmp_path / "a")["normalization"]
    records = torch.stack([data[0][k][0] for k in range(len(data[0]))])
    assert units["data_range"] == [float(records.min()), float(records.max())]
    assert (units["data_transform"], units["zero_last_sample"]) == ("log", True)
    own = Normalization(data_range=(-3.0, 3.0), velocity_range=(1000.0, 5000.0))
    fit(small_config(epochs=1), *data, tmp_path / "b", normalization=own, verbose=False)
    assert checkpoint.load(tmp_path / "b")["normalization"] == own.to_dict()
    unnamed = StoredDataset(damaged(folder, tmp_path / "copy", "neither", slice(0)))
    with pytest.raises(ValueError, match="velocity_range must be given"):
        fit(small_config(epochs=1), unnamed, unnamed, tmp_path / "c", verbose=False)
    limits = small_config(epochs=1, velocity_range=(1400.0, 4100.0))
    fit(limits, unnamed, unnamed, tmp_path / "c", verbose=False)
    content = checkpoint.load(tmp_path / "c")
    assert content["normalization"]["velocity_range"] == [1400.0, 4100.0]
    assert (content["survey"], content["geology"]) == (None, None)


# stopping and going on


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from small_run import endless, parts, small_config
from pathlib import Path
from seisfast.training import fit
data = parts(Path(sys.argv[2]))[:2] if sys.argv[4] == "stored" else (endless(), endless(6, seed=1))
fit(small_config(epochs=12, checkpoint_minutes=0.0), *data, sys.argv[3], resume="auto", verbose=False)
"""


@pytest.mark.parametrize("kind", ["stored", "simulated"])
def test_a_killed_run_goes_on_to_the_same_bits(kind: str, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    arguments = [sys.executable, "-c", CHILD, str(ROOT / "tests"), str(folder), str(run), kind]
    child = subprocess.Popen(arguments, cwd=ROOT)
    try:
        wait_for(lambda: (run / "log.jsonl").exists() and len(read_log(run)) >= 2)
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "the child ended before it could be killed"
    assert len(read_log(run)) < 12
    train, validation = parts(folder)[:2] if kind == "stored" else (endless(), endless(6, seed=1))
    config = small_config(epochs=12, checkpoint_minutes=0.0)
    fit(config, train, validation, run, resume=True, verbose=False)
    fit(config, train, validation, tmp_path / "whole", verbose=False)
    assert [row["epoch"] for row in read_log(run)] == list(range(1, 13))
    assert_same_run(run, tmp_path / "whole")


def wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_in_the_middle_of_an_epoch(
    number: signal.Signals,
    data: tuple[StoredDataset, StoredDataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), number)
        return loss

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        with_loss(patch, 6, stop)
        with pytest.raises(Interrupted, match="stopped in epoch 2, after batch 2 of 4") as caught:
            fit(small_config(epochs=3), *data, tmp_path / "run", verbose=False)
    assert signal.getsignal(number) == before
    assert caught.value.checkpoint == tmp_path / "run" / "last.pt"
    assert checkpoint.load(tmp_path / "run" / "last.pt")["progress"]["batch"] == 2
    fit(small_config(epochs=3), *data, tmp_path / "run", resume="auto", verbose=False)
    fit(small_config(epochs=3), *data, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_stop_in_the_last_batch_of_an_epoch_finishes_the_epoch(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return loss

    with monkeypatch.context() as patch:
        with_loss(patch, 4, stop)
        with pytest.raises(Interrupted, match="stopped in epoch 2, after batch 0"):
            fit(small_config(epochs=2), *data, tmp_path / "run", verbose=False)
    assert len(read_log(tmp_path / "run")) == 1
    fit(small_config(epochs=2), *data, tmp_path / "run", resume=True, verbose=False)
    fit(small_config(epochs=2), *data, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stop
        assert "Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_training_outside_the_main_thread(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    thread = threading.Thread(target=fit, args=(small_config(epochs=1), *data, tmp_path / "run"))
    thread.start()
    thread.join()
    assert (tmp_path / "run" / "best.pt").is_file()


def test_a_finished_run_is_not_trained_again_but_can_be_lengthened(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False)
    written = (tmp_path / "run" / "last.pt").read_bytes()
    fit(small_config(epochs=1), *data, tmp_path / "run", resume="auto", verbose=False)
    assert (tmp_path / "run" / "last.pt").read_bytes() == written
    fit(small_config(epochs=2), *data, tmp_path / "run", resume=True, verbose=False)
    assert [row["epoch"] for row in read_log(tmp_path / "run")] == [1, 2]


def test_an_epoch_that_was_logged_but_not_saved_is_not_logged_twice(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1), *data, run, verbose=False)
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({**read_log(run)[0], "epoch": 2}) + "\n" + '{"epoch": 3, "st')
    fit(small_config(epochs=2), *data, run, resume=True, verbose=False)
    rows = read_log(run)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["step"] == 2 * rows[0]["step"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1.0}, "lr was 0.001 and is 1.0"),
        ({"seed": 3, "batch_size": 5}, "batch_size was 6 and is 5, seed was 0 and is 3"),
        ({"network": "convbaseline"}, "network was 'seisinvnet' and is 'convbaseline'"),
        ({"network_options": {"width": 0.2}}, "network_options was"),
        ({"minutes": 1.0}, "keeps its kind of schedule"),
    ],
)
def test_a_resumed_run_keeps_its_settings(
    changes: dict[str, Any], message: str, data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False)
    with pytest.raises(ValueError, match=message):
        fit(small_config(**{"epochs": 2, **changes}), *data, tmp_path / "run", resume=True, verbose=False)


def test_a_resumed_run_keeps_its_data_and_units(
    data: tuple[StoredDataset, StoredDataset], folder: Path, tmp_path: Path
) -> None:
    config, run = small_config(epochs=1), tmp_path / "run"
    fit(config, *data, run, verbose=False)
    with pytest.raises(ValueError, match=r"needs its training data \(21 models"):
        fit(config, StoredDataset(folder, range(9)), data[1], run, resume=True, verbose=False)
    unnamed = StoredDataset(damaged(folder, tmp_path / "copy", "neither", slice(0)), range(21))
    with pytest.raises(ValueError, match="and another survey"):
        fit(config, unnamed, data[1], run, resume=True, verbose=False)
    other = Normalization(data_range=(-1.0, 1.0))
    with pytest.raises(ValueError, match="keeps its normalization"):
        fit(config, *data, run, normalization=other, resume=True, verbose=False)


def test_where_a_run_may_begin(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config = small_config(epochs=1)
    fit(config, *data, tmp_path / "run", verbose=False)
    with pytest.raises(FileExistsError, match="already holds a run"):
        fit(config, *data, tmp_path / "run", verbose=False)
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        fit(config, *data, tmp_path / "new", resume=True, verbose=False)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match=r'resume must be True, False or "auto"'):
        fit(config, *data, tmp_path / "new", resume="yes", verbose=False)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="run_dir must be a folder"):
        fit(config, *data, tmp_path / "file", verbose=False)
    (tmp_path / "run" / "last.pt").unlink()
    with pytest.raises(FileExistsError, match="holds the log of a run"):
        fit(config, *data, tmp_path / "run", resume="auto", verbose=False)


# what is not finite


def test_a_loss_that_is_not_finite_names_the_batch_and_keeps_the_last_state(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_loss(monkeypatch, 6, lambda loss: loss * torch.nan)
    with pytest.raises(FloatingPointError, match=r"the loss is nan in epoch 2, batch 2 of 4; .*diverged.*last\.pt"):
        fit(small_config(), *data, tmp_path / "run", verbose=False)
    saved = checkpoint.load(tmp_path / "run" / "last.pt")
    assert saved["progress"]["epoch"] == 1
    assert all(bool(torch.isfinite(value).all()) for value in saved["model"].values())


def test_a_gradient_that_is_not_finite_stops_before_the_update(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_loss(monkeypatch, 1, lambda loss: loss + torch.sqrt(loss * 0.0))
    with pytest.raises(FloatingPointError, match=r"the gradient is (nan|inf) in epoch 1, batch 1 of 4"):
        fit(small_config(clip=None), *data, tmp_path / "run", verbose=False)


@pytest.mark.parametrize(
    ("name", "words"), [("data", "its records hold NaN or infinity"), ("model", "its velocities hold NaN")]
)
def test_data_that_are_not_finite_are_blamed(name: str, words: str, folder: Path, tmp_path: Path) -> None:
    bad = StoredDataset(damaged(folder, tmp_path / "bad", name, slice(12, 14)))
    units = Normalization(data_range=(-2.0, 2.0))
    good = parts(folder)[1]
    with pytest.raises(FloatingPointError, match=words):
        fit(small_config(), bad, good, tmp_path / "run", normalization=units, verbose=False)
    train = parts(folder)[0]
    with pytest.raises(FloatingPointError, match="the validation loss is nan after epoch 1"):
        fit(small_config(), train, bad, tmp_path / "run2", normalization=units, verbose=False)


# what is refused


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"network": "resnet"}, ValueError, "network must be one of seisinvnet, inversionnet, convbaseline"),
        ({"network": 3}, ValueError, "network must be one of"),
        ({"network_options": [1]}, TypeError, "network_options must be a dict"),
        ({"loss": "l3"}, ValueError, "loss must be one of l1, l2"),
        ({"loss_options": {"window": 3}}, ValueError, "window"),
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1, got 0"),
        ({"epochs": 2.0}, TypeError, "epochs must be an integer of at least 1, got 2.0"),
        ({"epochs": True}, TypeError, "epochs must be an integer"),
        ({"minutes": 0.0}, ValueError, "minutes must be positive"),
        ({"minutes": "5"}, TypeError, "minutes must be a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer of at least 1"),
        ({"lr": 0.0}, ValueError, "lr must be positive"),
        ({"lr": float("nan")}, ValueError, "lr must be positive and finite, got nan"),
        ({"power": -1.0}, ValueError, "power must be positive and finite, got -1.0"),
        ({"clip": 0.0}, ValueError, "clip must be positive"),
        ({"precision": "fp16"}, ValueError, "precision must be one of auto, float32, bf16"),
        ({"device": "gpu"}, ValueError, 'device must be "auto", "cpu"'),
        ({"device": "cuda:99"}, ValueError, "is not there: torch sees"),
        ({"device": "mps"}, ValueError, "device must be"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0"),
        ({"data_transform": "sqrt"}, ValueError, "data_transform must be one of linear, log"),
        ({"velocity_range": (4000.0, 1500.0)}, ValueError, "velocity_range must be finite with low < high"),
        ({"velocity_range": 3.0}, ValueError, "velocity_range must be two numbers"),
        ({"checkpoint_minutes": -0.1}, ValueError, "checkpoint_minutes must be positive and finite"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        TrainingConfig(**changes)


def test_a_configuration_survives_its_description() -> None:
    config = TrainingConfig(network="SeisInvNet", velocity_range=(1400, 4100), clip=None)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.network == "seisinvnet"
    with pytest.raises(ValueError, match=r"unknown training options \['epoch'\]"):
        TrainingConfig.from_dict({"epoch": 3})


def test_data_that_do_not_fit_are_refused(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config, run = small_config(epochs=1), tmp_path / "run"
    with pytest.raises(TypeError, match="train must be a StoredDataset or a SimulatedDataset, got list"):
        fit(config, [], data[1], run)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="train must have the configuration's batch_size 6, got 5"):
        fit(config, endless(batch_size=5), data[1], run)
    survey = type(SURVEY).from_dict({**SURVEY.to_dict(), "receivers": [[1, 3], [1, 9]]})
    other = SimulatedDataset(endless().geology, survey, 6, batch_size=6)
    with pytest.raises(ValueError, match="validation must have the geometry of train"):
        fit(config, data[0], other, run)
    with pytest.raises(ValueError, match=r"output_range must be that of seisinvnet, \(0\.0, 1\.0\)"):
        fit(config, *data, run, normalization=Normalization(data_range=(-1, 1), output_range=(-1, 1)))
    with pytest.raises(ValueError, match=r"network_options do not fit seisinvnet: .*'depth'"):
        fit(small_config(network_options={"depth": 3}), *data, run)
    assert not run.exists(), "nothing is written before the checks"


# checkpoints and logs


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.replace_file(tmp_path / "file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.replace_file(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*best\.pt"):
        checkpoint.load(tmp_path)
    for name, content in {"empty": b"", "text": b"hello world", "zip": b"PK\x03\x04 nothing"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a checkpoint"):
            checkpoint.load(tmp_path / name)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is not a checkpoint of seisfast"):
        checkpoint.load(tmp_path / "other.pt")
    torch.save({"code": os.system}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"code\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "code.pt")


def test_a_checkpoint_of_a_later_format_is_refused(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    content = checkpoint.load(fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False))
    torch.save({**content, "format": 99, "seisfast": "9.0"}, tmp_path / "new.pt")
    with pytest.raises(ValueError, match=r"written by seisfast 9\.0, which is newer"):
        checkpoint.load(tmp_path / "new.pt")


def test_logs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no training log"):
        read_log(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert [row["epoch"] for row in read_log(log)] == [1, 2]
    log.write_text('{"epoch": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r"line 2 of .* is not JSON"):
        read_log(log)
    log.write_text('{"loss": 1}\n')
    with pytest.raises(ValueError, match=r"line 1 of .* is not a row"):
        read_log(log)


def test_training_without_the_optional_packages(folder: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        for name in ("tensorboard", "tqdm", "matplotlib", "jsonargparse", "yaml", "skimage"):
            sys.modules[name] = None
        sys.path.insert(0, sys.argv[1])
        import torch
        torch.set_num_threads(1)
        from pathlib import Path
        from small_run import parts, small_config
        from seisfast.training import fit
        fit(small_config(epochs=1), *parts(Path(sys.argv[2]))[:2], sys.argv[3])
        """
    )
    arguments = [sys.executable, "-c", script, str(ROOT / "tests"), str(folder), str(tmp_path / "run")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1/1: ")
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("network", ["seisinvnet", "convbaseline"])
def test_training_on_a_gpu(network: str, data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config = small_config(network, device="cuda", epochs=8, lr=3e-3)
    fit(config, *data, tmp_path / "run", verbose=False)
    rows = read_log(tmp_path / "run")
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    fit(
        small_config(network, device="cpu", epochs=9, lr=3e-3),
        *data,
        tmp_path / "run",
        resume=True,
        verbose=False,
    )
    assert len(read_log(tmp_path / "run")) == 9
