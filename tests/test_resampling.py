"""Resampling and the substeps of `simulate`: band, ends, the limit without a shift, and the gradient of the chain."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_survey import gradient, noise, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.resampling import REACH, downsampled, resampled, upsampled

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
SUBSTEPS = pytest.mark.parametrize("substeps", [2, 3, 5])
SHAPE, STEPS = (6, 7), 10


def pulse(dt: float, nt: int, centre: float = 0.1) -> Tensor:
    """A Ricker wavelet of 15 Hz at any time, not only at samples."""
    beta = (math.pi * 15.0 * (torch.arange(nt, dtype=torch.float64) * dt - centre)) ** 2
    return (1 - 2 * beta) * torch.exp(-beta)


def tiny_survey(**changes: object) -> sf.Survey:
    """2 shots of one source on 6 x 7 cells, at a time step above the stability limit."""
    settings: dict[str, object] = {
        "shape": SHAPE, "nt": STEPS, "dt": 2.5e-3, "sources": [(1, 1), (3, 5)],
        "receivers": [(1, ix) for ix in range(0, 7, 2)], "wavelet": noise(2, STEPS, seed=5),
    }  # fmt: skip
    return small_survey(sf.CPML(3), **{**settings, **changes})


# -- the resampling itself ---------------------------------------------------------------------------------------------


@SUBSTEPS
def test_the_given_samples_are_among_the_steps(substeps: int) -> None:
    wavelet = noise(3, 2, 40)
    steps = upsampled(wavelet, substeps)
    assert steps.shape == (3, 2, substeps * (40 + 2 * REACH))
    given = steps[..., substeps * REACH :: substeps][..., :40]
    assert (given - wavelet).abs().max() < 1e-14


@SUBSTEPS
@pytest.mark.parametrize("band", [0.0, 0.3, 0.75])
def test_what_is_band_limited_is_interpolated_and_sampled_exactly(band: float, substeps: int) -> None:
    """Away from the ends a sine up to three quarters of the Nyquist frequency keeps its amplitude and its phase."""
    nt = 80
    before, after = torch.arange(nt).double(), torch.arange(substeps * (nt + 2 * REACH)).double() / substeps - REACH

    def sine(time: Tensor) -> Tensor:
        return torch.cos(math.pi * band * time + 0.3)

    inside = slice(substeps * 2 * REACH, substeps * nt)
    assert (upsampled(sine(before), substeps) - sine(after))[inside].abs().max() < 3e-6
    record = sine(after + 1 / substeps)[:, None]  # step j is the field after it
    assert (downsampled(record, substeps)[:, 0] - sine(before + 1)).abs().max() < 3e-6


@SUBSTEPS
def test_what_lies_above_the_band_does_not_alias(substeps: int) -> None:
    time = torch.arange(substeps * (40 + 2 * REACH)).double() / substeps
    record = torch.cos(math.pi * 1.26 * time)[:, None]  # would appear at 0.74 of the Nyquist frequency
    assert downsampled(record, substeps).abs().max() < 3e-6


@SUBSTEPS
def test_each_is_the_transpose_of_the_other(substeps: int) -> None:
    wavelet, record = noise(40), noise(substeps * (40 + 2 * REACH), 1, seed=4)
    record[: substeps - 1] = 0.0
    forward = (upsampled(wavelet, substeps) * record[:, 0].roll(1 - substeps)).sum()
    back = (wavelet * downsampled(record, substeps)[:, 0]).sum() * substeps
    assert float(forward) == pytest.approx(float(back), rel=1e-12)


@SUBSTEPS
def test_nothing_wraps_around(substeps: int) -> None:
    """A sample reaches REACH samples to either side and no further."""
    for n in (0, 17, 39):
        wavelet = torch.zeros(40, dtype=torch.float64)
        wavelet[n] = 1.0
        steps = upsampled(wavelet, substeps)
        far = (torch.arange(len(steps)) - substeps * (n + REACH)).abs() >= substeps * REACH
        assert steps[far].abs().max() < 1e-15
        assert steps[~far].square().sum() > 0.8 * substeps
    record = torch.zeros(substeps * (40 + 2 * REACH), 40, dtype=torch.float64)
    for n in range(40):  # a column for each sample, heard by it alone: its kernel is zero at every other
        record[substeps * (n + 1 + REACH) - 1, n] = substeps
    assert (downsampled(record, substeps) - torch.eye(40)).abs().max() < 1e-14


RATIOS = pytest.mark.parametrize(
    ("dt", "new_dt"), [(1e-3, 0.7e-3), (4e-3, 1e-3), (1e-3, 4e-3), (1e-3, 2.3e-3), (0.73e-3, 1e-3), (1e-3, 1e-3)]
)


def waves(times: Tensor, band: float) -> Tensor:
    """Three wave groups well inside 1 s, `[time, 3]`; the fastest has nothing above `band` Hz at 1e-7."""
    places = torch.tensor([0.45, 0.5, 0.55], dtype=torch.float64)
    rates = torch.tensor([0.1, 0.4, 0.75], dtype=torch.float64) * band
    shifted = times[:, None] - places
    return torch.exp(-((shifted * 0.2 * band) ** 2)) * torch.cos(2 * math.pi * rates * shifted)


@RATIOS
@pytest.mark.parametrize("start", [0.0, -0.0123])
def test_records_at_other_times(dt: float, new_dt: float, start: float) -> None:
    """Signals below three quarters of the lower Nyquist frequency, at any ratio of the intervals."""
    nt, new_nt = round(1.05 / dt), round(1.0 / new_dt)
    band = 0.75 * 0.5 / max(dt, new_dt)
    record = waves(torch.arange(nt).double() * dt + start, band)
    found = resampled(record, dt, start, new_dt, new_nt)
    expected = waves(torch.arange(new_nt).double() * new_dt, band)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 2e-6


def test_what_the_new_samples_cannot_hold_is_taken_out() -> None:
    time = torch.arange(1000).double() * 1e-3
    high = torch.sin(2 * math.pi * 170.0 * time)[:, None]  # above 5/4 of 125 Hz
    assert resampled(high, 1e-3, 0.0, 4e-3, 250)[20:-20].abs().max() < 2e-6
    assert high[::4].abs().max() > 0.9


def test_samples_that_fall_on_samples_are_the_very_same() -> None:
    record = noise(60, 4, dtype=torch.float32)
    assert torch.equal(resampled(record, 2e-3, 0.0, 2e-3, 60), record)
    assert torch.equal(resampled(record, 2e-3, -6e-3, 2e-3, 50), record[3:53])
    finer = resampled(record, 2e-3, 0.0, 1e-3, 120)
    assert finer.dtype == torch.float32
    assert relative(finer[::2], record) < 1e-6


def test_a_record_that_does_not_end_at_zero_does_not_ring() -> None:
    ramp = torch.linspace(1.0, 3.0, 101, dtype=torch.float64)[:, None]
    found = resampled(ramp, 1e-3, 0.0, 0.4e-3, 250)
    assert (found[:, 0] - (1.0 + 20.0 * torch.arange(250).double() * 0.4e-3)).abs().max() < 1e-5
    assert torch.allclose(resampled(ramp[:1], 1e-3, 0.0, 0.4e-3, 3), torch.ones(3, 1).double(), atol=1e-5)


# -- records -----------------------------------------------------------------------------------------------------------


def test_one_substep_is_the_plain_run_to_the_bit() -> None:
    survey, velocity = small_survey(), small_velocity(2, 14, 17)
    assert survey.refined(1) is survey
    for substeps in (1, "auto"):
        assert torch.equal(sf.simulate(velocity, survey, substeps=substeps), sf.simulate(velocity, survey))


@SUBSTEPS
@pytest.mark.parametrize("boundary", ["cpml", "unequal", "free", "sponge"])
def test_is_the_run_in_smaller_steps_at_the_given_samples(boundary: str, substeps: int) -> None:
    """The same as a survey with the wavelet itself in steps of dt / m, every m-th sample of its record taken."""
    dt, nt = 4e-3 / substeps, 60 * substeps
    coarse = small_survey(boundary, dt=4e-3, nt=60, wavelet=pulse(4e-3, 60), order=8)
    fine = small_survey(boundary, dt=dt, nt=nt, wavelet=pulse(dt, nt), order=8)
    velocity = small_velocity(2, 14, 17) / 3.0
    expected = sf.simulate(velocity, fine)[:, :, substeps - 1 :: substeps]
    data = sf.simulate(velocity, coarse, substeps=substeps)
    assert relative(data, expected) < 1e-5
    assert (data - expected)[:, :, -5:].abs().max() < 1e-5 * expected.abs().max()  # nothing rings at the cut


def test_more_substeps_approach_the_limit_with_the_second_power() -> None:
    """Without a layer, whose memory variables are first order."""
    velocity = small_velocity(14, 17)
    survey = small_survey("rigid", dt=2e-3, nt=100, wavelet=pulse(2e-3, 100))
    limit = sf.simulate(velocity, survey, substeps=32)
    errors = [relative(sf.simulate(velocity, survey, substeps=m), limit) for m in (2, 4, 8)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)
    assert errors[2] < 1e-3


@pytest.mark.parametrize("boundary", ["cpml", "free", "sponge"])
def test_a_delayed_wavelet_makes_a_delayed_record(boundary: str) -> None:
    """Also one that starts with a jump: its band-limited form rings before its first sample, and is heard."""
    spike, velocity = torch.zeros(50, dtype=torch.float64), small_velocity(14, 17)
    spike[0] = 1.0
    now, later = (
        sf.simulate(velocity, small_survey(boundary, dt=2e-3, nt=50, wavelet=w), substeps=2)
        for w in (spike, spike.roll(20))
    )
    assert relative(later[:, 20:], now[:, :30]) < 1e-12


@pytest.mark.parametrize("boundary", ["cpml", "unequal", "free", "sponge", "sponge_vmin", "rigid"])
def test_equals_twin(boundary: str) -> None:
    survey, velocity = small_survey(boundary, dt=2e-3), small_velocity(2, 14, 17)
    for substeps in (2, "auto"):
        data = sf.simulate(velocity, survey, substeps=substeps)
        assert data.shape == (2, 3, survey.nt, 5)
        assert relative(data, sf.reference.simulate(velocity, survey, substeps=substeps)) < 1e-12


def test_float32_is_float64_rounded() -> None:
    survey, velocity = small_survey(dt=2e-3), small_velocity(2, 14, 17)
    single = sf.simulate(velocity.float(), survey, substeps=2)
    assert single.dtype == torch.float32
    assert relative(single, sf.simulate(velocity, survey, substeps=2)) < 5e-5


@pytest.mark.parametrize("leading", [(), (3,), (3, 2), (1, 3, 2), (2, 3, 2)], ids=str)
def test_every_form_of_the_wavelet(leading: tuple[int, ...]) -> None:
    velocity, wavelet = small_velocity(2, 14, 17), small_wavelet(*leading)
    whole = (wavelet[:, None] if len(leading) == 1 else wavelet).expand(2, 3, 2, -1)
    records = [
        sf.simulate(velocity, small_survey(dt=2e-3, wavelet=w), substeps=2) for w in (wavelet, whole.contiguous())
    ]
    assert relative(*records) < 1e-13


# -- how many ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("boundary", "numbers"), [("cpml", (1, 2, 3, 6)), ("sponge", (1, 2, 4, 9))])
def test_auto_is_the_smallest_stable_number(boundary: str, numbers: tuple[int, ...]) -> None:
    velocity, wavelet = small_velocity(2, 14, 17), small_wavelet()
    for dt, steps in zip((1e-3, 2e-3, 4e-3, 1e-2), numbers, strict=True):
        survey = small_survey(boundary, dt=dt, wavelet=wavelet)
        assert survey.substeps(float(velocity.max()), float(velocity.min())) == steps
        found = sf.simulate(velocity, survey, substeps="auto")
        assert torch.equal(found, sf.simulate(velocity, survey, substeps=steps))
        if steps > 1:
            with pytest.raises(ValueError, match=r"must not exceed 0\.00.*\(CFL\), got 0\.0"):
                sf.simulate(velocity, survey, substeps=steps - 1)


def test_a_step_at_the_limit_is_allowed() -> None:
    limit = small_survey().largest_dt(3000.0, 3000.0)
    for steps in range(1, 40):
        assert small_survey(dt=limit * steps).substeps(3000.0, 3000.0) in (steps, steps + 1)
        assert small_survey(dt=limit * steps * (1 - 1e-12)).substeps(3000.0, 3000.0) == steps
        assert small_survey(dt=limit * steps * (1 + 1e-12)).substeps(3000.0, 3000.0) == steps + 1


def test_the_stability_message_names_the_remedy() -> None:
    survey, velocity = small_survey(dt=5e-3), small_velocity(2, 14, 17)
    with pytest.raises(ValueError, match=r'dt must not .* got 0\.005 s; substeps="auto" takes 3 steps per sample'):
        sf.simulate(velocity, survey)
    with pytest.raises(ValueError, match=r"dt / substeps must not exceed 0\.00\d+ s .* got 0\.0025 s; substeps"):
        sf.simulate(velocity, survey, substeps=2)


@pytest.mark.parametrize(
    ("substeps", "error", "got"),
    [(0, ValueError, "0"), (-2, ValueError, "-2"), (2.0, TypeError, "2.0"), (True, TypeError, "True"),
     ("many", TypeError, "'many'"), (None, TypeError, "None")],
)  # fmt: skip
def test_refuses_substeps(substeps: Any, error: type[Exception], got: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=rf'substeps, unless "auto", must be an integer of at least 1, got {got}'):
        sf.simulate(small_velocity(2, 14, 17), small_survey(), substeps=substeps)


def test_auto_is_refused_where_values_cannot_be_read() -> None:
    survey, velocity = tiny_survey(), small_velocity(2, *SHAPE)
    with pytest.raises(ValueError, match=r"substeps must be a number inside torch\.compile.*Survey\.substeps finds"):
        torch.vmap(lambda v: sf.simulate(v, survey, substeps="auto"))(velocity)
    torch._dynamo.reset()
    run = torch.compile(lambda v: sf.simulate(v, survey, substeps="auto"), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"substeps must be a number inside torch\.compile"):
        run(velocity)


# -- gradients are those of the whole chain ----------------------------------------------------------------------------


def test_dot_product_of_the_wavelet_map() -> None:
    wavelet = noise(2, 3, 2, 70).requires_grad_()
    data = sf.simulate(small_velocity(2, 14, 17), small_survey(dt=2e-3, wavelet=wavelet), substeps=3)
    residual = noise(*data.shape, seed=4)
    (grad,) = torch.autograd.grad(data, wavelet, residual)
    difference = (data.detach() * residual).sum() - (wavelet.detach() * grad).sum()
    assert abs(float(difference / (data.detach().norm() * residual.norm()))) < 1e-13


def test_gradcheck() -> None:
    def record(velocity: Tensor, wavelet: Tensor) -> Tensor:
        survey = tiny_survey(shape=(3, 4), nt=5, wavelet=wavelet, sources=[(1, 1)], receivers=[(1, 0), (2, 3)])
        return sf.simulate(velocity, survey, substeps=2)

    inputs = (small_velocity(3, 4).requires_grad_(), noise(1, 5).requires_grad_())
    assert torch.autograd.gradcheck(record, inputs, eps=1e-2, atol=1e-8, rtol=1e-6, fast_mode=False)


def test_storage_counts_inner_steps() -> None:
    """Every m-th of them is enough: both fields of the gradient's sum are limited to the band of the samples."""
    survey, velocity = small_survey(dt=2e-3, wavelet=pulse(2e-3, 70)), small_velocity(2, 14, 17)
    weights = noise(2, 3, 70, 5)
    exact = gradient(velocity, survey, weights, substeps=4, storage=sf.Storage("all"))
    assert torch.equal(gradient(velocity, survey, weights, substeps=4, storage=sf.Storage("checkpoint")), exact)
    kept = gradient(velocity, survey, weights, substeps=4, storage=sf.Storage(every=4))
    assert 0 < relative(kept, exact) < 1e-5
    with pytest.raises(ValueError, match=r"Storage every must not exceed 2\d steps .* got 100"):
        gradient(velocity, survey, weights, substeps=4, storage=sf.Storage(every=100))
    with pytest.raises(ValueError, match=r"Storage every must not exceed 1\d steps .* got 100"):
        gradient(velocity, survey, weights, substeps=2, storage=sf.Storage(every=100))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, v: torch.func.jvp(f, (v,), (v.flip(0),))[1],
        lambda f, v: torch.func.grad(lambda x: f(x).square().sum())(v),
        lambda f, v: torch.vmap(f)(torch.stack([v, v.flip(0)])),
        lambda f, v: torch.func.jvp(torch.func.grad(lambda x: f(x).square().sum()), (v,), (v.flip(0),))[1],
    ],
    ids=["jvp", "grad", "vmap", "hessian times vector"],
)
def test_transforms_are_the_twins(transform: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]) -> None:
    ours, twins = (
        transform(lambda v, run=run, survey=survey: run(v, survey, substeps=2), small_velocity(*SHAPE))
        for run, survey in ((sf.simulate, tiny_survey()), (sf.reference.simulate, tiny_survey()))
    )
    assert ours.abs().max() > 0
    assert relative(ours, twins) < 1e-11


def test_forward_mode_along_the_wavelet_is_the_record_of_the_tangent() -> None:
    velocity, wavelet, tangent = small_velocity(*SHAPE), noise(2, STEPS), noise(2, STEPS, seed=4)

    def record(w: Tensor) -> Tensor:
        return sf.simulate(velocity, tiny_survey(wavelet=w), substeps=2)

    assert relative(torch.func.jvp(record, (wavelet,), (tangent,))[1], record(tangent)) < 1e-11


@pytest.mark.parametrize("learned", [False, True], ids=["wavelet", "learned wavelet"])
def test_compiled_whole_is_the_eager_call_to_the_bit(learned: bool) -> None:
    torch._dynamo.reset()
    wavelet = noise(2, STEPS).requires_grad_(learned)
    results = []
    for wrap in (lambda f: torch.compile(f, fullgraph=True, backend="aot_eager"), lambda f: f):
        survey = tiny_survey(wavelet=wavelet, shape=None)  # the compiled call is its first
        velocity = small_velocity(2, *SHAPE).requires_grad_()
        data = wrap(lambda v, survey=survey: sf.simulate(v, survey, substeps=2))(velocity)
        leaves = (velocity, wavelet) if learned else (velocity,)
        results.append((data, *torch.autograd.grad(data.sin().sum(), leaves)))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


# -- the survey in between ---------------------------------------------------------------------------------------------


def test_a_fixed_wavelet_is_resampled_once_and_a_learned_one_every_time() -> None:
    survey = small_survey(dt=2e-3)
    fine = survey.refined(2)
    assert (fine.dt, fine.nt, fine.peak_frequency) == (1e-3, 2 * (70 + 2 * REACH), survey.peak_frequency)
    assert survey.refined(2).wavelet is fine.wavelet
    assert survey.refined(3).wavelet is not fine.wavelet
    learned = small_wavelet().requires_grad_()
    survey, velocity = small_survey(dt=2e-3, wavelet=learned), small_velocity(2, 14, 17)
    before = sf.simulate(velocity, survey, substeps=2)
    with torch.no_grad():
        learned *= 2.0
    assert relative(sf.simulate(velocity, survey, substeps=2), 2 * before) < 1e-13


def test_a_survey_that_ran_in_substeps_is_as_good_as_new() -> None:
    survey, fresh = (small_survey(dt=2e-3, wavelet=small_wavelet(3)) for _ in range(2))
    velocity, weights = small_velocity(2, 14, 17), noise(2, 3, 70, 5)
    with torch.inference_mode():
        sf.simulate(velocity, survey, substeps=2)
    torch.vmap(lambda v: sf.simulate(v, survey, substeps=3))(velocity)
    for substeps in (2, 3):
        expected = gradient(velocity, fresh, weights, substeps=substeps)
        for used in (survey, copy.deepcopy(survey), pickle.loads(pickle.dumps(survey))):
            assert used == fresh
            assert torch.equal(gradient(velocity, used, weights, substeps=substeps), expected)
