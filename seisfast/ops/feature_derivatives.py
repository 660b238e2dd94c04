"""The eager route of the feature operators: autograd.Function over them, for autograd and torch.func.

First derivatives in reverse mode run compiled. Forward mode and second derivatives are taken through the
plain-torch twins, in the type of the statistics: exact, and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seisfast.ops import features as ops
from seisfast.ops.derivatives import Dims, push
from seisfast.reference import features as twins

_OPS = torch.ops.seisfast


@dataclass(frozen=True)
class Operator:
    """What `Feature` needs to know of an operator whose inputs are seven tensors, some of them optional, and eps.

    Not a tuple, which torch.func would take apart.
    """

    forward: Any  # the registered operators
    backward: Any
    keep: Callable[..., None]
    differentiate: Callable[..., tuple[Tensor | None, ...]]
    differentiable: int  # so many of the first inputs
    twin: Callable[..., Tensor]  # of the inputs of `forward`
    transpose: Callable[..., tuple[Tensor, ...]]  # of the inputs of `backward`, statistics of the embedding left out


def _embedding(gathers: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    *weights, eps = rest
    traces = twins.trace_embedding(gathers.to(weights[0].dtype), weights[::2], weights[1::2], eps=eps)
    return traces.to(gathers.dtype)


def _embedding_transpose(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    *tensors, eps, input_gradient = inputs
    of_gathers, *of_weights = torch.func.vjp(lambda *t: _embedding(*t, eps), *tensors)[1](grad)
    return of_gathers if input_gradient else of_gathers.new_empty(0), torch.cat([part.flatten() for part in of_weights])


def _norm_relu(
    x: Tensor, per_shot: Tensor | None, per_receiver: Tensor | None, scale: Tensor, shift: Tensor,
    mean: Tensor | None, variance: Tensor | None, eps: float,
) -> Tensor:  # fmt: skip
    values = x.to(scale.dtype)
    if per_shot is not None and per_receiver is not None:
        values = values + (per_shot.to(scale.dtype)[:, :, None] + per_receiver.to(scale.dtype)).flatten(1, 2)
    return twins.norm_relu(values, mean, variance, scale, shift, training=mean is None, eps=eps).to(x.dtype)


def _norm_transpose(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    x, per_shot, per_receiver, scale, shift, mean, variance, given, eps = inputs
    rest = (mean, variance, eps) if given else (None, None, eps)

    def twin(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return _norm_relu(x, per_shot, per_receiver, scale, shift, *rest)

    grads: tuple[Tensor, ...] = torch.func.vjp(twin, x, scale, shift)[1](grad)
    return grads


EMBEDDING = Operator(
    _OPS.trace_embedding_forward, _OPS.trace_embedding_backward, ops.keep_embedding, ops.differentiate_embedding,
    7, _embedding, _embedding_transpose,
)  # fmt: skip
NORM_RELU = Operator(
    _OPS.norm_relu_forward, _OPS.norm_relu_backward, ops.keep_norm, ops.differentiate_norm,
    5, _norm_relu, _norm_transpose,
)  # fmt: skip


class Feature(torch.autograd.Function):
    """(inputs of an operator, the operator) -> (maps, statistics)."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        """Run the registered operator."""
        outputs: tuple[Tensor, ...] = inputs[-1].forward(*inputs[:-1])
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save what both directions need; only the maps carry gradients."""
        *given, ctx.operator = inputs
        ctx.operator.keep(ctx, tuple(given), output)
        ctx.save_for_forward(*given[:7])
        ctx.statistics = len(output) - 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The exact transpose, itself differentiable."""

        def transpose(*inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
            return FeatureAdjoint.apply(*inputs, ctx.operator)  # type: ignore[no-any-return, no-untyped-call]

        return *ctx.operator.differentiate(ctx, grad, transpose), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Derivative of the maps along tangents, through the twin."""
        n, tensors = ctx.operator.differentiable, ctx.saved_tensors
        rest = (*tensors[n:], ctx.eps)
        along = _push(lambda *t: ctx.operator.twin(*t, *rest), tensors[:n], tangents[:n])
        return along, *(None,) * ctx.statistics

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """One call per element."""
        return _one_by_one(Feature, info.batch_size, in_dims, args)


class FeatureAdjoint(torch.autograd.Function):
    """(grad of the maps, inputs of an operator's transpose, the operator) -> gradients."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        """Run the registered operator."""
        grads: tuple[Tensor, ...] = inputs[-1].backward(*inputs[:-1])
        return grads

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save the inputs that the result depends on."""
        *given, ctx.operator = inputs
        ctx.rest = given[-2:]
        ctx.save_for_backward(*given[:8])
        ctx.save_for_forward(*given[:8])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Second derivatives through the twin."""
        transpose, inputs = _transpose_of(ctx)
        present = [tensor for tensor in inputs if tensor is not None]
        pulled = iter(torch.func.vjp(_of_present(transpose, inputs), *present)[1](grads))
        found = [None if tensor is None else next(pulled) for tensor in inputs]
        return *found, *(None,) * (len(ctx.needs_input_grad) - len(found))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:  # noqa: ANN401
        """Forward over reverse through the twin."""
        transpose, inputs = _transpose_of(ctx)
        return _push(transpose, inputs, tangents[: len(inputs)])

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """One call per element."""
        return _one_by_one(FeatureAdjoint, info.batch_size, in_dims, args)


def _transpose_of(ctx: Any) -> tuple[Callable[..., tuple[Tensor, ...]], Sequence[Tensor | None]]:  # noqa: ANN401
    """The twin's transpose as a function of the inputs that have derivatives, and these."""
    tensors, n = ctx.saved_tensors, 1 + ctx.operator.differentiable
    return lambda *t: ctx.operator.transpose(*t, *tensors[n:], *ctx.rest), tensors[:n]


def _of_present(function: Callable[..., Any], inputs: Sequence[Tensor | None]) -> Callable[..., Any]:
    """The function with arguments only for the inputs that are not None."""

    def some(*tensors: Tensor) -> Any:  # noqa: ANN401
        left = iter(tensors)
        return function(*(None if tensor is None else next(left) for tensor in inputs))

    return some


def _push(function: Callable[..., Any], inputs: Sequence[Tensor | None], tangents: Sequence[Tensor | None]) -> Any:  # noqa: ANN401
    """Derivative of the function along tangents of the inputs that are there."""
    pairs = [
        (p, torch.zeros_like(p) if t is None else t) for p, t in zip(inputs, tangents, strict=True) if p is not None
    ]
    return push(_of_present(function, inputs), tuple(p for p, _ in pairs), tuple(t for _, t in pairs))


def _one_by_one(function: Any, count: int, in_dims: Dims, args: tuple[Any, ...]) -> tuple[Any, Any]:  # noqa: ANN401
    """A call per element, its results stacked."""
    results = []
    for i in range(count):
        element = (a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True))
        results.append(function.apply(*element))
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0,) * len(results[0])
