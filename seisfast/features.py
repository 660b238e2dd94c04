"""The fused feature operators: every trace's embedding, its MLP, and batch norm with ReLU in one.

Each is equivalent to its plain-torch twin in `seisfast.reference.features`, which has the same signature, and faster;
see the documentation's page on performance. They take float32 and float64, and bfloat16 maps with float32 weights
and statistics; under `torch.autocast` they follow its type. Gradients are compiled; forward mode (`torch.func.jvp`),
second derivatives and `torch.vmap` are exact, and slow: the derivatives go through the twins, `vmap` is a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seisfast.ops.feature_derivatives import EMBEDDING, NORM_RELU, Feature, Operator
from seisfast.ops.features import STORED, statistics_type


class TraceLayer(NamedTuple):
    """One layer of `trace_mlp`: a linear map, batch norm with a channel per trace, ReLU.

    Args:
        weight: `[outputs, inputs]`.
        bias: `[outputs]`.
        scale: `[shots * receivers]`, one number per trace.
        shift: `[shots * receivers]`.
        running_mean: `[shots * receivers]`, updated in training; None: not kept.
        running_variance: `[shots * receivers]`, of the sample (divided by the count less one), as torch keeps it.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor
    running_mean: Tensor | None = None
    running_variance: Tensor | None = None


def trace_embedding(
    gathers: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], *, eps: float = 1e-5
) -> Tensor:
    """SeisInvNet's neighbourhood network of every shot gather, in one operator.

    Three 5 x 5 convolutions 1 - C - C - 1 with zero padding; each is followed by a norm over the whole gather (mean
    and biased variance over channels, receivers and time together, no scale or shift) and a ReLU. A gather stays in
    cache, or on a GPU in the shared memory of a cluster, between the layers; the backward pass computes the
    maps again instead of keeping them.

    The gradient of the third bias is zero: the norm that follows takes any constant away.

    Args:
        gathers: `[..., receivers, time]`.
        weights: Of the convolutions, `[C, 1, 5, 5]`, `[C, C, 5, 5]`, `[1, C, 5, 5]`.
        biases: `[C]`, `[C]`, `[1]`.
        eps: Added to a variance.

    Returns:
        Traces of the shape and type of `gathers` (under autocast, of autocast's type).

    Raises:
        TypeError: Gathers that are not float32, float64 or bfloat16.
        ValueError: Shapes that do not fit, a gather of a single value, or tensors on different devices.

    Source:
        Li et al., IEEE TGRS 2020, arXiv 1901.07733; layers from aaspip/geofwi, `geofwi/seisinvnet.py`.
    """
    gathers = _stored("gathers", gathers)
    if gathers.ndim < 2 or gathers.numel() == 0:
        raise ValueError(f"gathers must be [..., receivers, time] and not empty, got shape {list(gathers.shape)}")
    if gathers.shape[-2:].numel() < 2:
        raise ValueError(f"gathers must hold at least 2 values each, to be normalised, got shape {list(gathers.shape)}")
    for name, tensors in (("weights", weights), ("biases", biases)):
        if len(tensors) != 3:
            raise ValueError(f"{name} must be those of three convolutions, got {len(tensors)}")
    channels = weights[0].shape[0] if weights[0].ndim else 0
    if channels == 0:
        raise ValueError(f"weights[0] must have shape [C, 1, 5, 5] with C at least 1, got {list(weights[0].shape)}")
    shapes = ((channels, 1, 5, 5), (channels, channels, 5, 5), (1, channels, 5, 5))
    arguments = []
    for k, (weight, bias, shape) in enumerate(zip(weights, biases, shapes, strict=True)):
        for name, tensor, expected in ((f"weights[{k}]", weight, shape), (f"biases[{k}]", bias, shape[:1])):
            _check(name, tensor, expected, gathers)
            arguments.append(tensor.to(statistics_type(gathers.dtype)))
    traces = _apply(EMBEDDING, gathers.reshape(-1, *gathers.shape[-2:]), *arguments, eps)[0]
    return traces.reshape(gathers.shape)


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
    """SeisInvNet's feature generator: the embedding of every trace to a feature map.

    The embedding is [context of the shot, one-hot shot, one-hot receiver, trace]. It never exists: the first weight
    is split by columns, the context's are applied once per shot, the one-hot ones are just added where they belong.
    Matrix products are torch's (on CUDA exact float32, TF32 or bf16 as `torch.set_float32_matmul_precision` and
    autocast say); what lies between them, added terms, norm and ReLU, is one operator.

    Args:
        context: `[batch, shots, features]`, one per shot.
        traces: `[batch, shots, receivers, time]`.
        layers: The first takes features + shots + receivers + time inputs, the last makes h * w outputs.
        map_shape: (h, w).
        training: Statistics of the batch, over batch and features of a trace; else the running ones.
        momentum: Share of the batch in the running statistics.
        eps: Added to a variance.

    Returns:
        `[batch, shots * receivers, h, w]`.

    Raises:
        TypeError: Traces that are not float32, float64 or bfloat16.
        ValueError: Shapes that do not fit, tensors on different devices, a single value per trace in training, or
            missing running statistics in evaluation.

    Source:
        Li et al., IEEE TGRS 2020, arXiv 1901.07733; layers from aaspip/geofwi, `geofwi/seisinvnet.py`.
    """
    traces, context = _stored("traces", traces), _stored("context", context)
    if traces.ndim != 4 or traces.numel() == 0:
        raise ValueError(f"traces must be [batch, shots, receivers, time], got shape {list(traces.shape)}")
    batch, shots, receivers, samples = traces.shape
    if context.ndim != 3 or context.shape[:2] != traces.shape[:2] or context.device != traces.device:
        raise ValueError(
            f"context must be [batch={batch}, shots={shots}, features] on {traces.device}, "
            f"got shape {list(context.shape)} on {context.device}"
        )
    if context.dtype != traces.dtype:
        raise TypeError(f"context must have the type of traces, {traces.dtype}, got {context.dtype}")
    columns = [context.shape[2], shots, receivers, samples]
    inputs = sum(columns)
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    for k, layer in enumerate(layers):
        outputs = layer.weight.shape[0] if layer.weight.ndim else 0
        _check(f"layers[{k}].weight", layer.weight, (outputs, inputs), traces)
        _check(f"layers[{k}].bias", layer.bias, (outputs,), traces)
        inputs = outputs
    if len(map_shape) != 2 or min(map_shape) < 1 or map_shape[0] * map_shape[1] != inputs:
        raise ValueError(
            f"map_shape must be (h, w) with as many cells as the last layer has outputs, {inputs}, got {map_shape}"
        )

    of_context, of_shot, of_receiver, of_trace = torch.split(layers[0].weight, columns, dim=1)
    per_shot = _linear(context, of_context, layers[0].bias) + of_shot.t()
    values = _linear(traces, of_trace).flatten(1, 2)
    added: tuple[Tensor, Tensor] | None = (per_shot.to(values.dtype), of_receiver.t().to(values.dtype))
    for k, layer in enumerate(layers):
        if k > 0:
            values, added = _linear(values, layer.weight, layer.bias), None
        values = _norm_relu(values, added, layer, f"layers[{k}]", training, momentum, eps)
    maps: Tensor = values.unflatten(2, map_shape)
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
    """Batch norm and ReLU in one: `relu(F.batch_norm(...))` of `[batch, channels, ...]`.

    Reads its input once more in the backward pass instead of keeping its output. Maps with channels last stay so.

    Args:
        x: `[batch, channels]` or `[batch, channels, ...]`.
        running_mean: `[channels]`, updated in training, used in evaluation; None: not kept.
        running_variance: `[channels]`, of the sample, as torch keeps it.
        scale: `[channels]`.
        shift: `[channels]`.
        training: Statistics of the batch; else the running ones.
        momentum: Share of the batch in the running statistics.
        eps: Added to a variance.

    Returns:
        A tensor of the shape, type and memory layout of `x`.

    Raises:
        TypeError: Maps that are not float32, float64 or bfloat16.
        ValueError: Shapes that do not fit, tensors on different devices, a single value per channel in training, or
            missing running statistics in evaluation.
    """
    x = _stored("x", x)
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"x must be [batch, channels, ...] and not empty, got shape {list(x.shape)}")
    empty = x.new_empty(0)
    layer = TraceLayer(empty, empty, scale, shift, running_mean, running_variance)
    rows = x.movedim(1, -1)
    if rows.is_contiguous():  # channels last
        values = _norm_relu(rows.reshape(-1, x.shape[1], 1), None, layer, "", training, momentum, eps)
        return values.reshape(rows.shape).movedim(-1, 1)
    values = _norm_relu(x.reshape(*x.shape[:2], -1), None, layer, "", training, momentum, eps)
    return values.reshape(x.shape)


def _norm_relu(
    x: Tensor, added: tuple[Tensor, Tensor] | None, layer: TraceLayer, of: str,
    training: bool, momentum: float, eps: float,
) -> Tensor:  # fmt: skip
    """The operator on x `[outer, channels, inner]` and the terms to add, and the running statistics.

    `of` names the layer in messages.
    """
    channels, count = x.shape[1], x.shape[0] * x.shape[2]
    wide = statistics_type(x.dtype)
    prefix = of and of + "."
    for name, tensor in (("scale", layer.scale), ("shift", layer.shift)):
        _check(prefix + name, tensor, (channels,), x)
    running = (("running_mean", layer.running_mean), ("running_variance", layer.running_variance))
    for name, kept in running:
        if kept is not None:
            _check(prefix + name, kept, (channels,), x)
        elif not training:
            raise ValueError(f"{prefix}{name} must be given in evaluation, got None")
    if training and count < 2:
        raise ValueError(
            f"{of or 'x'} must have at least 2 values per normalised channel in training, got {count}; "
            "use a batch of at least 2 models, or evaluation"
        )
    # Copies where a gradient may follow: a training step in between changes the running statistics.
    copied = torch.is_grad_enabled()
    given = (None, None) if training else tuple(kept.to(wide, copy=copied) for _, kept in running if kept is not None)
    out, mean, variance = _apply(
        NORM_RELU, x, *(added or (None, None)), layer.scale.to(wide), layer.shift.to(wide), *given, eps
    )
    if training:
        new = (mean, variance * (count / (count - 1)))
        pairs = [
            (kept, found.to(kept.dtype)) for (_, kept), found in zip(running, new, strict=True) if kept is not None
        ]
        if pairs:  # not "lerp_", which torch.func refuses on tensors that it was not given
            with torch.no_grad():
                torch._foreach_lerp_([kept for kept, _ in pairs], [found for _, found in pairs], momentum)
    return out


def _apply(operator: Operator, *inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    """The registered operator for torch.compile; else the route that torch.func and second derivatives know, too."""
    if torch.compiler.is_compiling():
        return operator.forward(*inputs)  # type: ignore[no-any-return]
    return Feature.apply(*inputs, operator)  # type: ignore[no-any-return, no-untyped-call]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix product in the type of x, or in autocast's."""
    if not torch.is_autocast_enabled(x.device.type):
        weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    return _stored("x", F.linear(x, weight, bias))


def _stored(name: str, tensor: Tensor) -> Tensor:
    """The tensor in the type in which the operators keep maps: its own, or autocast's."""
    device = tensor.device.type
    dtype = tensor.dtype
    if torch.is_autocast_enabled(device) and dtype in (torch.float32, torch.float16, torch.bfloat16):
        dtype = torch.get_autocast_dtype(device)
        if dtype == torch.float16:  # sums over a gather do not fit its range
            dtype = torch.float32
    if dtype not in STORED:
        raise TypeError(f"{name} must be float32, float64 or bfloat16, got {tensor.dtype}")
    return tensor.to(dtype)


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], beside: Tensor) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(tensor.shape)}")
    if tensor.device != beside.device:
        raise ValueError(f"{name} must be on {beside.device}, got {tensor.device}")
