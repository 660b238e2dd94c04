"""Plain-torch twins of the feature operators: what `seisfast.features` computes, in a few readable lines.

They keep nothing on chip, write one-hot columns and repeated contexts out as the released code does, and run
wherever torch runs, in any floating-point type. Slow on purpose; the fused operators are tested against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from seisfast.features import TraceLayer


def trace_embedding(
    gathers: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], *, eps: float = 1e-5
) -> Tensor:
    """See `seisfast.features.trace_embedding`."""
    maps = gathers.reshape(-1, 1, *gathers.shape[-2:])
    for weight, bias in zip(weights, biases, strict=True):
        maps = F.conv2d(maps, weight, bias, padding=2)
        maps = torch.relu(F.layer_norm(maps, maps.shape[1:], eps=eps))
    return maps[:, 0].reshape(gathers.shape)


def trace_mlp(
    context: Tensor,
    traces: Tensor,
    layers: Sequence[TraceLayer],
    map_shape: tuple[int, int],
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """See `seisfast.features.trace_mlp`."""
    batch, shots, receivers, _ = traces.shape
    of_context = context[:, :, None].expand(-1, -1, receivers, -1)
    shot = torch.eye(shots, dtype=traces.dtype, device=traces.device)[:, None].expand(shots, receivers, shots)
    receiver = torch.eye(receivers, dtype=traces.dtype, device=traces.device).expand(shots, receivers, receivers)
    setup = torch.cat([shot, receiver], dim=-1).expand(batch, -1, -1, -1)
    features = torch.cat([of_context, setup, traces], dim=-1).flatten(1, 2)
    for layer in layers:
        features = F.linear(features, layer.weight, layer.bias)
        features = F.batch_norm(
            features, layer.running_mean, layer.running_variance, layer.scale, layer.shift, training, momentum, eps
        )
        features = torch.relu(features)
    maps: Tensor = features.unflatten(-1, map_shape)
    return maps


def norm_relu(
    x: Tensor,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """See `seisfast.features.norm_relu`."""
    return torch.relu(F.batch_norm(x, running_mean, running_variance, scale, shift, training, momentum, eps))
