"""A training run of a second on the small data set, for the tests of what comes after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from small_data import GEOLOGY, SURVEY, write_stored

from seisfast.data import SimulatedDataset, StoredDataset
from seisfast.geology import split
from seisfast.training import TrainingConfig, fit

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


def endless(count: int = 20, batch_size: int = 6, seed: int = 0) -> SimulatedDataset:
    """The same kind of models, simulated while a network trains."""
    return SimulatedDataset(GEOLOGY, SURVEY, count, seed=seed, batch_size=batch_size)


def stored_and_runs(folder: Path) -> Path:
    """A folder with the data set in data/ and one run of each network in runs/."""
    train, validation, _ = parts(write_stored(folder / "data"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # work this small only waits for a second one
    for network in OPTIONS:
        fit(small_config(network), train, validation, folder / "runs" / network, verbose=False)
    torch.set_num_threads(threads)
    return folder
