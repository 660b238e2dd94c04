"""The eager route of the acoustic operator: autograd.Function over the operators, for autograd and torch.func.

First derivatives, in reverse and forward mode, and second derivatives run compiled. What is left goes through the
plain-torch twin, exact and slow: derivatives of the third order, and with ``Sponge(vmin_gradient=True)`` also forward
mode and the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seisfast.ops.acoustic import Scheme
from seisfast.reference import acoustic as twin

if TYPE_CHECKING:
    from seisfast.survey import Survey

_OPS = torch.ops.seisfast
Dims = tuple[int | None, ...]


CONSTANT = "an operator counts as constant there; leave this call out of the compiled function"


def refuse_forward_mode() -> None:
    """Refuse tangents inside torch.compile, which would be zero without a word.

    Raises:
        RuntimeError: within torch.func.jvp or a dual level.
    """
    if torch.autograd.forward_ad._current_level >= 0:
        raise RuntimeError(
            f"simulate must not run in forward mode (torch.func.jvp, dual numbers) inside torch.compile: {CONSTANT}"
        )


def is_transformed(tensor: Tensor) -> bool:
    """Whether torch.func.vmap holds this tensor, so that its values cannot be read."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def needs_gradient(tensor: Tensor) -> bool:
    """Whether autograd or a torch.func transform around this call, at any level, differentiates this tensor."""
    if tensor.requires_grad or torch.compiler.is_compiling():
        return tensor.requires_grad
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
        if tensor.requires_grad:
            return True
    return False


class Simulate(torch.autograd.Function):
    """(velocity, wavelet) -> (data, what the forward run kept, snapshots)."""

    @staticmethod
    def forward(
        velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
        scheme: Scheme, survey: Survey,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Run the registered operator."""
        outputs: tuple[Tensor, ...] = _OPS.acoustic_forward(
            velocity, wavelet, sources, receivers, profile, *scheme.arguments()
        )
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save what both directions need; only the data carry gradients."""
        *tensors, ctx.scheme, ctx.survey = inputs
        ctx.save_for_backward(*tensors, *output[1:4])
        ctx.save_for_forward(*tensors)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad_data: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The exact transpose, itself differentiable."""
        if grad_data is None:
            return (None,) * 7
        grads = Adjoint.apply(grad_data, *ctx.saved_tensors, ctx.scheme, ctx.survey)  # type: ignore[no-untyped-call]
        return (*grads, *(None,) * 5)

    @staticmethod
    def jvp(ctx: Any, velocity_t: Tensor | None, wavelet_t: Tensor | None, *_: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Derivative of the data along tangents: Born modelling."""
        velocity, wavelet, *rest = ctx.saved_tensors[:5]
        v_t, w_t = _filled((velocity, wavelet), (velocity_t, wavelet_t))
        return born(velocity, v_t, wavelet, w_t, *rest, ctx.scheme, ctx.survey), *(None,) * 4

    @staticmethod
    def vmap(info: Any, in_dims: Dims, velocity: Tensor, wavelet: Tensor, *rest: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """A batch of calls is one call with more models."""
        n = info.batch_size
        v, w = _batched(velocity, in_dims[0], n), _batched(wavelet, in_dims[1], n)
        outputs = Simulate.apply(v.flatten(0, 1), w.flatten(0, 1), *rest)  # type: ignore[no-untyped-call]
        return tuple(o.unflatten(0, (n, -1)) if o.numel() else o for o in outputs), tuple(
            0 if o.numel() else None for o in outputs
        )


class Adjoint(torch.autograd.Function):
    """(grad of the data, velocity, wavelet) -> (grad of the velocity, grad of the wavelet)."""

    @staticmethod
    def forward(grad_data: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Run the registered operator."""
        *tensors, scheme, _ = rest
        grads: tuple[Tensor, Tensor] = _OPS.acoustic_backward(grad_data, *tensors, *scheme.arguments())
        return grads

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save the three inputs that the result depends on, the cells and the profile."""
        *_, ctx.scheme, ctx.survey = inputs
        ctx.save_for_backward(*inputs[:6])
        ctx.save_for_forward(*inputs[:6])

    @staticmethod
    def backward(ctx: Any, velocity_c: Tensor, wavelet_c: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Born modelling for the data; for the others the Hessian of <data, grad of the data>, which is symmetric."""
        saved: tuple[Any, ...] = (*ctx.saved_tensors, ctx.scheme, ctx.survey)
        grad_data, velocity, wavelet, *rest = saved
        if not any(ctx.needs_input_grad[1:3]):
            return (born(velocity, velocity_c, wavelet, wavelet_c, *rest), *(None,) * 10)
        return (*_second(grad_data, velocity, velocity_c, wavelet, wavelet_c, *rest), *(None,) * 8)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Forward over reverse: Hessian-vector products."""
        primals = ctx.saved_tensors[:3]
        pairs = (tensor for pair in zip(primals, _filled(primals, tangents), strict=True) for tensor in pair)
        return curvature(*pairs, *ctx.saved_tensors[3:], ctx.scheme, ctx.survey)

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Any, tuple[int, int]]:  # noqa: ANN401
        """One call per element: what the forward run kept is shared, not copied."""
        results = []
        for i in range(info.batch_size):
            element = (a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True))
            results.append(Adjoint.apply(*element))  # type: ignore[no-untyped-call]
        return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0, 0)


class Born(torch.autograd.Function):
    """(velocity, its tangent, wavelet, its tangent) -> tangent of the data."""

    @staticmethod
    def forward(*args: Any) -> Tensor:  # noqa: ANN401
        """Run the registered operator."""
        *tensors, scheme, _ = args
        data: Tensor = _OPS.acoustic_born(*tensors, *scheme.arguments())
        return data

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        """Save everything."""
        *tensors, ctx.scheme, ctx.survey = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The transpose for the tangents, and how it changes along them for the velocity and the wavelet."""
        if grad is None:
            return (None,) * 9
        saved: tuple[Any, ...] = (*ctx.saved_tensors, ctx.scheme, ctx.survey)
        velocity, velocity_t, wavelet, wavelet_t, *rest = saved
        still = [torch.zeros_like(t) for t in (grad, velocity, wavelet)]
        for_primals: tuple[Tensor | None, ...] = (None, None)
        for_tangents: tuple[Tensor | None, ...] = (None, None)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[3]:
            for_tangents = curvature(still[0], grad, velocity, still[1], wavelet, still[2], *rest)
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[2]:
            for_primals = curvature(grad, still[0], velocity, velocity_t, wavelet, wavelet_t, *rest)
        return (for_primals[0], for_tangents[0], for_primals[1], for_tangents[1], *(None,) * 5)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:  # noqa: ANN401
        """The same along other tangents; by velocity and wavelet through the twin."""
        *primals, sources, receivers, profile = ctx.saved_tensors
        if tangents[0] is None and tangents[2] is None:
            velocity, velocity_t, wavelet, wavelet_t = primals
            along = _filled((velocity_t, wavelet_t), (tangents[1], tangents[3]))
            rest = sources, receivers, profile, ctx.scheme, ctx.survey
            return born(velocity, along[0], wavelet, along[1], *rest)
        result: Tensor = push(_twin_born(ctx.survey, sources, receivers), tuple(primals), _filled(primals, tangents))
        return result

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Tensor, int]:  # noqa: ANN401
        """A batch of calls is one call with more models."""
        n = info.batch_size
        flat = (_batched(t, d, n).flatten(0, 1) for t, d in zip(args[:4], in_dims, strict=False))
        data: Tensor = Born.apply(*flat, *args[4:])  # type: ignore[no-untyped-call]
        return data.unflatten(0, (n, -1)), 0


class Curvature(torch.autograd.Function):
    """(grad of the data, velocity, wavelet), each followed by its tangent -> tangents of the gradients."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Run the registered operator."""
        *tensors, scheme, _ = args
        grads: tuple[Tensor, Tensor] = _OPS.acoustic_curvature(*tensors, *scheme.arguments())
        return grads

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save everything."""
        *tensors, ctx.scheme, ctx.survey = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """For the tangents as the backward of `Adjoint`; for what they are tangents of through the twin."""
        *primals, sources, receivers, profile = ctx.saved_tensors
        grad_data, _, velocity, _, wavelet, _ = primals
        velocity_c, wavelet_c = _filled((velocity, wavelet), grads)
        if not any(ctx.needs_input_grad[0:6:2]):
            rest = sources, receivers, profile, ctx.scheme, ctx.survey
            data, *along = _second(grad_data, velocity, velocity_c, wavelet, wavelet_c, *rest)
            return (None, data, None, along[0], None, along[1], *(None,) * 5)
        pulled = torch.func.vjp(_twin_curvature(ctx.survey, sources, receivers), *primals)[1]((velocity_c, wavelet_c))
        return (*pulled, *(None,) * 5)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """The same along other tangents; by what they are tangents of through the twin."""
        *primals, sources, receivers, profile = ctx.saved_tensors
        if tangents[0] is None and tangents[2] is None and tangents[4] is None:
            grad_data_t, velocity_t, wavelet_t = _filled(primals[1::2], tangents[1:6:2])
            pairs = primals[0], grad_data_t, primals[2], velocity_t, primals[4], wavelet_t
            return curvature(*pairs, sources, receivers, profile, ctx.scheme, ctx.survey)
        twin_of = _twin_curvature(ctx.survey, sources, receivers)
        result: tuple[Tensor, Tensor] = push(twin_of, tuple(primals), _filled(primals, tangents))
        return result

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Any, tuple[int, int]]:  # noqa: ANN401
        """A batch of calls is one call with more models."""
        n = info.batch_size
        flat = (_batched(t, d, n).flatten(0, 1) for t, d in zip(args[:6], in_dims, strict=False))
        grads = Curvature.apply(*flat, *args[6:])  # type: ignore[no-untyped-call]
        return tuple(g.unflatten(0, (n, -1)) for g in grads), (0, 0)


def born(*args: Any) -> Tensor:  # noqa: ANN401
    """Tangent of the data, compiled where it can be; arguments as of `Born`."""
    if args[-1].vmin_gradient:
        twin_data: Tensor = _twin_born(args[-1], *args[4:6])(*args[:4])
        return twin_data
    data: Tensor = Born.apply(*args)  # type: ignore[no-untyped-call]
    return data


def curvature(*args: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Tangents of the gradients, compiled where they can be; arguments as of `Curvature`."""
    if args[-1].vmin_gradient:
        twin_grads: tuple[Tensor, Tensor] = _twin_curvature(args[-1], *args[6:8])(*args[:6])
        return twin_grads
    grads: tuple[Tensor, Tensor] = Curvature.apply(*args)  # type: ignore[no-untyped-call]
    return grads


def _second(grad_data: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
    """Transpose of the derivative of `Adjoint` by (grad of the data, velocity, wavelet): born, and the Hessian."""
    return born(*rest), *curvature(grad_data, torch.zeros_like(grad_data), *rest)


def push(function: Any, primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> Any:  # noqa: ANN401
    """Derivative of the function along tangents.

    torch.func.jvp cannot run inside a torch.autograd.forward_ad level; there the transpose is transposed.
    """
    if torch._C._functorch.peek_interpreter_stack() is not None:
        primals, tangents = (tuple(t.contiguous() for t in both) for both in (primals, tangents))  # not expanded ones
        return torch.func.jvp(function, primals, tangents)[1]
    value, pull = torch.func.vjp(function, *primals)[:2]
    zeros = tuple(map(torch.zeros_like, value)) if isinstance(value, tuple) else torch.zeros_like(value)
    return torch.func.vjp(pull, zeros)[1](tangents)[0]


def _twin_adjoint(survey: Survey, *cells: Tensor) -> Any:  # noqa: ANN401
    def adjoint(grad_data: Tensor, velocity: Tensor, wavelet: Tensor) -> tuple[Tensor, ...]:
        pull = torch.func.vjp(lambda v, w: twin.propagate(v, w, survey, *cells), velocity, wavelet)[1]
        grads: tuple[Tensor, ...] = pull(grad_data)
        return grads

    return adjoint


def _twin_born(survey: Survey, *cells: Tensor) -> Any:  # noqa: ANN401
    def tangent(velocity: Tensor, velocity_t: Tensor, wavelet: Tensor, wavelet_t: Tensor) -> Tensor:
        records: Tensor = push(
            lambda v, w: twin.propagate(v, w, survey, *cells), (velocity, wavelet), (velocity_t, wavelet_t)
        )
        return records

    return tangent


def _twin_curvature(survey: Survey, *cells: Tensor) -> Any:  # noqa: ANN401
    def tangent(*pairs: Tensor) -> tuple[Tensor, ...]:
        grads: tuple[Tensor, ...] = push(_twin_adjoint(survey, *cells), pairs[::2], pairs[1::2])
        return grads

    return tangent


def _filled(primals: Any, tangents: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    """The tangents of these primals, zero where there is none."""
    return tuple(torch.zeros_like(p) if t is None else t for p, t in zip(primals, tangents, strict=False))


def _batched(tensor: Tensor, dim: int | None, n: int) -> Tensor:
    return tensor.expand(n, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
