"""Positions between cells inside torch: compiled, mapped, along tangents, under autocast, made without gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_survey import (
    NOISE,
    RECEIVERS,
    SOURCES,
    UNUSUAL,
    double,
    relative,
    small_velocity,
    small_wavelet,
    tiny_survey,
)
from torch import Tensor
from torch.autograd import forward_ad

import seisfast as sf

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]


@pytest.mark.parametrize("moving", [False, True], ids=["fixed", "moving"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_compiled_whole_is_the_eager_call_to_the_bit(case: str, moving: bool) -> None:
    places = [double(p, requires_grad=moving) for p in (SOURCES, RECEIVERS)]
    survey = tiny_survey(*places, **UNUSUAL[case])
    torch._dynamo.reset()
    run = torch.compile(lambda v: sf.simulate(v, survey), fullgraph=True, backend="aot_eager")
    found = []
    for function in (run, lambda v: sf.simulate(v, tiny_survey(*places, **UNUSUAL[case]))):
        velocity = small_velocity(2, 6, 7).requires_grad_()
        data = function(velocity)
        found.append((data, *torch.autograd.grad(data.square().sum(), (velocity, *places[: 2 * moving]))))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_compiled_code_cannot_change_its_cells() -> None:
    """A position that leaves its cell gives NaN there, never a wrong record; the next eager call finds its cells."""
    velocity, place = small_velocity(6, 7), double(SOURCES, requires_grad=True)
    survey = tiny_survey(place)
    torch._dynamo.reset()
    run = torch.compile(lambda v: sf.simulate(v, survey), fullgraph=True, backend="aot_eager")
    run(velocity)
    with torch.no_grad():
        place[0, 0] += 0.5
    assert relative(run(velocity), sf.simulate(velocity, tiny_survey(place.detach()))) < 1e-13
    with torch.no_grad():
        place[0, 0] += 0.5
    with pytest.raises(FloatingPointError, match="the record of shot 0 is not finite"):
        sf.check(run(velocity))
    expected = sf.simulate(velocity, survey)
    assert relative(run(velocity), expected) < 1e-13


def test_a_survey_without_shape_must_see_a_model_before_it_compiles() -> None:
    survey = tiny_survey(shape=None)
    torch._dynamo.reset()
    run = torch.compile(lambda v: sf.simulate(v, survey), fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match=r"sources between cells need Survey\(shape=\.\.\.\) or one eager call"):
        run(small_velocity(6, 7))
    expected = sf.simulate(small_velocity(6, 7), survey)
    torch._dynamo.reset()
    assert torch.equal(run(small_velocity(6, 7)), expected)


@pytest.mark.parametrize("case", UNUSUAL)
def test_vmap_is_a_batch_of_models(case: str) -> None:
    velocity, survey = small_velocity(3, 6, 7), tiny_survey(**UNUSUAL[case])
    data = torch.vmap(lambda v: sf.simulate(v, survey))(velocity)
    assert torch.equal(data, sf.simulate(velocity, survey))
    assert relative(data, torch.stack([sf.simulate(v, survey) for v in velocity])) < 1e-14


def test_transforms_by_positions_equal_the_twins() -> None:
    places, velocity = (double(SOURCES), double(RECEIVERS)), small_velocity(6, 7)

    def all_of(run: Callable[[Tensor, sf.Survey], Tensor]) -> list[Tensor]:
        def record(sources: Tensor, receivers: Tensor) -> Tensor:
            return run(velocity, tiny_survey(sources, receivers, nt=8, wavelet=NOISE[:, :8]))

        def misfit(sources: Tensor) -> Tensor:
            return record(sources, places[1]).square().sum()

        with forward_ad.dual_level():
            dual = record(forward_ad.make_dual(places[0], places[0]), places[1])
            tangent = forward_ad.unpack_dual(dual).tangent.clone()
        return [
            tangent, torch.func.jvp(record, places, places)[1], *torch.func.jacfwd(record, (0, 1))(*places),
            *torch.func.jacrev(record, (0, 1))(*places), torch.func.hessian(misfit)(places[0]),
        ]  # fmt: skip

    for ours, twins in zip(all_of(sf.simulate), all_of(sf.reference.simulate), strict=True):
        assert ours.abs().max() > 0
        assert relative(ours, twins) < 1e-11


def test_wavelets_of_every_form_and_models_of_their_own() -> None:
    velocity = small_velocity(2, 6, 7)
    full = small_wavelet(2, 2, 1, nt=14)
    data = sf.simulate(velocity, tiny_survey(wavelet=full))
    for k in range(2):
        assert relative(data[k], sf.simulate(velocity[k], tiny_survey(wavelet=full[k]))) < 1e-14
    one = small_wavelet(nt=14)
    assert torch.equal(
        sf.simulate(velocity, tiny_survey(wavelet=one)), sf.simulate(velocity, tiny_survey(wavelet=one.expand(2, 14)))
    )


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_leaves_records_alone(half: torch.dtype) -> None:
    velocity, survey = small_velocity(6, 7, dtype=torch.float32), tiny_survey()
    expected = sf.simulate(velocity, survey)
    assert expected.dtype == torch.float32
    assert relative(expected, sf.simulate(velocity.double(), survey)) < 1e-5
    with torch.autocast("cpu", dtype=half):
        assert torch.equal(sf.simulate(velocity, survey), expected)


@pytest.mark.parametrize("case", UNUSUAL)
def test_first_used_without_gradients_still_trains(case: str) -> None:
    place = double(SOURCES, requires_grad=True)
    with torch.inference_mode():
        made = tiny_survey(**UNUSUAL[case])
        sf.simulate(small_velocity(6, 7), made)
    used = tiny_survey(place, **UNUSUAL[case])
    with torch.inference_mode():
        sf.simulate(small_velocity(6, 7), used)
    for survey in (made, used):
        velocity = small_velocity(6, 7).requires_grad_()
        assert torch.autograd.grad(sf.simulate(velocity, survey).square().sum(), velocity)[0].abs().max() > 0
