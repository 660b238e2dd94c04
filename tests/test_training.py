"""The training loop: what it writes, what it repeats to the bit, and what it refuses or stops at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import SURVEY, write_stored
from small_run import assert_same_run, damaged, endless, parts, small_config, with_loss
from torch import Tensor

from seisfast import losses
from seisfast.data import SimulatedDataset, StoredDataset, progress
from seisfast.normalization import Normalization
from seisfast.training import TrainingConfig, checkpoint, fit, read_log

ROOT = Path(__file__).resolve().parent.parent


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


def test_the_simulation_before_the_first_step_shows_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    fit(small_config(epochs=1), endless(12, repeats=2), endless(8, seed=1), tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    shown = [line.partition(" (")[0] for line in lines if line.startswith("simulate") and "%" in line]
    units, validation = [f"simulate for the units: {k} of 2 batches" for k in (1, 2)], (6, 8)
    assert shown == units + [f"simulate validation: {k} of 8 models" for k in validation]


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
    contradictions: dict[str, Any] = {"agc": 9, "data_transform": "log", "zero_last_sample": True}
    for name, value in {**contradictions, "velocity_range": (1500.0, 4000.0)}.items():
        found = re.escape(f"normalization.{name} must be the {name} of the configuration, {value}, got")
        with pytest.raises(ValueError, match=found):
            fit(small_config(**{name: value}), *data, tmp_path / "d", normalization=own, verbose=False)
    assert not (tmp_path / "d").exists()
    same = small_config(epochs=1, velocity_range=own.velocity_range)
    fit(same, *data, tmp_path / "d", normalization=own, verbose=False)
    unnamed = StoredDataset(damaged(folder, tmp_path / "copy", "neither", slice(0)))
    with pytest.raises(ValueError, match="velocity_range must be given"):
        fit(small_config(epochs=1), unnamed, unnamed, tmp_path / "c", verbose=False)
    limits = small_config(epochs=1, velocity_range=(1400.0, 4100.0))
    fit(limits, unnamed, unnamed, tmp_path / "c", verbose=False)
    content = checkpoint.load(tmp_path / "c")
    assert content["normalization"]["velocity_range"] == [1400.0, 4100.0]
    assert (content["survey"], content["geology"]) == (None, None)


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
def test_data_that_are_not_finite_are_blamed(
    name: str, words: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = StoredDataset(damaged(folder, tmp_path / "bad", name, slice(12, 14)), range(14))
    train, validation, _ = parts(folder)
    units = Normalization(data_range=(-2.0, 2.0))
    what = {"data": "records", "model": "velocities"}[name]
    words_of_all = (
        rf"validation must hold finite {what}, got NaN or infinity in those of model 12 \(row 12 of data1\.npy\)"
    )
    with pytest.raises(ValueError, match=words_of_all):
        fit(small_config(), train, bad, tmp_path / "run2", verbose=False)
    words_of_train = words_of_all.replace("validation", "train")
    for normalization in (None, units):
        config = small_config(velocity_range=(1500, 4000))
        with pytest.raises(ValueError, match=words_of_train):
            fit(config, bad, validation, tmp_path / "run2", normalization=normalization, verbose=False)
    assert not (tmp_path / "run2").exists()
    # What nobody can look at beforehand, as simulated data, is blamed in the batch.
    monkeypatch.setattr("seisfast.training.feed.check_finite", lambda *_: None)
    with pytest.raises(FloatingPointError, match=words):
        fit(small_config(), bad, validation, tmp_path / "run", normalization=units, verbose=False)


def test_a_validation_loss_that_is_not_finite_stops_the_run(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(prediction: Tensor, target: Tensor) -> Tensor:
        loss = (prediction - target).square().mean()
        return loss if prediction.requires_grad else loss * torch.nan

    monkeypatch.setattr(losses, "build", lambda name, **options: broken)
    with pytest.raises(FloatingPointError, match="the validation loss is nan after epoch 1"):
        fit(small_config(), *data, tmp_path / "run", verbose=False)
    assert not (tmp_path / "run" / "best.pt").exists()


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
        ({"precision": "fp16"}, ValueError, "precision must be one of auto, float32, tf32, bf16"),
        ({"graph": "yes"}, TypeError, "graph must be True or False, got 'yes'"),
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
    with pytest.raises(ValueError, match="validation must have repeats=1, each model once, got 2"):
        fit(config, data[0], endless(6, repeats=2), run)
    survey = type(SURVEY).from_dict({**SURVEY.to_dict(), "receivers": [[1, 3], [1, 9]]})
    other = SimulatedDataset(endless().geology, survey, 6, batch_size=6)
    with pytest.raises(ValueError, match="validation must have the geometry of train"):
        fit(config, data[0], other, run)
    with pytest.raises(ValueError, match=r"output_range must be that of seisinvnet, \(0\.0, 1\.0\)"):
        fit(config, *data, run, normalization=Normalization(data_range=(-1, 1), output_range=(-1, 1)))
    with pytest.raises(ValueError, match=r"network_options do not fit seisinvnet: .*'depth'"):
        fit(small_config(network_options={"depth": 3}), *data, run)
    with pytest.raises(ValueError, match=r"precision \"tf32\" is arithmetic of NVIDIA GPUs, got device 'cpu'"):
        fit(small_config(precision="tf32", device="cpu"), *data, run)
    assert not run.exists(), "nothing is written before the checks"


def test_batches_of_one_model_are_refused_where_batch_normalisation_needs_two(folder: Path, tmp_path: Path) -> None:
    survey = type(SURVEY).from_dict({**SURVEY.to_dict(), "sources": SURVEY.to_dict()["sources"][:1]})
    single = SimulatedDataset(endless().geology, survey, 3, batch_size=1)
    words = "got batch_size 1: SeisInvNet cannot be trained on this batch: .* single value per normalised channel"
    with pytest.raises(ValueError, match=words):
        fit(small_config(batch_size=1), single, single, tmp_path / "run")
    alone = SimulatedDataset(endless().geology, survey, 1, batch_size=6)
    with pytest.raises(ValueError, match="batches of at least 2 models, got a train set of 1 model: SeisInvNet cannot"):
        fit(small_config(), alone, alone, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    two_shots = StoredDataset(folder, range(2))
    fit(small_config(batch_size=1, epochs=1), two_shots, two_shots, tmp_path / "run", verbose=False)
    assert read_log(tmp_path / "run")[0]["batches"] == 2


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
