"""trace_embedding on a GPU: against its twin and the CPU's, on chip and through device memory.

What can be asked of a CPU too is asked there as well, with small data: that keeps the tests honest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from small_features import (
    DEVICES,
    DTYPES,
    GPU,
    TOLERANCE,
    Kernels,
    assert_embedding_gradients,
    assert_equal,
    clear_gathers,
    device_shapes,
    embedding_gradients,
    embedding_plan,
    kernels,
    noise,
    on_gpu,
    relative,
    relu_masks,
    stored,
    stored_masks,
    wide,
)
from small_gpu import CUDA, READY, is_hopper
from torch import Tensor

from seisfast import _native, features
from seisfast.engines import CHIPS
from seisfast.ops import features as ops
from seisfast.reference import features as twins
from seisfast.training.precision import float32_products

OPS = torch.ops.seisfast
# Gathers, receivers, samples, channels. The last of the small ones has more than a slab of a cluster's block.
SMALL = [(3, 1, 2, 4), (2, 5, 9, 1), (3, 7, 64, 5), (2, 33, 101, 8), (2, 16, 203, 4), (4, 3, 1001, 4)]
LARGE = [(240, 32, 1000, 4), (20, 70, 1000, 4), (3, 32, 1000, 8), (2, 32, 999, 3), (5, 31, 1333, 5)]
TOO_LARGE = [(2, 64, 2000, 4), (1, 200, 3000, 4), (3, 32, 1000, 16), (1, 2, 40000, 4)]  # for any cluster's memory


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Exact float32 in torch's own products and convolutions, on both sides of a comparison."""
    with float32_products("float32", torch.device("cuda" if READY else "cpu")):
        yield


def by_parts(run: Callable[[Tensor], Tensor], gathers: Tensor, at_a_time: int = 16) -> Tensor:
    """The twin in float64 of many gathers, a few at a time."""
    return torch.cat([run(part.double()) for part in gathers.split(at_a_time)])


# -- trace_embedding ---------------------------------------------------------------------------------------------------


@DTYPES
@device_shapes(SMALL, LARGE + TOO_LARGE)
def test_embedding_is_the_twin(device: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    count, receivers, samples, channels = shape
    k = stored(kernels(channels), dtype).to(device)
    gathers = noise(count, receivers, samples, dtype=dtype).to(device)
    found = features.trace_embedding(gathers, *k)
    assert (found.dtype, found.device, found.shape) == (gathers.dtype, gathers.device, gathers.shape)
    double = wide(k)
    assert relative(found, by_parts(lambda x: twins.trace_embedding(x, *double), gathers)) < TOLERANCE[dtype]


@DTYPES
@device_shapes([(3, 1, 9, 4), *SMALL[1:]], [(8, 32, 1000, 4), (2, 64, 2000, 4), (2, 32, 1000, 16)])
def test_embedding_gradients_are_the_twins(device: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """On the masks of the kernel: there are no others for float32 data like these, bfloat16's are computed again."""
    count, receivers, samples, channels = shape
    k = stored(kernels(channels), dtype).to(device)
    many = receivers * samples * channels > 100_000
    if dtype == torch.bfloat16:
        gathers = noise(count, receivers, samples, dtype=dtype).to(device)
    else:
        gathers = clear_gathers(count, receivers, samples, k, dtype, margin=1e-6 if many else 1e-5)
    weight = noise(count, receivers, samples, dtype=dtype, seed=8).to(device)
    found = embedding_gradients(features.trace_embedding, gathers, k, weight)
    arguments = wide(gathers), k.to(torch.float64), wide(weight)
    if dtype == torch.bfloat16:
        tensors = [t for both in zip(*k, strict=True) for t in both]
        masks = stored_masks(gathers, k, OPS.trace_embedding_forward(gathers, *tensors, 1e-5)[1])
        with relu_masks(masks):
            expected = embedding_gradients(twins.trace_embedding, *arguments)
    else:
        expected = embedding_gradients(twins.trace_embedding, *arguments)
        assert torch.equal(found[0] > 0, expected[0] > 0), "the masks of the third layer"
    of_biases = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2}[dtype]
    assert_embedding_gradients(found[1], expected[1], TOLERANCE[dtype], of_biases)


@on_gpu
def test_embedding_gradients_of_the_largest_gather() -> None:
    """Too many values to have none near zero: a few ReLUs of five million may differ, and a gradient by as much."""
    k = kernels().to(torch.float32).to(CUDA)
    gathers, weight = (noise(1, 200, 3000, seed=seed, dtype=torch.float32).to(CUDA) for seed in (3, 8))
    found = embedding_gradients(features.trace_embedding, gathers, k, weight)[1]
    expected = embedding_gradients(twins.trace_embedding, wide(gathers), k.to(torch.float64), wide(weight))[1]
    assert_embedding_gradients(found, expected, 5e-3)


@DTYPES
@DEVICES
def test_embedding_is_the_cpus(device: str, dtype: torch.dtype) -> None:
    k, gathers, weight = stored(kernels(5), dtype), noise(3, 9, 77), noise(3, 9, 77, seed=8)
    gathers = clear_gathers(3, 9, 77, k, dtype) if dtype != torch.bfloat16 else gathers.to(dtype)
    found = embedding_gradients(features.trace_embedding, gathers.to(device), k.to(device), weight.to(device))
    expected = embedding_gradients(features.trace_embedding, gathers, k, weight)
    assert relative(found[0], expected[0]) < TOLERANCE[dtype]
    if dtype != torch.bfloat16:  # maps that are rounded on one side have other masks
        assert_embedding_gradients(found[1], [t.double() for t in expected[1]], TOLERANCE[dtype])


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=["f32", "bf16", "f64"])
def test_plans_of_this_chip(dtype: torch.dtype) -> None:
    """On a Hopper chip single and half precision stay on chip up to 70 x 1000, and what is too large does not."""
    for adjoint in (False, True):
        for shape in SMALL + LARGE + TOO_LARGE:
            plan = embedding_plan(shape, dtype, adjoint)
            assert (plan["blocks"] == 0) == (plan["workspace"] > 0)
            if is_hopper():
                assert plan == embedding_plan(shape, dtype, adjoint, CHIPS["H100, H200 (sm_90)"])
    if is_hopper():
        for receivers in (32, 70):
            plan = embedding_plan((240, receivers, 1000, 4), dtype, adjoint=True)
            assert (plan["blocks"] > 0) == (dtype != torch.float64)
        assert embedding_plan((1, 200, 3000, 4), dtype)["blocks"] == 0


@contextmanager
def plans_in_use(monkeypatch: pytest.MonkeyPatch, chip: dict[str, int] | None = None) -> Iterator[list[dict[str, int]]]:
    """The plans by which CUDA runs inside this block, in order; made for a chip instead of the device."""
    seen: list[dict[str, int]] = []
    plan, run = _native.embedding_plan, _native.embedding_run

    def planned(params: dict[str, Any], dtype: str, adjoint: bool) -> dict[str, int]:
        return plan(params, dtype, adjoint, chip)

    def watched(params: dict[str, Any], dtype: str, adjoint: bool, plan: Any, *rest: int) -> None:  # noqa: ANN401
        if plan is not None:
            seen.append(plan)
        run(params, dtype, adjoint, plan, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ops._native, "embedding_plan", planned)
        patch.setattr(ops._native, "embedding_run", watched)
        yield seen


def case(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[Tensor, Kernels, Tensor]:
    """Gathers on whose ReLUs every plan agrees, weights, and a gradient of the output."""
    k = stored(kernels(shape[3]), dtype).to(device)
    return clear_gathers(*shape[:3], k, dtype, margin=1e-5), k, noise(*shape[:3], dtype=dtype, seed=8).to(device)


@DEVICES
@pytest.mark.parametrize("shape", [(7, 9, 300, 4), (5, 9, 203, 5), (3, 33, 101, 8)], ids=str)
def test_device_memory_is_the_chips_memory(
    shape: tuple[int, ...], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same gathers by the plan of the device, and by that of a chip so small that they pass device memory."""
    arguments = case(shape, torch.float32, device)
    with plans_in_use(monkeypatch) as plans:
        expected = embedding_gradients(features.trace_embedding, *arguments)
    with plans_in_use(monkeypatch, {"shared": 48 * 1024, "cluster": 1, "processors": 132}) as forced:
        found = embedding_gradients(features.trace_embedding, *arguments)
    if device == "cuda":
        assert [plan["blocks"] for plan in forced] == [0, 0]
        assert all(plan["blocks"] > 0 for plan in plans) or not is_hopper()
    assert relative(found[0], expected[0]) < 1e-5
    assert_embedding_gradients(found[1], [t.double() for t in expected[1]], 1e-4)


@DEVICES
@pytest.mark.parametrize("at_a_time", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_gathers_in_groups(dtype: torch.dtype, at_a_time: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the work memory of all gathers passes the bound, they run some at a time, the last ones by themselves."""
    shape, chip = (7, 9, 300, 4), {"shared": 48 * 1024, "cluster": 1, "processors": 132}
    arguments = case(shape, dtype, device)
    with plans_in_use(monkeypatch, chip) as plans:
        expected = embedding_gradients(features.trace_embedding, *arguments)
    works = [embedding_plan(shape, dtype, adjoint, chip)["workspace"] for adjoint in (False, True)]
    results = []
    with plans_in_use(monkeypatch, chip) as grouped:
        for work in works:  # a bound that cuts the forward pass, then one that cuts the adjoint as small
            monkeypatch.setattr(ops, "_MOST_WORKSPACE", work * at_a_time // shape[0] + 1)
            results.append(embedding_gradients(features.trace_embedding, *arguments))
    if device == "cuda":
        groups = -(-shape[0] // at_a_time)
        assert [plan["workspace"] for plan in plans] == works
        assert max(plan["workspace"] for plan in grouped) <= works[1] * at_a_time // shape[0] + 1
        assert len(grouped) > 2 * groups
    for found in results:
        assert relative(found[0], expected[0]) < (1e-12 if dtype == torch.float64 else 1e-5)
        tolerance = 1e-10 if dtype == torch.float64 else 1e-4
        assert_embedding_gradients(found[1], [t.double() for t in expected[1]], tolerance)


@DTYPES
@DEVICES
def test_embedding_far_from_zero_and_silent(device: str, dtype: torch.dtype) -> None:
    k = stored(kernels(), dtype).to(device)
    gathers = noise(3, 9, 200, dtype=dtype).to(device)
    gathers[1] = 0
    if dtype != torch.bfloat16:
        gathers[2] += 50
    tolerance = TOLERANCE[dtype] * (2 if dtype == torch.bfloat16 else 1)
    expected = twins.trace_embedding(wide(gathers), *wide(k))
    assert relative(features.trace_embedding(gathers, *k), expected) < tolerance
    grads = embedding_gradients(features.trace_embedding, gathers, k, torch.ones_like(gathers))[1]
    assert all(bool(t.isfinite().all()) for t in grads)


@DTYPES
@DEVICES
def test_embedding_without_the_gradient_of_its_input(device: str, dtype: torch.dtype) -> None:
    k, gathers = stored(kernels(), dtype).to(device), noise(3, 9, 300, dtype=dtype).to(device)
    weight = noise(3, 9, 300, dtype=dtype, seed=8).to(device)
    leaves = k.leaves()
    found = torch.autograd.grad(features.trace_embedding(gathers, *leaves), leaves.all(), weight)
    expected = embedding_gradients(features.trace_embedding, gathers, k, weight)[1][1:]
    assert_equal(found, expected)


@on_gpu
@pytest.mark.parametrize("count", [65_536, 70_001])
def test_more_gathers_than_a_grid_is_high(count: int) -> None:
    k, gathers = kernels(), noise(count, 2, 9)
    single, on_gpu_k = k.to(torch.float32), k.to(CUDA)
    found = features.trace_embedding(gathers.float().to(CUDA), *single.to(CUDA))
    assert relative(found, features.trace_embedding(gathers.float(), *single)) < 1e-5
    weight = noise(count, 2, 9, seed=8)
    ours = embedding_gradients(features.trace_embedding, gathers.to(CUDA), on_gpu_k, weight.to(CUDA))
    theirs = embedding_gradients(features.trace_embedding, gathers, k, weight)
    assert relative(ours[0], theirs[0]) < 1e-11
    assert_embedding_gradients(ours[1], theirs[1], 1e-10)
    many = embedding_gradients(features.trace_embedding, gathers.float().to(CUDA), single.to(CUDA), weight.to(CUDA))
    assert relative(many[1][2], theirs[1][2]) < 1e-2  # masks of a few in millions differ


@on_gpu
def test_memory_of_the_embedding() -> None:
    """Beside its input and output a batch of 12 needs a few MB: the maps between the layers never exist."""
    k, gathers = kernels().to(torch.float32).to(CUDA).leaves(), noise(240, 32, 1000, dtype=torch.float32).to(CUDA)
    size = gathers.numel() * 4
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = features.trace_embedding(gathers.requires_grad_(), *k)
    assert torch.cuda.memory_allocated() - before < 1.1 * size
    out.backward(out.detach())
    peak = torch.cuda.max_memory_allocated() - before
    if is_hopper():
        assert peak < 2.3 * size + 3 * 240 * 16 * 609 * 4
    assert peak < 20 * size


# -- not a number ------------------------------------------------------------------------------------------------------


@DTYPES
@DEVICES
@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])
@pytest.mark.parametrize(
    "shape", [(3, 7, 40), pytest.param((3, 32, 1000), marks=GPU), pytest.param((3, 64, 2000), marks=GPU)]
)
def test_nan_stays_in_its_gather_and_is_seen(
    shape: tuple[int, ...], value: float, device: str, dtype: torch.dtype
) -> None:
    k = stored(kernels(), dtype).to(device)
    clean, weight = (noise(*shape, seed=seed, dtype=dtype).to(device) for seed in (3, 8))
    poisoned = clean.clone()
    poisoned[1, 2, 3] = value
    out, grads = embedding_gradients(features.trace_embedding, poisoned, k, weight)
    expected, clean_grads = embedding_gradients(features.trace_embedding, clean, k, weight)
    assert bool(out[1].isnan().all()), "a gather with a NaN must not come out as numbers"
    assert bool(grads[0][1].isnan().all())
    assert all(bool(grad.isnan().all()) for grad in grads[1:6])
    for alone in (0, 2):
        assert torch.equal(out[alone], expected[alone])
        assert torch.equal(grads[0][alone], clean_grads[0][alone])
