"""SeisInvNet on the fused operators and on their twins: one function of the same weights, and the same learning."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from small_features import distance, relative
from torch import Tensor, nn

from seisfast.networks import SeisInvNet, fused

SMALL = {"shots": 3, "receivers": 5, "samples": 60, "shape": (20, 13)}
GEOMETRIES = [
    {"shots": 1, "receivers": 1, "samples": 2, "shape": (1, 1)},
    {"shots": 1, "receivers": 9, "samples": 301, "shape": (12, 40)},
    {"shots": 2, "receivers": 33, "samples": 64, "shape": (37, 24)},
    {"shots": 4, "receivers": 40, "samples": 33, "shape": (16, 90)},
]
TRAINING = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
EVERY = pytest.mark.parametrize("geometry", [SMALL, *GEOMETRIES], ids=lambda g: "x".join(map(str, g.values())))


def pair(geometry: dict[str, Any], dtype: torch.dtype = torch.float64, **options: Any) -> tuple[SeisInvNet, SeisInvNet]:  # noqa: ANN401
    """A network on the fused operators and one on the twins with the same weights, norms shaken."""
    settings = {"width": 0.1, "drop_rate": 0.0, **geometry, **options}
    ours, theirs = (SeisInvNet(**settings, fused=flag).to(dtype) for flag in (True, False))
    for module in ours.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                assert tensor is not None
                nn.init.uniform_(tensor, -0.5, 0.5)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def records_for(network: SeisInvNet, batch: int = 3) -> Tensor:
    dtype = next(network.parameters()).dtype
    return torch.randn(batch, network.shots, network.samples, network.receivers, dtype=dtype)


def gradients(network: SeisInvNet, records: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output, and the gradients of the records and of every parameter."""
    leaf = records.clone().requires_grad_()
    out = network(leaf)
    weight = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).reshape(out.shape)
    return out.detach(), list(torch.autograd.grad(out, (leaf, *network.parameters()), weight))


@EVERY
@TRAINING
def test_same_outputs_and_gradients(geometry: dict[str, Any], training: bool) -> None:
    ours, theirs = pair(geometry)
    records = records_for(ours)
    (found, grads), (expected, twins) = (gradients(n.train(training), records) for n in (ours, theirs))
    assert relative(found, expected) < 1e-10
    floor = max(float(t.norm()) for t in twins)
    for name, a, b in zip(("records", *dict(ours.named_parameters())), grads, twins, strict=True):
        # Biases before a norm of their channel: zero but for rounding.
        assert float((a - b).norm()) < 1e-9 * float(b.norm()) + 1e-12 * max(floor, 1e-3), name
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=name)


@EVERY
@TRAINING
def test_same_outputs_in_float32(geometry: dict[str, Any], training: bool) -> None:
    """To 1e-5, or where statistics of few values pass that, no further from float64 than twice the twins."""
    ours, theirs = pair(geometry, torch.float32)
    records = records_for(ours)
    expected = copy.deepcopy(theirs).double().train(training)(records.double())
    error, twins_error = (relative(network.train(training)(records), expected) for network in (ours, theirs))
    assert error < max(1e-5, 2 * twins_error)


def test_same_gradients_in_float32() -> None:
    """Of records and weights for which no ReLU is close to zero: float32 codes may differ in which side it is on."""
    for seed in range(200):
        torch.manual_seed(seed)
        ours, theirs = pair({**SMALL, "samples": 24, "receivers": 3}, torch.float32)
        records = records_for(ours)
        double = copy.deepcopy(theirs).double()
        with torch.no_grad():
            if distance(lambda double=double, records=records: copy.deepcopy(double)(records.double())) > 2e-5:
                break
    else:
        raise AssertionError("no seed without a ReLU's input close to zero")
    expected = gradients(double, records.double())[1]
    floor = max(float(t.norm()) for t in expected)
    for name, a, b in zip(
        ("records", *dict(ours.named_parameters())), gradients(ours, records)[1], expected, strict=True
    ):
        assert float((a - b).norm()) < 1e-4 * float(b.norm()) + 1e-6 * floor, name


def test_same_keys_both_ways() -> None:
    for side_heads in (False, True):
        ours, theirs = pair(SMALL, side_heads=side_heads)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())
        other, twin = pair(SMALL, side_heads=side_heads)
        other.load_state_dict(theirs.state_dict())
        twin.load_state_dict(ours.state_dict())
        records = records_for(ours)
        for network in (ours, theirs, other, twin):
            network.eval()
        assert torch.equal(other(records), ours(records))
        assert torch.equal(twin(records), theirs(records))


def test_released_keys_load_into_both() -> None:
    donor, _ = pair(SMALL, side_heads=True)
    released = {f"module.{key}": value for key, value in donor.state_dict().items()}
    assert {"module.encoder.neig.conv1.weight", "module.generator.bn5.running_var", "module.decoder.dsn1.bias"} < set(
        released
    )
    records = records_for(donor)
    for network in pair(SMALL):
        network.load_released(released)
        assert relative(network.eval()(records), donor.eval()(records)) < 1e-10


@pytest.mark.parametrize("side_heads", [False, True])
def test_released_state_loads_into_both(side_heads: bool) -> None:
    """Our weights under the authors' names and back, to the bit, with edge heads or without."""
    donors, takers = (pair(SMALL, side_heads=side_heads) for _ in range(2))
    records = records_for(donors[0])
    for donor in donors:
        released = donor.released_state()
        assert [key.removeprefix("module.") for key in released] == list(donor.state_dict())
        assert all(key.startswith("module.") for key in released)
        for taker in takers:
            taker.load_released(released)
            for a, b in zip(taker.state_dict().values(), donor.state_dict().values(), strict=True):
                assert torch.equal(a, b)
            assert relative(taker.eval()(records), donor.eval()(records)) < 1e-10


def test_edge_heads_and_dropping_are_the_same() -> None:
    for drop in ("maps", "elements"):
        ours, theirs = pair(SMALL, side_heads=True, drop=drop, drop_rate=0.5)
        records = records_for(ours)
        results = []
        for network in (ours, theirs):
            torch.manual_seed(7)
            results.append(network.predict_with_edges(records))
        for a, b in zip(*results, strict=True):
            assert relative(a, b) < 1e-10


def test_steps_are_counted_in_training_alone() -> None:
    ours, theirs = pair(SMALL)
    for network in (ours, theirs):
        for training in (True, True, False):
            network.train(training)(records_for(network))
        counts = {int(value) for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
        assert counts == {2}


def norms(network: SeisInvNet) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]


def test_norms_may_be_frozen_while_the_rest_trains() -> None:
    """As for fine-tuning: the statistics stay, and gradients are those of the twins."""
    ours, theirs = pair(SMALL)
    records, results = records_for(ours), []
    for network in (ours, theirs):
        network.train()
        before = [norm.running_mean.clone() for norm in norms(network) if norm.running_mean is not None]
        for norm in norms(network):
            norm.eval()
        results.append(gradients(network, records))
        for old, norm in zip(before, norms(network), strict=True):
            assert norm.running_mean is not None
            assert torch.equal(old, norm.running_mean)
    assert relative(results[0][0], results[1][0]) < 1e-10
    floor = max(float(t.norm()) for t in results[1][1])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert float((a - b).norm()) < 1e-9 * float(b.norm()) + 1e-12 * floor


def test_norms_may_keep_the_mean_of_all_batches() -> None:
    ours, theirs = pair(SMALL)
    for network in (ours, theirs):
        for norm in norms(network):
            norm.momentum = None
    for seed in range(3):
        torch.manual_seed(seed)
        records = records_for(ours)
        for network in (ours, theirs):
            network.train()(records)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=name)


def test_norms_of_several_processes_are_refused() -> None:
    network = nn.SyncBatchNorm.convert_sync_batchnorm(SeisInvNet(**SMALL, width=0.1))
    with pytest.raises(RuntimeError, match="SeisInvNet cannot be trained with SyncBatchNorm"):
        network(torch.zeros(2, 3, 60, 5))


def test_autocast_in_bfloat16() -> None:
    """No further from float64 than the twins are."""
    ours, theirs = pair({**SMALL, "width": 0.25}, torch.float32)
    records = records_for(ours, 4)
    expected = copy.deepcopy(theirs).double().eval()(records.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, twin = (network.eval()(records) for network in (ours, theirs))
    assert relative(found, expected) < max(1e-2, 1.5 * relative(twin, expected))
    assert all(t.isfinite().all() for t in gradients_under_autocast(ours.train(), records))


def gradients_under_autocast(network: SeisInvNet, records: Tensor) -> list[Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(records).float().square().sum()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_a_network_in_bfloat16_or_on_meta_runs() -> None:
    ours, _ = pair(SMALL, torch.bfloat16)
    assert ours.eval()(records_for(ours)).dtype == torch.bfloat16
    with torch.device("meta"):
        network = SeisInvNet(**SMALL, width=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert network(torch.zeros(2, 3, 60, 5, device="meta")).shape == (2, 1, 20, 13)


def test_without_kernels_for_the_device_it_warns_once_and_runs_on_the_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair(SMALL)
    records = records_for(ours)
    monkeypatch.setattr(fused, "runs_on", lambda device: False)
    monkeypatch.setattr(fused, "_warned", {"cuda"})
    with pytest.warns(
        UserWarning, match="runs on plain torch on cpu, because this build of seisfast has no kernels"
    ) as seen:
        found = ours(records)
    assert len(seen) == 1
    assert torch.equal(found, theirs(records))


def test_same_learning() -> None:
    """Sixty steps of float32 from equal seeds: smoothed losses within 5 %."""
    curves = []
    for flag in (True, False):
        torch.manual_seed(3)
        network = SeisInvNet(**SMALL, width=0.1, fused=flag)
        records, target = records_for(network, 4), 0.25 + 0.5 * torch.rand(4, 1, 1, 1).expand(4, 1, *network.shape)
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        losses = []
        for step in range(60):
            torch.manual_seed(step)  # dropped maps
            loss = (network(records) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        curves.append(torch.tensor(losses).unfold(0, 10, 1).mean(1))
    ours, theirs = curves
    assert ours[-1] < 0.5 * ours[0]
    assert float(((ours - theirs) / theirs).abs().max()) < 0.05
