"""Which batches of an epoch are mixed with each other when each model is used several times, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from seisfast.data.parts import share
from seisfast.geology.base import uniforms


def windows(batches: int, repeats: int) -> list[range]:
    """Neighbouring batches that are used together: `repeats` of them, or more where their number does not divide.

    The windows are as equal as can be, the first ones the larger. An epoch of fewer batches is one window.

    Args:
        batches: Number of batches that are simulated in an epoch.
        repeats: Times that each is used.
    """
    number = max(1, batches // repeats)
    return [share(range(batches), (k, number)) for k in range(number)]


def mixed(size: int, repeats: int, places: int, *, seed: int, window: int) -> Tensor:
    """Where each model of each batch comes from while a window is used, int64 `[repeats * size, places]`.

    Entry (t, b) is the batch of the window whose model number b stands at place b of step t. In every pass, which is
    `size` steps, each model stands in one batch; each place has an order of its own, and a new one in every pass. As a
    model keeps its place, batches can be divided by places, among processes of any number, and remain the same.

    Args:
        size: Batches in the window.
        repeats: Passes.
        places: Models in a batch.
        seed: Of the epoch.
        window: Its number in the epoch.
    """
    draws = uniforms([window], seed, repeats * size * places)
    return draws.view(repeats, size, places).argsort(dim=1, stable=True).flatten(0, 1)


def turns(lengths: Sequence[int], start: int, worker: int) -> tuple[int, int]:
    """The list that a worker goes on with, and how many of its entries were already taken.

    Entries are taken from the lists in turn; a list that has ended is passed over. After `start` of them the first
    worker takes the list whose turn it is, the second the next.

    Args:
        lengths: Of the lists, of which there are as many as workers.
        start: Entries taken.
        worker: Number of the worker.
    """
    order = [number for turn in range(max(lengths)) for number, length in enumerate(lengths) if turn < length]
    next_list = order[start] if start < len(order) else 0
    number = (next_list + worker) % len(lengths)
    return number, order[:start].count(number)
