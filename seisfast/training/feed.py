"""Batches of an epoch from either kind of data set, and the network's units from the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, cast

import torch
from torch import Tensor

from seisfast.data import SimulatedDataset, StoredDataset, batches
from seisfast.networks import Network
from seisfast.normalization import Normalization
from seisfast.training.config import TrainingConfig

Dataset = StoredDataset | SimulatedDataset
_SAMPLE = 64  # training models from which the range of the records is taken


class Feed:
    """One data set as the training loop sees it.

    Training epochs leave out a last batch of a single model, because batch normalisation needs two; the
    order changes from epoch to epoch, so no model is left out for good.

    Attributes:
        geometry: shots, receivers, samples and shape (nz, nx).
        models: number of models in an epoch.
        batches: number of batches in an epoch.
        survey: description of the survey, None when unknown.
        geology: description of the geology, None when unknown.
    """

    def __init__(self, data: Dataset, config: TrainingConfig, device: torch.device, role: str) -> None:
        if not isinstance(data, (StoredDataset, SimulatedDataset)):
            raise TypeError(f"{role} must be a StoredDataset or a SimulatedDataset, got {type(data).__name__}")
        self.data, self.device, self.role = data, device, role
        self.seed, self.batch_size = config.seed, config.batch_size
        self.models = data.count if isinstance(data, SimulatedDataset) else len(data)
        if isinstance(data, SimulatedDataset) and data.batch_size != config.batch_size:
            raise ValueError(
                f"{role} must have the configuration's batch_size {config.batch_size}, got {data.batch_size}"
            )
        whole, rest = divmod(self.models, self.batch_size)
        if role == "train" and rest == 1 and whole > 0:
            rest = 0
        self.batches = whole + (rest > 0)
        self.geometry: dict[str, Any] = {**data.geometry, "shape": tuple(data.geometry["shape"])}
        self.survey = None if data.survey is None else data.survey.to_dict()
        self.geology = None if data.geology is None else data.geology.to_dict()
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Records `[batch, shots, time, receivers]` and velocities `[batch, 1, nz, nx]` on the device.

        Args:
            number: of the epoch, from 0.
            start: batches to leave out at the beginning.
        """
        for records, velocity in islice(self._read(number, start), self.batches - start):
            yield records.to(self.device, non_blocking=True), velocity.to(self.device, non_blocking=True)

    def _read(self, number: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.data, StoredDataset):
            shuffle = self.role == "train"
            return batches(self.data, self.batch_size, seed=self.seed, epoch=number, start_batch=start, shuffle=shuffle)
        if self.role == "train":
            self.data.set_epoch(number, start)
            return iter(self.data)
        if self._kept is None:
            self.data.set_epoch(0)
            self._kept = [(records.cpu(), velocity.cpu()) for records, velocity in self.data]
        return iter(self._kept)


def starting_normalization(feed: Feed, config: TrainingConfig, network: Network) -> Normalization:
    """Units from the configuration, the geology, and the first training records.

    Raises:
        ValueError: neither the configuration nor the data set says which velocities may occur.
    """
    limits = config.velocity_range
    if limits is None and feed.geology is not None:
        limits = tuple(feed.geology["velocity"])
    if limits is None:
        raise ValueError(
            "velocity_range must be given, because this data set does not name its geology (OpenFWI: 1500 to 4500)"
        )
    needed = max(1, _SAMPLE // config.batch_size)
    sample = [records.cpu() for records, _ in islice(feed.epoch(0), needed)]
    return Normalization.for_records(
        torch.cat(sample),
        velocity_range=limits,
        transform=cast(Literal["linear", "log"], config.data_transform),
        output_range=network.output_range,
        zero_last_sample=config.zero_last_sample,
    )
