"""Datasets simulated while training: new models every epoch, repeatable, resumable."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SHAPE, SURVEY, small_survey
from torch import Tensor
from torch.utils.data import DataLoader

from seisfast.augmentation.options import _DRAWS
from seisfast.data import SimulatedDataset, simulated
from seisfast.data.windows import windows
from seisfast.geology import SeisInv
from seisfast.geology.base import derived_seed
from seisfast.propagator import simulate
from seisfast.survey import Survey
from seisfast.wavelets import ricker

Batches = list[tuple[Tensor, Tensor]]


class Worker(NamedTuple):
    """What torch tells a worker of a DataLoader about itself."""

    id: int
    num_workers: int


def repeated(count: int = 24, repeats: int = 3, **options: object) -> SimulatedDataset:
    """Six batches of four models in two windows."""
    return SimulatedDataset(GEOLOGY, SURVEY, count, seed=3, batch_size=4, repeats=repeats, **options)


def models_of(batches: Batches) -> list[bytes]:
    """What tells the models of all batches apart."""
    return [model.numpy().tobytes() for _, velocity in batches for model in velocity]


def asked_in_turn(dataset: SimulatedDataset, workers: int, monkeypatch: pytest.MonkeyPatch) -> Batches:
    """What workers give that are asked one after the other, as a DataLoader does it."""
    sources = []
    for number in range(workers):
        with monkeypatch.context() as patch:
            patch.setattr(simulated, "get_worker_info", lambda n=number: Worker(n, workers))
            sources.append(list(dataset))
    found = []
    while any(sources):
        found += [own.pop(0) for own in sources if own]
    return found


def assert_same(ours: Batches, theirs: Batches) -> None:
    """Equal to the bit."""
    assert len(ours) == len(theirs)
    for pair, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(pair, other, strict=True))


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


def test_a_dispersed_survey_is_one_warning_for_all_batches() -> None:
    geology = SeisInv(shape=SHAPE, velocity=(1000.0, 2500.0))
    for _ in range(2):  # another survey warns again
        survey = small_survey(wavelet=ricker(30.0, 1e-3, 40))
        dataset = SimulatedDataset(geology, survey, 20, seed=3, batch_size=2)
        with pytest.warns(UserWarning, match="points per shortest wavelength") as caught:
            batches = list(dataset)
        assert len({float(velocity.min()) for _, velocity in batches}) == 10
        assert len(caught) == 1


def test_the_order_and_the_changes_draw_random_numbers_of_their_own() -> None:
    numbers = [simulated._ORDER, *range(len(_DRAWS))]
    assert len({derived_seed(derived_seed(3, 0), number) for number in numbers}) == len(numbers)


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


@pytest.mark.parametrize(("count", "repeats", "workers"), [(16, 1, 3), (32, 3, 2), (36, 3, 2), (8, 2, 2)])
def test_what_workers_give_goes_on_in_the_middle(
    count: int, repeats: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = repeated(count, repeats)
    alone = list(dataset)
    whole = asked_in_turn(dataset, workers, monkeypatch)
    assert len(whole) == len(alone) == len(dataset)
    assert sorted(models_of(whole)) == sorted(models_of(alone))
    if repeats == 1:
        assert_same(whole, alone)
    for start in range(0, len(whole) + 2, 3):
        dataset.set_epoch(0, start)
        assert_same(asked_in_turn(dataset, workers, monkeypatch), whole[start:])


def test_the_workers_of_a_loader_are_asked_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them has two windows, the other one, and ends first."""
    dataset = repeated(36)
    whole = asked_in_turn(dataset, 2, monkeypatch)
    dataset.set_epoch(0, 5)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert_same([(records, velocity) for records, velocity in loader], whole[5:])


# repeats


@pytest.mark.parametrize(("count", "repeats"), [(24, 3), (28, 3), (8, 4), (4, 2), (16, 2)])
def test_every_model_of_a_window_comes_once_in_every_pass(count: int, repeats: int) -> None:
    dataset = repeated(count, repeats)
    assert len(dataset) == repeats * count // 4
    batches = list(dataset)
    assert [len(records) for records, _ in batches] == [4] * len(dataset)
    for records, velocity in batches:
        assert torch.equal(records, simulate(velocity[:, 0], SURVEY)), "records and velocities are moved alike"
    fresh = list(repeated(count, 1))
    start = 0
    for window in windows(count // 4, repeats):
        size = len(window)
        expected = sorted(models_of([fresh[batch] for batch in window]))
        passes = [batches[at : at + size] for at in range(start, start + repeats * size, size)]
        assert all(sorted(models_of(one_pass)) == expected for one_pass in passes)
        if size > 1:
            orders = {tuple(models_of(one_pass)) for one_pass in passes}
            assert len(orders) >= repeats - (size == 2), "two batches have 16 orders, of which one may come twice"
        start += repeats * size
    assert start == len(batches)


def test_the_next_window_is_simulated_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(velocity: Tensor, survey: Survey) -> Tensor:
        calls.append(len(velocity))
        return simulate(velocity, survey)

    monkeypatch.setattr(simulated, "simulate", counted)
    dataset = repeated(36)
    so_far = [len(calls) for _ in dataset]
    assert so_far == [3] * 3 + [4] * 3 + [5] * 3 + [6] * 3 + [7] * 3 + [8] * 3 + [9] * 9
    calls.clear()
    dataset.set_epoch(0, start_batch=16)
    assert [len(calls) for _ in dataset] == [3, 4] + [6] * 3 + [6] * 6, "its own window, and what was due of the next"


@pytest.mark.parametrize("at_once", [0, 1 << 21])
def test_repeats_go_on_from_every_place(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = repeated(28)
    dataset.set_epoch(5)
    whole = list(dataset)
    monkeypatch.setattr(simulated, "CELLS", at_once)
    for start in range(len(whole) + 2):
        dataset.set_epoch(5, start)
        assert len(dataset) == max(0, len(whole) - start)
        assert_same(list(dataset), whole[start:])


def test_every_epoch_has_an_order_of_its_own() -> None:
    dataset = repeated(8, repeats=2)
    places = []
    for epoch in range(6):
        dataset.set_epoch(epoch)
        models = models_of(list(dataset))
        first = sorted(set(models))
        places.append(tuple(first.index(model) for model in models))
        dataset.set_epoch(epoch)
        assert models_of(list(dataset)) == models, "the same when it is asked for again"
    assert len(set(places)) == 6


# parts


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("count", "repeats"), [(10, 1), (24, 3)])
def test_parts_together_are_the_batches_of_one_process(count: int, repeats: int, parts: int) -> None:
    whole = list(repeated(count, repeats))
    found = []
    for number in range(parts):
        dataset = repeated(count, repeats)
        dataset.set_part((number, parts))
        assert len(dataset) == len(whole)
        found.append(list(dataset))
        dataset.set_epoch(0, start_batch=2)
        assert_same(list(dataset), found[-1][2:])
    together = [tuple(map(torch.cat, zip(*pieces, strict=True))) for pieces in zip(*found, strict=True)]
    assert_same(together, whole)
    sizes = [len(records) for records, _ in found[0]]
    assert sizes[0] == -(-4 // parts), "neighbours, the first part the larger"


def test_a_part_of_a_batch_may_be_empty() -> None:
    dataset = repeated(6, 1)
    dataset.set_part((4, 5))
    assert [len(records) for records, _ in dataset] == [0, 0]
    assert next(iter(dataset))[0].shape == (0, 2, 40, 8)


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
        (lambda: repeated(repeats=0), ValueError, "repeats must be at least 1"),
        (lambda: repeated(repeats=1.5), TypeError, "repeats must be a whole number"),
        (lambda: repeated(10), ValueError, "multiple of batch_size when repeats is above 1, such as 8, got 10 and 4"),
        (lambda: repeated(3), ValueError, "such as 4, got 3 and 4"),
        (lambda: repeated().set_part((2, 2)), ValueError, "number < parts"),
    ],
)
def test_bad_arguments(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
