"""What the inversion networks share: their geometry, the checks of their input, and the centre crop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network from normalised records `[batch, shots, time, receivers]` to maps `[batch, 1, nz, nx]`.

    Args:
        shots: Shots of a record.
        receivers: Receivers of a shot.
        samples: Time samples of a trace.
        shape: (nz, nx), cells of the velocity model.
        width: Factor on the numbers of channels and features; none becomes less than 4.
        time_stride: The network sees every k-th sample. Records are band limited, so that nothing is lost
            while k dt stays below the Nyquist interval of the wavelet; what follows costs k times less.

    Attributes:
        used_samples: Time samples that the layers see.
        name: The name under which `networks.build` makes it.
        output_range: (low, high) of the output; a `Normalization` maps it to m/s.

    Raises:
        ValueError: A number is not positive.
    """

    name: ClassVar[str]
    output_range: ClassVar[tuple[float, float]]

    def __init__(
        self,
        shots: int,
        receivers: int,
        samples: int,
        shape: Sequence[int],
        width: float = 1.0,
        time_stride: int = 1,
    ) -> None:
        super().__init__()
        self.shots = _whole("shots", shots, 1)
        self.receivers = _whole("receivers", receivers, 1)
        self.samples = _whole("samples", samples, 2)
        if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 2:
            raise ValueError(f"shape must be (nz, nx), got {shape!r}")
        self.shape = (_whole("shape[0]", shape[0], 1), _whole("shape[1]", shape[1], 1))
        if isinstance(width, bool) or not isinstance(width, (int, float)):
            raise ValueError(f"width must be a positive number, got {width!r}")
        if not (math.isfinite(width) and width > 0):
            raise ValueError(f"width must be a positive number, got {width!r}")
        self.width = float(width)
        self.time_stride = _whole("time_stride", time_stride, 1)
        self.used_samples = math.ceil(self.samples / self.time_stride)
        if self.used_samples < 2:
            raise ValueError(f"time_stride must leave at least 2 of {self.samples} samples, got {time_stride}")

    @property
    def geometry(self) -> dict[str, Any]:
        """Shots, receivers, samples and shape, as `networks.build` takes them."""
        return {
            "shots": self.shots,
            "receivers": self.receivers,
            "samples": self.samples,
            "shape": self.shape,
        }

    def extra_repr(self) -> str:
        """Show the geometry and the width when the network is printed."""
        numbers = ", ".join(f"{key}={value}" for key, value in self.geometry.items())
        return f"{numbers}, width={self.width:g}, time_stride={self.time_stride}"

    def _put_channels_last(self) -> None:
        """Lay the convolutions' weights out with channels last, which is faster on CPU and CUDA."""
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)

    def _used(self, records: Tensor) -> Tensor:
        """Check geometry and type of the records, and return the samples that the layers see."""
        expected = (self.shots, self.samples, self.receivers)
        if records.ndim != 4 or tuple(records.shape[1:]) != expected or records.shape[0] == 0:
            hint = ""
            if records.ndim == 4 and tuple(records.shape[1:]) == (self.shots, self.receivers, self.samples):
                hint = "; time and receivers are swapped"
            raise ValueError(
                f"records must be [batch, shots={self.shots}, time={self.samples}, "
                f"receivers={self.receivers}], got {list(records.shape)}{hint}"
            )
        dtype = next(self.parameters()).dtype
        if records.dtype != dtype and not torch.is_autocast_enabled(records.device.type):
            raise TypeError(
                f"records must have the network's type {dtype}, got {records.dtype} "
                "(convert one of them, or use torch.autocast)"
            )
        return records if self.time_stride == 1 else records[:, :, :: self.time_stride].contiguous()

    def _check_statistics(self, values: int, place: str) -> None:
        """Raise when a batch norm would take the statistics of a single value per channel."""
        norms = (module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
        if values < 2 and any(norm.training for norm in norms):
            raise ValueError(
                f"{type(self).__name__} cannot be trained on this batch: {place} has a single value per "
                "normalised channel; use a batch of at least 2 models (or eval() to predict one)"
            )


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` that stays in float32 where oneDNN's bfloat16 kernel gives wrong numbers.

    Seen with torch 2.13 on a processor with AMX: of a strided convolution that leaves one column of a higher
    map, output and weight gradient are wrong or NaN.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `[batch, channels, rows, columns]`."""
        device, stride = x.device.type, self.stride[-1]
        around = 0 if isinstance(self.padding, str) else 2 * self.padding[-1]
        columns = (x.shape[-1] + around - self.dilation[-1] * (self.kernel_size[-1] - 1) - 1) // stride + 1
        narrow = device == "cpu" and stride > 1 and columns == 1
        if not narrow or not (torch.is_autocast_enabled(device) or x.dtype == torch.bfloat16):
            return super().forward(x)
        with torch.autocast(device, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            maps: Tensor = self._conv_forward(x.float(), self.weight.float(), bias)
        return maps.to(torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype)


def scaled(channels: int, width: float) -> int:
    """Number of channels at a width factor; none of 4 or more becomes less than 4."""
    return max(min(channels, 4), round(channels * width))


def centre_crop(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cut the central `shape` cells out of `[batch, channels, rows, columns]`."""
    top, left = ((have - want) // 2 for have, want in zip(maps.shape[-2:], shape, strict=True))
    return maps[..., top : top + shape[0], left : left + shape[1]]


def halved(size: int, times: int = 1) -> int:
    """Length of an axis after strided convolutions that halve it, rounding up."""
    divisor: int = 2**times
    return math.ceil(size / divisor)


def _whole(name: str, value: Any, least: int) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
