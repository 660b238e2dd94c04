"""A dataset simulated while a network trains on it; nothing touches the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from seisfast.data.checks import check_count, check_epoch, check_pair
from seisfast.data.parts import check_part, share
from seisfast.geology import Geology
from seisfast.geology.base import check_seed, derived_seed
from seisfast.propagator import simulate
from seisfast.survey import Survey


class SimulatedDataset(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of fresh models and their records, new ones in every epoch.

    Iterating yields `(records, velocity)`: float32 tensors `[batch, shots, time, receivers]` and
    `[batch, 1, nz, nx]` in m/s, on `device`. The models depend on seed and epoch only, so a run can be
    repeated and resumed. Through `DataLoader(dataset, batch_size=None, num_workers=n)` the workers share the
    batches and their order stays the same.

    Args:
        geology: Generator of the velocity models.
        survey: Acquisition; its shape must be that of the geology, or open.
        count: Models in an epoch.
        seed: Seed of the run.
        batch_size: Models in a batch; the last one of an epoch may be smaller.
        device: Where to simulate.

    Attributes:
        geometry: Numbers of `shots`, `receivers` and `samples`, and `shape` (nz, nx).
        epoch: The epoch that the next iteration yields.

    Raises:
        TypeError: When an argument has the wrong type.
        ValueError: When survey and geology do not fit each other, or a number is out of its range.
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
    ) -> None:
        check_pair(geology, survey)
        self.geology, self.survey, self.device = geology, survey, torch.device(device)
        self.count = check_count("count", count)
        self.batch_size = check_count("batch_size", batch_size)
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
        """Choose the part of every batch that the next iteration simulates, for processes that train together.

        Args:
            part: (number, parts). A batch with fewer models than parts is left out where nothing falls to this one.

        Raises:
            TypeError: When it is not two whole numbers.
            ValueError: When there are no parts, or not this one.
        """
        self.part = check_part(part)

    def __len__(self) -> int:
        """Batches that an iteration yields."""
        return max(0, -(-self.count // self.batch_size) - self.start_batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        seed = derived_seed(self.seed, self.epoch)
        starts = range(self.start_batch * self.batch_size, self.count, self.batch_size)
        for start in starts[first::step]:
            models = share(range(start, min(start + self.batch_size, self.count)), self.part)
            if not models:
                continue
            velocity = self.geology(models, seed).to(self.device)
            with torch.no_grad():
                records = simulate(velocity, self.survey)
            yield records, velocity[:, None]
