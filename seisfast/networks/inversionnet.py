"""InversionNet: an encoder-decoder with a 1 x 1 bottleneck, shots as channels, for any survey geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from seisfast.networks.base import Conv2d, Network, centre_crop, halved, scaled

_SLOPE = 0.2  # of every LeakyReLU
_LARGEST = 10  # cells a side that the last convolution may take at once


class InversionNet(Network):
    """InversionNet of Wu and Lin (2019) as OpenFWI releases it, for any geometry.

    Block = convolution, batch normalisation, LeakyReLU(0.2). At the default geometry (5 shots x 1000 samples x 70
    receivers to 70 x 70 cells) the layers and the state_dict are OpenFWI's:

    | part | layers |
    |---|---|
    | time | (7,1) to 32 channels, then (3,1) stride (2,1) + (3,1) to 64, 64, 128: until the gather is about square |
    | both | 3x3 stride 2 + 3x3 to 128, 256, 256: until no side is longer than 10 |
    | bottleneck | one convolution as large as what is left, 512 channels, 1 x 1 cell |
    | decoder | transposed 5x5 (5 x 5 cells), then transposed 4x4 stride 2 each + 3x3: 512, 256, 128, 64, 32, until the model is covered |
    | head | centre crop, 3x3, batch normalisation, tanh |

    Further stages in time have 128 channels, further ones in both 256, further ones of the decoder 32.

    Args:
        shots: Shots of a record.
        receivers: Receivers of a shot.
        samples: Time samples of a trace.
        shape: (nz, nx), cells of the velocity model.
        width: Factor on the numbers of channels.
        time_stride: The network sees every k-th sample, see `Network`.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Wu and Lin, "InversionNet", IEEE TCI 2019; lanl/OpenFWI, `network.py`.
    """  # noqa: E501

    name = "inversionnet"
    output_range = (-1.0, 1.0)

    def __init__(
        self,
        shots: int = 5,
        receivers: int = 70,
        samples: int = 1000,
        shape: Sequence[int] = (70, 70),
        width: float = 1.0,
        time_stride: int = 1,
    ) -> None:
        super().__init__(shots, receivers, samples, shape, width, time_stride)
        encoder, channels, left = gather_encoder(shots, receivers, self.used_samples, width)
        for name, block in encoder:
            self.add_module(name, block)
        bottleneck = scaled(512, width)
        stages = 1 + sum(name.endswith("_1") or "_" not in name for name, _ in encoder)
        self.add_module(f"convblock{stages}", conv_block(channels, bottleneck, left, 1, 0))
        channels = bottleneck
        doublings = max(0, math.ceil(math.log2(max(self.shape) / 5)))
        for stage in range(doublings + 1):
            outputs = scaled(max(32, 512 >> stage), width)
            up = deconv_block(channels, outputs, 5, 0) if stage == 0 else deconv_block(channels, outputs)
            self.add_module(f"deconv{stage + 1}_1", up)
            self.add_module(f"deconv{stage + 1}_2", conv_block(outputs, outputs, 3, 1, 1))
            channels = outputs
        head = conv_block(channels, 1, 3, 1, 1, nn.Tanh())
        self.add_module(f"deconv{doublings + 2}", head)
        self._put_channels_last()

    def forward(self, records: Tensor) -> Tensor:
        """Predict from records `[batch, shots, time, receivers]`; returns `[batch, 1, nz, nx]` in (-1, 1).

        Raises:
            TypeError: The records are not of the network's floating-point type.
            ValueError: The records are not of the network's geometry, or the batch is too small to train on.
        """
        records = self._used(records)
        self._check_statistics(records.shape[0], "the 1 x 1 bottleneck")
        *blocks, head = self.children()
        features = records
        for block in blocks:
            features = block(features)
        prediction: Tensor = head(centre_crop(features, self.shape))
        return prediction


class _Block(nn.Module):
    """A chain under the attribute `layers`, which is what OpenFWI's state_dict calls it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.layers(maps)
        return result


def conv_block(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    activation: nn.Module | None = None,
) -> nn.Module:
    """Convolution, batch normalisation and, unless another is given, LeakyReLU."""
    convolution = Conv2d(inputs, outputs, kernel, stride, padding)
    return _Block(convolution, nn.BatchNorm2d(outputs), activation or nn.LeakyReLU(_SLOPE, inplace=True))


def deconv_block(inputs: int, outputs: int, kernel: int = 4, padding: int = 1) -> nn.Module:
    """Transposed convolution of stride 2, batch normalisation, LeakyReLU; by default it doubles a map."""
    transposed = nn.ConvTranspose2d(inputs, outputs, kernel, 2, padding)
    return _Block(transposed, nn.BatchNorm2d(outputs), nn.LeakyReLU(_SLOPE, inplace=True))


def gather_encoder(
    shots: int, receivers: int, samples: int, width: float
) -> tuple[list[tuple[str, nn.Module]], int, tuple[int, int]]:
    """InversionNet's encoder up to its bottleneck, on records `[batch, shots, time, receivers]`.

    Returns:
        The blocks by name, the channels they end with, and the (time, receivers) cells that are left.
    """
    in_time = max(0, round(math.log2(samples / receivers)))
    left = (halved(samples, in_time), receivers)
    in_both = 0
    while max(halved(left[0], in_both), halved(left[1], in_both)) > _LARGEST:
        in_both += 1
    channels = scaled(32, width)
    first = conv_block(shots, channels, (7, 1), (2 if in_time else 1, 1), (3, 0))
    blocks = [("convblock1", first)]
    for stage in range(max(in_time, 1) - 1):
        outputs = scaled((64, 64, 128)[min(stage, 2)], width)
        blocks.append((f"convblock{stage + 2}_1", conv_block(channels, outputs, (3, 1), (2, 1), (1, 0))))
        blocks.append((f"convblock{stage + 2}_2", conv_block(outputs, outputs, (3, 1), 1, (1, 0))))
        channels = outputs
    for stage in range(in_both):
        outputs = scaled((128, 256)[min(stage, 1)], width)
        number = max(in_time, 1) + stage + 1
        blocks.append((f"convblock{number}_1", conv_block(channels, outputs, 3, 2, 1)))
        blocks.append((f"convblock{number}_2", conv_block(outputs, outputs, 3, 1, 1)))
        channels = outputs
    return blocks, channels, (halved(left[0], in_both), halved(left[1], in_both))
