"""Batch norms that do not take the statistics of their own part of a batch: frozen, or over all processes.

A process sees a part of every batch, so that a batch norm left alone normalises by the statistics of that part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from seisfast.training.distributed import Processes


def freeze(network: nn.Module) -> None:
    """Lets every batch norm use its running statistics and leave them as they are; `network.train()` undoes it."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def average(network: nn.Module, processes: Processes) -> None:
    """Replaces running statistics by their means over the processes."""
    if processes.size == 1:
        return
    with torch.no_grad():
        kept = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        if kept:
            flat = processes.sum(torch.cat([buffer.flatten() for buffer in kept])) / processes.size
            for buffer, mean in zip(kept, flat.split([buffer.numel() for buffer in kept]), strict=True):
                buffer.copy_(mean.view_as(buffer))


class Synced(TorchFunctionMode):
    """While entered, every batch norm that takes statistics takes those of the parts of all processes.

    It stands in for `torch.nn.functional.batch_norm`, so networks stay as they are. Modules that hold a batch norm in
    an operator of their own must run on plain torch, see `unfuse`.

    Args:
        processes: all of which must enter it, and call their batch norms in the same order.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Calls the function; the batch norm is ours."""
        if func is F.batch_norm:
            return _batch_norm(self.processes, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def unfuse(network: nn.Module) -> None:
    """Puts the modules that have batch norms in fused operators on plain torch, for `Synced`."""
    for module in network.modules():
        if hasattr(module, "fused") and any(isinstance(part, _BatchNorm) for part in module.modules()):
            setattr(module, "fused", False)  # noqa: B010 - of no class that torch knows


def _batch_norm(
    processes: Processes,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of `[batch, channels, ...]` as if the processes' parts were one batch.

    Every process contributes mean and variance of its part; the variance of the whole is the mean of theirs plus the
    variance of the means, both weighted by the number of values (Chan et al., 1979). One meeting forward, and one
    backward, in which a part's gradient gets what flows through the statistics of all.
    """
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = x if x.dtype == torch.float64 else x.float()
    channels = x.shape[1]
    variance, mean = torch.var_mean(wide, [axis for axis in range(x.ndim) if axis != 1], correction=0)
    own = torch.stack([torch.full_like(mean, x.numel() // channels), mean, variance])
    placed = own.new_zeros(processes.size, *own.shape)
    placed[processes.rank] = own
    every: Tensor = _Sum.apply(placed, processes)  # type: ignore[no-untyped-call]
    counts, means, variances = every.unbind(1)  # [processes, channels]
    total = counts.sum(0)
    share = counts / total
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean).square())).sum(0)
    with torch.no_grad():
        for kept, found in ((running_mean, mean), (running_var, variance * total / (total - 1))):
            if kept is not None:
                kept.lerp_(found.to(kept.dtype), momentum)
    shape = [1, channels, *[1] * (x.ndim - 2)]
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """A sum over the processes whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, processes: Processes) -> Tensor:  # noqa: ANN401
        ctx.processes = processes
        return processes.sum(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return ctx.processes.sum(gradient.clone()), None
