"""Training with augmentation and gain control: what is changed and what is not, resumed runs, surveys, the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SHAPE, SURVEY, small_survey, write_stored
from small_run import assert_same_run, damaged, endless, parts, small_config, with_loss
from torch import Tensor

from seisfast import networks
from seisfast.augmentation import Augmentation
from seisfast.cli import main
from seisfast.data import SimulatedDataset, StoredDataset, batches
from seisfast.geology.base import derived_seed
from seisfast.normalization import Normalization, automatic_gain
from seisfast.prediction import load
from seisfast.propagator import simulate
from seisfast.survey import Survey
from seisfast.training import Interrupted, TrainingConfig, checkpoint, fit
from seisfast.training.distributed import Processes
from seisfast.training.feed import Feed, starting_normalization

EVERYTHING: dict[str, Any] = {
    "flip": 0.5,
    "wavelet": [30.0, 0.0],  # the small survey fires a piece of a wavelet, without a peak frequency
    "shift": [-2.0, 2.0],
    "gain": [-3.0, 3.0],
    "noise": [10.0, 20.0],
    "noise_band": [30.0, 400.0],
    "missing": [0.0, 0.4],
    "per_shot": ["missing"],
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="module")
def unnamed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same models in a folder that does not say what recorded them."""
    return damaged(folder, tmp_path_factory.mktemp("others") / "data", "neither", slice(0))


@pytest.fixture
def data(folder: Path) -> tuple[StoredDataset, StoredDataset]:
    return parts(folder)[:2]


# -- batches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 2])
def test_batches_are_those_of_the_data_set_with_its_changes(start: int, folder: Path) -> None:
    train, validation, _ = parts(folder)
    config = small_config(augmentation=EVERYTHING, seed=3)
    feed = Feed(train, config, CPU, "train")
    augmentation = Augmentation(**EVERYTHING)
    given = list(feed.epoch(1, start))
    read = batches(train, 6, seed=3, epoch=1, start_batch=start)
    for k, ((records, velocity), (plain, model)) in enumerate(zip(given, read, strict=True), start):
        numbers = range(6 * k, 6 * k + len(plain))
        expected = augmentation(plain, model, numbers=numbers, seed=derived_seed(3, 1), survey=SURVEY)
        assert torch.equal(records, expected[0])
        assert torch.equal(velocity, expected[1])
        assert not torch.equal(records, plain)
    unchanged = Feed(validation, config, CPU, "validation").epoch(0)
    for k, (records, velocity) in enumerate(unchanged):
        assert torch.equal(records[0], validation[6 * k][0])
        assert torch.equal(velocity[0], validation[6 * k][1])


def test_processes_change_their_models_as_one_process_does(data: tuple[StoredDataset, StoredDataset]) -> None:
    config = small_config(augmentation=EVERYTHING, seed=3)
    whole = Feed(data[0], config, CPU, "train").epoch(1, 1)
    shares = [Feed(data[0], config, CPU, "train", processes=Processes(rank, 2)).epoch(1, 1) for rank in range(2)]
    compared = 0
    for together, *divided in zip(whole, *shares, strict=False):  # divided epochs leave out the last batch of three
        compared += 1
        for one, part in zip(together, zip(*divided, strict=True), strict=True):
            torch.testing.assert_close(torch.cat(part), one, rtol=1e-5, atol=1e-6 * float(one.abs().max()))
    assert compared >= 2


def test_flipped_training_pairs_are_simulated_pairs() -> None:
    """A survey of which one shot has no image, over endless data."""
    survey = small_survey(sources=[(1, 5), (1, 17)], receivers=[(1, ix) for ix in range(0, 24)])
    train = SimulatedDataset(GEOLOGY, survey, 8, batch_size=4)
    config = small_config(batch_size=4, augmentation={"flip": 0.5})
    flipped = 0
    for k, (records, velocity) in enumerate(Feed(train, config, CPU, "train").epoch(0)):
        expected = simulate(velocity[:, 0], survey)
        torch.testing.assert_close(records, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
        drawn = GEOLOGY(range(4 * k, 4 * k + 4), derived_seed(0, 0))
        flipped += int((velocity[:, 0] == drawn.flip(-1)).flatten(1).all(1).sum())
    assert 0 < flipped < 8


def test_the_units_are_those_of_the_data_without_changes(data: tuple[StoredDataset, StoredDataset]) -> None:
    units = []
    for augmentation in ({}, {"gain": [40.0, 40.0]}):
        config = small_config("convbaseline", augmentation=augmentation, agc=7)
        feed = Feed(data[0], config, CPU, "train")
        network = networks.build("convbaseline", **feed.geometry, width=0.05)
        units.append(starting_normalization(feed, config, network, verbose=False))
    assert units[0] == units[1]
    gained = automatic_gain(torch.cat([records for records, _ in batches(data[0], 6, seed=0, epoch=0)][:4]), 7)
    assert units[0].data_range == (float(gained.min()), float(gained.max()))
    assert units[0].agc == 7


def test_the_units_are_those_of_any_number_of_repeats_and_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config("convbaseline", agc=7)
    network = networks.build("convbaseline", **Feed(endless(24), config, CPU, "train").geometry, width=0.05)
    units = {}
    for repeats in (1, 4):
        feed = Feed(endless(24, repeats=repeats), config, CPU, "train")
        units[repeats] = starting_normalization(feed, config, network, verbose=False)
    assert units[1] == units[4]
    told: list[Any] = []

    def gather(processes: Processes, item: Any) -> list[Any]:  # noqa: ANN401
        told.append(item)
        return told[:]

    monkeypatch.setattr(Processes, "gather", gather)
    monkeypatch.setattr(Processes, "add", lambda processes, *numbers: list(numbers))
    for rank in range(2):  # the second one hears of the first
        shares = endless(24, repeats=4)
        shares.set_part((rank, 2))
        feed = Feed(shares, config, CPU, "train", processes=Processes(rank, 2))
        both = starting_normalization(feed, config, network, verbose=False)
    assert both == units[1]
    assert not torch.equal(told[0], told[1])


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repeats", "accumulate", "at", "where"),
    [
        (1, 1, 6, "stopped in epoch 2, after batch 2 of 4"),
        (2, 1, 11, "stopped in epoch 2, after batch 3 of 8"),  # inside a window
        (1, 2, 9, "stopped in epoch 2, after batch 2 of 3"),  # two losses in a batch; the last one is too small
    ],
)
def test_a_run_with_everything_on_resumes_to_the_same_bits(
    repeats: int, accumulate: int, at: int, where: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return loss

    config = small_config(epochs=2, augmentation=EVERYTHING, agc=9, accumulate=accumulate)
    data = parts(folder)[:2] if repeats == 1 else (endless(24, repeats=repeats), endless(6, seed=1))
    with monkeypatch.context() as patch:
        with_loss(patch, at, stop)
        with pytest.raises(Interrupted, match=where):
            fit(config, *data, tmp_path / "run", verbose=False)
    fit(config, *data, tmp_path / "run", resume=True, verbose=False)
    fit(config, *data, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_resumed_run_keeps_its_changes_and_its_gain(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1, agc=9, augmentation={"noise": (10, 20)}), *data, run, verbose=False)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"agc": 9}, r"augmentation was \{'noise': \[10.0, 20.0\]\} and is \{\}"),
        ({"agc": 11, "augmentation": {"noise": (10, 20)}}, "agc was 9 and is 11"),
    ]
    for settings, message in changes:
        with pytest.raises(ValueError, match=message):
            fit(small_config(epochs=2, **settings), *data, run, resume=True, verbose=False)
    config = small_config(epochs=1, agc=9, augmentation={"noise": [10, 20]})
    units = Normalization.from_dict(checkpoint.load(run)["normalization"])
    other = Normalization.from_dict({**units.to_dict(), "agc": 8})
    with pytest.raises(ValueError, match="keeps its normalization"):
        fit(config, *data, run, normalization=other, resume=True, verbose=False)
    fit(config, *data, run, normalization=units, resume=True, verbose=False)


def test_a_run_from_before_there_were_changes_goes_on(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1), *data, run, verbose=False)
    content = checkpoint.load(run / "last.pt")
    units = Normalization.from_dict(content["normalization"])
    del content["config"]["augmentation"], content["config"]["agc"], content["normalization"]["agc"]
    checkpoint.save(run / "last.pt", content)
    with pytest.raises(ValueError, match="agc was None and is 5"):
        fit(small_config(epochs=2, agc=5), *data, run, resume=True, verbose=False)
    fit(small_config(epochs=1), *data, run, normalization=units, resume=True, verbose=False)


def test_a_prediction_is_that_of_records_encoded_by_hand(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1, agc=9, data_transform="log", zero_last_sample=True), *data, run, verbose=False)
    predictor = load(run, device="cpu")
    record = data[1][0][0]
    zeroed = record.clone()
    zeroed[:, -1] = 0
    gained = automatic_gain(zeroed, 9)
    low, high = (np.sign(end) * np.log1p(abs(end)) for end in predictor.normalization.data_range)
    encoded = (gained.sign() * gained.abs().log1p() - low) * (2 / (high - low)) - 1
    with torch.inference_mode():
        unit = predictor.network(encoded[None].float())[0, 0]
    low, high = predictor.normalization.velocity_range
    torch.testing.assert_close(predictor(record), low + (high - low) * unit, rtol=1e-5, atol=0)
    assert predictor.normalization.agc == 9


# -- surveys -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_does_not_know_its_survey_is_told(unnamed: Path, folder: Path, tmp_path: Path) -> None:
    config = small_config(epochs=1, augmentation={"flip": 0.5}, velocity_range=(1500.0, 4000.0))
    others, named = parts(unnamed)[:2], parts(folder)[:2]
    with pytest.raises(ValueError, match="augmentation needs the survey for flip, and these data do not say theirs"):
        fit(config, *others, tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()
    fit(config, *others, tmp_path / "run", survey=SURVEY, verbose=False)
    assert load(tmp_path / "run", device="cpu").survey == SURVEY
    fit(config, *named, tmp_path / "named", verbose=False)
    weights = [checkpoint.load(tmp_path / name)["model"] for name in ("run", "named")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    longer = small_config(epochs=2, augmentation={"flip": 0.5}, velocity_range=(1500.0, 4000.0))
    other = small_survey(sources=[(1, 4), (1, 18)])
    with pytest.raises(ValueError, match="and another survey"):
        fit(longer, *others, tmp_path / "run", survey=other, resume=True, verbose=False)


def test_surveys_that_are_not_the_data_s(unnamed: Path, folder: Path, tmp_path: Path) -> None:
    config = small_config(augmentation={"flip": 0.5}, velocity_range=(1500.0, 4000.0))

    def refused(error: type[Exception], message: str, place: Path, survey: Any) -> None:  # noqa: ANN401
        with pytest.raises(error, match=message):
            fit(config, *parts(place)[:2], tmp_path / "run", survey=survey, verbose=False)

    refused(ValueError, "survey must be left out, or be the one that train was recorded with", folder, Survey.openfwi())
    refused(TypeError, "survey must be a seisfast.Survey, got dict", unnamed, SURVEY.to_dict())
    refused(ValueError, "velocity must have the survey's 70 x 70 cells", unnamed, Survey.openfwi())
    shorter = small_survey(nt=30, wavelet=SURVEY.wavelet[:30])
    refused(ValueError, r"survey must have the geometry of train, .*, got .*'samples': 30", unnamed, shorter)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"augmentation": {"flip": 2}}, ValueError, "flip must be a probability"),
        ({"augmentation": {"mirror": 1}}, ValueError, "augmentation has the options"),
        ({"augmentation": 0.5}, TypeError, "augmentation must be a dict of its options, got 0.5"),
        ({"agc": 0}, ValueError, "agc must be an integer of at least 1"),
    ],
)
def test_wrong_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TrainingConfig(**options)


def test_settings_are_kept_as_plain_values() -> None:
    config = TrainingConfig(augmentation={"noise": (10, 20), "flip": 0}, agc=250)
    assert config.augmentation == {"noise": [10.0, 20.0]}
    assert TrainingConfig.from_dict(config.to_dict()) == config
    assert TrainingConfig().augmentation == {}


def test_the_command_line(unnamed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, survey = tmp_path / "run", tmp_path / "survey.json"
    survey.write_text(json.dumps(SURVEY.to_dict()))
    common = ["--data", unnamed, "--run", run, "--network", "convbaseline", "--network_options.width", 0.05, "--loss",
              "l2", "--velocity_range", "[1500,4000]", "--batch_size", 6, "--device", "cpu", "--epochs", 1]  # fmt: skip
    changes = ["--augmentation.flip", 0.5, "--augmentation.noise", "[5,30]", "--agc", 9]

    def command(*words: Any) -> int:  # noqa: ANN401
        return main([str(word) for word in ("train", *words)])

    assert command(*common, *changes) != 0
    assert "needs the survey for flip" in capsys.readouterr().err
    assert command(*common, *changes, "--survey", survey) == 0
    saved = checkpoint.load(run)
    assert saved["config"]["augmentation"] == {"flip": 0.5, "noise": [5.0, 30.0]}
    assert saved["normalization"]["agc"] == 9
    assert saved["network"]["geometry"]["shape"] == SHAPE
    assert command("--config", run / "config.yaml", "--resume") == 0
    capsys.readouterr()
