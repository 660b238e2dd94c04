"""The eager route of the acoustic operator: autograd.Function over the operators, for autograd and torch.func.

First derivatives in reverse mode run compiled. Forward mode and second derivatives are taken through the
plain-torch twin: exact, and slow.
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
    """(velocity, wavelet) -> (data, and what the forward run kept)."""

    @staticmethod
    def forward(
        velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
        scheme: Scheme, survey: Survey,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Run the registered operator."""
        outputs: tuple[Tensor, Tensor, Tensor, Tensor] = _OPS.acoustic_forward(
            velocity, wavelet, sources, receivers, profile, *scheme.arguments()
        )
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        """Save what both directions need; only the data carry gradients."""
        *tensors, ctx.scheme, ctx.survey = inputs
        ctx.save_for_backward(*tensors, *output[1:])
        ctx.save_for_forward(*tensors[:4])
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
        """Derivative of the data along tangents, through the twin."""
        velocity, wavelet, *cells = ctx.saved_tensors[:4]
        tangents = tuple(
            torch.zeros_like(p) if t is None else t for p, t in ((velocity, velocity_t), (wavelet, wavelet_t))
        )
        survey = ctx.survey
        tangent = push(lambda v, w: twin.propagate(v, w, survey, *cells), (velocity, wavelet), tangents)
        return tangent, None, None, None

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
        """Save the three inputs that the result depends on, and the cells."""
        ctx.survey = inputs[-1]
        ctx.save_for_backward(*inputs[:5])
        ctx.save_for_forward(*inputs[:5])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Second derivatives through the twin."""
        *primals, sources, receivers = ctx.saved_tensors
        pulled = torch.func.vjp(_twin_adjoint(ctx.survey, sources, receivers), *primals)[1](tuple(grads))
        return (*pulled, *(None,) * 8)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Forward over reverse (Hessian-vector products) through the twin."""
        *primals, sources, receivers = ctx.saved_tensors
        filled = tuple(torch.zeros_like(p) if t is None else t for p, t in zip(primals, tangents, strict=False))
        result: tuple[Tensor, Tensor] = push(_twin_adjoint(ctx.survey, sources, receivers), tuple(primals), filled)
        return result

    @staticmethod
    def vmap(info: Any, in_dims: Dims, *args: Any) -> tuple[Any, tuple[int, int]]:  # noqa: ANN401
        """One call per element: what the forward run kept is shared, not copied."""
        results = []
        for i in range(info.batch_size):
            element = (a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True))
            results.append(Adjoint.apply(*element))  # type: ignore[no-untyped-call]
        return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0, 0)


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


def _batched(tensor: Tensor, dim: int | None, n: int) -> Tensor:
    return tensor.expand(n, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
