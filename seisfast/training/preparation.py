"""What a run needs before its first step: the network, the step, and checks of how they fit data and processes."""

from __future__ import annotations

import copy

import torch

from seisfast import losses, networks
from seisfast.normalization import Normalization
from seisfast.training import norms
from seisfast.training.config import TrainingConfig
from seisfast.training.distributed import Processes
from seisfast.training.feed import Feed
from seisfast.training.step import TrainingStep

_LONGEST = 300  # characters of a value in an error


def build_network(config: TrainingConfig, feed: Feed) -> networks.Network:
    """The network of the configuration for the geometry of the data.

    Raises:
        ValueError: options that the network does not have, or values that it refuses.
    """
    try:
        return networks.build(config.network, **feed.geometry, **config.network_options)
    except TypeError as error:
        raise ValueError(f"network_options do not fit {config.network}: {error}") from None


def check_units(config: TrainingConfig, normalization: Normalization) -> None:
    """Refuses given units that are not those of the configuration, where it names any.

    Raises:
        ValueError: naming the setting and both values.
    """
    plain = TrainingConfig()
    for name in ("velocity_range", "data_transform", "zero_last_sample", "agc"):
        asked, given = getattr(config, name), getattr(normalization, name)
        if asked not in (getattr(plain, name), given):
            raise ValueError(f"normalization.{name} must be the {name} of the configuration, {asked}, got {given}")


def check_alike(config: TrainingConfig, feeds: tuple[Feed, ...], normalization: Normalization | None) -> None:
    """Refuses processes that were not given the same.

    Raises:
        ValueError: naming what differs, with the first process's value and another one.
    """
    given = {**config.to_dict(), "normalization": None if normalization is None else normalization.to_dict()}
    for feed in feeds:
        numbers = {"models": feed.models, "repeats": feed.repeats, "seed": feed.data_seed, **feed.geometry}
        given |= {feed.role: numbers, f"the geology of {feed.role}": feed.geology}
        given[f"the survey of {feed.role}"] = feed.survey
    every = feeds[0].processes.gather(given)
    for name, value in every[0].items():
        for rank, other in enumerate(every):
            if other[name] != value:
                raise ValueError(
                    f"{name} must be the same in all processes, got {_short(value)} with rank 0 and "
                    f"{_short(other[name])} with {rank}"
                )


def _short(value: object) -> str:
    """A value as text; a survey's can be long."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def check_batches(network: networks.Network, feed: Feed, config: TrainingConfig) -> None:
    """Tries a batch of one model on a copy of the network without data.

    Raises:
        ValueError: batch normalisation would see a single value per channel.
    """
    if feed.smallest_batch > 1:
        return
    tried = copy.deepcopy(network).to("meta").train()
    if config.frozen_norms:
        norms.freeze(tried)
    for module in tried.modules():
        if hasattr(module, "fused"):
            setattr(module, "fused", False)  # noqa: B010 - without data only plain torch runs
    g = feed.geometry
    records = torch.empty(1, g["shots"], g["samples"], g["receivers"], device="meta")
    try:
        tried(records)
    except ValueError as error:
        what = "batch_size 1" if feed.batch_size == 1 else "a train set of 1 model"
        raise ValueError(f"batch_size and train must give batches of at least 2 models, got {what}: {error}") from None


def build_step(
    config: TrainingConfig,
    network: networks.Network,
    normalization: Normalization,
    precision: str,
    processes: Processes | None = None,
) -> TrainingStep:
    """The training step of the configuration.

    Args:
        config: how to train.
        network: on its device.
        normalization: units of its input and output.
        precision: as resolved for this device.
        processes: that train together.

    Raises:
        ValueError: units of another kind of network.
    """
    if tuple(normalization.output_range) != tuple(network.output_range):
        raise ValueError(
            f"normalization.output_range must be that of {config.network}, {network.output_range}, "
            f"got {normalization.output_range}"
        )
    return TrainingStep(
        network,
        normalization,
        losses.build(config.loss, **config.loss_options),
        lr=config.lr,
        clip=config.clip,
        mixed=precision == "bf16",
        graph=config.graph,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        processes=processes,
        sync_norms=config.sync_norms,
    )
