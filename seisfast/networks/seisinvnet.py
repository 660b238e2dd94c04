"""SeisInvNet: a velocity model from one feature map per trace of the record, for any survey geometry.

The module tree has the released network's names, so its state_dict loads key by key. Inside, a gather is
`[receivers, time]` as in the released code: each row a trace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seisfast import features
from seisfast.features import TraceLayer
from seisfast.networks.base import Conv2d, Network, centre_crop, halved, scaled
from seisfast.networks.fused import NormReLU, runs_fused, settings_of
from seisfast.reference import features as twins

_DILATIONS = (1, 3, 5, 7)


class SeisInvNet(Network):
    """SeisInvNet of Li et al. (2020) for any number of shots, receivers, samples and model cells.

    Every trace is embedded by (a) a neighbourhood encoder over its shot gather, (b) a global encoder of the
    whole gather and (c) which shot and receiver it is. A small MLP turns each embedding into a feature map of
    the size of the model / 8; a convolutional decoder reads the maps of all traces as its channels, and the
    centre of its output is the model.

    The generator's batch normalisation has one channel per trace, so the weights belong to one geometry.

    Args:
        shots: Shots of a record.
        receivers: Receivers of a shot.
        samples: Time samples of a trace.
        shape: (nz, nx), cells of the velocity model.
        width: Factor on the channels of the encoders and the decoder and on the features of the MLP.
        side_heads: Add the three edge heads of the released decoder; absent, they have no parameters.
            `forward` returns the prediction all the same; `predict_with_edges` returns the edges too.
        drop: "maps" drops whole feature maps (the paper), "elements" single cells (the released code).
        drop_rate: Probability of dropping, in training.
        time_stride: The network sees every k-th sample, see `Network`.
        fused: Run on the operators of `seisfast.features`. False takes their plain-torch twins: the same
            function of the same weights, slower, and twice differentiable.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, arXiv 1901.07733; the layers
        from the authors' release, aaspip/geofwi, `geofwi/seisinvnet.py`.
    """

    name = "seisinvnet"
    output_range = (0.0, 1.0)

    def __init__(
        self,
        shots: int,
        receivers: int,
        samples: int,
        shape: Sequence[int],
        width: float = 1.0,
        side_heads: bool = False,
        drop: Literal["maps", "elements"] = "maps",
        drop_rate: float = 0.2,
        time_stride: int = 1,
        fused: bool = True,
    ) -> None:
        super().__init__(shots, receivers, samples, shape, width, time_stride)
        if drop not in ("maps", "elements"):
            raise ValueError(f'drop must be "maps" or "elements", got {drop!r}')
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate must be at least 0 and less than 1, got {drop_rate!r}")
        self.side_heads = side_heads
        self.drop = drop
        self.drop_rate = float(drop_rate)
        self.map_shape = feature_map_shape(self.shape)
        self.encoder = _Encoder(receivers, self.used_samples, width)
        self.generator = _Generator(
            shots, receivers, self.used_samples, self.encoder.glob.features, self.map_shape, width
        )
        self.decoder = _Decoder(shots * receivers, width, side_heads)
        self._put_channels_last()
        self.fused = fused
        for module in self.modules():
            if isinstance(module, (_Neighbourhood, _Generator, NormReLU)):
                module.fused = fused

    def forward(self, records: Tensor) -> Tensor:
        """Predict from records `[batch, shots, time, receivers]`; returns `[batch, 1, nz, nx]` in (0, 1).

        Raises:
            TypeError: The records are not of the network's floating-point type.
            ValueError: The records are not of the network's geometry, or the batch is too small to train on.
        """
        return centre_crop(self.decoder(self.features(records))[0], self.shape)

    def predict_with_edges(self, records: Tensor) -> tuple[Tensor, Tensor]:
        """Predict as `forward`, and the three side heads' logits of the interfaces, `[batch, 3, nz, nx]`.

        Raises:
            RuntimeError: The network was made without side heads.
            TypeError: See `forward`.
            ValueError: See `forward`.
        """
        if not self.side_heads:
            raise RuntimeError("this SeisInvNet has no edge heads: make it with side_heads=True")
        prediction, stages = self.decoder(self.features(records))
        edges = self.decoder.edges(stages, prediction.shape[-2:])
        return centre_crop(prediction, self.shape), centre_crop(edges, self.shape)

    def features(self, records: Tensor) -> Tensor:
        """Feature maps of all traces, after dropout: `[batch, shots * receivers, h, w]`."""
        records = self._used(records)
        if any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()):
            raise RuntimeError(
                "SeisInvNet cannot be trained with SyncBatchNorm: its batch norms hold their ReLU, which "
                "convert_sync_batchnorm drops"
            )
        values = records.shape[0] * self.shots * math.prod(self.encoder.glob.map_shape)
        self._check_statistics(values, "the global encoder's last layer")
        context, traces = self.encoder(records.transpose(-1, -2).contiguous())
        maps: Tensor = self.generator(context, traces)
        drop = F.dropout2d if self.drop == "maps" else F.dropout
        return drop(maps, self.drop_rate, self.training)

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Load a state_dict of the authors' network (its DataParallel prefix "module." may be there).

        The edge heads' weights are left out when this network has none. Full width only.

        Raises:
            RuntimeError: The keys or the shapes do not fit; the message lists them.
        """
        state = {key.removeprefix("module."): value for key, value in state.items()}
        if not self.side_heads:
            state = {key: value for key, value in state.items() if not key.startswith("decoder.dsn")}
        self.load_state_dict(state)

    def released_state(self) -> dict[str, Tensor]:
        """The state_dict under the names of the authors' weight files (prefix "module."), for their code.

        Their network has edge heads: made without, this one gives no weights for them, and theirs must be loaded
        with strict=False.
        """
        return {f"module.{key}": value for key, value in self.state_dict().items()}


def feature_map_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of a trace's feature map; 8 times that is at least 28 cells more than the model."""
    return math.ceil((shape[0] + 28) / 8), math.ceil((shape[1] + 28) / 8)


def _conv(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> list[nn.Module]:
    """Convolution, batch normalisation with ReLU, and a place for the ReLU of the released tree's numbering."""
    convolution = Conv2d(inputs, outputs, kernel, stride, padding, dilation)
    return [convolution, NormReLU(outputs), nn.Identity()]


class _Neighbourhood(nn.Module):
    """Three 5 x 5 convolutions over a shot gather, `[..., receivers, time]` to the same shape."""

    fused = True

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled(4, width)
        self.conv1 = nn.Conv2d(1, channels, 5, padding=2)
        self.conv2 = nn.Conv2d(channels, channels, 5, padding=2)
        self.conv3 = nn.Conv2d(channels, 1, 5, padding=2)

    def forward(self, gathers: Tensor) -> Tensor:
        convolutions = (self.conv1, self.conv2, self.conv3)
        embed = features.trace_embedding if runs_fused(self, gathers) else twins.trace_embedding
        return embed(gathers, [c.weight for c in convolutions], [c.bias for c in convolutions if c.bias is not None])


class _Global(nn.Module):
    """Strided convolutions of a whole gather, `[gathers, 1, receivers, time]` to `[gathers, features]`."""

    def __init__(self, receivers: int, samples: int, width: float) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled(channels, width) for channels in (64, 128, 256, 512))

        def in_time() -> list[nn.Module]:
            return _conv(c64, c64, (1, 3), (1, 2), (0, 1))

        self.layer1 = nn.Sequential(*_conv(1, c64, (1, 7), (1, 4), (0, 3)), *in_time())
        self.layer2 = nn.Sequential(*in_time(), *in_time())
        self.layer3 = nn.Sequential(*_conv(c64, c128, 3, 1, 1), *_conv(c128, c128, 3, 2, 1))
        self.layer4 = nn.Sequential(*_conv(c128, c256, 3, 1, 1), *_conv(c256, c256, 3, 2, 1))
        self.layer5 = nn.Sequential(*_conv(c256, c512, 3, 1, 1), *_conv(c512, c512, 3, 2, 1))
        left = (halved(receivers, 3), halved(samples, 8))
        kernel = (min(4, left[0]), min(4, left[1]))
        self.layer6 = nn.Sequential(*_conv(c512, c128, kernel))
        self.map_shape = (left[0] - kernel[0] + 1, left[1] - kernel[1] + 1)
        self.features = c128 * self.map_shape[0] * self.map_shape[1]

    def forward(self, gathers: Tensor) -> Tensor:
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6):
            gathers = layer(gathers)
        return gathers.flatten(1)


class _Encoder(nn.Module):
    """Records `[batch, shots, receivers, time]` to contexts `[batch, shots, features]` and traces.

    The traces, one row per receiver, have the shape of the records.
    """

    def __init__(self, receivers: int, samples: int, width: float) -> None:
        super().__init__()
        self.neig = _Neighbourhood(width)
        self.glob = _Global(receivers, samples, width)

    def forward(self, records: Tensor) -> tuple[Tensor, Tensor]:
        context: Tensor = self.glob(records.flatten(0, 1)[:, None])
        traces: Tensor = self.neig(records)
        return context.reshape(*records.shape[:2], -1), traces


class _Generator(nn.Module):
    """The MLP of every trace: its embedding to a feature map; returns `[batch, shots * receivers, h, w]`.

    The embedding is [context of the shot, one-hot shot, one-hot receiver, trace], see `features.trace_mlp`.
    """

    fused = True

    def __init__(
        self,
        shots: int,
        receivers: int,
        samples: int,
        context: int,
        map_shape: tuple[int, int],
        width: float,
    ) -> None:
        super().__init__()
        self.map_shape = map_shape
        sizes = [context + shots + receivers + samples, *(scaled(size, width) for size in (1024, 512, 256, 256))]
        sizes.append(map_shape[0] * map_shape[1])
        for layer, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            self.add_module(f"lin{layer}", nn.Linear(inputs, outputs))
            # One channel per trace: statistics over batch and features.
            self.add_module(f"bn{layer}", nn.BatchNorm1d(shots * receivers))

    def forward(self, context: Tensor, traces: Tensor) -> Tensor:
        layers, settings = [], set()
        for k in range(1, 6):
            linear, norm = self.get_submodule(f"lin{k}"), self.get_submodule(f"bn{k}")
            assert isinstance(linear, nn.Linear)
            assert isinstance(norm, nn.BatchNorm1d)
            settings.add(settings_of(norm))
            layers.append(
                TraceLayer(linear.weight, linear.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
            )
        if len(settings) > 1:
            raise ValueError(f"generator.bn1 to bn5 must agree in training, momentum and eps, got {sorted(settings)}")
        training, momentum, eps = settings.pop()
        mlp = features.trace_mlp if runs_fused(self, traces) else twins.trace_mlp
        return mlp(context, traces, layers, self.map_shape, training=training, momentum=momentum, eps=eps)


class _Decoder(nn.Module):
    """Feature maps `[batch, traces, h, w]` to `[batch, 1, 8 h, 8 w]` in (0, 1), and the side heads' input."""

    def __init__(self, traces: int, width: float, side_heads: bool) -> None:
        super().__init__()
        c128, c64, c32 = (scaled(channels, width) for channels in (128, 64, 32))
        self.layer1 = nn.Sequential(*self._doubling(traces, c128))
        self.layer2 = nn.Sequential(*self._doubling(c128, c64))
        self.layer3 = nn.Sequential(*self._doubling(c64, c32))
        for branch, dilation in enumerate(_DILATIONS, start=1):
            layers = _conv(c32, c32, 3, padding=dilation, dilation=dilation)
            self.add_module(f"layer4_{branch}", nn.Sequential(*layers))
        self.layer5 = nn.Sequential(nn.Conv2d(len(_DILATIONS) * c32, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())
        if side_heads:
            for head, channels in enumerate((c128, c64, c32), start=1):
                self.add_module(f"dsn{head}", nn.Conv2d(channels, 1, 3))

    @staticmethod
    def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
        up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        return [up, NormReLU(outputs), nn.Identity(), *_conv(outputs, outputs, 3, 1, 1)]

    def forward(self, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        stages = [self.layer1(maps)]
        stages.append(self.layer2(stages[-1]))
        stages.append(self.layer3(stages[-1]))
        branches = [self.get_submodule(f"layer4_{k}")(stages[-1]) for k in range(1, len(_DILATIONS) + 1)]
        return self.layer5(torch.cat(branches, dim=1)), stages

    def edges(self, stages: list[Tensor], size: Sequence[int]) -> Tensor:
        """Edge logits `[batch, 3, *size]` of the three side heads."""
        heads = [self.get_submodule(f"dsn{k}")(stage) for k, stage in enumerate(stages, start=1)]
        grown = [F.interpolate(head, list(size), mode="bilinear", align_corners=True) for head in heads]
        return torch.cat(grown, dim=1)
