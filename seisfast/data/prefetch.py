"""Batches made by a thread while their receiver works on the one before; on CUDA by way of a stream of their own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from functools import cache
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import torch
from torch import Tensor

_Item = TypeVar("_Item")
Batch = tuple[Tensor, Tensor]
Change = Callable[[Tensor, Tensor], Batch]


def unchanged(records: Tensor, velocity: Tensor) -> Batch:
    """A batch as it is."""
    return records, velocity


def prefetched(
    batches: Iterator[Batch], device: torch.device, change: Change = unchanged
) -> Generator[Batch, None, None]:
    """The batches on a CUDA device, each read or simulated and copied while its receiver works on the one before.

    A thread makes them on a stream of their own. The receiver's stream waits for a batch on the device, by an event;
    the receiver's thread waits only where there is no batch yet. A batch may be dropped as soon as the work that uses
    it is launched on the stream that was current when it came: its memory is not used again before that is done.

    Besides the batch that the receiver has, one is ready and one is being made.

    Args:
        batches: Pairs of records and velocities, on any device; pinned ones are copied without the host's help.
        device: Where they are needed.
        change: What is done with each batch there, by the thread on its stream.
    """
    here = torch.cuda.current_stream(device)
    side = _side_stream(here.device)
    side.wait_stream(here)  # what the maker reads may still be on its way
    with closing(ahead(_launched(batches, side, change))) as made:
        for batch, ready in made:
            here = torch.cuda.current_stream(device)
            here.wait_event(ready)
            for part in batch:
                part.record_stream(here)
            yield batch
            del batch  # the receiver alone says how long a batch lives


def _launched(
    batches: Iterator[Batch], stream: torch.cuda.Stream, change: Change
) -> Generator[tuple[Batch, torch.cuda.Event], None, None]:
    """Batches on the stream's device, and the event after which they are complete."""
    with torch.cuda.stream(stream):
        for records, velocity in batches:
            batch = change(records.to(stream.device, non_blocking=True), velocity.to(stream.device, non_blocking=True))
            ready = torch.cuda.Event()
            ready.record(stream)
            del records, velocity
            yield batch, ready
            del batch


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for all batches of a device: memory that is freed on it serves those after, in later epochs too."""
    return torch.cuda.Stream(device)


def ahead(items: Generator[_Item, None, None]) -> Generator[_Item, None, None]:
    """The items, each made by a thread while its receiver works on the one before.

    What the thread raises is raised where the item was to come. When the receiver stops early, the thread ends after
    the item that it is making.
    """
    queue: Queue[tuple[bool, Any]] = Queue(maxsize=1)
    stopped = Event()

    def put(more: bool, item: object) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put((more, item), timeout=0.1)
                return

    def make() -> None:
        try:
            with closing(items):
                for item in items:
                    put(True, item)
                    del item
                    if stopped.is_set():
                        return
            put(False, None)
        except BaseException as error:  # whatever it is, the receiver must not wait for ever
            put(False, error)

    thread = Thread(target=make, name="seisfast feed", daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item
            del item  # the receiver alone says how long a batch lives
    finally:
        stopped.set()
        thread.join()
