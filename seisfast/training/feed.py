"""Batches of an epoch from either kind of data set, and the network's units from the first of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import count, islice
from typing import Any, Literal, cast

import torch
from torch import Tensor

from seisfast.augmentation import Augmentation, Mirror
from seisfast.data import SimulatedDataset, StoredDataset, batches
from seisfast.data.checks import check_finite
from seisfast.data.prefetch import Batch, Change, prefetched, unchanged
from seisfast.data.progress import model_bar
from seisfast.geology.base import derived_seed
from seisfast.networks import Network
from seisfast.normalization import Normalization
from seisfast.survey import Survey
from seisfast.training.config import TrainingConfig

Dataset = StoredDataset | SimulatedDataset
_SAMPLE = 64  # training models from which the range of the records is taken


class Feed:
    """One data set as the training loop sees it.

    Training epochs leave out a last batch of a single model, because batch normalisation needs two; the
    order changes from epoch to epoch, so no model is left out for good.

    Args:
        data: the data set.
        config: of the run.
        device: where batches go.
        role: "train" or "validation"; only training data are augmented.
        survey: of the records, for a data set that does not know its own.

    Attributes:
        geometry: shots, receivers, samples and shape (nz, nx).
        models: number of models in an epoch, each counted once.
        repeats: times that each of them comes.
        batches: number of batches in an epoch.
        smallest_batch: models in the smallest of them.
        survey: description of the survey, None when unknown.
        geology: description of the geology, None when unknown.
    """

    def __init__(
        self, data: Dataset, config: TrainingConfig, device: torch.device, role: str, survey: Survey | None = None
    ) -> None:
        if not isinstance(data, (StoredDataset, SimulatedDataset)):
            raise TypeError(f"{role} must be a StoredDataset or a SimulatedDataset, got {type(data).__name__}")
        self.data, self.device, self.role = data, device, role
        self.seed, self.batch_size = config.seed, config.batch_size
        self.models = data.count if isinstance(data, SimulatedDataset) else len(data)
        if isinstance(data, SimulatedDataset) and data.batch_size != config.batch_size:
            raise ValueError(
                f"{role} must have the configuration's batch_size {config.batch_size}, got {data.batch_size}"
            )
        self.repeats = data.repeats if isinstance(data, SimulatedDataset) else 1
        if role != "train" and self.repeats > 1:
            raise ValueError(f"{role} must have repeats=1, each model once, got {self.repeats}")
        whole, rest = divmod(self.models * self.repeats, self.batch_size)
        if role == "train" and rest == 1 and whole > 0:
            rest = 0
        self.batches = whole + (rest > 0)
        self.smallest_batch = rest or self.batch_size
        self.geometry: dict[str, Any] = {**data.geometry, "shape": tuple(data.geometry["shape"])}
        known = _known_survey(data, survey, role, self.geometry)
        self.survey = None if known is None else known.to_dict()
        self.geology = None if data.geology is None else data.geology.to_dict()
        self._kept: list[tuple[Tensor, Tensor]] | None = None
        self.augmentation = Augmentation.from_dict(config.augmentation if role == "train" else {})
        self.augmentation.check(known, self.geometry["samples"])
        self._recorded: Survey | Mirror | None = known
        if known is not None and self.augmentation.flip > 0:
            self._recorded = Mirror(known, self.geometry["shape"])

    def epoch(self, number: int, start: int = 0, *, plain: bool = False) -> Generator[Batch, None, None]:
        """Records `[batch, shots, time, receivers]` and velocities `[batch, 1, nz, nx]` on the device.

        For a GPU a thread reads or simulates the next batch, on a stream of its own, while the device works on this
        one (`seisfast.data.prefetch`).

        Args:
            number: of the epoch, from 0.
            start: batches to leave out at the beginning.
            plain: without augmentation.
        """
        read = islice(self._read(number, start), self.batches - start)
        change = unchanged if plain else self._augment(number, start)
        if self.device.type == "cuda":
            return prefetched(read, self.device, change)
        return (change(records.to(self.device), velocity.to(self.device)) for records, velocity in read)

    def _augment(self, number: int, start: int) -> Change:
        """What changes the batches of an epoch, on the device, in their order."""
        if self.augmentation == Augmentation():
            return unchanged
        seed, firsts = derived_seed(self.seed, number), count(start * self.batch_size, self.batch_size)

        def change(records: Tensor, velocity: Tensor) -> Batch:
            first = next(firsts)
            numbers = range(first, first + len(records))
            with torch.no_grad():
                return self.augmentation(records, velocity, numbers=numbers, seed=seed, survey=self._recorded)

        return change

    def check_finite(self, verbose: bool) -> None:
        """Reads everything once, when it is stored.

        Args:
            verbose: a progress bar on a terminal.

        Raises:
            ValueError: records or velocities that are not finite, with the model.
        """
        if isinstance(self.data, StoredDataset):
            with model_bar(f"check {self.role}", self.models, shown=verbose) as advance:
                check_finite(self.role, self.data, advance)

    def _read(self, number: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.data, StoredDataset):
            shuffle, pinned = self.role == "train", self.device.type == "cuda"
            return batches(
                self.data, self.batch_size, seed=self.seed, epoch=number, start_batch=start, shuffle=shuffle,
                pinned=pinned,
            )  # fmt: skip
        if self.role == "train":
            self.data.set_epoch(number, start)
            return self.data.batches()
        if self._kept is None:
            self.data.set_epoch(0)
            self._kept = [(records.cpu(), velocity.cpu()) for records, velocity in self.data.batches()]
        return iter(self._kept)


def _known_survey(data: Dataset, given: Survey | None, role: str, geometry: dict[str, Any]) -> Survey | None:
    """The survey of a data set: its own, or the given one.

    Raises:
        TypeError: another kind of survey.
        ValueError: one that is not the data set's, or does not fit its records and models.
    """
    if given is None or data.survey is not None:
        if given is not None and given != data.survey:
            raise ValueError(f"survey must be left out, or be the one that {role} was recorded with, got {given}")
        return data.survey
    if not isinstance(given, Survey):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(given).__name__}")
    given.check_shape(geometry["shape"])
    found = {"shots": given.shots, "receivers": given.receivers_per_shot, "samples": given.nt}
    if any(geometry[name] != value for name, value in found.items()):
        raise ValueError(f"survey must have the geometry of {role}, {geometry}, got {found}")
    return given


def starting_normalization(feed: Feed, config: TrainingConfig, network: Network, verbose: bool) -> Normalization:
    """Units from the configuration, the geology, and the first training records, once all are known to be finite.

    Raises:
        ValueError: neither the configuration nor the data set says which velocities may occur; records that are
            constant or not finite.
    """
    limits = config.velocity_range
    if limits is None and feed.geology is not None:
        limits = tuple(feed.geology["velocity"])
    if limits is None:
        raise ValueError(
            "velocity_range must be given, because this data set does not name its geology (OpenFWI: 1500 to 4500)"
        )
    feed.check_finite(verbose)
    needed = max(1, _SAMPLE // config.batch_size)
    with closing(feed.epoch(0, plain=True)) as batches_of_epoch:
        sample = torch.cat([records.cpu() for records, _ in islice(batches_of_epoch, needed)])
    return Normalization.for_records(
        sample,
        velocity_range=limits,
        transform=cast(Literal["linear", "log"], config.data_transform),
        output_range=network.output_range,
        zero_last_sample=config.zero_last_sample,
        agc=config.agc,
    )
