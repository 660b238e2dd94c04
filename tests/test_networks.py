"""Networks: sizes, exactness against a literal SeisInvNet, any geometry, training, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seisfast import networks
from seisfast.networks import ConvBaseline, InversionNet, SeisInvNet
from seisfast.networks.seisinvnet import feature_map_shape

SMALL = {"shots": 3, "receivers": 5, "samples": 60, "shape": (20, 13)}
GEOMETRIES = [
    {"shots": 1, "receivers": 1, "samples": 2, "shape": (1, 1)},
    {"shots": 1, "receivers": 9, "samples": 301, "shape": (12, 40)},
    {"shots": 2, "receivers": 33, "samples": 64, "shape": (37, 24)},
    {"shots": 4, "receivers": 40, "samples": 33, "shape": (16, 90)},
    {"shots": 2, "receivers": 3, "samples": 1100, "shape": (5, 6)},
]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def records_for(network: networks.Network, batch: int = 2) -> Tensor:
    dtype = next(network.parameters()).dtype
    return torch.randn(batch, network.shots, network.samples, network.receivers, dtype=dtype)


def shake(network: nn.Module) -> None:
    """Give scales, shifts and running statistics values that make a mistake in any of them visible."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def open_relu(network: SeisInvNet) -> None:
    """Keep the last ReLU of the generator open, so that a zero is a dropped cell."""
    norm = network.generator.get_submodule("bn5")
    assert isinstance(norm, nn.BatchNorm1d)
    nn.init.constant_(norm.weight, 0.01)
    nn.init.constant_(norm.bias, 1.0)


def literal_seisinvnet(network: SeisInvNet, records: Tensor, training: bool) -> Tensor:
    """The released network written out from its parameters: one-hot tables, repeats and concatenations."""
    p = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    batch, shots, samples, receivers = records.shape
    x = records.permute(0, 1, 3, 2)

    def norm(y: Tensor, key: str) -> Tensor:
        mean, var = p[f"{key}.running_mean"].clone(), p[f"{key}.running_var"].clone()
        return F.batch_norm(y, mean, var, p[f"{key}.weight"], p[f"{key}.bias"], training, 0.1, 1e-5)

    def conv(y: Tensor, key: str, **options: int | tuple[int, ...]) -> Tensor:
        return F.conv2d(y, p[f"{key}.weight"], p[f"{key}.bias"], **options)

    y = x.reshape(batch * shots, 1, receivers, samples)
    for k in (1, 2, 3):
        y = conv(y, f"encoder.neig.conv{k}", padding=2)
        y = y.reshape(batch, shots, -1, receivers, samples)
        y = torch.relu(nn.InstanceNorm3d(shots)(y)).reshape(batch * shots, -1, receivers, samples)
    neighbourhood = y.reshape(batch, shots * receivers, samples)

    y = x.reshape(batch * shots, 1, receivers, samples)
    strides = [(1, 4), (1, 2), (1, 2), (1, 2), 1, 2, 1, 2, 1, 2]
    pads = [(0, 3), (0, 1), (0, 1), (0, 1), 1, 1, 1, 1, 1, 1]
    keys = [f"encoder.glob.layer{layer}.{k}" for layer in range(1, 6) for k in (0, 3)]
    for key, stride, pad in zip(keys, strides, pads, strict=True):
        following = f"{key[:-1]}{int(key[-1]) + 1}"
        y = torch.relu(norm(conv(y, key, stride=stride, padding=pad), following))
    y = torch.relu(norm(conv(y, "encoder.glob.layer6.0"), "encoder.glob.layer6.1"))
    context = y.reshape(batch, shots, 1, -1).repeat(1, 1, receivers, 1).reshape(batch, shots * receivers, -1)

    pairs = list(itertools.product(range(shots), range(receivers)))
    shot = torch.stack([F.one_hot(torch.tensor(s), shots) for s, _ in pairs])
    receiver = torch.stack([F.one_hot(torch.tensor(r), receivers) for _, r in pairs])
    setup = torch.cat([shot, receiver], dim=1).to(x.dtype).repeat(batch, 1, 1)
    y = torch.cat([context, setup, neighbourhood], dim=2)
    for k in range(1, 6):
        y = F.linear(y, p[f"generator.lin{k}.weight"], p[f"generator.lin{k}.bias"])
        y = torch.relu(norm(y, f"generator.bn{k}"))
    y = y.reshape(batch, shots * receivers, *feature_map_shape(network.shape))

    for k in (1, 2, 3):
        key = f"decoder.layer{k}"
        y = F.conv_transpose2d(y, p[f"{key}.0.weight"], p[f"{key}.0.bias"], stride=2, padding=1)
        y = torch.relu(norm(y, f"{key}.1"))
        y = torch.relu(norm(conv(y, f"{key}.3", padding=1), f"{key}.4"))
    branches = [
        torch.relu(norm(conv(y, f"decoder.layer4_{k}.0", padding=d, dilation=d), f"decoder.layer4_{k}.1"))
        for k, d in enumerate((1, 3, 5, 7), start=1)
    ]
    y = torch.cat(branches, dim=1)
    y = torch.sigmoid(norm(conv(y, "decoder.layer5.0"), "decoder.layer5.1"))
    nz, nx = network.shape
    top, left = (y.shape[2] - nz) // 2, (y.shape[3] - nx) // 2
    return y[:, :, top : top + nz, left : left + nx]


class TestSizes:
    """Numbers of parameters and layers."""

    @pytest.mark.parametrize(
        ("shots", "receivers", "side_heads", "expected"),
        [(20, 32, False, 9_448_164), (20, 32, True, 9_450_183), (30, 50, True, 11_641_951)],
    )
    def test_seisinvnet(self, shots: int, receivers: int, side_heads: bool, expected: int) -> None:
        with torch.device("meta"):
            network = SeisInvNet(shots, receivers, 1000, (100, 100), side_heads=side_heads)
        assert parameters(network) == expected

    def test_seisinvnet_by_part(self) -> None:
        with torch.device("meta"):
            network = SeisInvNet(20, 32, 1000, (100, 100))
        sizes = [network.encoder.neig, network.encoder.glob, network.generator, network.decoder]
        assert [parameters(part) for part in sizes] == [609, 5_737_280, 2_003_456, 1_706_819]

    @pytest.mark.parametrize(("receivers", "rows"), [(32, 1), (50, 4), (70, 6), (100, 10)])
    def test_global_encoder_of_more_receivers(self, receivers: int, rows: int) -> None:
        with torch.device("meta"):
            network = SeisInvNet(2, receivers, 1000, (100, 100))
        assert network.encoder.glob.map_shape == (rows, 1)
        assert network.encoder.glob.features == 128 * rows

    def test_inversionnet(self) -> None:
        with torch.device("meta"):
            assert parameters(InversionNet()) == 24_409_123

    def test_default_baseline_is_seisinvnets_size(self) -> None:
        with torch.device("meta"):
            baseline = ConvBaseline(20, 32, 1000, (100, 100))
        assert parameters(baseline) == pytest.approx(9_448_164, rel=0.01)

    @pytest.mark.parametrize("width", [1.0, 0.25])
    @pytest.mark.parametrize(
        "geometry",
        [
            {"shots": 5, "receivers": 70, "samples": 1000, "shape": (70, 70)},
            {"shots": 10, "receivers": 25, "samples": 400, "shape": (48, 64)},
        ],
    )
    def test_baseline_follows_seisinvnets_size(self, geometry: dict[str, Any], width: float) -> None:
        with torch.device("meta"):
            counts = [parameters(networks.build(n, **geometry, width=width)) for n in networks.NAMES]
        assert counts[networks.NAMES.index("convbaseline")] == pytest.approx(counts[0], rel=0.1)

    @pytest.mark.parametrize("name", networks.NAMES)
    def test_width_scales_and_has_a_least_size(self, name: str) -> None:
        geometry = {"shots": 20, "receivers": 32, "samples": 1000, "shape": (100, 100)}
        with torch.device("meta"):
            counts = [parameters(networks.build(name, **geometry, width=w)) for w in (1, 0.5, 0.25, 1e-6)]
        assert counts[0] > 2 * counts[1] > 4 * counts[2] > counts[3] > 0


class TestSeisInvNet:
    """Exactness, released names, side heads, dropout."""

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(
        "geometry",
        [SMALL, GEOMETRIES[1], {"shots": 2, "receivers": 33, "samples": 300, "shape": (10, 12)}],
    )
    def test_equals_the_literal_network(self, geometry: dict[str, Any], training: bool) -> None:
        network = SeisInvNet(**geometry, width=0.1, drop_rate=0.0).double()
        shake(network)
        network.train(training)
        records = records_for(network, batch=3)
        expected = literal_seisinvnet(network, records, training)
        torch.testing.assert_close(network(records), expected, rtol=0, atol=1e-12)

    def test_gradients_equal_the_literal_networks(self) -> None:
        network = SeisInvNet(**SMALL, width=0.1, drop_rate=0.0).double()
        shake(network)
        records = records_for(network).requires_grad_()
        weights = torch.randn(2, 1, *network.shape, dtype=torch.float64)
        wanted = [records, *network.parameters()]
        expected = torch.autograd.grad((weights * literal_seisinvnet(network, records, True)).sum(), wanted)
        found = torch.autograd.grad((weights * network(records)).sum(), wanted)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("side_heads", [False, True])
    def test_loads_the_released_key_names(self, side_heads: bool) -> None:
        network = SeisInvNet(**SMALL, width=0.1, side_heads=side_heads).eval()
        donor = SeisInvNet(**SMALL, width=0.1, side_heads=True).eval()
        shake(donor)
        state = donor.state_dict()
        assert set(state) == released_keys()
        network.load_released({f"module.{key}": value for key, value in state.items()})
        records = records_for(network)
        torch.testing.assert_close(network(records), donor(records), rtol=0, atol=0)

    def test_other_keys_are_refused(self) -> None:
        with pytest.raises(RuntimeError, match=r"encoder\.neig\.conv1"):
            SeisInvNet(**SMALL, width=0.1).load_released({"module.conv": torch.zeros(1)})

    def test_first_layer_has_the_released_columns(self) -> None:
        with torch.device("meta"):
            network = SeisInvNet(30, 50, 1000, (100, 100))
        assert network.generator.lin1.weight.shape == (1024, 512 + 30 + 50 + 1000)

    def test_every_tensor_moves_with_the_module(self) -> None:
        network = SeisInvNet(**SMALL, side_heads=True)
        for module in network.modules():
            assert not [key for key, value in vars(module).items() if isinstance(value, Tensor)]

    def test_a_trace_knows_its_shot_and_receiver(self) -> None:
        network = SeisInvNet(**SMALL, width=0.1).eval()
        maps = network.features(torch.zeros(1, network.shots, network.samples, network.receivers))[0]
        assert len({tuple(row.tolist()) for row in maps.flatten(1)}) == len(maps)

    def test_side_heads(self) -> None:
        plain = SeisInvNet(**SMALL, width=0.1).eval()
        network = SeisInvNet(**SMALL, width=0.1, side_heads=True).eval()
        assert not [key for key in plain.state_dict() if "dsn" in key]
        plain.load_state_dict({k: v for k, v in network.state_dict().items() if "dsn" not in k})
        records = records_for(network)
        prediction, edges = network.predict_with_edges(records)
        torch.testing.assert_close(prediction, plain(records), rtol=0, atol=0)
        assert edges.shape == (2, 3, *network.shape)
        edges.sum().backward()
        assert all(p.grad is not None for key, p in network.named_parameters() if "dsn" in key)
        with pytest.raises(RuntimeError, match="side_heads=True"):
            plain.predict_with_edges(records)

    def test_dropping_maps_drops_whole_maps(self) -> None:
        network = SeisInvNet(**SMALL, width=0.1, drop_rate=0.5)
        open_relu(network)
        empty = network.features(records_for(network, 8)).flatten(2) == 0
        assert torch.equal(empty.any(dim=2), empty.all(dim=2))
        assert float(empty.double().mean()) == pytest.approx(0.5, abs=0.15)

    def test_dropping_elements_leaves_parts_of_maps(self) -> None:
        network = SeisInvNet(**SMALL, width=0.1, drop="elements", drop_rate=0.5)
        open_relu(network)
        empty = network.features(records_for(network, 8)).flatten(2) == 0
        assert float(empty.double().mean()) == pytest.approx(0.5, abs=0.05)
        assert not empty.all(dim=2).any()

    def test_nothing_is_dropped_in_evaluation(self) -> None:
        network = SeisInvNet(**SMALL, width=0.1).eval()
        records = records_for(network)
        torch.testing.assert_close(network(records), network(records), rtol=0, atol=0)


def released_keys() -> set[str]:
    """Key names of the released state_dict (aaspip/geofwi, `geofwi/seisinvnet.py`)."""
    weights = [f"encoder.neig.conv{k}" for k in (1, 2, 3)]
    norms = []
    for layer in range(1, 6):
        weights += [f"encoder.glob.layer{layer}.{k}" for k in (0, 3)]
        norms += [f"encoder.glob.layer{layer}.{k}" for k in (1, 4)]
        weights.append(f"generator.lin{layer}")
        norms.append(f"generator.bn{layer}")
    for layer in ("encoder.glob.layer6", "decoder.layer5", *(f"decoder.layer4_{k}" for k in (1, 2, 3, 4))):
        weights.append(f"{layer}.0")
        norms.append(f"{layer}.1")
    for layer in ("decoder.layer1", "decoder.layer2", "decoder.layer3"):
        weights += [f"{layer}.0", f"{layer}.3"]
        norms += [f"{layer}.1", f"{layer}.4"]
    weights += [f"decoder.dsn{k}" for k in (1, 2, 3)]
    keys = {f"{name}.{part}" for name in weights + norms for part in ("weight", "bias")}
    parts = ("running_mean", "running_var", "num_batches_tracked")
    return keys | {f"{name}.{part}" for name in norms for part in parts}


class TestInversionNet:
    """OpenFWI's layers and the output ranges."""

    def test_default_layers_are_openfwis(self) -> None:
        with torch.device("meta"):
            state = InversionNet().state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items() if key.endswith("layers.0.weight")}
        expected = {"convblock1": (32, 5, 7, 1)}
        pairs = [(2, 32, 64, (3, 1)), (3, 64, 64, (3, 1)), (4, 64, 128, (3, 1))]
        pairs += [(5, 128, 128, (3, 3)), (6, 128, 256, (3, 3)), (7, 256, 256, (3, 3))]
        for k, inputs, outputs, kernel in pairs:
            expected[f"convblock{k}_1"] = (outputs, inputs, *kernel)
            expected[f"convblock{k}_2"] = (outputs, outputs, *kernel)
        expected["convblock8"] = (512, 256, 8, 9)
        channels = (512, 512, 256, 128, 64, 32)
        for k in range(1, 6):
            kernel = (5, 5) if k == 1 else (4, 4)
            expected[f"deconv{k}_1"] = (channels[k - 1], channels[k], *kernel)
            expected[f"deconv{k}_2"] = (channels[k], channels[k], 3, 3)
        expected["deconv6"] = (1, 32, 3, 3)
        assert shapes == {f"{key}.layers.0.weight": shape for key, shape in expected.items()}

    @pytest.mark.parametrize(("name", "sign"), [("inversionnet", -1), ("seisinvnet", 0), ("convbaseline", 0)])
    def test_output_range(self, name: str, sign: int) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        assert network.output_range == (float(sign), 1.0)
        *_, norm, activation = network.modules()
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(activation, nn.Tanh if sign else nn.Sigmoid)
        ends = []
        for bias in (-20.0, 20.0):
            nn.init.constant_(norm.bias, bias)
            ends.append(float(network(records_for(network, 4)).detach().mean()))
        assert ends == pytest.approx(network.output_range, abs=1e-4)


@pytest.mark.parametrize("name", networks.NAMES)
class TestEveryNetwork:
    """What every network promises."""

    @pytest.mark.parametrize("geometry", GEOMETRIES)
    def test_any_geometry(self, name: str, geometry: dict[str, Any]) -> None:
        network = networks.build(name, **geometry, width=0.1)
        assert network.name == name
        assert network.geometry == geometry
        assert network(records_for(network)).shape == (2, 1, *geometry["shape"])
        network.eval()
        assert network(records_for(network, 1)).shape == (1, 1, *geometry["shape"])

    def test_every_parameter_gets_a_gradient(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        (network(records_for(network)) ** 2).sum().backward()
        assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]

    def test_learns(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        records = records_for(network, 4)
        target = 0.25 + 0.5 * torch.rand(4, 1, 1, 1).expand(4, 1, *network.shape)
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        losses = []
        for _ in range(40):
            loss = (network(records) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.5 * losses[0]

    def test_a_prediction_does_not_depend_on_the_batch(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1).double().eval()
        records = records_for(network, 3)
        alone = torch.cat([network(record[None]) for record in records])
        torch.testing.assert_close(network(records), alone, rtol=0, atol=1e-12)

    def test_shots_do_not_commute(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.25).double()
        records = records_for(network)
        assert float((network(records) - network(records.flip(1))).detach().abs().max()) > 1e-3

    def test_non_contiguous_records(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1).eval()
        records = records_for(network)
        scattered = records.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
        torch.testing.assert_close(network(scattered), network(records))

    def test_autocast(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1).eval()
        records = records_for(network)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(records)
        torch.testing.assert_close(rough.float(), network(records), rtol=0, atol=0.05)

    def test_time_stride_sees_every_kth_sample(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1, time_stride=7).eval()
        inner = networks.build(name, **{**SMALL, "samples": 9}, width=0.1).eval()
        inner.load_state_dict(network.state_dict())
        records = records_for(network)
        assert (network.samples, network.used_samples) == (60, 9)
        torch.testing.assert_close(network(records), inner(records[:, :, ::7]), rtol=0, atol=0)
        with pytest.raises(ValueError, match="time_stride must leave at least 2 of 60 samples, got 60"):
            networks.build(name, **SMALL, time_stride=60)

    def test_compiles_without_a_break(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1).eval()
        records = records_for(network)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(records), network(records))

    def test_state_returns(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        network(records_for(network))
        copy = networks.build(name.upper(), **network.geometry, width=network.width)
        copy.load_state_dict(network.state_dict())
        records = records_for(network)
        torch.testing.assert_close(copy.eval()(records), network.eval()(records), rtol=0, atol=0)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_equals_cpu(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.25).eval()
        records = records_for(network)
        expected = network(records)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = network.cuda()(records.cuda())
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((2, 3, 5, 60), r"\[batch, shots=3, time=60, receivers=5\], got \[2, 3, 5, 60\]; .* swapped"),
            ((2, 4, 60, 5), r"shots=3, .* got \[2, 4, 60, 5\]"),
            ((3, 60, 5), r"got \[3, 60, 5\]"),
            ((0, 3, 60, 5), r"got \[0, 3, 60, 5\]"),
        ],
    )
    def test_wrong_records(self, name: str, shape: tuple[int, ...], message: str) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        with pytest.raises(ValueError, match=message):
            network(torch.zeros(shape))

    def test_wrong_type(self, name: str) -> None:
        network = networks.build(name, **SMALL, width=0.1)
        with pytest.raises(TypeError, match=r"torch\.float32, got torch\.float64"):
            network(torch.zeros(2, 3, 60, 5, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"shots": 0}, "shots must be a whole number of at least 1, got 0"),
            ({"receivers": 2.5}, "receivers must be a whole number of at least 1, got 2.5"),
            ({"samples": 1}, "samples must be a whole number of at least 2, got 1"),
            ({"shape": (10,)}, r"shape must be \(nz, nx\), got \(10,\)"),
            ({"shape": (10, -1)}, r"shape\[1\] must be a whole number of at least 1, got -1"),
            ({"width": 0}, "width must be a positive number, got 0"),
            ({"width": float("nan")}, "width must be a positive number, got nan"),
        ],
    )
    def test_wrong_arguments(self, name: str, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            networks.build(name, **{**SMALL, **change})


@pytest.mark.parametrize("network", [SeisInvNet(1, 4, 60, (8, 8), 0.1), InversionNet(2, 5, 60, (8, 8), 0.1)])
def test_a_single_value_per_channel_is_refused_in_training(network: networks.Network) -> None:
    with pytest.raises(ValueError, match="a single value per normalised channel; use a batch of at least 2"):
        network(records_for(network, 1))
    assert network.eval()(records_for(network, 1)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "cells"}, '"maps" or "elements", got \'cells\''),
        ({"drop_rate": 1.0}, "less than 1, got 1.0"),
    ],
)
def test_wrong_seisinvnet_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeisInvNet(**SMALL, **options)


def test_unknown_network() -> None:
    with pytest.raises(ValueError, match="one of seisinvnet, inversionnet, convbaseline, got 'unet'"):
        networks.build("unet", **SMALL)
    with pytest.raises(TypeError, match="side_heads"):
        networks.build("inversionnet", **SMALL, side_heads=True)
