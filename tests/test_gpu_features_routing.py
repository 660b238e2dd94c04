"""The feature operators on a GPU inside torch: streams, CUDA graphs, torch.compile, devices, arrays of any layout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_features import (
    DEVICES,
    DTYPES,
    TOLERANCE,
    Kernels,
    Mlp,
    Norm,
    assert_equal,
    clear_gathers,
    embedding_gradients,
    flat,
    kernels,
    mlp_of,
    noise,
    norm_gradients,
    norm_of,
    on_gpu,
    relative,
    stored,
)
from small_gpu import CUDA, READY
from torch import Tensor

from seisfast import features
from seisfast.training.precision import float32_products

OPS = torch.ops.seisfast


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Exact float32 in torch's own products and convolutions, on both sides of a comparison."""
    with float32_products("float32", torch.device("cuda" if READY else "cpu")):
        yield


# -- among torch -------------------------------------------------------------------------------------------------------


class Chain:
    """The operators one after the other, and their gradients: what the tests of streams and graphs run."""

    def __init__(self, device: torch.device | str, dtype: torch.dtype, receivers: int = 6, samples: int = 90) -> None:
        self.k = stored(kernels(), dtype).to(device).leaves()
        mlp = mlp_of(2, 3, receivers, samples, dtype=dtype, widths=(24, 16), map_shape=(4, 3), running=False)
        self.mlp, leaves = mlp.to(device).leaves()
        self.norm = norm_of(2, 3 * receivers, 4, 3, dtype=dtype).to(device)
        self.leaves = [*self.k.all(), leaves[0], *leaves[2:]]
        self.records = noise(6, 3, receivers, samples, dtype=dtype, seed=17).to(device)

    def __call__(self, records: Tensor) -> Tensor:
        traces = features.trace_embedding(records, *self.k)
        maps = features.trace_mlp(self.mlp.context, traces, self.mlp.layers, self.mlp.map_shape, training=True)
        last = maps.contiguous(memory_format=torch.channels_last)  # both layouts
        scale, shift = self.norm.scale, self.norm.shift
        return features.norm_relu(maps, None, None, scale, shift, training=True) + features.norm_relu(
            last, None, None, scale, shift, training=True
        )

    def step(self, records: Tensor) -> list[Tensor]:
        """Output and all gradients."""
        out = self(records)
        return [out, *torch.autograd.grad(out.float().square().sum(), (records, *self.leaves))]


CHAINS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])


@CHAINS
@DEVICES
def test_same_call_same_bits(device: str, dtype: torch.dtype) -> None:
    chain = Chain(device, dtype)
    leaf = chain.records[:2].clone().requires_grad_()
    expected = chain.step(leaf)
    for _ in range(3):
        assert_equal(chain.step(leaf), expected)


@on_gpu
@DTYPES
@pytest.mark.parametrize("shape", [(240, 32, 1000), (1, 200, 3000), (2000, 3, 40)], ids=str)
def test_same_bits_at_size(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    k, gathers = stored(kernels(), dtype).to(CUDA), noise(*shape, dtype=dtype).to(CUDA)
    runs = [flat(embedding_gradients(features.trace_embedding, gathers, k, gathers)) for _ in range(2)]
    assert_equal(*runs)
    alone = features.trace_embedding(gathers[:1], *k)
    assert relative(alone, runs[0][0][:1]) < TOLERANCE[dtype]  # other plans for few gathers may round otherwise
    norm = norm_of(shape[0], 4, 50, 20, dtype=dtype, channels_last=True).to(CUDA)
    assert_equal(*(flat(norm_gradients(features.norm_relu, norm)) for _ in range(2)))


@CHAINS
@on_gpu
def test_side_stream(dtype: torch.dtype) -> None:
    """The operators are ordered with the work around them on whatever stream is current, backward too."""
    chain = Chain(CUDA, dtype, 32, 1000)
    records = chain.records[:2]
    expected = chain.step(records.clone().requires_grad_())
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        busy = torch.randn(2048, 2048, device=CUDA)
        for _ in range(20):
            busy = busy @ busy / 2048
        late = busy[0, 0].nan_to_num(0.0, 0.0, 0.0).to(dtype)
        found = chain.step((records + 0 * late).requires_grad_())
        doubled = [t * 2 for t in found]
    side.synchronize()
    assert_equal(doubled, [t * 2 for t in expected])


@CHAINS
@on_gpu
@pytest.mark.parametrize("shape", [(6, 90), (32, 1000), (64, 2500)], ids=str)
def test_cuda_graph_replays(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Forward and backward captured once, replayed for other records: one block, a cluster, device memory."""
    chain = Chain(CUDA, dtype, *shape)
    place = chain.records[:2].clone().requires_grad_()
    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        for _ in range(2):
            chain.step(place)
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = chain.step(place)
    for first in (0, 2, 4):
        with torch.no_grad():
            place.copy_(chain.records[first : first + 2])
        graph.replay()
        torch.cuda.synchronize()
        found = [t.detach().clone() for t in captured]
        assert_equal(found, chain.step(chain.records[first : first + 2].clone().requires_grad_()))


@on_gpu
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the device
def test_compiled_whole(mode: str) -> None:
    torch._dynamo.reset()
    chain = Chain(CUDA, torch.float32)
    compiled = torch.compile(chain.__call__, fullgraph=True, mode=mode)
    for first in (0, 2, 4, 0):  # graphs are captured from the second call on
        leaf = chain.records[first : first + 2].clone().requires_grad_()
        if mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        out = compiled(leaf)
        found = [out.detach().clone(), *torch.autograd.grad(out.square().sum(), (leaf, *chain.leaves))]
        for a, b in zip(found, chain.step(leaf), strict=True):
            assert float((a - b).norm()) <= 1e-4 * float(b.norm()) + 1e-6


@on_gpu
def test_opcheck() -> None:
    k, gathers = kernels(2).to(CUDA).leaves(), noise(3, 4, 9).to(CUDA).requires_grad_()
    tensors = [t for both in zip(*k, strict=True) for t in both]
    result = torch.library.opcheck(OPS.trace_embedding_forward.default, (gathers, *tensors, 1e-5))
    assert set(result.values()) == {"SUCCESS"}
    for norm in (norm_of(2, 6, 5), norm_of(30, 6, 1)):
        x, _, _, scale, shift = (t.to(CUDA).requires_grad_() for t in norm if t is not None)
        result = torch.library.opcheck(OPS.norm_relu_forward.default, (x, None, None, scale, shift, None, None, 1e-5))
        assert set(result.values()) == {"SUCCESS"}


@DEVICES
def test_gradcheck(device: str) -> None:
    k = kernels(2).to(device).leaves()
    gathers = clear_gathers(2, 3, 7, k, torch.float64, margin=1e-3).requires_grad_()

    def run(gathers: Tensor, *tensors: Tensor) -> Tensor:
        return features.trace_embedding(gathers, tensors[:3], tensors[3:])

    assert torch.autograd.gradcheck(run, (gathers, *k.all()), eps=1e-6, atol=1e-7)


@on_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_second_device() -> None:
    """Not the current one: its memory, its stream, its plans."""
    results = [Chain(f"cuda:{index}", torch.float32) for index in (0, 1)]
    first, second = (chain.step(chain.records[:2].clone().requires_grad_()) for chain in results)
    assert torch.cuda.current_device() == 0
    for a, b in zip(first, second, strict=True):
        assert b.device.index == 1
        assert relative(a, b) < 1e-4
    k = kernels().to(torch.float32).to(CUDA)
    with pytest.raises(ValueError, match=r"weights\[0\] must be on cuda:1, got cuda:0"):
        features.trace_embedding(torch.zeros(2, 3, 4, device="cuda:1"), *k)


@on_gpu
def test_arguments_on_other_devices_are_refused() -> None:
    gathers = torch.zeros(2, 3, 4, device=CUDA)
    with pytest.raises(ValueError, match=r"weights\[0\] must be on cuda:0, got cpu"):
        features.trace_embedding(gathers, *kernels().to(torch.float32))
    with pytest.raises(ValueError, match="scale must be on cuda:0, got cpu"):
        features.norm_relu(gathers, None, None, torch.ones(3), torch.zeros(3), training=True)
    mlp = mlp_of(2, 3, 4, 10)
    with pytest.raises(ValueError, match=r"context must be \[batch=2, shots=3, features\] on cuda:0, got .* on cpu"):
        Mlp(mlp.context, mlp.traces.to(CUDA), *mlp[2:]).run(features.trace_mlp)


@DTYPES
@DEVICES
def test_strided_inputs(device: str, dtype: torch.dtype) -> None:
    def turned(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)

    k, gathers = stored(kernels(), dtype).to(device), noise(3, 5, 30, dtype=dtype).to(device)
    assert torch.equal(features.trace_embedding(turned(gathers), *k), features.trace_embedding(gathers, *k))
    out = features.trace_embedding(gathers, *k.leaves())
    weight = noise(3, 5, 30, dtype=dtype, seed=8).to(device)
    leaves = k.leaves()
    grads = [
        torch.autograd.grad(features.trace_embedding(gathers, *leaves), leaves.all(), w)
        for w in (weight, turned(weight))
    ]
    assert_equal(*grads)
    assert out.is_contiguous()
    norm = norm_of(3, 5, 30, dtype=dtype).to(device)
    found = Norm(turned(norm.x), None, None, *norm[3:]).run(features.norm_relu)
    assert torch.equal(found, Norm(norm.x, None, None, *norm[3:]).run(features.norm_relu))


@DTYPES
@DEVICES
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_arrays_that_begin_anywhere(device: str, offset: int, dtype: torch.dtype) -> None:
    """Contiguous, but not at an address that wide loads want."""

    def moved(tensor: Tensor) -> Tensor:
        room = torch.zeros(tensor.numel() + offset, dtype=tensor.dtype, device=tensor.device)
        room[offset:] = tensor.contiguous().flatten()
        return room[offset:].view(tensor.shape)

    k = stored(kernels(), dtype).to(device)
    gathers, weight = (noise(2, 8, 64, dtype=dtype, seed=seed).to(device) for seed in (3, 8))
    leaf, leaves = moved(gathers).requires_grad_(), Kernels(*([moved(t).requires_grad_() for t in ts] for ts in k))
    out = features.trace_embedding(leaf, *leaves)
    found = [out.detach(), *torch.autograd.grad(out, (leaf, *leaves.all()), moved(weight))]
    assert_equal(found, flat(embedding_gradients(features.trace_embedding, gathers, k, weight)))

    norm = norm_of(4, 16, 24, dtype=dtype).to(device)
    weight = noise(4, 16, 24, seed=9, dtype=dtype).to(device)
    x, scale, shift = (moved(t).requires_grad_() for t in (norm.x, norm.scale, norm.shift))
    out = features.norm_relu(x, None, None, scale, shift, training=True)
    found = [out.detach(), *torch.autograd.grad(out, (x, scale, shift), moved(weight))]
    for a, b in zip(found, flat(norm_gradients(features.norm_relu, norm)), strict=True):
        assert relative(a, b) < TOLERANCE[dtype]
