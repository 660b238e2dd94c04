"""SeisInvNet on the feature operators on a GPU (small, on a CPU): against float64, compiled, and captured."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from small_features import (
    GPU,
    PRECISIONS,
    TRAINING,
    noise,
    on_gpu,
    relative,
    under,
)
from small_gpu import READY
from torch import Tensor, nn

from seisfast.networks import SeisInvNet
from seisfast.training.precision import float32_products


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Exact float32 in torch's own products and convolutions, on both sides of a comparison."""
    with float32_products("float32", torch.device("cuda" if READY else "cpu")):
        yield


ONE_RELU = 5e-3


# -- the network -------------------------------------------------------------------------------------------------------


def networks(device: str, full: bool = False) -> tuple[SeisInvNet, SeisInvNet, Tensor]:
    """A network on the fused operators, one on the twins, and records."""
    torch.manual_seed(5)
    sizes = (20, 32, 1000, (100, 100)) if full else (3, 5, 60, (20, 13))
    ours, theirs = (
        SeisInvNet(*sizes, width=1.0 if full else 0.25, drop_rate=0.0, fused=flag) for flag in (True, False)
    )
    for module in ours.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    theirs.load_state_dict(ours.state_dict())
    records = noise(4 if full else 3, sizes[0], sizes[2], sizes[1], dtype=torch.float32)
    return ours.to(device), theirs.to(device), records.to(device)


def parameters_gradient(network: SeisInvNet, records: Tensor) -> Tensor:
    """All parameters' gradients of a sum, as one vector."""
    out = network(records)
    weight = torch.linspace(-1, 2, out.numel(), device=out.device).reshape(out.shape)
    grads = torch.autograd.grad((out.float() * weight).sum(), list(network.parameters()))
    return torch.cat([grad.flatten().double() for grad in grads])


@TRAINING
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("device", "full"), [("cpu", False), pytest.param("cuda", False, marks=GPU), pytest.param("cuda", True, marks=GPU)]
)
def test_network(device: str, full: bool, precision: str, training: bool) -> None:
    """No further from float64 than the twins are in the same precision, or within the limit."""
    if precision == "tf32" and device == "cpu":
        pytest.skip("TF32 is arithmetic of GPUs")
    ours, theirs, records = networks(device, full)
    double = copy.deepcopy(theirs).double().train(training)
    expected, slope = double(records.double()).detach(), parameters_gradient(double, records.double())
    errors, slopes = [], []
    for network in (ours.train(training), theirs.train(training)):
        errors.append(relative(under(precision, lambda n=network: n(records), device), expected))
        slopes.append(relative(under(precision, lambda n=network: parameters_gradient(n, records), device), slope))
    assert errors[0] < max(PRECISIONS[precision], 1.5 * errors[1])
    # A rounding that takes the input of one ReLU over zero moves the gradient by some thousandths, on either side.
    assert slopes[0] < max(10 * PRECISIONS[precision], 1.5 * slopes[1]) + ONE_RELU


@on_gpu
@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the device
def test_compiled_network() -> None:
    torch._dynamo.reset()
    ours, _, records = networks("cuda")
    ours.eval()
    compiled = torch.compile(ours, fullgraph=True)
    assert relative(compiled(records), ours(records)) < 1e-5


@on_gpu
def test_captured_network() -> None:
    """A whole step in a graph: the network waits for nothing, and allocates nothing out of the graph's pool."""
    ours, _, records = networks("cuda")
    frozen = copy.deepcopy(ours.state_dict())
    place = records.clone()
    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        for _ in range(3):
            parameters_gradient(ours, place)
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = parameters_gradient(ours, place)
    ours.load_state_dict(frozen)
    place.copy_(records.flip(0))
    graph.replay()
    torch.cuda.synchronize()
    found = captured.clone()
    ours.load_state_dict(frozen)
    assert relative(found, parameters_gradient(ours, records.flip(0))) < 1e-4
