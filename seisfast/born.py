"""Born modelling: the derivative of the records by the velocity as a linear operator, and its transpose."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack, temporarily_pop_interpreter_stack
from torch.autograd import forward_ad

from seisfast.arguments import ordinary_tensors, unwrapped
from seisfast.ops.derivatives import CONSTANT, Adjoint, born
from seisfast.propagator import check, prepare
from seisfast.storage import Storage
from seisfast.survey import Survey

Method = TypeVar("Method", bound=Callable[..., object])


def _eager(method: Method) -> Method:
    """The method, outside of the graph of `torch.compile`; where the graph must not break, an error by name."""
    reason = f"Born must not be called inside torch.compile: {CONSTANT}"
    return torch.compiler.disable(method, reason=reason)  # type: ignore[no-any-return]


class Born:
    """The derivative of `simulate` at one velocity: a linear map from its changes to changes of the records.

    It is exact to rounding, for the discrete scheme with its layers; the transpose is that of the same matrix, unless
    the storage is lossy. Single scattering, in other words: `born(perturbation)` are the records of a medium whose
    velocity differs by an infinitesimal multiple of the perturbation, to first order. `born.transpose` is reverse-time
    migration. Both are differentiable by their argument, in either mode, and `torch.func.vmap` maps over it.

    Velocity, wavelet and positions are taken as they are now: the map stays the same when they change, and nothing
    differentiates by them (`torch.func.jvp` of `simulate` does).

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, as `simulate` takes it.
        survey: the acquisition.
        storage: what to keep between calls for the transpose, default `Storage()`.
        engine: as in `simulate`.
        substeps: as in `simulate`.

    Raises:
        TypeError, ValueError, MemoryError: as `simulate`; also a velocity, wavelet or positions that `torch.func`
            differentiates by or maps over.
        torch._dynamo.exc.Unsupported: inside ``torch.compile(fullgraph=True)``, as both calls.

    Source: docs/propagator; the name after the first term of Born's series in the perturbation.
    """

    @_eager
    def __init__(
        self, velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
        substeps: int | str = 1,
    ) -> None:  # fmt: skip
        _check_constant("velocity", velocity)
        for name in ("wavelet", "sources", "receivers"):
            _check_constant(name, getattr(survey, name, None))
        with ordinary_tensors(), torch.no_grad():
            if isinstance(velocity, Tensor):
                velocity = unwrapped(velocity).detach().clone()
            run = prepare(velocity, survey, storage, engine, substeps, gradient=True)
            batch, wavelet, sources, receivers, profile = map(unwrapped, run.inputs)
            inputs = batch, wavelet.detach().clone(), sources, receivers, profile
            weights = None if run.weights is None else unwrapped(run.weights)
        self._run = replace(run, inputs=inputs, weights=weights)
        self.velocity, self.survey = velocity, survey
        self._kept: list[Tensor] | None = None

    @_eager
    def __call__(self, perturbation: Tensor) -> Tensor:
        """Change of the records.

        Args:
            perturbation: m/s, like the velocity.

        Returns:
            `[shots, time, receivers]` or `[models, shots, time, receivers]`.

        Raises:
            TypeError: a perturbation that is not a tensor.
            ValueError: one of another shape, dtype or device than the velocity.
            FloatingPointError: a change that is not finite, or exceeds float16, naming the first such shot.
        """
        _check_like("perturbation", perturbation, self.velocity.shape, self.velocity)
        run, (velocity, wavelet, *rest) = self._run, self._run.inputs
        change = perturbation.to(velocity.dtype).reshape(velocity.shape)
        still = torch.zeros_like(wavelet)
        data = born(velocity, change, wavelet, still, *rest, run.scheme, run.survey)
        return run.records(data, "is the perturbation finite and of sane amplitude?")

    @_eager
    def transpose(self, data: Tensor) -> Tensor:
        """Change of the velocity that correlates with a change of the records. The first call runs the survey once.

        Args:
            data: like the records, `[shots, time, receivers]` or `[models, shots, time, receivers]`.

        Returns:
            Like the velocity.

        Raises:
            TypeError: data that are not a tensor.
            ValueError: of another shape, dtype or device than the records.
            FloatingPointError: a record of the survey that is not finite.
        """
        run, survey = self._run, self.survey
        _, wavelet, _, receivers, _ = run.inputs
        models = self.velocity.shape[:-2]
        _check_like("data", data, (*models, survey.shots, survey.nt, survey.receivers_per_shot), self.velocity)
        if self._kept is None:
            with ordinary_tensors(), torch.no_grad(), temporarily_clear_interpreter_stack():
                records, *kept, _ = torch.ops.seisfast.acoustic_forward(*run.inputs, *run.scheme.arguments())
                check(records if self.velocity.dim() == 3 else records[0])
            self._kept = kept
        recorded = run.inputs[0].new_zeros(*wavelet.shape[:2], wavelet.shape[3], receivers.shape[1])
        (spread,) = torch.func.vjp(run.assembled, recorded)[1](data)
        image: Tensor = Adjoint.apply(  # type: ignore[no-untyped-call]
            spread, *run.inputs, *self._kept, run.scheme, run.survey
        )[0]
        return image.to(data.dtype).reshape(self.velocity.shape)


def _check_constant(name: str, given: object) -> None:
    functorch = torch._C._functorch
    while isinstance(given, Tensor):
        wrapped = functorch.is_functorch_wrapped_tensor(given)
        if _is_dual(given) or (wrapped and (given.requires_grad or functorch.is_batchedtensor(given))):
            raise ValueError(
                f"{name} must not be what forward mode or torch.func differentiates by or maps over, for Born takes it "
                "as constant, got such a tensor: use torch.func.jvp of simulate"
            )
        if not wrapped:
            return
        given = functorch.get_unwrapped(given)


def _is_dual(tensor: Tensor) -> bool:
    """Whether this tensor has a tangent at its own level of torch.func, which inner levels hide."""
    functorch = torch._C._functorch
    level = functorch.maybe_get_level(tensor)
    with ExitStack() as outside:
        while (top := functorch.peek_interpreter_stack()) is not None and top.level() > level:
            outside.enter_context(temporarily_pop_interpreter_stack())
        return forward_ad.unpack_dual(tensor).tangent is not None


def _check_like(name: str, given: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(given).__name__}")
    if tuple(given.shape) != tuple(shape):
        raise ValueError(f"{name} must have the shape {list(shape)}, got {list(given.shape)}")
    for what in ("dtype", "device"):
        if getattr(given, what) != getattr(like, what):
            raise ValueError(f"{name} must have the {what} {getattr(like, what)}, got {getattr(given, what)}")
