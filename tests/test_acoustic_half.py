"""float16 and bfloat16 velocities and wavelets: computed in float32, returned as given; autocast changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_survey import relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
HALF = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=["f16", "bf16"])
SUBSTEPS = pytest.mark.parametrize("substeps", [1, 2])


def record_and_gradient(
    velocity: Tensor, run: Callable[..., Tensor] = sf.simulate, survey: sf.Survey | None = None, **arguments: object
) -> tuple[Tensor, Tensor]:
    """The record, and the gradient for a residual that half types hold exactly."""
    leaf = velocity.clone().requires_grad_()
    data = run(leaf, survey or small_survey(), **arguments)
    residual = torch.linspace(-2, 2, 5).to(data.dtype).expand_as(data)
    return data.detach(), torch.autograd.grad(data, leaf, residual)[0]


# -- velocities --------------------------------------------------------------------------------------------------------


@HALF
@SUBSTEPS
@pytest.mark.parametrize("run", [sf.simulate, sf.reference.simulate], ids=["fast", "twin"])
def test_is_the_float32_result_rounded(run: Callable[..., Tensor], substeps: int, half: torch.dtype) -> None:
    velocity = small_velocity(2, 14, 17).to(half)
    found = record_and_gradient(velocity, run, substeps=substeps)
    for ours, expected in zip(found, record_and_gradient(velocity.float(), run, substeps=substeps), strict=True):
        assert ours.dtype == half
        assert torch.equal(ours, expected.to(half))
        assert ours.abs().max() > 0


@HALF
def test_checks_see_the_float32_values(half: torch.dtype) -> None:
    """The limit between two neighbouring half numbers is found exactly."""
    velocity = torch.full((14, 17), 3000.0).to(half)
    limit = small_survey().largest_dt(float(velocity[0, 0]), float(velocity[0, 0]))
    sf.simulate(velocity, small_survey(dt=limit, wavelet=small_wavelet()))
    with pytest.raises(ValueError, match=r"dt must not exceed .* for velocities up to (3000|3008) m/s"):
        sf.simulate(velocity, small_survey(dt=limit * (1 + 1e-6), wavelet=small_wavelet()))
    assert torch.equal(
        sf.simulate(velocity, small_survey(dt=limit * 1.5, wavelet=small_wavelet()), substeps="auto"),
        sf.simulate(velocity, small_survey(dt=limit * 1.5, wavelet=small_wavelet()), substeps=2),
    )
    velocity[3, 4] = float("inf")
    with pytest.raises(ValueError, match=r"velocity must be finite and positive, got inf at .* = \(0, 3, 4\)"):
        sf.simulate(velocity, small_survey(wavelet=small_wavelet()))


def test_a_record_that_float16_does_not_hold_is_an_error_that_names_it() -> None:
    loud, velocity = small_survey(wavelet=small_wavelet(3) * 1e5), small_velocity(14, 17)
    with pytest.raises(FloatingPointError, match=r"record of shot 0 is not finite: it exceeds the 65504 that float16 "):
        sf.simulate(velocity.half(), loud)
    assert sf.simulate(velocity.bfloat16(), loud).abs().max() > 65504
    assert sf.simulate(velocity.float(), loud).abs().max() > 65504
    torch._dynamo.reset()
    silent = torch.compile(lambda v: sf.simulate(v, loud), fullgraph=True, backend="aot_eager")(velocity.half())
    with pytest.raises(FloatingPointError, match="float16"):
        sf.check(silent)


def test_a_record_whose_sum_float16_does_not_hold_is_none() -> None:
    data = torch.full((3, 40, 50), 100.0, dtype=torch.float16)
    assert torch.isinf(data.sum((-1, -2))).all()
    assert sf.check(data) is data


def test_records_of_a_survey_lie_within_float16() -> None:
    """A wavelet of amplitude one makes records around one."""
    survey = sf.Survey.seisinv(shape=(40, 40), shots=2, nt=300)
    velocity = torch.linspace(1500, 4500, 40)[:, None].repeat(1, 40)
    data = sf.simulate(velocity, survey)
    assert 0.1 < float(data.abs().max()) < 100.0
    assert relative(sf.simulate(velocity.half(), survey), sf.simulate(velocity.half().float(), survey)) < 5e-4


@HALF
def test_transforms_and_compilation(half: torch.dtype) -> None:
    velocity, survey = small_velocity(2, 14, 17).to(half), small_survey(wavelet=small_wavelet(3))
    assert torch.equal(torch.vmap(lambda v: sf.simulate(v, survey))(velocity), sf.simulate(velocity, survey))
    tangent = torch.ones_like(velocity[0])
    found = torch.func.jvp(lambda v: sf.simulate(v, survey), (velocity[0],), (tangent,))[1]
    expected = torch.func.jvp(lambda v: sf.simulate(v, survey), (velocity[0].float(),), (tangent.float(),))[1]
    assert torch.equal(found, expected.to(half))
    torch._dynamo.reset()
    compiled = torch.compile(sf.simulate, fullgraph=True, backend="aot_eager")
    results = [record_and_gradient(velocity, run, survey=survey) for run in (compiled, sf.simulate)]
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


# -- wavelets ----------------------------------------------------------------------------------------------------------


@HALF
def test_a_half_wavelet_is_kept_in_float32(half: torch.dtype) -> None:
    velocity, wavelet = small_velocity(2, 14, 17), small_wavelet(3).to(half)
    survey = small_survey(wavelet=wavelet)
    assert survey.wavelet.dtype == torch.float32
    assert sf.Survey.from_dict(survey.to_dict()) == survey
    assert torch.equal(sf.simulate(velocity, survey), sf.simulate(velocity, small_survey(wavelet=wavelet.double())))


@HALF
@SUBSTEPS
def test_the_gradient_of_a_half_wavelet_comes_back_in_its_type(substeps: int, half: torch.dtype) -> None:
    velocity = small_velocity(2, 14, 17)
    learned = small_wavelet(3).to(half).requires_grad_()
    exact = learned.detach().double().requires_grad_()
    grads = [
        torch.autograd.grad(sf.simulate(velocity, small_survey(wavelet=w), substeps=substeps).square().sum(), w)[0]
        for w in (learned, exact)
    ]
    assert grads[0].dtype == half
    assert torch.equal(grads[0], grads[1].to(half))


# -- autocast ----------------------------------------------------------------------------------------------------------


@HALF
@SUBSTEPS
@pytest.mark.parametrize("wrap", ["eager", "compiled"])
def test_autocast_changes_nothing(wrap: str, substeps: int, half: torch.dtype) -> None:
    torch._dynamo.reset()
    velocity = small_velocity(2, 14, 17, dtype=torch.float32)
    run = torch.compile(sf.simulate, fullgraph=True, backend="aot_eager") if wrap == "compiled" else sf.simulate
    expected = record_and_gradient(velocity, substeps=substeps)
    with torch.autocast("cpu", dtype=half):
        found = record_and_gradient(velocity, run, substeps=substeps)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_autocast_changes_nothing_in_forward_mode_and_second_derivatives() -> None:
    survey = small_survey(sf.CPML(2), shape=(5, 6), nt=10, sources=[(1, 1)], receivers=[(1, 4)], wavelet=torch.ones(10))
    velocity, tangent = small_velocity(5, 6, dtype=torch.float32), torch.ones(5, 6)

    def products() -> list[Tensor]:
        def push(function: Callable[[Tensor], Tensor]) -> Tensor:
            pushed: Tensor = torch.func.jvp(function, (velocity,), (tangent,))[1]
            return pushed

        return [
            push(lambda v: sf.simulate(v, survey, substeps=2)),
            push(torch.func.grad(lambda v: sf.simulate(v, survey).square().sum())),
        ]

    expected = products()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for a, b in zip(products(), expected, strict=True):
            assert a.dtype == torch.float32
            assert torch.equal(a, b)
