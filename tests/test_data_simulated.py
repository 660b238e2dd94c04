"""Datasets simulated while training: new models every epoch, repeatable, resumable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SHAPE, SURVEY
from torch.utils.data import DataLoader

from seisfast.data import SimulatedDataset
from seisfast.geology import SeisInv
from seisfast.propagator import simulate


def test_simulated_batches() -> None:
    dataset = SimulatedDataset(GEOLOGY, SURVEY, 7, seed=3, batch_size=3)
    assert len(dataset) == 3
    assert dataset.geometry == {"shots": 2, "receivers": 8, "samples": 40, "shape": SHAPE}
    epoch = list(dataset)
    assert [len(records) for records, _ in epoch] == [3, 3, 1]
    for records, velocity in epoch:
        assert velocity.shape[1:] == (1, *SHAPE)
        assert torch.equal(records, simulate(velocity[:, 0], SURVEY))
        assert not records.requires_grad


def test_every_epoch_has_new_models() -> None:
    dataset = SimulatedDataset(GEOLOGY, SURVEY, 8, seed=3, batch_size=8)
    seen = set()
    for epoch in range(4):
        dataset.set_epoch(epoch)
        ((records, velocity),) = dataset
        ((again, _),) = SimulatedDataset(GEOLOGY, SURVEY, 8, seed=3, batch_size=8) if epoch == 0 else dataset
        assert torch.equal(records, again)
        seen |= {model.numpy().tobytes() for model in velocity}
    assert len(seen) == 32
    kinds = [len(np.unique(np.frombuffer(model, np.float32))) for model in seen]
    assert np.bincount(kinds).tolist() == [0, 0, 8, 8, 8, 8], "types keep their equal parts"


def test_simulation_goes_on_in_the_middle() -> None:
    dataset = SimulatedDataset(GEOLOGY, SURVEY, 10, seed=3, batch_size=3)
    dataset.set_epoch(5)
    whole = list(dataset)
    dataset.set_epoch(5, start_batch=2)
    assert len(dataset) == 2
    rest = list(dataset)
    assert len(rest) == 2
    assert all(
        torch.equal(a, b) for pair, other in zip(rest, whole[2:], strict=True) for a, b in zip(pair, other, strict=True)
    )
    dataset.set_epoch(6)
    assert len(dataset) == 4
    dataset.set_epoch(6, start_batch=10)
    assert len(dataset) == 0
    assert list(dataset) == []


def test_workers_share_the_batches() -> None:
    dataset = SimulatedDataset(GEOLOGY, SURVEY, 10, seed=3, batch_size=3)
    expected = list(dataset)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    shared = list(loader)
    assert len(shared) == len(expected)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(shared, expected, strict=True))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SimulatedDataset(GEOLOGY, SURVEY, 0, batch_size=2), ValueError, "count must be at least 1"),
        (
            lambda: SimulatedDataset(GEOLOGY, SURVEY, 4, batch_size=0),
            ValueError,
            "batch_size must be at least 1",
        ),
        (
            lambda: SimulatedDataset(GEOLOGY, SURVEY, 4, batch_size=True),
            TypeError,
            "batch_size must be a whole number",
        ),
        (
            lambda: SimulatedDataset(GEOLOGY, SURVEY, 4, batch_size=2, seed="a"),
            TypeError,
            "seed must be a whole number",
        ),
        (
            lambda: SimulatedDataset(SeisInv(), SURVEY, 4, batch_size=2),
            ValueError,
            "survey must have the shape",
        ),
        (
            lambda: SimulatedDataset(GEOLOGY, SURVEY, 4, batch_size=2).set_epoch(-1),
            ValueError,
            "epoch must be 0 or larger",
        ),
        (
            lambda: SimulatedDataset(GEOLOGY, SURVEY, 4, batch_size=2).set_epoch(0, 0.5),
            TypeError,
            "start_batch must be a whole number",
        ),
    ],
)
def test_bad_arguments(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
