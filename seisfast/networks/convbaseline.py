"""The paper's baseline: a convolutional encoder-decoder of SeisInvNet's size, for any survey geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seisfast.networks.base import Network, centre_crop, scaled
from seisfast.networks.inversionnet import conv_block, deconv_block, gather_encoder
from seisfast.networks.seisinvnet import SeisInvNet


class ConvBaseline(Network):
    """An encoder-decoder like InversionNet's without its 1 x 1 bottleneck, as large as SeisInvNet.

    The paper compares SeisInvNet with such a network but does not publish its layers. These are ours, with
    the channel numbers at factor 1. Block = convolution, batch normalisation, LeakyReLU(0.2).

    | part | layers | 20 x 1000 x 32 to 100 x 100 |
    |---|---|---|
    | time | InversionNet's: (7,1) to 32, then pairs (3,1) to 64, 64, 128, 128 | 32 x 32 |
    | both | InversionNet's: pairs 3x3 to 128, 256 until no side is longer than 10 | 8 x 8 |
    | middle | two 3x3 to 512; bilinear to 1/16 of the cropped output's size | 8 x 8 |
    | decoder | four times: transposed 4x4 stride 2 + 3x3, to 256, 128, 64, 32 | 128 x 128 |
    | head | centre crop, 3x3, batch normalisation, sigmoid | 100 x 100 |

    All channel numbers are multiplied by one factor, found so that the network has as many parameters as the
    SeisInvNet (without side heads) of the same geometry and width, within about 1 %: what is compared is the
    architecture.

    Args:
        shots: Shots of a record.
        receivers: Receivers of a shot.
        samples: Time samples of a trace.
        shape: (nz, nx), cells of the velocity model.
        width: The width of the SeisInvNet whose size it has.
        time_stride: The network sees every k-th sample, see `Network`.

    Attributes:
        factor: The factor on the channel numbers.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, describes the comparison.
    """

    name = "convbaseline"
    output_range = (0.0, 1.0)

    def __init__(
        self,
        shots: int,
        receivers: int,
        samples: int,
        shape: Sequence[int],
        width: float = 1.0,
        time_stride: int = 1,
    ) -> None:
        super().__init__(shots, receivers, samples, shape, width, time_stride)
        self.factor = self._matching_factor()
        self.encoder, self.decoder, self.head, self.left = self._parts(self.factor)
        self.start = (-(-(self.shape[0] + 28) // 16), -(-(self.shape[1] + 28) // 16))
        self._put_channels_last()

    def forward(self, records: Tensor) -> Tensor:
        """Predict from records `[batch, shots, time, receivers]`; returns `[batch, 1, nz, nx]` in (0, 1).

        Raises:
            TypeError: The records are not of the network's floating-point type.
            ValueError: The records are not of the network's geometry, or the batch is too small to train on.
        """
        records = self._used(records)
        self._check_statistics(records.shape[0] * self.left[0] * self.left[1], "the encoder's last layer")
        features = self.encoder(records)
        features = F.interpolate(features, self.start, mode="bilinear", align_corners=False)
        prediction: Tensor = self.head(centre_crop(self.decoder(features), self.shape))
        return prediction

    def _parts(self, factor: float) -> tuple[nn.Module, nn.Module, nn.Module, tuple[int, int]]:
        """Encoder, decoder and head with this factor, and the (time, receivers) cells the encoder leaves."""
        named, channels, left = gather_encoder(self.shots, self.receivers, self.used_samples, factor)
        blocks = [block for _, block in named]
        middle = scaled(512, factor)
        blocks += [conv_block(channels, middle, 3, 1, 1), conv_block(middle, middle, 3, 1, 1)]
        growing: list[nn.Module] = []
        channels = middle
        for outputs in (scaled(n, factor) for n in (256, 128, 64, 32)):
            growing += [deconv_block(channels, outputs), conv_block(outputs, outputs, 3, 1, 1)]
            channels = outputs
        head = conv_block(channels, 1, 3, 1, 1, nn.Sigmoid())
        return nn.Sequential(*blocks), nn.Sequential(*growing), head, left

    def _matching_factor(self) -> float:
        """The factor that gives SeisInvNet's number of parameters, by bisection."""
        with torch.device("meta"):
            target = _count(SeisInvNet(self.shots, self.receivers, self.used_samples, self.shape, self.width))
            low, high = 1 / 64, 16.0
            for _ in range(16):
                middle = math.sqrt(low * high)
                size = sum(_count(part) for part in self._parts(middle)[:3])
                low, high = (middle, high) if size < target else (low, middle)
        return round(math.sqrt(low * high), 4)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
