"""A narrow network, batches and a training step for the tests of the step, on the CPU and on a GPU alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seisfast import losses, networks
from seisfast.losses import Loss
from seisfast.normalization import Normalization
from seisfast.training.step import TrainingStep

GEOMETRY: dict[str, Any] = {"shots": 2, "receivers": 8, "samples": 40, "shape": (20, 24)}
UNITS = Normalization(data_range=(-1.0, 1.0))
MODELS = 4


def small_network(
    name: str = "seisinvnet",
    device: str = "cpu",
    geometry: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> networks.Network:
    """The same weights at every call, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = networks.build(name, **{**GEOMETRY, **(geometry or {})}, **{"width": 0.1, **options})
    return network.to(device).train()


def batch(k: int, models: int = MODELS, shots: int = 2, samples: int = 40, receivers: int = 8) -> tuple[Tensor, Tensor]:
    """Records and velocities that depend on k only, on the CPU."""
    generator = torch.Generator().manual_seed(k)
    records = 2 * torch.rand(models, shots, samples, receivers, generator=generator) - 1
    velocity = 1500 + 2500 * torch.rand(models, 1, 20, 24, generator=generator)
    return records, velocity


def make_step(
    loss: Loss | None = None,
    *,
    device: str = "cpu",
    options: dict[str, Any] | None = None,
    **how: Any,  # noqa: ANN401
) -> TrainingStep:
    """A step of the narrow network with rate 1e-3."""
    settings: dict[str, Any] = {"lr": 1e-3, "clip": 1.0, "batch_size": MODELS, **how}
    return TrainingStep(small_network(device=device, **(options or {})), UNITS, loss or losses.build("l2"), **settings)


def weights_of(step: TrainingStep) -> Tensor:
    """All weights in one vector, on the CPU."""
    return torch.cat([parameter.detach().cpu().flatten() for parameter in step.network.parameters()])
