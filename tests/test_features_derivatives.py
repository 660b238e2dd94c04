"""Forward mode, second derivatives and torch.func of the feature operators, next to their twins."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_features import DEVICES, Mlp, Norm, clear_gathers, clear_mlp, clear_norm, kernels, noise, norm_of, relative
from torch import Tensor
from torch.autograd import forward_ad

from seisfast import features
from seisfast.features import TraceLayer
from seisfast.networks import SeisInvNet
from seisfast.reference import features as twins

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script:DeprecationWarning"
)  # torch's own, on first use of jvp

Run = Callable[..., Tensor]


def _embedding(module: types.ModuleType, device: str) -> tuple[Run, list[Tensor]]:
    k = kernels(2).to(device)
    gathers = clear_gathers(2, 3, 5, k, torch.float64, margin=1e-4)
    return lambda x, *w: module.trace_embedding(x, w[:3], w[3:]), [gathers, *k.all()]


def _norm(module: types.ModuleType, device: str, training: bool) -> tuple[Run, list[Tensor]]:
    norm = clear_norm(3, 2, 2, 3, margin=1e-4, training=training, channels_last=True).to(device)

    def run(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return Norm(x, *norm.fresh()[1:3], scale, shift).run(module.norm_relu, training=training)

    return run, [norm.x, norm.scale, norm.shift]


def _mlp(module: types.ModuleType, device: str, training: bool) -> tuple[Run, list[Tensor]]:
    mlp = clear_mlp(3, 2, 2, 4, features=3, widths=(5,), margin=1e-4, training=training).to(device)

    def run(context: Tensor, traces: Tensor, *parts: Tensor) -> Tensor:
        kept = [[part.clone() for part in layer[4:] if part is not None] for layer in mlp.layers]
        layers = [TraceLayer(*parts[4 * k : 4 * k + 4], *kept[k]) for k in range(len(kept))]
        return Mlp(context, traces, layers, mlp.map_shape).run(module.trace_mlp, training=training)

    return run, [mlp.context, mlp.traces, *(part for layer in mlp.layers for part in layer[:4] if part is not None)]


OPERATORS: dict[str, Callable[[types.ModuleType, str], tuple[Run, list[Tensor]]]] = {
    "embedding": _embedding,
    "norm": functools.partial(_norm, training=True),
    "norm in evaluation": functools.partial(_norm, training=False),
    "mlp": functools.partial(_mlp, training=True),
    "mlp in evaluation": functools.partial(_mlp, training=False),
}
EVERY = pytest.mark.parametrize("which", OPERATORS)


def along(tensors: list[Tensor], seed: int = 51) -> tuple[Tensor, ...]:
    return tuple(noise(*t.shape, seed=seed + k, device=t.device) for k, t in enumerate(tensors))


def agree(which: str, result: Callable[[Run, list[Tensor]], Any], device: str = "cpu") -> None:
    """What torch makes of the operator and of its twin: the same, and not zero."""
    found, expected = (result(*OPERATORS[which](module, device)) for module in (features, twins))
    parts = zip(*((r,) if isinstance(r, Tensor) else r for r in (found, expected)), strict=True)
    for ours, theirs in parts:
        if float(theirs.norm()) < 1e-12:  # of the third bias
            assert float(ours.norm()) < 1e-12
        else:
            assert relative(ours, theirs) < 1e-10


def scalar(run: Run) -> Run:
    return lambda *tensors: run(*tensors).sin().sum()


@EVERY
@DEVICES
def test_forward_mode(device: str, which: str) -> None:
    agree(which, lambda run, tensors: torch.func.jvp(run, tuple(tensors), along(tensors)), device)
    agree(
        which, lambda run, tensors: torch.func.jvp(lambda x: run(x, *tensors[1:]), (tensors[0],), (tensors[0].flip(0),))
    )


@EVERY
def test_forward_mode_of_autograd(which: str) -> None:
    """Whether or not the inputs require gradients."""

    def tangent(run: Run, tensors: list[Tensor], requires: bool) -> Tensor:
        with forward_ad.dual_level():
            leaves = [t.detach().clone().requires_grad_(requires) for t in tensors]
            duals = [forward_ad.make_dual(t, d) for t, d in zip(leaves, along(tensors), strict=True)]
            found: Tensor = forward_ad.unpack_dual(run(*duals)).tangent.detach()
            return found

    for requires in (False, True):
        agree(which, lambda run, tensors, requires=requires: tangent(run, tensors, requires))


@EVERY
def test_gradients_of_torch_func(which: str) -> None:
    agree(which, lambda run, tensors: torch.func.grad(scalar(run), tuple(range(len(tensors))))(*tensors))
    agree(which, lambda run, tensors: torch.func.jacfwd(run)(*tensors))


@EVERY
@DEVICES
def test_second_derivatives(device: str, which: str) -> None:
    """Reverse over reverse, forward over reverse, and all at once."""

    def twice(run: Run, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        leaves = [t.detach().clone().requires_grad_() for t in tensors]
        grads = torch.autograd.grad(scalar(run)(*leaves), leaves, create_graph=True)
        weighted = sum((g * d).sum() for g, d in zip(grads, along(tensors), strict=True))
        return torch.autograd.grad(weighted, leaves)

    agree(which, twice, device)
    agree(
        which,
        lambda run, tensors: torch.func.jvp(
            torch.func.grad(scalar(run), tuple(range(len(tensors)))), tuple(tensors), along(tensors)
        )[1],
    )
    agree(which, lambda run, tensors: torch.func.hessian(scalar(run))(*tensors))


@pytest.mark.parametrize("which", ["embedding", "norm", "mlp in evaluation"])
def test_gradgradcheck(which: str) -> None:
    run, tensors = OPERATORS[which](features, "cpu")
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    assert torch.autograd.gradgradcheck(run, leaves, [noise(*run(*tensors).shape)], atol=1e-6)


@pytest.mark.parametrize("which", ["embedding", "norm in evaluation", "mlp in evaluation"])
def test_vmap(which: str) -> None:
    """Over the first input, and over all."""

    def mapped(run: Run, tensors: list[Tensor], shared: bool) -> Tensor:
        many = [torch.stack([t, 0.7 * t + 0.2]) for t in tensors]
        dims = [0] + [None if shared else 0 for _ in many[1:]]
        given = [many[0], *(tensors[1:] if shared else many[1:])]
        return torch.vmap(run, in_dims=tuple(dims))(*given)

    for shared in (True, False):
        agree(which, lambda run, tensors, shared=shared: mapped(run, tensors, shared))


def test_vmap_of_gradients_without_running_statistics() -> None:
    norm = norm_of(3, 2, 5)
    many = torch.stack([norm.x, norm.x.flip(0).sin()])

    def gradient(module: types.ModuleType) -> Tensor:
        def misfit(x: Tensor) -> Tensor:
            return Norm(x, None, None, norm.scale, norm.shift).run(module.norm_relu).sin().sum()

        return torch.vmap(torch.func.grad(misfit))(many)

    assert relative(gradient(features), gradient(twins)) < 1e-10


def test_bfloat16() -> None:
    """Maps and tangents keep their type; derivatives are those of the twin, up to the rounding of maps."""
    k = kernels(2)
    gathers, tangent = noise(2, 8, 40), noise(2, 8, 40, seed=8)
    expected = torch.func.jvp(lambda x: twins.trace_embedding(x, *k), (gathers,), (tangent,))[1]
    low = tuple(t.bfloat16() for t in (gathers, tangent))
    found = torch.func.jvp(lambda x: features.trace_embedding(x, *k.to(torch.float32)), (low[0],), (low[1],))[1]
    assert found.dtype == torch.bfloat16
    assert relative(found, expected) < 0.1
    leaf = low[0].requires_grad_()
    (grad,) = torch.autograd.grad(
        features.trace_embedding(leaf, *k.to(torch.float32)).float().square().sum(), leaf, create_graph=True
    )
    (second,) = torch.autograd.grad(grad.float().sum(), leaf)
    assert second.dtype == torch.bfloat16
    assert bool(second.isfinite().all())


def test_the_network() -> None:
    """Its derivative along all parameters and the records; in training torch.func refuses norms that count batches."""
    torch.manual_seed(4)
    geometry: dict[str, Any] = {"shots": 2, "receivers": 5, "samples": 60, "shape": (20, 13), "width": 0.1}
    ours, theirs = (SeisInvNet(**geometry, fused=fused).double().eval() for fused in (True, False))
    theirs.load_state_dict(ours.state_dict())
    parameters = {name: p.detach() for name, p in ours.named_parameters()}
    tangents = {name: noise(*p.shape, seed=k) for k, (name, p) in enumerate(parameters.items())}
    records = noise(2, 2, 60, 5)

    def tangent(network: SeisInvNet) -> Tensor:
        def run(p: dict[str, Tensor], x: Tensor) -> Tensor:
            out: Tensor = torch.func.functional_call(network, p, (x,))
            return out

        found: Tensor = torch.func.jvp(run, (parameters, records), (tangents, records.flip(0)))[1]
        return found

    assert relative(tangent(ours), tangent(theirs)) < 1e-8


def test_forward_mode_keeps_running_statistics() -> None:
    norms = [norm_of(3, 2, 5).fresh() for _ in range(2)]
    for norm, module in zip(norms, (features, twins), strict=True):
        torch.func.jvp(lambda x, n=norm, m=module: Norm(x, *n[1:]).run(m.norm_relu), (norm.x,), (norm.x.sin(),))
    for ours, theirs in zip(norms[0][1:3], norms[1][1:3], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(norms[0].running_mean, norm_of(3, 2, 5).running_mean)


@pytest.mark.parametrize("name", ["trace_embedding", "norm_relu"])
def test_second_derivatives_of_the_bare_operators_are_refused_not_wrong(name: str) -> None:
    operators = torch.ops.seisfast
    if name == "trace_embedding":
        k, leaf = kernels(2), noise(2, 3, 5).requires_grad_()
        weights = [t for pair in zip(*k, strict=True) for t in pair]
        out = operators.trace_embedding_forward(leaf, *weights, 1e-5)[0]
    else:
        norm = norm_of(2, 3, 5)
        leaf = norm.x.requires_grad_()
        out = operators.norm_relu_forward(leaf, None, None, norm.scale, norm.shift, None, None, 1e-5)[0]
    (grad,) = torch.autograd.grad(out.sin().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match=r"take second derivatives through an eager seisfast\.features"):
        torch.autograd.grad(grad.sum(), leaf)
