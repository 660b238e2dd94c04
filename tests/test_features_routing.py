"""The feature operators inside torch: what they keep, opcheck, torch.compile, autocast, threads and strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_features import (
    DTYPES,
    LAYOUTS,
    SINGLE,
    TOLERANCE,
    TRAINING,
    Kernels,
    Mlp,
    Norm,
    assert_equal,
    embedding_gradients,
    flat,
    kernels,
    mlp_gradients,
    mlp_of,
    noise,
    norm_gradients,
    norm_of,
    relative,
    stored,
    wide,
)
from torch import Tensor

from seisfast import features
from seisfast.features import TraceLayer
from seisfast.reference import features as twins

OPS = torch.ops.seisfast

# -- memory ------------------------------------------------------------------------------------------------------------


def saved(run: Callable[[], Tensor]) -> set[tuple[int, ...]]:
    """(address, *shape) of everything that is kept for the backward pass."""
    kept: set[tuple[int, ...]] = set()

    def pack(tensor: Tensor) -> Tensor:
        kept.add((tensor.data_ptr(), *tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    assert out.requires_grad
    return kept


def test_the_embedding_keeps_its_input_and_its_statistics() -> None:
    k, gathers = kernels().leaves(), noise(3, 6, 40).requires_grad_()
    given = {(t.data_ptr(), *t.shape) for t in (gathers, *k.all())}
    (statistics,) = saved(lambda: features.trace_embedding(gathers, *k)) - given
    assert statistics[1:] == (3, 3, 2)


@LAYOUTS
def test_the_norm_keeps_its_input_and_its_statistics(channels_last: bool) -> None:
    norm = norm_of(3, 5, 4, 6, channels_last=channels_last)
    x, scale, shift = norm.x.requires_grad_(), norm.scale.requires_grad_(), norm.shift.requires_grad_()
    kept = saved(lambda: Norm(x, None, None, scale, shift).run(features.norm_relu))
    given = {t.data_ptr() for t in (x, scale, shift)}
    assert [shape for address, *shape in kept if address not in given] == [[5], [5]]
    assert sum(torch.Size(shape).numel() == x.numel() for _, *shape in kept) == 1


# -- the registered operators ------------------------------------------------------------------------------------------


def operators(dtype: torch.dtype = torch.float64) -> dict[str, tuple[Any, ...]]:
    """Arguments of all four, those of norm_relu also with added terms and with given statistics."""
    k, gathers = kernels(2).to(dtype), noise(3, 4, 9, dtype=dtype)
    weights = [t for pair in zip(*k, strict=True) for t in pair]
    _, statistics = OPS.trace_embedding_forward(gathers, *weights, 1e-5)
    norm, per_shot, per_receiver = norm_of(2, 6, 5, dtype=dtype), noise(2, 3, 5, dtype=dtype), noise(2, 5, dtype=dtype)
    of_maps = (norm.x, None, None, norm.scale, norm.shift)
    of_traces = (norm.x, per_shot, per_receiver, norm.scale, norm.shift)
    given = (norm.running_mean, norm.running_variance)
    grad, grad_x = noise(3, 4, 9, dtype=dtype, seed=6), noise(2, 6, 5, dtype=dtype, seed=6)
    return {
        "trace_embedding_forward": (gathers, *weights, 1e-5),
        "trace_embedding_backward": (grad, gathers, *weights, statistics, 1e-5, True),
        "trace_embedding_backward, weights alone": (grad, gathers, *weights, statistics, 1e-5, False),
        "norm_relu_forward": (*of_maps, None, None, 1e-5),
        "norm_relu_forward, evaluation": (*of_maps, *given, 1e-5),
        "norm_relu_forward, traces": (*of_traces, None, None, 1e-5),
        "norm_relu_forward, traces in evaluation": (*of_traces, *given, 1e-5),
        "norm_relu_backward": (grad_x, *of_maps, *given, False, 1e-5),
        "norm_relu_backward, traces in evaluation": (grad_x, *of_traces, *given, True, 1e-5),
    }


@pytest.mark.parametrize("name", operators())
def test_opcheck(name: str) -> None:
    forward = "forward" in name
    # Of a backward operator there is no derivative: it is refused, see test_features_derivatives.
    arguments = [
        a.detach().requires_grad_() if forward and isinstance(a, Tensor) and not (k in (5, 6) and "norm" in name) else a
        for k, a in enumerate(operators()[name])
    ]
    result = torch.library.opcheck(getattr(OPS, name.split(",")[0]).default, tuple(arguments))
    assert set(result.values()) == {"SUCCESS"}


def test_opcheck_without_gradients() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        for name, arguments in operators(torch.float32).items():
            given = [
                a.to(dtype) if isinstance(a, Tensor) and k in (0, 1) and a.ndim == 3 else a
                for k, a in enumerate(arguments)
            ]
            if dtype == torch.bfloat16 and "traces" in name:
                continue
            result = torch.library.opcheck(getattr(OPS, name.split(",")[0]).default, tuple(given))
            assert set(result.values()) == {"SUCCESS"}, name


@SINGLE
def test_a_graph_kept_gives_the_same_gradient_again(dtype: torch.dtype) -> None:
    leaf, k = noise(2, 4, 30, dtype=dtype).requires_grad_(), kernels(dtype=dtype).leaves()
    loss = (
        features.norm_relu(
            features.trace_embedding(leaf, *k),
            None,
            None,
            torch.ones(4, dtype=dtype),
            torch.ones(4, dtype=dtype),
            training=True,
        )
        .sin()
        .sum()
    )
    first = torch.autograd.grad(loss, (leaf, *k.all()), retain_graph=True)
    assert_equal(first, torch.autograd.grad(loss, (leaf, *k.all())))


def test_inference_mode() -> None:
    k, gathers, norm, mlp = kernels(), noise(2, 5, 20), norm_of(2, 4, 6), mlp_of(2, 3, 4, 10)
    expected = features.trace_embedding(gathers, *k), norm.fresh().run(features.norm_relu), mlp.run(features.trace_mlp)
    with torch.inference_mode():
        found = features.trace_embedding(gathers, *k), norm.fresh().run(features.norm_relu), mlp.run(features.trace_mlp)
    assert_equal(found, expected)


# -- torch.compile and autocast ----------------------------------------------------------------------------------------


def together(dtype: torch.dtype, training: bool = True) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """All three operators one after the other, and the tensors to differentiate."""
    k, mlp = kernels(dtype=dtype).leaves(), mlp_of(2, 3, 4, 12, dtype=dtype)
    mlp, leaves = mlp.leaves()
    norm = norm_of(2, 12, 2, 3, dtype=dtype)

    def run(records: Tensor) -> Tensor:
        traces = features.trace_embedding(records * 1.5, *k)
        maps = features.trace_mlp(mlp.context, traces, mlp.layers, mlp.map_shape, training=training)
        return features.norm_relu(maps, *norm[1:], training=training).sin()

    return run, [*k.all(), *leaves[:1], *leaves[2:]]


@pytest.fixture
def compiled() -> Callable[..., Any]:
    """torch.compile with nothing left over from another test; a graph break is an error."""
    torch._dynamo.reset()
    return lambda function, **options: torch.compile(function, fullgraph=True, **options)


def value_and_gradients(run: Callable[[Tensor], Tensor], others: list[Tensor]) -> list[Tensor]:
    leaf = noise(2, 3, 4, 12, dtype=others[0].dtype).requires_grad_()
    out = run(leaf)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), (leaf, *others))]


@SINGLE
@TRAINING
def test_compiled_whole_is_the_eager_call(dtype: torch.dtype, training: bool, compiled: Callable[..., Any]) -> None:
    results = []
    for wrap in (lambda f: compiled(f, backend="aot_eager"), lambda f: f):
        run, others = together(dtype, training)  # their running statistics are written
        results.append(value_and_gradients(wrap(run), others) + value_and_gradients(wrap(run), others))
    assert_equal(*results)


def test_compiled_for_any_number_of_gathers(compiled: Callable[..., Any]) -> None:
    k, gathers = kernels(), noise(5, 6, 20)
    run = compiled(lambda x: features.trace_embedding(x, *k), backend="aot_eager", dynamic=True)
    for count in (5, 2, 3):
        assert torch.equal(run(gathers[:count]), features.trace_embedding(gathers[:count], *k))


@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the machine
def test_compiled_with_inductor(compiled: Callable[..., Any]) -> None:
    results = []
    for wrap in (compiled, lambda f: f):
        run, others = together(torch.float64)
        results.append(value_and_gradients(wrap(run), others))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_autocast(dtype: torch.dtype) -> None:
    """Bfloat16 maps stay so; sums over a gather do not fit float16, so there the operators keep float32."""
    expected_type = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    k, gathers = kernels().to(torch.float32), noise(2, 7, 40, dtype=torch.float32)
    norm, mlp = norm_of(4, 5, 20, dtype=torch.float32), mlp_of(4, 3, 4, 30, dtype=torch.float32, widths=(40, 30))
    expected = [
        twins.trace_embedding(wide(gathers), *wide(k)),
        Norm(*wide(tuple(norm))).run(twins.norm_relu),
        Mlp(*wide(tuple(mlp))).run(twins.trace_mlp),
    ]
    given = gathers.clone().requires_grad_(), k.leaves()
    with torch.autocast("cpu", dtype=dtype):
        found = [
            features.trace_embedding(given[0], *given[1]),
            norm.run(features.norm_relu),
            mlp.run(features.trace_mlp),
        ]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == expected_type
        assert relative(ours, theirs) < 1e-2
    grads = torch.autograd.grad(found[0].float().square().sum(), (given[0], *given[1].all()))
    assert {t.dtype for t in grads} == {torch.float32}
    with torch.autocast("cpu", dtype=dtype):
        assert features.trace_embedding(gathers.double(), *k.to(torch.float64)).dtype == torch.float64


def test_mlp_in_bfloat16() -> None:
    """A network converted as a whole: parameters in bfloat16, too."""
    mlp = mlp_of(4, 3, 4, 30, widths=(40, 30)).to(torch.bfloat16)
    expected = Mlp(*wide(tuple(mlp))).run(twins.trace_mlp)
    found, grads = mlp_gradients(features.trace_mlp, mlp)
    assert relative(found, expected) < 1e-2
    assert {t.dtype for t in (found, *grads)} == {torch.bfloat16}


# -- bits --------------------------------------------------------------------------------------------------------------


def bits(dtype: torch.dtype) -> list[Tensor]:
    """Outputs and gradients of operators over enough numbers for several threads."""
    k = stored(kernels(5), dtype)
    results = [
        *flat(embedding_gradients(features.trace_embedding, noise(7, 20, 900, dtype=dtype), k, noise(7, 20, 900)))
    ]
    # Many gathers: torch adds up the parts of the weights' gradient.
    results += flat(embedding_gradients(features.trace_embedding, noise(300, 2, 9, dtype=dtype), k, noise(300, 2, 9)))
    for shape, channels_last in (((3, 40, 1200), False), ((2, 21, 60, 70), True), ((4, 30, 50, 41), False)):
        norm = norm_of(*shape, dtype=dtype, channels_last=channels_last)
        results += flat(norm_gradients(features.norm_relu, norm))
    per_shot, per_receiver = noise(4, 3, 700, dtype=dtype), noise(9, 700, dtype=dtype)
    norm = norm_of(4, 27, 700, dtype=dtype)
    results += OPS.norm_relu_forward(norm.x, per_shot, per_receiver, norm.scale, norm.shift, None, None, 1e-5)
    return results


@DTYPES
def test_results_do_not_depend_on_the_number_of_threads(dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = bits(dtype)
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            for a, b in zip(bits(dtype), expected, strict=True):
                assert torch.equal(a, b)
    finally:
        torch.set_num_threads(before)


@DTYPES
def test_results_do_not_depend_on_what_is_beside(dtype: torch.dtype) -> None:
    k, gathers = stored(kernels(), dtype), noise(9, 6, 70, dtype=dtype)
    whole = features.trace_embedding(gathers, *k)
    assert torch.equal(whole[4:6], features.trace_embedding(gathers[4:6], *k))
    norm = norm_of(3, 12, 50, dtype=dtype)
    some = Norm(norm.x[:, 5:7], *(None if t is None else t[5:7].clone() for t in norm[1:]))
    assert torch.equal(norm.fresh().run(features.norm_relu)[:, 5:7], some.run(features.norm_relu))


# -- strides -----------------------------------------------------------------------------------------------------------


def strided(tensor: Tensor) -> Tensor:
    """The same values in a larger, turned tensor, not at its beginning."""
    order = list(range(tensor.ndim))[::-1]
    room = torch.full([size + 3 for size in tensor.permute(order).shape], float("nan"), dtype=tensor.dtype)
    view = room[tuple(slice(1, 1 + size) for size in tensor.permute(order).shape)]
    view.copy_(tensor.detach().permute(order))
    return view.permute(order).requires_grad_(tensor.requires_grad)


@DTYPES
def test_strided_inputs(dtype: torch.dtype) -> None:
    k, gathers, weight = (
        stored(kernels(), dtype),
        noise(2, 3, 5, 30, dtype=dtype),
        noise(2, 3, 5, 30, dtype=dtype, seed=5),
    )
    expected = flat(embedding_gradients(features.trace_embedding, gathers, k, weight))
    leaf, turned = strided(gathers).requires_grad_(), Kernels(*([strided(t).requires_grad_() for t in ts] for ts in k))
    assert not leaf.is_contiguous()
    out = features.trace_embedding(leaf, *turned)
    found = [out.detach(), *torch.autograd.grad(out, (leaf, *turned.all()), strided(weight))]
    assert_equal(found, expected)
    summed = torch.autograd.grad(features.trace_embedding(leaf, *k).sum(), leaf)[0]  # a gradient without strides
    ones = embedding_gradients(features.trace_embedding, gathers, k, torch.ones_like(gathers))[1][0]
    assert torch.equal(summed, ones)


@DTYPES
@LAYOUTS
@TRAINING
def test_strided_maps(training: bool, channels_last: bool, dtype: torch.dtype) -> None:
    norm = norm_of(3, 5, 4, 7, dtype=dtype, channels_last=channels_last)
    expected = flat(norm_gradients(features.norm_relu, norm, training=training))
    x = norm.x.detach().requires_grad_()
    scale, shift = (strided(t).requires_grad_() for t in norm[3:])
    kept = [strided(t) for t in norm[1:3] if t is not None]
    out = features.norm_relu(x, *kept, scale, shift, training=training)
    weight = strided(noise(*out.shape, seed=9, dtype=out.dtype))
    assert_equal((out, *torch.autograd.grad(out, (x, scale, shift), weight)), expected)
    turned = Norm(strided(norm.x), *norm.fresh()[1:])
    first = Norm(norm.x.contiguous(), *norm.fresh()[1:])
    found, plain = turned.run(features.norm_relu, training=training), first.run(features.norm_relu, training=training)
    assert torch.equal(found, plain)


@SINGLE
def test_strided_mlp(dtype: torch.dtype) -> None:
    mlp = mlp_of(2, 3, 4, 10, dtype=dtype)
    layers = [TraceLayer(*(strided(t) for t in layer if t is not None)) for layer in mlp.layers]
    turned = Mlp(strided(mlp.context), strided(mlp.traces), layers, mlp.map_shape)
    assert relative(turned.run(features.trace_mlp), mlp.run(features.trace_mlp)) < TOLERANCE[dtype]
    for ours, theirs in zip(layers, mlp.layers, strict=True):  # written through their strides
        assert relative(ours.running_mean, theirs.running_mean) < TOLERANCE[dtype]
