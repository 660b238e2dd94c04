"""Windows of batches that are mixed: sizes, orders, and whose turn it is."""

from __future__ import annotations

import pytest
import torch

from seisfast.data.windows import mixed, turns, windows


@pytest.mark.parametrize(
    ("batches", "repeats", "sizes"),
    [(12, 4, [4, 4, 4]), (14, 4, [5, 5, 4]), (7, 4, [7]), (3, 4, [3]), (1, 4, [1]), (3, 1, [1, 1, 1])],
)
def test_windows_hold_as_many_batches_as_repeats_or_more(batches: int, repeats: int, sizes: list[int]) -> None:
    found = windows(batches, repeats)
    assert [len(window) for window in found] == sizes
    assert [batch for window in found for batch in window] == list(range(batches))


@pytest.mark.parametrize(("size", "repeats", "places"), [(4, 4, 12), (5, 4, 3), (1, 2, 3), (2, 2, 1)])
def test_every_model_comes_once_in_every_pass(size: int, repeats: int, places: int) -> None:
    order = mixed(size, repeats, places, seed=5, window=2)
    assert order.shape == (repeats * size, places)
    for one_pass in order.split(size):
        assert torch.equal(one_pass.sort(0).values, torch.arange(size)[:, None].expand(size, places))


def test_passes_windows_and_seeds_have_orders_of_their_own() -> None:
    passes = [*mixed(4, 3, 12, seed=5, window=2).split(4), mixed(4, 1, 12, seed=5, window=3)]
    passes.append(mixed(4, 1, 12, seed=6, window=2))
    assert len({tuple(order.flatten().tolist()) for order in passes}) == 5
    columns = {tuple(column) for column in passes[0].T.tolist()}
    assert len(columns) > 6, "places do not move together"


def test_all_orders_of_two_batches_come_alike() -> None:
    order = mixed(2, 4000, 2, seed=1, window=0).view(4000, 2, 2)[:, 0]
    counts = torch.bincount(2 * order[:, 0] + order[:, 1], minlength=4)
    assert counts.sum() == 4000
    assert ((counts - 1000).abs() < 150).all(), "five standard deviations"


@pytest.mark.parametrize("lengths", [[4, 4, 4], [5, 5, 2], [6, 3, 0], [0, 0], [7]])
def test_workers_go_on_where_the_round_was_stopped(lengths: list[int]) -> None:
    def taken(start: int) -> list[tuple[int, int]]:
        """What a loader that asks its workers in turn gets, from this entry on."""
        left = []
        for worker in range(len(lengths)):
            number, done = turns(lengths, start, worker)
            left.append([(number, entry) for entry in range(done, lengths[number])])
        found = []
        while any(left):
            found += [own.pop(0) for own in left if own]
        return found

    whole = taken(0)
    assert len(whole) == sum(lengths)
    for start in range(len(whole) + 2):
        assert taken(start) == whole[start:]
