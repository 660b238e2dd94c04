"""norm_relu and trace_mlp against their plain-torch twins: values, gradients, running statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from small_features import (
    DTYPES,
    LAYOUTS,
    SINGLE,
    TOLERANCE,
    TRAINING,
    Mlp,
    Norm,
    assert_norm_gradients,
    clear_mlp,
    clear_norm,
    mlp_gradients,
    mlp_of,
    noise,
    norm_gradients,
    norm_of,
    relative,
    wide,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seisfast import features
from seisfast.features import TraceLayer
from seisfast.reference import features as twins

# Batch, shots, receivers, samples, features; widths and (h, w) of a few.
MLPS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 4, 10), {}),
    ((1, 1, 1, 2), {"features": 1, "widths": (), "map_shape": (1, 3)}),
    ((3, 1, 7, 33), {"features": 4, "widths": (17,), "map_shape": (3, 7)}),
    ((1, 5, 2, 19), {"features": 130, "widths": (33, 40, 16, 9), "map_shape": (4, 1)}),
    ((4, 2, 33, 21), {"features": 8, "widths": (20, 12), "map_shape": (2, 2)}),
]
# [batch, channels, ...] of norm_relu.
MAPS = [(2, 1), (3, 5), (2, 3, 1), (4, 7, 33), (2, 5, 3, 9), (1, 16, 12, 11), (3, 4, 2, 3, 5)]

# With channels last: that fill vectors, of which several rows do, with rows left over, and that never do.
LAST = [(2, 4, 3, 5), (2, 5, 7, 6), (1, 64, 9, 4), (3, 33, 8, 21), (2, 100, 1, 3), (2, 8, 37, 41), (3, 130, 25, 11)]


# -- norm_relu ---------------------------------------------------------------------------------------------------------


@DTYPES
@TRAINING
@pytest.mark.parametrize("shape", MAPS, ids=str)
def test_norm_relu_is_the_twin(shape: tuple[int, ...], training: bool, dtype: torch.dtype) -> None:
    norm = clear_norm(*shape, dtype=dtype, training=training)
    double = Norm(*wide(tuple(norm)))
    ours, theirs = norm.fresh(), double.fresh()
    found, expected = ours.run(features.norm_relu, training=training), theirs.run(twins.norm_relu, training=training)
    assert found.dtype == dtype
    # Two values of a channel: a rounding of their difference is one of the result.
    few = x_values(norm) == 2
    tolerance = TOLERANCE[dtype] * (10 if few else 1)
    assert relative(found, expected) < tolerance
    assert relative(ours.running_mean, theirs.running_mean) < tolerance
    assert relative(ours.running_variance, theirs.running_variance) < tolerance
    found = norm_gradients(features.norm_relu, norm, training=training)[1]
    assert [t.dtype for t in found] == [dtype, norm.scale.dtype, norm.scale.dtype]
    expected = norm_gradients(twins.norm_relu, double, training=training)[1]
    assert_norm_gradients(found, expected, few and training, tolerance)


def x_values(norm: Norm) -> int:
    """Values of a channel."""
    return norm.x.numel() // norm.x.shape[1]


@DTYPES
@TRAINING
@pytest.mark.parametrize("shape", LAST, ids=str)
def test_maps_with_channels_last_stay_so(shape: tuple[int, ...], training: bool, dtype: torch.dtype) -> None:
    norm = clear_norm(*shape, dtype=dtype, training=training, channels_last=True)
    found, ours = norm_gradients(features.norm_relu, norm, training=training)
    assert found.stride() == norm.x.stride()
    assert ours[0].stride() == norm.x.stride()
    expected, theirs = norm_gradients(twins.norm_relu, Norm(*wide(tuple(norm))), training=training)
    assert relative(found, expected) < TOLERANCE[dtype]
    assert_norm_gradients(ours, theirs, False, TOLERANCE[dtype])
    first = Norm(norm.x.contiguous(), *norm[1:])
    assert relative(norm_gradients(features.norm_relu, first, training=training)[0], expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 2, 3, 4)], ids=str)
def test_channels_last_of_other_dimensions_stay_so(shape: tuple[int, ...]) -> None:
    norm = norm_of(*shape)
    turned = Norm(norm.x.movedim(1, -1).contiguous().movedim(-1, 1), *norm.fresh()[1:])
    found, ours = norm_gradients(features.norm_relu, turned)
    expected, theirs = norm_gradients(twins.norm_relu, norm)
    assert found.stride() == turned.x.stride()
    assert relative(found, expected) < TOLERANCE[torch.float64]
    assert_norm_gradients(ours, theirs, False, TOLERANCE[torch.float64])


@LAYOUTS
@SINGLE
def test_running_statistics_are_torchs(dtype: torch.dtype, channels_last: bool) -> None:
    """Momentum and unbiased variance over several steps; evaluation with what they became, and no further change."""
    ours, theirs = ([torch.zeros(6, dtype=dtype), torch.ones(6, dtype=dtype)] for _ in range(2))
    scale, shift = 1 + 0.1 * noise(6, dtype=dtype), noise(6, dtype=dtype, seed=4)
    for step, momentum in enumerate((0.1, 0.3, 0.0, 1.0, 0.1)):
        x = norm_of(3, 6, 4, 5, dtype=dtype, seed=50 + step, channels_last=channels_last).x
        features.norm_relu(x, *ours, scale, shift, training=True, momentum=momentum)
        twins.norm_relu(x, *theirs, scale, shift, training=True, momentum=momentum)
        for a, b in zip(ours, theirs, strict=True):
            assert relative(a, b) < TOLERANCE[dtype]
    before = [t.clone() for t in ours]
    found = features.norm_relu(x, *ours, scale, shift, training=False)
    assert relative(found, twins.norm_relu(x, *theirs, scale, shift, training=False)) < TOLERANCE[dtype]
    assert all(torch.equal(a, b) for a, b in zip(ours, before, strict=True))
    alone = features.norm_relu(x, None, ours[1], scale, shift, training=True)
    assert torch.equal(alone, features.norm_relu(x, None, None, scale, shift, training=True))


@LAYOUTS
@pytest.mark.parametrize("shape", [(4, 64, 30, 20), (4, 7, 30, 20)], ids=str)
def test_norm_of_values_far_from_zero(shape: tuple[int, ...], channels_last: bool) -> None:
    """A mean of 50 deviations. It is kept as a float32: half a unit of its last digit is 2e-6 of a deviation."""
    norm = norm_of(*shape, dtype=torch.float32, channels_last=channels_last, offset=50.0)
    double = Norm(*wide(tuple(norm)))
    assert relative(norm.run(features.norm_relu), double.run(twins.norm_relu)) < 3e-6
    assert relative(norm.running_mean, double.running_mean) < 1e-7
    assert relative(norm.running_variance, double.running_variance) < 1e-6


@LAYOUTS
@TRAINING
def test_gradcheck_of_the_norm(channels_last: bool, training: bool) -> None:
    norm = clear_norm(2, 3, 2, 4, margin=1e-3, training=training, channels_last=channels_last)

    def run(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        mean, variance = (None if t is None else t.clone() for t in norm[1:3])
        return features.norm_relu(x, mean, variance, scale, shift, training=training, eps=1e-3)

    inputs = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (norm.x, norm.scale, norm.shift)]
    assert torch.autograd.gradcheck(run, inputs, eps=1e-6, atol=1e-7)


def test_scales_of_any_sign() -> None:
    """A negative scale opens the ReLU below the mean, a zero one leaves the shift."""
    norm = clear_norm(3, 5, 4, 6)
    scale = torch.tensor([-1.5, 0.0, 0.0, 1.0, -1e-3], dtype=torch.float64)
    shift = torch.tensor([0.2, 0.7, -0.7, 0.0, 0.5], dtype=torch.float64)
    norm = Norm(*norm[:3], scale, shift)
    for a, b in zip(norm_gradients(features.norm_relu, norm)[1], norm_gradients(twins.norm_relu, norm)[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


# -- trace_mlp ---------------------------------------------------------------------------------------------------------


@TRAINING
@SINGLE
@pytest.mark.parametrize(("sizes", "options"), MLPS, ids=lambda value: str(value) if isinstance(value, tuple) else "")
def test_mlp_is_the_twin(sizes: tuple[int, ...], options: dict[str, Any], dtype: torch.dtype, training: bool) -> None:
    mlp = clear_mlp(*sizes, training=training, dtype=dtype, **options)
    double = Mlp(*wide(tuple(mlp)))
    found, ours = mlp_gradients(features.trace_mlp, mlp, training=training)
    expected, theirs = mlp_gradients(twins.trace_mlp, double, training=training)
    assert found.shape == (sizes[0], sizes[1] * sizes[2], *mlp.map_shape)
    tolerance = 10 * TOLERANCE[dtype] if dtype == torch.float64 else TOLERANCE[dtype]
    assert relative(found, expected) < tolerance
    floor = max(float(t.norm()) for t in theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert float((a.double() - b).norm()) < tolerance * max(float(b.norm()), 1e-3 * floor), k
    mlp.run(features.trace_mlp, training=training)
    double.run(twins.trace_mlp, training=training)
    for ours_, theirs_ in zip(mlp.layers, double.layers, strict=True):
        assert relative(ours_.running_mean, theirs_.running_mean) < tolerance
        assert relative(ours_.running_variance, theirs_.running_variance) < tolerance


@TRAINING
def test_gradcheck_of_the_mlp(training: bool) -> None:
    mlp = clear_mlp(2, 2, 2, 3, margin=1e-3, training=training, features=2, widths=(3,), map_shape=(1, 2))
    _, leaves = mlp.leaves()

    def run(context: Tensor, traces: Tensor, *parameters: Tensor) -> Tensor:
        layers = [
            TraceLayer(*parameters[4 * k : 4 * k + 4], *(t.clone() for t in layer[4:] if t is not None))
            for k, layer in enumerate(mlp.layers)
        ]
        return features.trace_mlp(context, traces, layers, mlp.map_shape, training=training)

    assert torch.autograd.gradcheck(run, leaves, eps=1e-6, atol=1e-7)


def test_mlp_without_running_statistics_and_with_other_settings() -> None:
    mlp = mlp_of(2, 3, 4, 10, running=False)
    found, expected = (mlp.run(f, eps=0.3) for f in (features.trace_mlp, twins.trace_mlp))
    assert relative(found, expected) < 1e-12
    kept = [mlp_of(2, 3, 4, 10) for _ in range(2)]
    kept[0].run(features.trace_mlp, momentum=0.7)
    kept[1].run(twins.trace_mlp, momentum=0.7)
    for ours, theirs in zip(kept[0].layers, kept[1].layers, strict=True):
        assert relative(ours.running_variance, theirs.running_variance) < 1e-12


class Shapes(TorchDispatchMode):
    """Notes the shape of everything that an operation returns, views too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        out = function(*args, **(kwargs or {}))
        self.seen += [tuple(t.shape) for t in torch.utils._pytree.tree_leaves(out) if isinstance(t, Tensor)]
        return out


def test_no_embedding_and_no_one_hot_column_ever_exists() -> None:
    """Neither forward nor backward; the twin makes both, and this test sees it."""
    batch, shots, receivers, samples, context = 2, 3, 5, 7, 400
    mlp = mlp_of(batch, shots, receivers, samples, features=context, widths=(11, 6), map_shape=(2, 2))
    inputs, traces = context + shots + receivers + samples, shots * receivers

    def suspicious(run: Callable[..., Tensor]) -> set[str]:
        with Shapes() as mode:
            mlp_gradients(run, mlp)
        assert len(mode.seen) > 30
        found = set()
        for shape in mode.seen:
            per_trace = shape[-2:-1] in {(traces,), (receivers,)} or shape[-3:-1] == (shots, receivers)
            if per_trace and shape[-1] == inputs:
                found.add("embedding")
            if per_trace and shape[-1] == context:
                found.add("repeated context")
            if shape[-1:] == (shots + receivers,) and len(shape) > 1:
                found.add("one-hot columns")
            if torch.Size(shape).numel() >= batch * traces * context:
                found.add("too large")
        return found

    assert suspicious(features.trace_mlp) == set()
    assert suspicious(twins.trace_mlp) == {"embedding", "repeated context", "one-hot columns", "too large"}
