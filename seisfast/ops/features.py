"""The feature operators as torch sees them: `trace_embedding`, and batch norm with ReLU in one, `norm_relu`.

Each is a pair `seisfast::NAME_forward`, `seisfast::NAME_backward`; gradients stand on the operators themselves, so
`opcheck`, `torch.compile(fullgraph=True)`, any stream and CUDA graphs work. Eager code reaches them through
`feature_derivatives`, which torch.func and second derivatives need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seisfast import _native

STORED = (torch.float32, torch.float64, torch.bfloat16)  # types of maps; statistics are float32 beside bfloat16

_WITH_CUDA = bool(_native.build_info()["cuda"])  # read once: torch.compile cannot look into the extension
_MOST_WORKSPACE = 1 << 30  # bytes that gathers in device memory work in at a time

_library = torch.library.Library("seisfast", "FRAGMENT")
_WEIGHTS = "Tensor w1, Tensor b1, Tensor w2, Tensor b2, Tensor w3, Tensor b3"
_library.define(f"trace_embedding_forward(Tensor gathers, {_WEIGHTS}, float eps) -> (Tensor traces, Tensor statistics)")
_library.define(
    f"trace_embedding_backward(Tensor grad, Tensor gathers, {_WEIGHTS}, Tensor statistics, float eps, "
    "bool input_gradient) -> (Tensor grad_gathers, Tensor grad_weights)"
)
_TERMS = "Tensor x, Tensor? per_shot, Tensor? per_receiver, Tensor scale, Tensor shift"
_library.define(
    f"norm_relu_forward({_TERMS}, Tensor? mean, Tensor? variance, float eps) "
    "-> (Tensor out, Tensor mean_of_batch, Tensor variance_of_batch)"
)
_library.define(
    f"norm_relu_backward(Tensor grad, {_TERMS}, Tensor mean, Tensor variance, bool given, float eps) "
    "-> (Tensor grad_x, Tensor grad_scale, Tensor grad_shift)"
)


def statistics_type(stored: torch.dtype) -> torch.dtype:
    """The type of weights and statistics beside maps of a type."""
    return torch.float64 if stored == torch.float64 else torch.float32


def runs_on(device: torch.device) -> bool:
    """Whether this build has kernels for a device."""
    return device.type == "cpu" or (device.type == "cuda" and _WITH_CUDA)


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# -- trace_embedding ----------------------------------------------------------------------------------------------


def _weights_of(channels: int) -> list[int]:
    """Sizes of w1, b1, w2, b2, w3, b3."""
    return [25 * channels, channels, 25 * channels * channels, channels, 25 * channels, 1]


@torch.library.register_fake("seisfast::trace_embedding_forward", lib=_library)
def _embedding_fake(gathers: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    statistics = gathers.new_empty((gathers.shape[0], 3, 2), dtype=statistics_type(gathers.dtype))
    return gathers.new_empty(gathers.shape), statistics


@torch.library.register_fake("seisfast::trace_embedding_backward", lib=_library)
def _embedding_backward_fake(grad: Tensor, gathers: Tensor, w1: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    return (
        gathers.new_empty(gathers.shape if rest[-1] else 0),
        w1.new_empty(sum(_weights_of(w1.shape[0]))),
    )


@torch.library.impl("seisfast::trace_embedding_forward", ("cpu", "cuda"), lib=_library)
def _embedding_forward(
    gathers: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, w3: Tensor, b3: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    traces, statistics = _embedding_fake(gathers)
    _embed(gathers, (w1, b1, w2, b2, w3, b3), eps, adjoint=False, out=traces, statistics=statistics)
    return traces, statistics


@torch.library.impl("seisfast::trace_embedding_backward", ("cpu", "cuda"), lib=_library)
def _embedding_backward(
    grad: Tensor, gathers: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, w3: Tensor, b3: Tensor,
    statistics: Tensor, eps: float, input_gradient: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    grad_gathers = gathers.new_empty(gathers.shape if input_gradient else 0)
    parts = _embed(
        gathers, (w1, b1, w2, b2, w3, b3), eps, adjoint=True, input_gradient=input_gradient,
        grad_out=grad.contiguous(), statistics=statistics.contiguous(), grad_x=grad_gathers,
    )  # fmt: skip
    return grad_gathers, parts.sum(0)


def _embed(
    gathers: Tensor, weights: tuple[Tensor, ...], eps: float, *, adjoint: bool, input_gradient: bool = False,
    **arrays: Tensor,
) -> Tensor:  # fmt: skip
    """Hand the addresses to the extension; returns the parts of the weights' gradient, `[parts, all weights]`.

    Gathers that go through device memory run in groups whose work memory stays within a bound.
    """
    gathers = gathers.contiguous()
    weights = tuple(weight.contiguous() for weight in weights)
    channels, dtype = weights[0].shape[0], _dtype_name(gathers.dtype)
    numbers = sum(_weights_of(channels))
    fixed = {
        "receivers": gathers.shape[1], "samples": gathers.shape[2], "channels": channels,
        "eps": eps, "input_gradient": input_gradient,
        "weights": [w.data_ptr() for w in weights[::2]], "biases": [b.data_ptr() for b in weights[1::2]],
        **dict.fromkeys(("out", "statistics", "grad_out", "grad_x", "grad_weights", "workspace"), 0),
    }  # fmt: skip

    def params(first: int, end: int) -> dict[str, Any]:
        some = {name: array[first:end].data_ptr() for name, array in arrays.items() if array.numel()}
        return {**fixed, "gathers": end - first, "x": gathers[first:end].data_ptr(), **some}

    count = gathers.shape[0]
    if gathers.device.type == "cpu":
        parts = weights[0].new_empty((count if adjoint else 0, numbers))
        threads = torch.get_num_threads()
        _native.embedding_run(params(0, count) | {"grad_weights": parts.data_ptr()}, dtype, adjoint, None, threads, 0)
        return parts
    with torch.cuda.device(gathers.device):
        stream = torch.cuda.current_stream(gathers.device).cuda_stream
        whole = _native.embedding_plan(params(0, count), dtype, adjoint)
        size = max(1, count * _MOST_WORKSPACE // whole["workspace"]) if whole["workspace"] > _MOST_WORKSPACE else count
        found = []
        for first in range(0, count, size):
            some = params(first, min(first + size, count))
            plan = whole if size == count else _native.embedding_plan(some, dtype, adjoint)
            parts = weights[0].new_empty((plan["parts"] if adjoint else 0, numbers))
            workspace = gathers.new_empty(plan["workspace"], dtype=torch.uint8)
            some |= {"grad_weights": parts.data_ptr(), "workspace": workspace.data_ptr()}
            _native.embedding_run(some, dtype, adjoint, plan, 1, stream)
            found.append(parts)
    return torch.cat(found)


def keep_embedding(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    """Save what the gradient needs."""
    *tensors, ctx.eps = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def differentiate_embedding(
    ctx: Any,  # noqa: ANN401
    grad: Tensor | None,
    backward: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of `trace_embedding_forward`, by its backward operator or a function in its place."""
    if grad is None:
        return (None,) * 8
    wanted = ctx.needs_input_grad[0]
    *tensors, statistics = ctx.saved_tensors
    grad_gathers, flat = backward(grad, *tensors, statistics, ctx.eps, wanted)
    weights = tensors[1:]
    grads = [part.reshape(w.shape) for part, w in zip(flat.split([w.numel() for w in weights]), weights, strict=True)]
    return (grad_gathers if wanted else None, *grads, None)


# -- norm_relu ----------------------------------------------------------------------------------------------------
# x is [outer, channels, inner]. per_shot [outer, shots, inner] and per_receiver [receivers, inner] are added to it
# first, where channel = shot * receivers + receiver.


@torch.library.register_fake("seisfast::norm_relu_forward", lib=_library)
def _norm_fake(
    x: Tensor, per_shot: Tensor | None, per_receiver: Tensor | None, scale: Tensor, shift: Tensor,
    mean: Tensor | None, variance: Tensor | None, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    computed = x.shape[1] if mean is None else 0
    return x.new_empty(x.shape), scale.new_empty(computed), scale.new_empty(computed)


@torch.library.register_fake("seisfast::norm_relu_backward", lib=_library)
def _norm_backward_fake(
    grad: Tensor,
    x: Tensor,
    per_shot: Tensor | None,
    per_receiver: Tensor | None,
    scale: Tensor,
    *rest: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), scale.new_empty(scale.shape), scale.new_empty(scale.shape)


@torch.library.impl("seisfast::norm_relu_forward", ("cpu", "cuda"), lib=_library)
def _norm_forward(
    x: Tensor, per_shot: Tensor | None, per_receiver: Tensor | None, scale: Tensor, shift: Tensor,
    mean: Tensor | None, variance: Tensor | None, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out, new_mean, new_variance = _norm_fake(x, per_shot, per_receiver, scale, shift, mean, variance, eps)
    given = mean is not None and variance is not None
    _norm(
        x, per_shot, per_receiver, scale, shift, eps, adjoint=False, given=given, out=out,
        mean=new_mean if mean is None else mean.contiguous(),
        variance=new_variance if variance is None else variance.contiguous(),
    )  # fmt: skip
    return out, new_mean, new_variance


@torch.library.impl("seisfast::norm_relu_backward", ("cpu", "cuda"), lib=_library)
def _norm_backward(
    grad: Tensor, x: Tensor, per_shot: Tensor | None, per_receiver: Tensor | None, scale: Tensor, shift: Tensor,
    mean: Tensor, variance: Tensor, given: bool, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    grad_x, grad_scale, grad_shift = _norm_backward_fake(grad, x, per_shot, per_receiver, scale)
    _norm(
        x, per_shot, per_receiver, scale, shift, eps, adjoint=True, given=given, grad_out=grad.contiguous(),
        mean=mean.contiguous(), variance=variance.contiguous(),
        grad_x=grad_x, grad_scale=grad_scale, grad_shift=grad_shift,
    )  # fmt: skip
    return grad_x, grad_scale, grad_shift


def _norm(
    x: Tensor, per_shot: Tensor | None, per_receiver: Tensor | None, scale: Tensor, shift: Tensor, eps: float,
    *, adjoint: bool, given: bool, **arrays: Tensor,
) -> None:  # fmt: skip
    """Hand the addresses to the extension."""
    inputs = {"x": x, "per_shot": per_shot, "per_receiver": per_receiver, "scale": scale, "shift": shift}
    kept = {name: tensor.contiguous() for name, tensor in inputs.items() if tensor is not None}
    names = (*inputs, "mean", "variance", "out", "grad_out", "grad_x", "grad_scale", "grad_shift", "workspace")
    params = {
        "outer": x.shape[0], "channels": x.shape[1], "inner": x.shape[2],
        "receivers": 1 if per_receiver is None else per_receiver.shape[0],
        "eps": eps, "given": given, "cuda": x.device.type == "cuda",
        **dict.fromkeys(names, 0),
        **{name: tensor.data_ptr() for name, tensor in (kept | arrays).items()},
    }  # fmt: skip
    dtype = _dtype_name(x.dtype)
    if x.device.type == "cpu":
        _native.norm_run(params, dtype, adjoint, torch.get_num_threads(), 0)
        return
    with torch.cuda.device(x.device):
        workspace = scale.new_empty(_native.norm_workspace(params, dtype, adjoint))
        params["workspace"] = workspace.data_ptr()
        _native.norm_run(params, dtype, adjoint, 1, torch.cuda.current_stream(x.device).cuda_stream)


def keep_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    """Save what the gradient needs."""
    x, per_shot, per_receiver, scale, shift, mean, variance, ctx.eps = inputs
    ctx.given = mean is not None
    ctx.mark_non_differentiable(*output[1:])
    statistics = (mean, variance) if ctx.given else output[1:]
    ctx.save_for_backward(x, per_shot, per_receiver, scale, shift, *statistics)
    ctx.set_materialize_grads(False)


def differentiate_norm(
    ctx: Any,  # noqa: ANN401
    grad: Tensor | None,
    backward: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of `norm_relu_forward`, by its backward operator or a function in its place."""
    if grad is None:
        return (None,) * 8
    x, per_shot, per_receiver, *rest = ctx.saved_tensors
    grad_x, grad_scale, grad_shift = backward(grad, x, per_shot, per_receiver, *rest, ctx.given, ctx.eps)
    of_shots = of_receivers = None
    if per_shot is not None and per_receiver is not None:
        of_traces = grad_x.unflatten(1, (-1, per_receiver.shape[0]))
        of_shots, of_receivers = of_traces.sum(2), of_traces.sum((0, 1))
    return grad_x, of_shots, of_receivers, grad_scale, grad_shift, None, None, None


def _refuse(ctx: Any, *_: Tensor) -> tuple[None, ...]:  # noqa: ANN401
    raise RuntimeError(
        "the bare feature operators, and compiled code, are differentiable once; "
        "take second derivatives through an eager seisfast.features"
    )


def _register(name: str, keep: Callable[..., None], differentiate: Callable[..., Any]) -> None:
    """The gradient of the bare operators: what torch.compile sees."""

    def gradients(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        found: tuple[Tensor | None, ...] = differentiate(ctx, grad, getattr(torch.ops.seisfast, f"{name}_backward"))
        return found

    torch.library.register_autograd(f"seisfast::{name}_forward", gradients, setup_context=keep, lib=_library)
    torch.library.register_autograd(f"seisfast::{name}_backward", _refuse, lib=_library)


_register("trace_embedding", keep_embedding, differentiate_embedding)
_register("norm_relu", keep_norm, differentiate_norm)
