"""What is kept for a gradient: exact and lossy storage, how much memory it may take, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_survey import (
    BOUNDARIES,
    DTYPES,
    EXACT,
    NT,
    gradient,
    noise,
    relative,
    small_survey,
    small_velocity,
    small_wavelet,
)
from torch import Tensor

import seisfast as sf
from seisfast import propagator
from seisfast.ops.acoustic import Scheme, jobs_at_once
from seisfast.planning import planned_scheme, segment_length

# -- exact and lossy ---------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_exact_storages_are_equal_to_the_bit(boundary: str, dtype: torch.dtype) -> None:
    velocity = small_velocity(2, 14, 17, dtype=dtype)
    for nt in (1, 2, NT - 1, NT):  # with a last segment that is whole and one that is not
        survey = small_survey(boundary, nt=nt, wavelet=small_wavelet(2, 3, 2)[..., :nt])
        weights = noise(2, 3, nt, 5, dtype=dtype)
        grads = [gradient(velocity, survey, weights, storage=storage) for storage in EXACT]
        assert torch.equal(grads[0], grads[1])
        assert torch.equal(grads[0], grads[2])


def test_auto_keeps_what_is_small_and_recomputes_what_is_large() -> None:
    velocity = small_velocity(1, 14, 17).requires_grad_()
    small, large = small_survey(wavelet=small_wavelet()), small_survey(nt=20_000, wavelet=torch.zeros(20_000))
    assert planned_scheme(velocity, small, sf.Storage()).keep == "all"
    assert planned_scheme(velocity, large, sf.Storage()).keep == "checkpoint"
    assert planned_scheme(velocity, large, sf.Storage("all")).keep == "all"
    assert planned_scheme(velocity, large, sf.Storage(dtype=torch.float16)).keep == "all"
    assert planned_scheme(velocity.detach(), large, sf.Storage()).keep == "nothing"
    with torch.no_grad():
        assert planned_scheme(velocity, large, sf.Storage()).keep == "nothing"


def test_checkpoints_are_about_the_square_root_apart() -> None:
    assert segment_length(1) >= 1
    assert segment_length(1000) == 55


@pytest.fixture(
    scope="module", params=[sf.CPML(10), sf.Faces(top=sf.Free()), sf.Sponge(20, vmin_gradient=True)], ids=repr
)
def inversion(request: pytest.FixtureRequest) -> tuple[sf.Survey, Tensor, Tensor]:
    """A survey, a starting model, and the records of one with a fast block: residuals as an inversion has them."""
    survey = sf.Survey(
        shape=(30, 36), spacing=10.0, dt=1e-3, nt=400, sources=[(2, 4), (3, 30)],
        receivers=[(2, ix) for ix in range(0, 36, 3)], wavelet=sf.wavelets.ricker(15.0, 1e-3, 400),
        boundary=request.param,
    )  # fmt: skip
    start = (2000.0 + torch.linspace(0, 800, 30, dtype=torch.float64)[:, None]).repeat(1, 36)
    true = start.clone()
    true[12:20, 10:24] += 200.0
    return survey, start, sf.simulate(true, survey)


@DTYPES
@pytest.mark.parametrize(
    ("storage", "bound"),
    [
        (sf.Storage(every=2), 5e-6),
        (sf.Storage(every=4), 1e-5),
        (sf.Storage(every=8), 1e-3),
        (sf.Storage("all", every=13), 5e-3),  # the Nyquist step
        (sf.Storage(dtype=torch.float16), 2e-4),
        (sf.Storage(every=4, dtype=torch.float16), 2e-4),
    ],
    ids=str,
)
def test_lossy_storage_is_close_and_not_exact(
    inversion: tuple[sf.Survey, Tensor, Tensor], storage: sf.Storage, bound: float, dtype: torch.dtype
) -> None:
    survey, start, observed = inversion

    def misfit_gradient(kept: sf.Storage) -> Tensor:
        velocity = start.to(dtype).requires_grad_()
        data = sf.simulate(velocity, survey, storage=kept)
        return torch.autograd.grad((data - observed.to(dtype)).square().sum(), velocity)[0]

    exact, lossy = misfit_gradient(sf.Storage()), misfit_gradient(storage)
    assert 0 < relative(lossy, exact) < bound
    assert storage.lossy


def test_storage_does_not_touch_the_record_nor_the_wavelets_gradient() -> None:
    velocity, weights = small_velocity(2, 14, 17), noise(2, 3, NT, 5)
    found = []
    for storage in (*EXACT, sf.Storage(every=4), sf.Storage(dtype=torch.float16)):
        wavelet = small_wavelet(3).requires_grad_()
        data = sf.simulate(velocity.clone().requires_grad_(), small_survey(wavelet=wavelet), storage=storage)
        found.append((data.detach(), torch.autograd.grad((data * weights).sum(), wavelet)[0]))
    for data, grad in found[1:]:
        assert torch.equal(data, found[0][0])
        assert torch.equal(grad, found[0][1])


def test_half_precision_survives_amplitudes_far_outside_its_range() -> None:
    velocity, weights = small_velocity(2, 14, 17, dtype=torch.float32), noise(2, 3, NT, 5, dtype=torch.float32)
    half = sf.Storage(dtype=torch.float16)
    plain = gradient(velocity, small_survey(wavelet=small_wavelet(3)), weights, storage=half)
    for scale in (2.0**40, 2.0**-40):
        scaled = gradient(velocity, small_survey(wavelet=small_wavelet(3) * scale), weights, storage=half)
        assert torch.equal(scaled, plain * scale)


# -- memory ------------------------------------------------------------------------------------------------------------


def test_groups_of_shots() -> None:
    assert jobs_at_once(0, 20, 100) == 20
    assert jobs_at_once(1000, 20, 100) == 10
    assert jobs_at_once(1000, 5, 100) == 5
    assert jobs_at_once(50, 20, 100) == 1  # one shot must run
    assert jobs_at_once(50, 20, 0) == 20


def gradient_of_squares(storage: sf.Storage) -> Tensor:
    velocity = small_velocity(2, 14, 17, dtype=torch.float64).requires_grad_()
    sf.simulate(velocity, small_survey(), storage=storage).square().sum().backward()
    assert velocity.grad is not None
    return velocity.grad


def test_memory_decides_what_is_kept_and_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[str] = []
    plan: Callable[..., Scheme] = propagator.planned_scheme

    def spy(*arguments: Any) -> Scheme:  # noqa: ANN401
        plans.append(plan(*arguments).keep)
        return plan(*arguments)

    monkeypatch.setattr(propagator, "planned_scheme", spy)
    results = [gradient_of_squares(sf.Storage(memory=memory)) for memory in (2**30, 2**20)]
    assert plans == ["all", "checkpoint"]
    assert torch.equal(*results)
    assert relative(results[0], gradient_of_squares(sf.Storage("all"))) == 0


@pytest.mark.parametrize("memory", [0, -1, 1.5, True])
def test_memory_must_be_bytes(memory: object) -> None:
    with pytest.raises(
        (TypeError, ValueError), match="Storage memory, in bytes, must be an integer of at least 1, got"
    ):
        sf.Storage(memory=memory)  # type: ignore[arg-type]


def test_too_little_memory_says_how_much_and_what_to_change() -> None:
    with pytest.raises(MemoryError, match=r"Storage memory must hold .* keeps, .* GiB, got .*Storage\('checkpoint'\)"):
        gradient_of_squares(sf.Storage("all", memory=1000))
    with pytest.raises(MemoryError, match="fewer shots or models per call"):
        gradient_of_squares(sf.Storage("checkpoint", memory=1000))


def test_model_larger_than_the_memory_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sf.planning, "free_memory", lambda device: 2**20)
    velocity = small_velocity(2, 14, 17)
    sf.simulate(velocity, small_survey())
    monkeypatch.setattr(sf.planning, "free_memory", lambda device: 1000)
    with pytest.raises(
        MemoryError, match=r"shots on a grid of \d+ x \d+ need .* for the results .* cpu has .* GiB: use"
    ):
        sf.simulate(velocity, small_survey())


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "disk"}, r"Storage mode must be 'auto', 'all' or 'checkpoint', got 'disk'"),
        ({"mode": None}, r"Storage mode must be 'auto', 'all' or 'checkpoint', got None"),
        ({"every": 0}, r"Storage every must be an integer of at least 1, got 0"),
        ({"every": 2.0}, r"Storage every must be an integer of at least 1, got 2\.0"),
        ({"every": True}, r"Storage every must be an integer of at least 1, got True"),
        ({"dtype": torch.bfloat16}, r"Storage dtype must be None or torch\.float16, got torch\.bfloat16"),
        ({"dtype": torch.float32}, r"Storage dtype must be None or torch\.float16, got torch\.float32"),
        ({"mode": "checkpoint", "every": 2}, r"'checkpoint' recomputes exactly; every and dtype need mode 'all'"),
        ({"mode": "checkpoint", "dtype": torch.float16}, r"'checkpoint' recomputes exactly"),
    ],
    ids=str,
)
def test_storage_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        sf.Storage(**arguments)


@pytest.mark.parametrize("every", [NT + 1, 2**31, 2**33 + 5])
def test_an_interval_beyond_the_survey(every: int) -> None:
    """Nothing limits it where the wavelet is silent: the first step alone is kept."""
    velocity = small_velocity(14, 17).requires_grad_()
    survey = small_survey(wavelet=torch.zeros(NT, dtype=torch.float64))
    sf.simulate(velocity, survey, storage=sf.Storage("all", every=every)).sum().backward()
    assert velocity.grad is not None
    assert not velocity.grad.any()
