"""Where a network runs on the fused operators, and its batch norm with ReLU in one."""

from __future__ import annotations

import warnings
from typing import Protocol

from torch import Tensor, nn

from seisfast import features
from seisfast.ops.features import runs_on
from seisfast.reference import features as twins


class Fused(Protocol):
    """A module that can run on the operators of `seisfast.features` or on their twins."""

    fused: bool


_warned: set[str] = set()  # device types


def runs_fused(module: Fused, tensor: Tensor) -> bool:
    """Whether the module is to run fused, and this build can on the tensor's device; one warning where it cannot."""
    if not module.fused or runs_on(tensor.device):
        return module.fused
    if tensor.device.type not in {*_warned, "meta"}:
        _warned.add(tensor.device.type)
        warnings.warn(
            f"the network runs on plain torch on {tensor.device.type}, because this build of seisfast has no "
            "kernels for it; see the installation guide",
            stacklevel=2,
        )
    return False


def settings_of(norm: nn.modules.batchnorm._BatchNorm) -> tuple[bool, float, float]:
    """(whether it takes the batch's statistics, momentum, eps), after counting the batch as torch does."""
    training = norm.training or norm.running_mean is None
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    if norm.momentum is not None:
        return training, norm.momentum, norm.eps
    counted = norm.num_batches_tracked
    return training, 0.0 if counted is None else 1.0 / max(1.0, float(counted)), norm.eps  # the mean of all batches


class NormReLU(nn.BatchNorm2d):
    """`nn.BatchNorm2d` and ReLU in one, with the same parameters and buffers.

    `nn.SyncBatchNorm.convert_sync_batchnorm` would take it for a batch norm and lose the ReLU; networks check that.
    """

    fused = True

    def forward(self, x: Tensor) -> Tensor:
        """relu(batch norm) of `[batch, channels, height, width]`."""
        training, momentum, eps = settings_of(self)
        norm = features.norm_relu if runs_fused(self, x) else twins.norm_relu
        return norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            training=training, momentum=momentum, eps=eps,
        )  # fmt: skip
