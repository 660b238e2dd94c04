"""What a dry run of training says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from small_cli import ok
from small_data import GEOLOGY, SURVEY, write_stored
from small_run import endless, parts, small_config
from torch import Tensor

from seisfast.data import SimulatedDataset, simulated
from seisfast.normalization import Normalization
from seisfast.propagator import simulate
from seisfast.training import fit, rehearsal, rehearse
from seisfast.training.feed import Feed, units_of
from seisfast.training.preparation import build_network, build_step


def test_bytes_and_steps_are_those_of_the_run(tmp_path: Path) -> None:
    train, validation, _ = parts(write_stored(tmp_path / "data"))
    config = small_config(epochs=2)
    random = torch.get_rng_state()
    found = rehearse(config, train, validation)
    assert torch.equal(torch.get_rng_state(), random), "other random numbers follow than without"
    fit(config, train, validation, tmp_path / "run", verbose=False)
    files = sum((tmp_path / "run" / name).stat().st_size for name in ("best.pt", "last.pt"))
    assert found.bytes == pytest.approx(files, rel=0.2)
    assert found.models == len(train)
    assert found.batches == -(-len(train) // config.batch_size)
    assert found.epochs == 2
    assert found.seconds == pytest.approx(2 * found.epoch_seconds)
    assert found.epoch_seconds > found.batches * found.step_seconds > 0


def test_endless_data_of_a_single_batch_and_minutes() -> None:
    data = [SimulatedDataset(GEOLOGY, SURVEY, 6, batch_size=6, seed=seed) for seed in range(2)]
    found = rehearse(small_config(minutes=1.0), *data)
    assert found.batches == 1
    assert found.seconds == 60
    assert found.epochs == max(1, round(60 / found.epoch_seconds))


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_seconds_of_an_epoch_are_those_of_a_real_one(repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch takes 50 ms to simulate; what else an epoch does takes a few."""

    def slow(*arguments: Any) -> Tensor:  # noqa: ANN401
        time.sleep(0.05)
        return simulate(*arguments)

    monkeypatch.setattr(simulated, "simulate", slow)
    data = [SimulatedDataset(GEOLOGY, SURVEY, 48, batch_size=6, repeats=repeats), endless(6, seed=1)]
    config = small_config("convbaseline", agc=9)
    found = rehearse(config, *data)
    feed = Feed(data[0], config, torch.device("cpu"), "train")
    network = build_network(config, feed)
    step = build_step(config, network, units_of(feed.sample(1, False), (1500.0, 4000.0), config, network), "float32")
    start = time.perf_counter()
    for batch in feed.epoch(0):
        step(*batch)
    assert found.epoch_seconds == pytest.approx(time.perf_counter() - start, rel=0.25)
    assert found.epoch_seconds > 8 * 0.05


def test_the_settings_of_the_units_are_those_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Normalization] = []

    def built(*arguments: Any) -> Any:  # noqa: ANN401
        seen.extend(one for one in arguments if isinstance(one, Normalization))
        return build_step(*arguments)

    monkeypatch.setattr(rehearsal, "build_step", built)
    rehearse(small_config(agc=9, data_transform="log", zero_last_sample=True), endless(12), endless(6, seed=1))
    (units,) = seen
    assert (units.agc, units.data_transform, units.zero_last_sample) == (9, "log", True)


def test_what_does_not_fit_is_refused() -> None:
    data = [SimulatedDataset(GEOLOGY, SURVEY, 6, batch_size=6, seed=seed) for seed in range(2)]
    with pytest.raises(ValueError, match="train must have the configuration's batch_size 4, got 6"):
        rehearse(small_config(batch_size=4), *data)


def test_the_command_makes_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_stored(tmp_path / "data")
    words = ["train", "--data", folder, "--run", tmp_path / "run", "--network", "convbaseline", "--batch_size", 5]
    told = ok(capsys, *words, "--network_options.width", 0.05, "--epochs", 3, "--dry-run").splitlines()
    assert told[0].startswith("convbaseline: ")
    assert " ms a step on " in told[1]
    assert told[1].endswith(" for 3 epochs")
    assert told[2].endswith(f" of checkpoints in {tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()
