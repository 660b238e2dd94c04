"""Batches of an epoch from either kind of data set, and the network's units from the first of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count, islice
from typing import Any, Literal, cast

import torch
from torch import Tensor

from seisfast.augmentation import Augmentation, Mirror
from seisfast.data import SimulatedDataset, StoredDataset, batches
from seisfast.data.checks import check_finite
from seisfast.data.parts import share
from seisfast.data.prefetch import Batch, Change, prefetched, unchanged
from seisfast.data.progress import model_bar
from seisfast.geology.base import derived_seed
from seisfast.networks import Network
from seisfast.normalization import Normalization
from seisfast.survey import Survey
from seisfast.training.config import TrainingConfig
from seisfast.training.distributed import Processes

Dataset = StoredDataset | SimulatedDataset
_SAMPLE = 64  # training models from which the range of the records is taken


class Feed:
    """One data set as the training loop sees it.

    Batch normalisation needs two models, so a training epoch leaves out a last batch that has fewer for one of its
    parts: the processes' shares, each in `config.accumulate` parts. The order changes from epoch to epoch, so no model
    is left out for good.

    Args:
        data: the data set.
        config: of the run.
        device: where batches go.
        role: "train" or "validation"; only training data are augmented.
        survey: of the records, for a data set that does not know its own.
        processes: that train together, each with its share of every batch; None means this one alone.

    Attributes:
        geometry: shots, receivers, samples and shape (nz, nx).
        models: number of models in an epoch, each counted once.
        repeats: times that each of them comes.
        data_seed: of the models that a data set simulates, None for a stored one.
        batches: number of batches in an epoch.
        last_batch: models in the last of them, over all processes.
        smallest_batch: models in the smallest part of a batch.
        survey: description of the survey, None when unknown.
        geology: description of the geology, None when unknown.
    """

    def __init__(
        self,
        data: Dataset,
        config: TrainingConfig,
        device: torch.device,
        role: str,
        survey: Survey | None = None,
        processes: Processes | None = None,
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
        self.data_seed = data.seed if isinstance(data, SimulatedDataset) else None
        if role != "train" and self.repeats > 1:
            raise ValueError(f"{role} must have repeats=1, each model once, got {self.repeats}")
        self.processes = processes or Processes()
        parts = self.processes.size * config.accumulate
        whole, rest = divmod(self.models * self.repeats, self.batch_size)
        if role == "train":
            self._check_parts(config)
            rest = 0 if whole and rest < 2 * parts else rest
        self.batches = whole + (rest > 0)
        self.last_batch = rest or self.batch_size
        self.smallest_batch = self.last_batch // parts
        self.geometry: dict[str, Any] = {**data.geometry, "shape": tuple(data.geometry["shape"])}
        known = _known_survey(data, survey, role, self.geometry)
        self.survey = None if known is None else known.to_dict()
        self.geology = None if data.geology is None else data.geology.to_dict()
        self._kept: list[Batch] = []
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
        read = (batch for batch in islice(self._read(number, start), self.batches - start) if len(batch[0]))
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
            models = self.models_of(first // self.batch_size)
            numbers = share(range(first, first + models), self._part)
            with torch.no_grad():
                return self.augmentation(records, velocity, numbers=numbers, seed=seed, survey=self._recorded)

        return change

    def models_of(self, batch: int) -> int:
        """Models in the batch of this number, from 0, over all processes."""
        return self.last_batch if batch == self.batches - 1 else self.batch_size

    def sample(self, batches: int, verbose: bool) -> Tensor:
        """Records of so many batches, or all, for the units: without changes, on the CPU, this process's share.

        Simulated models come in the order of their numbers, so that they are the same however often each is used.

        Args:
            batches: how many.
            verbose: shows the progress of a simulation.
        """
        if isinstance(self.data, StoredDataset):
            with closing(self.epoch(0, plain=True)) as given:
                return torch.cat([records.cpu() for records, _ in islice(given, batches)])
        self.data.set_epoch(0)
        found = []
        number = min(batches, -(-self.models // self.batch_size))
        with model_bar("simulate for the units", number, shown=verbose, unit="batches") as advance:
            for records, _ in self.data.first_batches(number):
                found.append(records.cpu())
                advance(1)
        return torch.cat(found)

    def prepare(self, verbose: bool) -> None:
        """Reads everything once, when it is stored, and draws a simulated validation set; each process its share.

        Args:
            verbose: shows the progress.

        Raises:
            ValueError: records or velocities that are not finite, with the model.
        """
        if isinstance(self.data, StoredDataset):
            own = share(range(self.models), self._part)
            with model_bar(f"check {self.role}", len(own), shown=verbose) as advance:
                check_finite(self.role, self.data, advance, own)
        elif self.role == "validation":
            with model_bar("simulate validation", self.models, shown=verbose) as advance:
                self._keep(self.data, advance)

    @property
    def _part(self) -> tuple[int, int]:
        return self.processes.rank, self.processes.size

    def _check_parts(self, config: TrainingConfig) -> None:
        """Refuses batches that leave a part with fewer than two models; of undivided ones the network judges.

        Raises:
            ValueError: naming batch_size, or the training data.
        """
        parts = self.processes.size * config.accumulate
        for name, models in (("batch_size", self.batch_size), ("the number of training models", self.models)):
            if parts > 1 and models < 2 * parts:
                raise ValueError(
                    f"{name} must be at least {2 * parts}, two models for each of the parts of a batch "
                    f"({self.processes.size} processes, accumulate {config.accumulate}), got {models}"
                )

    def _read(self, number: int, start: int) -> Iterator[Batch]:
        if isinstance(self.data, StoredDataset):
            shuffle, pinned = self.role == "train", self.device.type == "cuda"
            return batches(
                self.data, self.batch_size, seed=self.seed, epoch=number, start_batch=start, shuffle=shuffle,
                pinned=pinned, part=self._part,
            )  # fmt: skip
        if self.role == "train":
            self.data.set_epoch(number, start)
            return self.data.batches()
        return iter(self._kept or self._keep(self.data))

    def _keep(self, data: SimulatedDataset, advance: Callable[[int], object] | None = None) -> list[Batch]:
        """Simulates the validation set, which stays in memory."""
        data.set_epoch(0)
        self._kept = []
        for number, (records, velocity) in enumerate(data.batches()):
            self._kept.append((records.cpu(), velocity.cpu()))
            if advance is not None:
                advance(self.models_of(number))
        return self._kept


@contextmanager
def shared(data: Sequence[Dataset], processes: Processes) -> Iterator[None]:
    """While entered, simulated data sets give this process's share of every batch alone."""
    simulated = [one for one in data if isinstance(one, SimulatedDataset) and processes.size > 1]
    for one in simulated:
        one.set_part((processes.rank, processes.size))
    try:
        yield
    finally:
        for one in simulated:
            one.set_part((0, 1))


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

    All processes get the same.

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
    with feed.processes.together("looked at the training data"):
        feed.prepare(verbose)
        own = units_of(feed.sample(max(1, _SAMPLE // config.batch_size), verbose), limits, config, network)
    ends = torch.stack(feed.processes.gather(torch.tensor(own.data_range)))
    return replace(own, data_range=(float(ends[:, 0].min()), float(ends[:, 1].max())))


def units_of(records: Tensor, limits: tuple[float, float], config: TrainingConfig, network: Network) -> Normalization:
    """Units from raw records and the range of velocities, as the configuration asks for them.

    Raises:
        ValueError: records that are constant or not finite.
    """
    return Normalization.for_records(
        records,
        velocity_range=limits,
        transform=cast(Literal["linear", "log"], config.data_transform),
        output_range=network.output_range,
        zero_last_sample=config.zero_last_sample,
        agc=config.agc,
    )
