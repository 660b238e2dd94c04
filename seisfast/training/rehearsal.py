"""What a run will take, measured on its first steps: nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, repeat

import torch
from torch import Tensor

from seisfast.data.prefetch import Batch
from seisfast.data.windows import windows
from seisfast.survey import Survey
from seisfast.training.config import TrainingConfig, resolve_device
from seisfast.training.feed import Dataset, Feed, units_of
from seisfast.training.graph import WARM_UP
from seisfast.training.memory import freed_memory_kept
from seisfast.training.precision import float32_products, resolve_precision
from seisfast.training.preparation import build_network, build_step, check_batches
from seisfast.training.step import TrainingStep


@dataclass(frozen=True)
class Rehearsal:
    """What a run will take.

    Attributes:
        models: in an epoch, each counted once.
        batches: training steps of an epoch.
        parameters: of the network.
        step_seconds: of a step, its data read or simulated, in the mean over an epoch.
        epoch_seconds: of an epoch with its validation.
        epochs: that the configuration asks for, or that its minutes give, at least one.
        seconds: of the whole run.
        bytes: of the run folder: best.pt, and last.pt with the optimiser's moments.
        device: where the steps ran.
    """

    models: int
    batches: int
    parameters: int
    step_seconds: float
    epoch_seconds: float
    epochs: int
    seconds: float
    bytes: int
    device: str


def rehearse(
    config: TrainingConfig,
    train: Dataset,
    validation: Dataset,
    *,
    survey: Survey | None = None,
    steps: int = 3,
) -> Rehearsal:
    """Make the first steps of a run, in one process, and say what all of it will take.

    Args:
        config: as for `fit`, like the next three.
        train: training data.
        validation: validation data.
        survey: of the records, for data sets that do not know their own.
        steps: that are measured, after some that warm up: so many or more, to a multiple of the repeats.

    Raises:
        ValueError: as `fit`, where the configuration or the data do not fit.
    """
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    feed = Feed(train, config, device, "train", survey)
    other = Feed(validation, config, device, "validation")
    if feed.geometry != other.geometry:
        raise ValueError(f"validation must have the geometry of train, {feed.geometry}, got {other.geometry}")
    with torch.random.fork_rng(_cuda(device)), float32_products(precision, device), freed_memory_kept(device):
        torch.manual_seed(config.seed)
        network = build_network(config, feed)
        check_batches(network, feed, config)
        sample = feed.sample(1, verbose=False)  # so that what follows finds all libraries loaded
        with closing(feed.epoch(0)) as batches:
            start = time.perf_counter()
            first = next(batches)
            limits = _limits(config, first[1])  # waits for the device
            opening = time.perf_counter() - start
            units = units_of(sample, limits, config, network)
            step = build_step(config, network.to(device).train(), units, precision)
            with_data, without = _step_seconds(step, first, batches, feed.repeats * -(-steps // feed.repeats))
        network.eval()
        start = time.perf_counter()
        with torch.inference_mode():
            float(step.predict(first[0]).sum())
        validation_seconds = (time.perf_counter() - start) * other.batches
    last = min(feed.batches, feed.repeats * len(windows(feed.batches // feed.repeats, feed.repeats)[-1]))
    step_seconds = (opening + (feed.batches - last) * with_data + last * without) / feed.batches
    epoch = feed.batches * step_seconds + validation_seconds
    epochs = config.epochs if config.minutes is None else max(1, round(60.0 * config.minutes / epoch))
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    moments = 2 * sum(value.numel() * value.element_size() for value in network.parameters())
    return Rehearsal(
        models=feed.models,
        batches=feed.batches,
        parameters=sum(value.numel() for value in network.parameters()),
        step_seconds=step_seconds,
        epoch_seconds=epoch,
        epochs=epochs,
        seconds=epochs * epoch if config.minutes is None else max(60.0 * config.minutes, epoch),
        bytes=2 * weights + moments,
        device=str(device),
    )


def _step_seconds(step: TrainingStep, first: Batch, batches: Iterator[Batch], steps: int) -> tuple[float, float]:
    """Seconds of a step with what prepares the batches to come, and of one for which nothing is prepared.

    Args:
        step: training step.
        first: batch of the epoch.
        batches: the others.
        steps: to be timed, a multiple of the repeats: a batch is simulated once in so many.
    """
    warm = WARM_UP + 1 if step.device.type == "cuda" else 1
    for batch in [first, *islice(batches, warm - 1)]:
        step(*batch)
    step.finish()
    with_data = _timed(step, islice(batches, steps))
    alone = _timed(step, repeat(first, steps))
    return with_data or alone, alone


def _timed(step: TrainingStep, batches: Iterator[Batch]) -> float:
    """Seconds of a step on these batches, 0 where there are none."""
    start, made = time.perf_counter(), 0
    for batch in batches:
        step(*batch)
        made += 1
    step.finish()
    return (time.perf_counter() - start) / made if made else 0.0


def _limits(config: TrainingConfig, velocity: Tensor) -> tuple[float, float]:
    """A range of velocities for steps that are not kept."""
    if config.velocity_range is not None:
        return config.velocity_range
    low, high = float(velocity.min()), float(velocity.max())
    return low, max(high, low + 1.0)


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
