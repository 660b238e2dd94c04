"""The operator inside torch: opcheck, torch.compile, torch.func, forward mode, and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_survey import relative, small_survey, small_velocity, small_wavelet
from torch import Tensor
from torch.autograd import forward_ad

import seisfast as sf
from seisfast.planning import planned_scheme
from seisfast.reference.acoustic import expand_wavelet

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
SHAPE, STEPS = (6, 7), 14
NOISE = torch.randn(2, STEPS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
TINY = {"cpml": sf.CPML(3), "free": sf.Faces(top=sf.Free()), "sponge": sf.Sponge(4, vmin_gradient=True)}
LAYERS = pytest.mark.parametrize("boundary", TINY)
Run = Callable[[Tensor, sf.Survey], Tensor]


def tiny_survey(boundary: str = "cpml", **changes: object) -> sf.Survey:
    settings: dict[str, object] = {
        "shape": SHAPE,
        "nt": STEPS,
        "dt": 8e-4,
        "sources": [(1, 1), (3, 5)],
        "receivers": [(1, ix) for ix in range(0, 7, 2)],
        "wavelet": NOISE,
    }
    return small_survey(TINY[boundary], **{**settings, **changes})


def record(run: Run, boundary: str = "cpml") -> Callable[[Tensor], Tensor]:
    """Velocity -> record. The survey is made inside, as a user's function may do."""
    return lambda velocity: run(velocity, tiny_survey(boundary))


def misfit(run: Run, boundary: str = "cpml") -> Callable[[Tensor], Tensor]:
    return lambda velocity: run(velocity, tiny_survey(boundary)).square().sum()


def agree(transform: Callable[[Run], Any], tolerance: float = 1e-11) -> None:
    """The transform of ours is not zero and is that of the twin."""
    ours, twins = transform(sf.simulate), transform(sf.reference.simulate)
    for a, b in zip(*([x] if isinstance(x, Tensor) else x for x in (ours, twins)), strict=True):
        assert a.abs().max() > 0
        assert relative(a, b) < tolerance


# -- the registered operators ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "storage",
    [
        sf.Storage("all"),
        sf.Storage("checkpoint"),
        sf.Storage(every=3),
        sf.Storage(dtype=torch.float16),
        sf.Storage(every=2, dtype=torch.float16),
        None,
    ],
    ids=["all", "checkpoint", "every", "half", "every-half", "nothing"],
)
@LAYERS
def test_opcheck(boundary: str, storage: sf.Storage | None) -> None:
    survey = small_survey(TINY[boundary])
    velocity = small_velocity(2, 14, 17).requires_grad_(storage is not None)
    wavelet = expand_wavelet(survey, velocity).clone().requires_grad_()
    profile = survey.profile((14, 17), velocity.dtype, velocity.device)
    scheme = planned_scheme(velocity, survey, storage or sf.Storage())
    assert scheme.keep == ("nothing" if storage is None else "checkpoint" if storage.mode == "checkpoint" else "all")
    tensors = (velocity, wavelet, survey.sources, survey.receivers, profile)
    result = torch.library.opcheck(torch.ops.seisfast.acoustic_forward.default, (*tensors, *scheme.arguments()))
    assert set(result.values()) == {"SUCCESS"}

    with torch.no_grad():
        data, *kept, _ = torch.ops.seisfast.acoustic_forward(*tensors, *scheme.arguments())
        arguments = (torch.randn_like(data), *(t.detach() for t in tensors), *kept, *scheme.arguments())
        result = torch.library.opcheck(torch.ops.seisfast.acoustic_backward.default, arguments)
    assert set(result.values()) == {"SUCCESS"}


# -- torch.compile -----------------------------------------------------------------------------------------------------


@pytest.fixture
def compiled() -> Callable[..., Any]:
    """torch.compile with nothing left over from another test; a graph break is an error."""
    torch._dynamo.reset()
    return lambda function, **options: torch.compile(function, fullgraph=True, **options)


def gradients(function: Callable[[Tensor], Tensor], velocity: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    leaf = velocity.clone().requires_grad_()
    data = function(leaf)
    return data.detach(), *torch.autograd.grad((data.double().sin() * 3).sum(), (leaf, *others))


@LAYERS
@pytest.mark.parametrize("storage", [sf.Storage(), sf.Storage("checkpoint")], ids=["auto", "checkpoint"])
def test_compiled_whole_is_the_eager_call_to_the_bit(
    boundary: str, storage: sf.Storage, compiled: Callable[..., Any]
) -> None:
    wavelet = small_wavelet(2, nt=STEPS).requires_grad_()
    survey = tiny_survey(boundary, wavelet=wavelet, shape=None)  # the compiled call is its first
    run = compiled(lambda velocity: sf.simulate(velocity, survey, storage=storage), backend="aot_eager")
    velocity = small_velocity(3, *SHAPE)
    found = gradients(run, velocity, wavelet)
    survey = tiny_survey(boundary, wavelet=wavelet)
    expected = gradients(lambda velocity: sf.simulate(velocity, survey, storage=storage), velocity, wavelet)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_compiled_float32_with_a_float64_wavelet(compiled: Callable[..., Any]) -> None:
    survey = tiny_survey()
    run = compiled(lambda velocity: sf.simulate(velocity, survey), backend="aot_eager")
    velocity = small_velocity(*SHAPE, dtype=torch.float32)
    assert torch.equal(run(velocity), sf.simulate(velocity, tiny_survey()))


def test_compiled_for_any_number_of_models(compiled: Callable[..., Any]) -> None:
    survey = tiny_survey()
    run = compiled(lambda velocity: sf.simulate(velocity, survey), backend="aot_eager", dynamic=True)
    velocity = small_velocity(5, *SHAPE)
    for models in (5, 2, 3):
        assert torch.equal(run(velocity[:models]), sf.simulate(velocity[:models], survey))


def test_compiled_with_inductor_around_other_work(compiled: Callable[..., Any]) -> None:
    survey = tiny_survey()

    def loss(scale: Tensor, velocity: Tensor) -> Tensor:
        return sf.simulate(velocity * scale, survey).square().mean()

    results = []
    for run in (compiled(loss), loss):
        scale = torch.tensor(1.01, dtype=torch.float64, requires_grad=True)
        value = run(scale, small_velocity(2, *SHAPE))
        results.append((value.detach(), *torch.autograd.grad(value, scale)))
    for a, b in zip(*results, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-12)


@pytest.mark.parametrize("what", ["simulate must not run in forward mode", "Born must not be called"])
def test_compiled_tangents_are_never_zero(what: str, compiled: Callable[..., Any]) -> None:
    """Where a graph may break they run as they are, else they are refused."""
    survey, velocity = tiny_survey("cpml"), small_velocity(*SHAPE)

    def tangent(v: Tensor) -> Any:  # noqa: ANN401
        if what.startswith("Born"):
            return sf.Born(velocity, survey)(v)
        return torch.func.jvp(lambda v: sf.simulate(v, survey), (v,), (v,))[1]

    expected = tangent(velocity)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=what):
        compiled(tangent, backend="aot_eager")(velocity)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(tangent, backend="aot_eager")(velocity), expected)
    assert expected.abs().max() > 0


def test_compiled_code_reads_nothing_back(compiled: Callable[..., Any]) -> None:
    """Values are not checked inside a compiled call; `check` is the caller's."""
    survey = tiny_survey()
    run = compiled(lambda velocity: sf.simulate(velocity, survey), backend="aot_eager")
    poisoned = small_velocity(*SHAPE)
    poisoned[2, 2] = float("nan")
    data = run(poisoned)
    with pytest.raises(FloatingPointError, match="shot 0 is not finite"):
        sf.check(data)
    with pytest.raises(ValueError, match="velocity must be finite"):
        sf.simulate(poisoned, survey)


def test_second_derivatives_of_the_bare_operator_are_refused_not_wrong() -> None:
    survey = tiny_survey()
    velocity = small_velocity(1, *SHAPE).requires_grad_()
    scheme = planned_scheme(velocity, survey, sf.Storage())
    profile = survey.profile(SHAPE, velocity.dtype, velocity.device)
    arguments = (velocity, expand_wavelet(survey, velocity), survey.sources, survey.receivers, profile)
    data = torch.ops.seisfast.acoustic_forward(*arguments, *scheme.arguments())[0]
    (grad,) = torch.autograd.grad(data.square().sum(), velocity, create_graph=True)
    with pytest.raises(RuntimeError, match=r"take second derivatives through an eager seisfast\.simulate"):
        torch.autograd.grad(grad.sum(), velocity)


# -- torch.func --------------------------------------------------------------------------------------------------------


@LAYERS
def test_jvp(boundary: str) -> None:
    velocity, tangent = small_velocity(*SHAPE), torch.randn(SHAPE, dtype=torch.float64)
    agree(lambda run: torch.func.jvp(record(run, boundary), (velocity,), (tangent,))[1])
    plain, _ = torch.func.jvp(record(sf.simulate, boundary), (velocity,), (tangent,))
    assert torch.equal(plain, sf.simulate(velocity, tiny_survey(boundary)))


def test_jvp_of_many_models_along_the_wavelet() -> None:
    """The wavelet is one for all models, so what is pushed forward is an expanded tensor."""
    velocity, tangent = small_velocity(2, *SHAPE), torch.randn((2, *SHAPE), dtype=torch.float64)
    agree(lambda run: torch.func.jvp(record(run), (velocity,), (tangent,))[1])
    wavelet = small_wavelet(2, nt=STEPS)
    agree(
        lambda run: torch.func.jvp(lambda w: run(velocity, tiny_survey(wavelet=w)), (wavelet,), (wavelet.flip(0),))[1]
    )


def test_jvp_is_the_difference_quotient() -> None:
    velocity, tangent = small_velocity(*SHAPE), torch.randn(SHAPE, dtype=torch.float64)
    run = record(sf.simulate)
    _, derivative = torch.func.jvp(run, (velocity,), (tangent,))
    assert relative((run(velocity + 0.01 * tangent) - run(velocity - 0.01 * tangent)) / 0.02, derivative) < 1e-7


def test_jvp_and_vjp_are_transposes() -> None:
    velocity, tangent = small_velocity(*SHAPE), torch.randn(SHAPE, dtype=torch.float64)
    data, pull = torch.func.vjp(record(sf.simulate), velocity)
    residual = torch.randn_like(data)
    _, pushed = torch.func.jvp(record(sf.simulate), (velocity,), (tangent,))
    assert float((pushed * residual).sum()) == pytest.approx(float((pull(residual)[0] * tangent).sum()), rel=1e-12)


@LAYERS
def test_vjp_and_grad(boundary: str) -> None:
    velocity = small_velocity(*SHAPE)
    agree(lambda run: torch.func.grad(misfit(run, boundary))(velocity))
    agree(lambda run: torch.func.vjp(record(run, boundary), velocity)[1](torch.ones(2, STEPS, 4).double()))


def test_vmap_is_a_batch_of_models() -> None:
    velocity = small_velocity(3, *SHAPE)
    run = record(sf.simulate)
    expected = torch.stack([run(v) for v in velocity])
    assert torch.equal(torch.vmap(run)(velocity), expected)
    assert torch.equal(torch.vmap(run, in_dims=2)(velocity.movedim(0, 2)), expected)
    pairs = torch.stack([velocity, velocity.flip(0)])
    assert torch.equal(torch.vmap(run)(pairs), torch.stack([run(v) for v in pairs]))
    assert torch.equal(torch.vmap(torch.vmap(run))(pairs), torch.stack([run(v) for v in pairs]))


@LAYERS
def test_gradient_inside_and_around_vmap(boundary: str) -> None:
    velocity = small_velocity(3, *SHAPE)
    agree(lambda run: torch.vmap(torch.func.grad(misfit(run, boundary)))(velocity))
    agree(lambda run: torch.func.grad(lambda v: torch.vmap(record(run, boundary))(v).square().sum())(velocity))

    def backward(run: Run) -> Tensor:
        leaf = velocity.clone().requires_grad_()
        torch.vmap(record(run, boundary))(leaf).square().sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    agree(backward)


@LAYERS
def test_jacobians(boundary: str) -> None:
    velocity = small_velocity(*SHAPE)
    agree(lambda run: torch.func.jacrev(record(run, boundary))(velocity))
    agree(lambda run: torch.func.jacfwd(record(run, boundary))(velocity))
    ours = [mode(record(sf.simulate, boundary))(velocity) for mode in (torch.func.jacrev, torch.func.jacfwd)]
    assert relative(ours[0], ours[1]) < 1e-11


@LAYERS
def test_hessian(boundary: str) -> None:
    velocity = small_velocity(*SHAPE)
    agree(lambda run: torch.func.hessian(misfit(run, boundary))(velocity))
    hessian = torch.func.hessian(misfit(sf.simulate, boundary))(velocity).reshape(42, 42)
    assert relative(hessian, hessian.T) < 1e-10


def test_transforms_of_the_wavelet() -> None:
    velocity, wavelet = small_velocity(*SHAPE), small_wavelet(2, nt=STEPS)

    def from_wavelet(run: Run) -> Callable[[Tensor], Tensor]:
        return lambda w: run(velocity, tiny_survey(wavelet=w))

    agree(lambda run: torch.func.jacrev(from_wavelet(run))(wavelet))
    agree(lambda run: torch.func.jacfwd(from_wavelet(run))(wavelet))
    agree(lambda run: torch.func.jvp(from_wavelet(run), (wavelet,), (wavelet.flip(0),))[1])


def test_mixed_second_derivatives_of_velocity_and_wavelet() -> None:
    velocity, wavelet = small_velocity(*SHAPE), small_wavelet(2, nt=STEPS)

    def loss(run: Run) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda v, w: run(v, tiny_survey(wavelet=w)).square().sum()

    agree(lambda run: torch.func.jacrev(lambda v: torch.func.grad(loss(run), 1)(v, wavelet))(velocity))
    agree(lambda run: torch.func.jacrev(lambda w: torch.func.grad(loss(run), 0)(velocity, w))(wavelet))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, v: torch.func.grad(lambda x: f(x).square().sum())(v),
        lambda f, v: torch.func.jvp(f, (v,), (v,)),
        lambda f, v: torch.vmap(f)(v[None]),
        lambda f, v: torch.func.hessian(lambda x: f(x).square().sum())(v),
    ],
    ids=["grad", "jvp", "vmap", "hessian"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_a_survey_first_used_under_a_transform_is_as_good_as_new(
    transform: Callable[..., object], dtype: torch.dtype
) -> None:
    velocity = small_velocity(*SHAPE, dtype=dtype)
    used = tiny_survey(shape=None)
    transform(lambda v: sf.simulate(v, used), velocity)
    found, expected = (
        gradients(lambda v, survey=survey: sf.simulate(v, survey), velocity) for survey in (used, tiny_survey())
    )
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


# -- forward mode and second derivatives in eager autograd -------------------------------------------------------------


def test_forward_mode_dual_numbers() -> None:
    velocity, tangent = small_velocity(*SHAPE), torch.randn(SHAPE, dtype=torch.float64)

    def derivative(run: Run) -> Tensor:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(velocity, tangent)
            return forward_ad.unpack_dual(run(dual, tiny_survey())).tangent

    agree(derivative)


@LAYERS
def test_gradgradcheck(boundary: str) -> None:
    def run(velocity: Tensor, wavelet: Tensor) -> Tensor:
        return sf.simulate(velocity, tiny_survey(boundary, wavelet=wavelet, nt=8))

    inputs = (small_velocity(*SHAPE).requires_grad_(), NOISE[:, :8].clone().requires_grad_())
    assert torch.autograd.gradgradcheck(run, inputs, eps=1e-3, atol=1e-6, rtol=1e-4, fast_mode=True)


@LAYERS
def test_double_backward(boundary: str) -> None:
    def gradient_of_gradient_norm(run: Run) -> tuple[Tensor, ...]:
        velocity = small_velocity(2, *SHAPE).requires_grad_()
        wavelet = small_wavelet(2, nt=STEPS).requires_grad_()
        data = run(velocity, tiny_survey(boundary, wavelet=wavelet))
        (grad,) = torch.autograd.grad(data.square().sum(), velocity, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), (velocity, wavelet))

    agree(gradient_of_gradient_norm)


def test_compile_with_every_second_step_on_a_fresh_survey() -> None:
    survey = sf.Survey(
        shape=(12, 14),
        spacing=10.0,
        dt=1e-3,
        nt=150,
        sources=[(2, 3)],
        receivers=[(1, 5)],
        wavelet=sf.wavelets.ricker(15.0, 1e-3, 150),
    )
    storage = sf.Storage(every=2)
    compiled = torch.compile(lambda v: sf.simulate(v, survey, storage=storage), fullgraph=True, backend="aot_eager")
    velocity = torch.full((12, 14), 2000.0, requires_grad=True)
    assert torch.equal(compiled(velocity), sf.simulate(velocity, survey, storage=storage))
