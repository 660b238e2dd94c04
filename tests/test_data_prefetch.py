"""Batches made ahead: order, errors, an early end; on a GPU the order of streams and the memory of batches."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_data import GEOLOGY, SURVEY
from torch import Tensor

from seisfast import engines
from seisfast.data import SimulatedDataset
from seisfast.data.prefetch import ahead, prefetched

NAME = "seisfast feed"


def feeding() -> bool:
    """Whether a thread that makes batches is running."""
    return NAME in [thread.name for thread in threading.enumerate()]


def test_items_made_ahead_keep_their_order_and_are_one_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for k in range(20):
            made.append(k)
            yield k

    for k, item in enumerate(ahead(numbers())):
        assert item == k
        assert len(made) <= k + 4
    assert made == list(range(20))
    assert not feeding()


def test_the_next_item_is_made_while_the_receiver_works() -> None:
    second = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    items = ahead(numbers())
    assert next(items) == 1
    assert second.wait(10.0), "made without being asked for"
    assert list(items) == [2]


def test_an_error_of_the_thread_is_raised_where_its_item_was_due() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    assert not feeding()


def test_a_receiver_that_stops_early_ends_the_thread_and_its_source() -> None:
    ended: list[str] = []

    def endless() -> Iterator[Tensor]:
        try:
            while True:
                yield torch.zeros(1)
        finally:
            ended.append(threading.current_thread().name)

    items = ahead(endless())
    next(items)
    items.close()
    assert ended == [NAME], "closed by the thread that made the items"
    assert not feeding()


def test_a_loop_that_is_left_ends_the_thread() -> None:
    def numbers() -> Iterator[int]:
        yield from range(1000)

    for item in ahead(numbers()):
        if item == 3:
            break
    gc.collect()
    assert not feeding()


def test_nothing_is_kept_of_an_item_that_was_dropped() -> None:
    alive: list[int] = []

    class Item:
        def __init__(self, number: int) -> None:
            self.number = number
            alive.append(number)

        def __del__(self) -> None:
            alive.remove(self.number)

    def items() -> Iterator[Item]:
        for k in range(10):
            yield Item(k)

    most = 0
    made = ahead(items())
    for item in made:
        del item
        time.sleep(0.01)
        most = max(most, len(alive))
    assert most <= 4, "one in hand, one ready, one waiting for its place"
    assert alive == []


# -- on a GPU ----------------------------------------------------------------------------------------------------------


def on_gpu(test: Any) -> Any:  # noqa: ANN401 - a test
    """Marks a test that needs a GPU."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")(test))


def busy(device: torch.device) -> None:
    """Work for some milliseconds on the current stream."""
    square = torch.ones(4096, 4096, device=device)
    for _ in range(8):
        square = square @ square * 1e-4


@on_gpu
@pytest.mark.parametrize("pinned", [False, True])
def test_a_batch_is_whole_on_a_busy_stream_and_its_memory_is_not_taken_early(pinned: bool) -> None:
    """The maker writes late, the receiver reads late and drops the batch at once."""
    device = torch.device("cuda")

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(12):
            if pinned:
                yield torch.full((1 << 20,), float(k)).pin_memory(), torch.full((9,), float(k)).pin_memory()
            else:
                busy(device)
                yield torch.full((1 << 20,), float(k), device=device), torch.full((9,), float(k), device=device)

    found = []
    for k, (records, velocity) in enumerate(prefetched(batches(), device)):
        if k % 2:
            busy(device)  # then the sums come long after the host has dropped the batch
        found.append(torch.stack([records.sum(dtype=torch.float64) / len(records), velocity.double().mean()]))
        del records, velocity
    assert torch.stack(found).cpu().tolist() == [[float(k), float(k)] for k in range(12)]
    assert not feeding()


@on_gpu
@pytest.mark.parametrize("repeats", [1, 3])
def test_simulated_batches_of_a_gpu_are_those_made_without_a_thread(repeats: int) -> None:
    if not engines.has_cuda_engine():
        pytest.skip("this build of seisfast has no CUDA engine")

    def dataset(device: str) -> SimulatedDataset:
        return SimulatedDataset(GEOLOGY, SURVEY, 24, seed=3, batch_size=4, device=device, repeats=repeats)

    ours, here, theirs = dataset("cuda"), dataset("cuda"), dataset("cpu")
    for epoch in range(4):
        for data in (ours, here, theirs):
            data.set_epoch(epoch, start_batch=epoch)
        expected = list(zip(here.batches(), theirs.batches(), strict=True))
        for (records, velocity), (own, other) in zip(ours, expected, strict=True):
            busy(records.device)
            assert torch.equal(records, own[0])
            assert torch.equal(velocity.cpu(), other[1])
            torch.testing.assert_close(records.cpu(), other[0], rtol=1e-5, atol=1e-6)


@on_gpu
def test_an_iteration_that_is_left_gives_the_thread_back() -> None:
    if not engines.has_cuda_engine():
        pytest.skip("this build of seisfast has no CUDA engine")
    data = SimulatedDataset(GEOLOGY, SURVEY, 4000, batch_size=4, device="cuda")
    for _ in data:
        assert feeding()
        break
    gc.collect()
    assert not feeding()
