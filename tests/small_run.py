"""A training run of a second on the small data set, for the tests of training and of what comes after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SURVEY, write_stored
from torch import Tensor

from seisfast import losses
from seisfast.data import SimulatedDataset, StoredDataset
from seisfast.geology import split
from seisfast.training import TrainingConfig, checkpoint, fit, read_log

MODELS = 25  # of the stored data set
OPTIONS: dict[str, dict[str, Any]] = {"seisinvnet": {"width": 0.1}, "convbaseline": {"width": 0.05}}


def small_config(network: str = "seisinvnet", **changes: Any) -> TrainingConfig:  # noqa: ANN401
    """Two epochs of a narrow network."""
    settings: dict[str, Any] = {
        "network": network,
        "network_options": OPTIONS[network],
        "loss": "l2",
        "epochs": 2,
        "batch_size": 6,
        "lr": 1e-3,
    }
    return TrainingConfig(**{**settings, **changes})


def parts(folder: Path) -> tuple[StoredDataset, StoredDataset, StoredDataset]:
    """Training, validation and test models of the stored data set."""
    train, validation, test = split(MODELS)
    return tuple(StoredDataset(folder, part) for part in (train, validation, test))  # type: ignore[return-value]


def endless(count: int = 20, batch_size: int = 6, seed: int = 0, repeats: int = 1) -> SimulatedDataset:
    """The same kind of models, simulated while a network trains."""
    return SimulatedDataset(GEOLOGY, SURVEY, count, seed=seed, batch_size=batch_size, repeats=repeats)


def stored_and_runs(folder: Path) -> Path:
    """A folder with the data set in data/ and one run of each network in runs/."""
    train, validation, _ = parts(write_stored(folder / "data"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # work this small only waits for a second one
    for network in OPTIONS:
        fit(small_config(network), train, validation, folder / "runs" / network, verbose=False)
    torch.set_num_threads(threads)
    return folder


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
