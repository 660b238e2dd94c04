"""A dataset simulated while a network trains on it; nothing touches the disk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from seisfast.data.checks import check_count, check_epoch, check_pair
from seisfast.data.parts import check_part, share
from seisfast.data.prefetch import Batch, prefetched
from seisfast.data.windows import mixed, turns, windows
from seisfast.geology import Geology
from seisfast.geology.base import check_seed, derived_seed
from seisfast.propagator import simulate
from seisfast.survey import Survey

CELLS = 1 << 21
"""Cells of the models that are made at a time, for batches to come: a hundred small operations serve them all."""

_ORDER = 0x6F726472
"""Tells the random numbers of the batches' order from those of the models, and of augmentation, which counts from 0."""


class SimulatedDataset(IterableDataset[Batch]):
    """Batches of fresh models and their records, new ones in every epoch.

    Iterating yields `(records, velocity)`: float32 tensors `[batch, shots, time, receivers]` and
    `[batch, 1, nz, nx]` in m/s, on `device`. They depend on seed and epoch alone, so a run can be repeated, and
    resumed in the middle of an epoch.

    On a CUDA device a thread makes the next batch, on a stream of its own, while this one is used.

    With `repeats` = k > 1 each model is used k times in an epoch, so that a step costs 1 / k of a simulation (data
    echoing, Choi et al. 2019, arXiv 1907.05550), but not k times in a row. k simulated batches, or a few more where
    the number of batches does not divide, make a window. It is passed over k times, and in every pass its models are
    put together in new batches (`seisfast.data.windows.mixed`). Meanwhile the next window is simulated, one batch
    every k steps. Memory: both windows, about 2 k batches of records. The first batch of an epoch, or of the rest of
    one, comes when a window is simulated.

    Through `DataLoader(dataset, batch_size=None, num_workers=n)` the workers share the batches. Without repeats
    their order stays the same; with repeats they share the windows, whose batches come in turn.

    Args:
        geology: Generator of the velocity models.
        survey: Acquisition; its shape must be that of the geology, or open.
        count: Models simulated in an epoch; with repeats whole batches.
        seed: Seed of the run.
        batch_size: Models in a batch; without repeats the last one of an epoch may be smaller.
        device: Where to make the models and to simulate.
        repeats: Times that each model is used in an epoch.

    Attributes:
        geometry: Numbers of `shots`, `receivers` and `samples`, and `shape` (nz, nx).
        epoch: The epoch that the next iteration yields.
        part: (number, parts), which share of every batch it yields.

    Raises:
        TypeError: When an argument has the wrong type.
        ValueError: When survey and geology do not fit each other, a number is out of its range, or repeats meet a
            count that is not a multiple of batch_size.
    """

    def __init__(
        self,
        geology: Geology,
        survey: Survey,
        count: int,
        *,
        seed: int = 0,
        batch_size: int,
        device: str | torch.device = "cpu",
        repeats: int = 1,
    ) -> None:
        check_pair(geology, survey)
        self.geology, self.survey, self.device = geology, survey, torch.device(device)
        self.count = check_count("count", count)
        self.batch_size = check_count("batch_size", batch_size)
        self.repeats = check_count("repeats", repeats)
        if self.repeats > 1 and self.count % self.batch_size:
            below = self.count // self.batch_size * self.batch_size
            raise ValueError(
                f"count must be a multiple of batch_size when repeats is above 1, such as "
                f"{below or below + self.batch_size}, got {self.count} and {self.batch_size}"
            )
        self.seed = check_seed(seed)
        self.epoch = 0
        self.start_batch = 0
        self.part = (0, 1)
        self.geometry: dict[str, Any] = {
            "shots": survey.shots,
            "receivers": survey.receivers_per_shot,
            "samples": survey.nt,
            "shape": geology.shape,
        }

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose the epoch of the next iteration.

        Args:
            epoch: Number of the epoch, from 0.
            start_batch: Batches to leave out at the beginning, to go on in the middle of an epoch.

        Raises:
            TypeError: When a number is not whole.
            ValueError: When it is negative.
        """
        check_epoch(epoch, start_batch)
        self.epoch, self.start_batch = epoch, start_batch

    def set_part(self, part: tuple[int, int]) -> None:
        """Yield one part of every batch from the next iteration on, for processes that train together.

        Nothing is simulated twice: the parts of a batch are neighbours in it, and all of them together are the batch
        of a single process, to the bit, whatever their number (with repeats, too). A part of a batch of fewer models
        than parts may be empty.

        Args:
            part: (number, parts) with number < parts.

        Raises:
            TypeError: When it is not two whole numbers.
            ValueError: When there is no such part.
        """
        self.part = check_part(part)

    def __len__(self) -> int:
        """Batches that an iteration yields."""
        return max(0, -(-self.count // self.batch_size) * self.repeats - self.start_batch)

    def __iter__(self) -> Iterator[Batch]:
        batches = self.batches()
        if self.device.type == "cuda":
            return prefetched(batches, self.device)
        return batches

    def batches(self) -> Iterator[Batch]:
        """The batches that iterating yields, each made when it is asked for, by the thread that asks."""
        seed = derived_seed(self.seed, self.epoch)
        own, done = self._windows()
        while own and done >= self.repeats * len(own[0][1]):
            done -= self.repeats * len(own.pop(0)[1])
        fresh = self._simulated([batch for _, window in own for batch in window], seed)
        return fresh if self.repeats == 1 else self._mixed(fresh, own, done, seed)

    def first_batches(self, number: int) -> Iterator[Batch]:
        """The first batches of the epoch as they are simulated, in the order of their models, each model once.

        Without repeats they are those that iterating yields from the start of the epoch; with repeats no window waits
        to be whole.

        Args:
            number: Of batches, or as many as there are.
        """
        every = -(-self.count // self.batch_size)
        return self._simulated(list(range(min(number, every))), derived_seed(self.seed, self.epoch))

    def _windows(self) -> tuple[list[tuple[int, range]], int]:
        """This worker's windows, each with its number, and how many of their batches are left out."""
        every = list(enumerate(windows(-(-self.count // self.batch_size), self.repeats)))
        worker = get_worker_info()
        if worker is None:
            return every, self.start_batch
        shares = [every[first :: worker.num_workers] for first in range(worker.num_workers)]
        lengths = [self.repeats * sum(len(window) for _, window in own) for own in shares]
        number, done = turns(lengths, self.start_batch, worker.id)
        return shares[number], done

    def _mixed(self, fresh: Iterator[Batch], own: list[tuple[int, range]], done: int, seed: int) -> Iterator[Batch]:
        """The batches of windows, less the first `done`, put together from those that are simulated in their order."""
        coming: list[Batch] = []
        for (number, window), (_, following) in zip_longest(own, own[1:], fillvalue=(0, range(0))):
            coming += islice(fresh, len(window) - len(coming))
            records, velocity = (torch.cat(parts) for parts in zip(*coming, strict=True))
            coming = []
            for rows in self._rows(len(window), number, seed)[done:]:
                yield records.index_select(0, rows), velocity.index_select(0, rows)
                done += 1
                if len(coming) < min(done // self.repeats, len(following)):
                    coming += islice(fresh, 1)
            done = 0
            del records, velocity  # before the next window gets memory

    def _rows(self, size: int, number: int, seed: int) -> Tensor:
        """Where a window's models lie for each of its batches, this part's alone: `[batches, models]`."""
        order = mixed(size, self.repeats, self.batch_size, seed=derived_seed(seed, _ORDER), window=number)
        places = share(range(self.batch_size), self.part)
        own = order[:, places.start : places.stop]
        return (own * len(places) + torch.arange(len(places))).to(self.device)

    def _simulated(self, numbers: list[int], seed: int) -> Iterator[Batch]:
        """The batches of these numbers, this part's share of each, every model once."""
        starts = [number * self.batch_size for number in numbers]
        shares = [share(range(start, min(start + self.batch_size, self.count)), self.part) for start in starts]
        nz, nx = self.geology.shape
        at_once = max(1, CELLS // (self.batch_size * nz * nx))
        for first in range(0, len(shares), at_once):
            group = shares[first : first + at_once]
            models = self.geology([model for part in group for model in part], seed, device=self.device)
            for velocity in models.split([len(part) for part in group]):
                yield self._records(velocity), velocity[:, None]

    def _records(self, velocity: Tensor) -> Tensor:
        if not len(velocity):
            g = self.geometry
            return velocity.new_empty(0, g["shots"], g["samples"], g["receivers"])
        with torch.no_grad():
            return simulate(velocity, self.survey)
