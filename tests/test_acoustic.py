"""The acoustic operator, forward: against its twin, at the edges, repeatable to the bit, and what it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from small_survey import BOUNDARIES, DTYPES, NT, ORDERS, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast import _native
from seisfast.engines import ENGINES, choose_engine, describe_engine

TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# -- against the twin --------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_equals_twin(boundary: str, order: int, dtype: torch.dtype) -> None:
    survey = small_survey(boundary, order=order)
    velocity = small_velocity(2, 14, 17, dtype=dtype)
    data = sf.simulate(velocity, survey)
    assert data.shape == (2, 3, NT, 5)
    assert data.dtype == dtype
    assert relative(data, sf.reference.simulate(velocity, survey)) < TOLERANCE[dtype]


@pytest.mark.parametrize("nx", [3, 16, 29, 33, 64, 67])
@pytest.mark.parametrize("boundary", ["cpml", "unequal", "free", "sponge"])
def test_equals_twin_whatever_the_width_of_a_row(boundary: str, nx: int) -> None:
    survey = small_survey(
        boundary, shape=(11, nx), sources=[(1, 1), (9, nx - 1)], receivers=[(2, 0), (10, nx - 1)],
        wavelet=small_wavelet(2), order=8,
    )  # fmt: skip
    velocity = small_velocity(11, nx)
    assert relative(sf.simulate(velocity, survey), sf.reference.simulate(velocity, survey)) < 1e-12


@pytest.mark.parametrize(
    "faces",
    [
        sf.Faces(sf.CPML(0), sf.CPML(0), sf.CPML(3), sf.CPML(0)),
        sf.Faces(sf.CPML(0), sf.CPML(0), sf.CPML(0), sf.CPML(20)),
        sf.Faces(sf.CPML(1), sf.CPML(0), sf.CPML(0), sf.CPML(0)),
        sf.Faces(sf.CPML(0), sf.CPML(1), sf.CPML(1), sf.CPML(1)),
        sf.Faces(sf.Free(), sf.CPML(0), sf.CPML(0), sf.CPML(0)),
        sf.Faces(sf.Free(), sf.CPML(0), sf.CPML(18), sf.CPML(17)),
        sf.Sponge(2),
    ],
    ids=lambda b: "-".join(str(n) for n in sf.survey.padding(b)),
)
@pytest.mark.parametrize("order", [2, 8])
@pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
def test_equals_twin_with_faces_that_lack_a_layer(faces: sf.Faces, order: int) -> None:
    survey = small_survey(faces, order=order, dt=3e-4)
    velocity = small_velocity(2, 14, 17)
    assert relative(sf.simulate(velocity, survey), sf.reference.simulate(velocity, survey)) < 1e-12


def test_models_wider_than_high_and_higher_than_wide_and_dz_against_dx() -> None:
    """Turning the model, the spacing and the positions turns nothing in the record."""
    velocity = small_velocity(9, 21)
    sources, receivers = [(1, 2), (7, 19)], [(0, 0), (4, 11), (8, 20)]
    faces = sf.Faces(top=sf.CPML(2), bottom=sf.CPML(3), left=sf.CPML(4), right=sf.CPML(5))
    turned = sf.Faces(top=sf.CPML(4), bottom=sf.CPML(5), left=sf.CPML(2), right=sf.CPML(3))
    wide = small_survey(
        faces, shape=(9, 21), spacing=(7.0, 12.0), sources=sources, receivers=receivers, wavelet=small_wavelet(2)
    )
    high = small_survey(
        turned, shape=(21, 9), spacing=(12.0, 7.0), sources=[p[::-1] for p in sources],
        receivers=[p[::-1] for p in receivers], wavelet=small_wavelet(2),
    )  # fmt: skip
    assert relative(sf.simulate(velocity.T, high), sf.simulate(velocity, wide)) < 1e-12


# -- shapes of what goes in --------------------------------------------------------------------------------------------


def test_one_model_has_no_model_dimension() -> None:
    survey = small_survey(wavelet=small_wavelet(3, 2))
    velocity = small_velocity(14, 17)
    alone = sf.simulate(velocity, survey)
    assert alone.shape == (3, NT, 5)
    assert torch.equal(sf.simulate(velocity[None], survey), alone[None])


def test_shared_receivers_are_those_of_every_shot() -> None:
    shared = [(2, 3 * k) for k in range(5)]
    velocity = small_velocity(2, 14, 17)
    once = sf.simulate(velocity, small_survey(receivers=shared))
    assert torch.equal(once, sf.simulate(velocity, small_survey(receivers=[shared] * 3)))


def test_every_form_of_the_wavelet_is_its_expansion() -> None:
    velocity = small_velocity(2, 14, 17)

    def record(wavelet: Tensor) -> Tensor:
        return sf.simulate(velocity, small_survey(wavelet=wavelet))

    for form, expanded in (
        (small_wavelet(), lambda w: w.expand(2, 3, 2, NT)),
        (small_wavelet(3), lambda w: w[:, None].expand(2, 3, 2, NT)),
        (small_wavelet(3, 2), lambda w: w.expand(2, 3, 2, NT)),
        (small_wavelet(1, 3, 2), lambda w: w.expand(2, 3, 2, NT)),
        (small_wavelet(2, 3, 2), lambda w: w),
    ):
        assert torch.equal(record(form), record(expanded(form).contiguous()))
    strided = small_wavelet(3, 2).repeat_interleave(2, -1)[..., ::2]
    assert strided.stride(-1) == 2
    assert torch.equal(record(strided), record(small_wavelet(3, 2)))
    assert not torch.equal(record(small_wavelet(3)), record(small_wavelet(3).flip(0)))


def test_wavelets_follow_the_velocitys_dtype() -> None:
    velocity = small_velocity(2, 14, 17)
    single = small_wavelet(2, 3, 2, dtype=torch.float32)
    double_run = sf.simulate(velocity, small_survey(wavelet=single))
    assert double_run.dtype == torch.float64
    assert torch.equal(double_run, sf.simulate(velocity, small_survey(wavelet=single.double())))
    single_run = sf.simulate(velocity.float(), small_survey())
    assert torch.equal(single_run, sf.simulate(velocity.float(), small_survey(wavelet=small_wavelet(2, 3, 2).float())))


def test_sources_of_a_shot_add_up() -> None:
    velocity = small_velocity(14, 17)
    pair = [(3, 4), (9, 12)]
    wavelet = small_wavelet(1, 2)
    together = small_survey(sources=[pair], receivers=[(1, 1), (9, 12)], wavelet=wavelet)
    apart = small_survey(sources=pair, receivers=[(1, 1), (9, 12)], wavelet=wavelet[0])
    assert relative(sf.simulate(velocity, together)[0], sf.simulate(velocity, apart).sum(0)) < 1e-12
    twice = small_survey(sources=[[pair[0], pair[0]]], receivers=[(1, 1), (9, 12)], wavelet=wavelet)
    summed = small_survey(sources=[pair[0]], receivers=[(1, 1), (9, 12)], wavelet=wavelet.sum(1))
    assert relative(sf.simulate(velocity, twice), sf.simulate(velocity, summed)) < 1e-12


@pytest.mark.parametrize("boundary", ["cpml", "sponge"])
def test_velocity_need_not_be_contiguous(boundary: str) -> None:
    survey = small_survey(boundary)
    velocity = small_velocity(2, 14, 17)
    expected = sf.simulate(velocity, survey)
    assert torch.equal(sf.simulate(velocity.transpose(1, 2).contiguous().transpose(1, 2), survey), expected)
    wide = torch.cat([velocity, velocity], 2)
    assert torch.equal(sf.simulate(wide[:, :, 17:], survey), expected)
    assert torch.equal(sf.simulate(velocity.flip(1).flip(1), survey), expected)
    row = small_velocity(2, 14, 1)
    assert torch.equal(sf.simulate(row.expand(2, 14, 17), survey), sf.simulate(row.repeat(1, 1, 17), survey))
    assert torch.equal(sf.simulate(velocity[:1].expand(2, 14, 17), survey), sf.simulate(velocity[[0, 0]], survey))


# -- edge sizes --------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", ["cpml", "unequal", "sponge", "rigid"])
def test_a_model_of_one_cell(boundary: str, order: int, dtype: torch.dtype) -> None:
    survey = small_survey(
        boundary, shape=(1, 1), sources=[(0, 0)], receivers=[(0, 0)], wavelet=small_wavelet(), order=order, dt=9e-4
    )
    velocity = small_velocity(1, 1, dtype=dtype)
    data = sf.simulate(velocity, survey)
    assert data.shape == (1, NT, 1)
    assert data.abs().max() > 0
    assert relative(data, sf.reference.simulate(velocity, survey)) < TOLERANCE[dtype]


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 3), (7, 7), (13, 31)])
@pytest.mark.parametrize("boundary", ["cpml", "sponge", "rigid"])
def test_odd_sizes(boundary: str, shape: tuple[int, int]) -> None:
    last = (shape[0] - 1, shape[1] - 1)
    survey = small_survey(
        boundary, shape=shape, sources=[last], receivers=[(0, 0)], wavelet=small_wavelet(nt=61), nt=61
    )
    velocity = small_velocity(*shape)
    assert relative(sf.simulate(velocity, survey), sf.reference.simulate(velocity, survey)) < 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_one_step_is_the_injection_alone(boundary: str) -> None:
    survey = small_survey(
        boundary, nt=1, sources=[[(3, 3), (5, 8)]], receivers=[(3, 3), (5, 8), (3, 4)], wavelet=[[[1.5, ]] * 2]
    )  # fmt: skip
    velocity = small_velocity(14, 17)
    data = sf.simulate(velocity, survey)
    expected = torch.stack([(velocity[3, 3] * 1e-3) ** 2 * 1.5, (velocity[5, 8] * 1e-3) ** 2 * 1.5, torch.zeros(())])
    assert torch.equal(data[0, 0], expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_receivers_on_the_source_and_on_each_other(boundary: str) -> None:
    cells = [(4, 8), (2, 2), (4, 8), (2, 2), (2, 3)]
    survey = small_survey(boundary, sources=[(4, 8)], receivers=cells, wavelet=small_wavelet())
    velocity = small_velocity(2, 14, 17)
    data = sf.simulate(velocity, survey)
    assert torch.equal(data[..., 0], data[..., 2])
    assert torch.equal(data[..., 1], data[..., 3])
    assert relative(data, sf.reference.simulate(velocity, survey)) < 1e-12


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", ["cpml", "free", "rigid"])
def test_nothing_arrives_before_the_stencil_can_reach(boundary: str, order: int) -> None:
    survey = small_survey(
        boundary, shape=(9, 60), sources=[(4, 2)], receivers=[(4, 2 + 12 * k) for k in range(5)],
        wavelet=small_wavelet(), order=order,
    )  # fmt: skip
    data = sf.simulate(small_velocity(9, 60), survey)[0]
    for k in range(5):
        first = -(-12 * k // (order // 2))  # steps that 12 k cells take
        assert not data[:first, k].any()
        if first < NT:
            assert data[first, k] != 0


def test_a_silent_source_is_silence() -> None:
    survey = small_survey(wavelet=torch.zeros(NT))
    assert not sf.simulate(small_velocity(2, 14, 17), survey).any()


# -- the same to the bit -----------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_repeatable_whatever_the_threads_and_the_neighbours(
    boundary: str, dtype: torch.dtype, threads: Callable[[int], None]
) -> None:
    survey = small_survey(boundary, wavelet=small_wavelet(3, 2))
    velocity = small_velocity(4, 14, 17, dtype=dtype)
    threads(1)
    data = sf.simulate(velocity, survey)
    assert torch.equal(sf.simulate(velocity, survey), data)
    for count in (2, 3):
        threads(count)
        assert torch.equal(sf.simulate(velocity, survey), data)
    assert torch.equal(torch.stack([sf.simulate(v, survey) for v in velocity]), data)
    assert torch.equal(sf.simulate(velocity.flip(0), survey).flip(0), data)
    middle = small_survey(
        boundary, sources=survey.sources[1:2], receivers=survey.receivers[1:2], wavelet=small_wavelet(3, 2)[1:2]
    )
    assert torch.equal(sf.simulate(velocity, middle)[:, 0], data[:, 1])


def test_more_threads_than_shots(threads: Callable[[int], None]) -> None:
    survey = small_survey(sources=[(1, 1)], receivers=[(3, 3)], wavelet=small_wavelet())
    velocity = small_velocity(14, 17)
    threads(1)
    data = sf.simulate(velocity, survey)
    threads(7)
    assert torch.equal(sf.simulate(velocity, survey), data)


def test_modes_change_nothing() -> None:
    survey = small_survey()
    velocity = small_velocity(2, 14, 17)
    data = sf.simulate(velocity, survey)
    with torch.no_grad():
        assert torch.equal(sf.simulate(velocity, survey), data)
    with torch.inference_mode():
        inside = sf.simulate(velocity, survey)
        assert inside.is_inference()
        assert torch.equal(inside, data)
    tracked = sf.simulate(velocity.clone().requires_grad_(), survey)
    assert torch.equal(tracked.detach(), data)


# -- checks before any work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
def test_the_largest_stable_step_runs_and_a_longer_one_is_refused(boundary: str, order: int) -> None:
    velocity = torch.full((14, 17), 3000.0, dtype=torch.float64)
    limit = small_survey(boundary, order=order).largest_dt(3000.0, 3000.0)

    def record(dt: float, nt: int, run: Callable[[Tensor, sf.Survey], Tensor]) -> Tensor:
        noise = torch.zeros(nt, dtype=torch.float64)
        noise[:10] = torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return run(velocity, small_survey(boundary, order=order, dt=dt, nt=nt, wavelet=noise))

    data = record(limit, 2000, sf.simulate)
    assert data[:, -100:].abs().max() < 2 * data[:, :100].abs().max()
    with pytest.raises(ValueError, match=r"dt must not exceed 0\.00.* at order . \(CFL\), got 0\.00") as caught:
        record(limit * 1.001, 10, sf.simulate)
    if not boundary.startswith("sponge"):  # its damping lowers the limit; how much is a bound
        assert record(limit * 1.02, 400, sf.reference.simulate).abs().max() > 1e20
    stated = float(re.findall(r"exceed ([0-9.e-]+) s", str(caught.value))[0])
    assert limit * (1 - 1e-5) < stated <= limit
    record(stated, 10, sf.simulate)


def test_the_stability_message_is_complete() -> None:
    survey = small_survey(dt=3e-3, wavelet=small_wavelet())
    with pytest.raises(ValueError, match=r"velocities up to 3[0-9.]+ m/s on a spacing of 9 x 11 m at order 4 \(CFL\)"):
        sf.simulate(small_velocity(14, 17), survey)


def test_openfwis_limit_at_order_four() -> None:
    survey = sf.Survey.openfwi(nx=5, nz=5)
    assert survey.largest_dt(6124.0, 1e-6) == pytest.approx(1e-3, rel=1e-4)
    sf.simulate(torch.full((5, 5), 4500.0), survey)


def test_dispersion_is_a_warning_with_the_points() -> None:
    slow = torch.full((14, 17), 1300.0)
    dispersed = r"3\.\d points per shortest wavelength \(1300 m/s at .* Hz, spacing 11 m\)"
    for call in (sf.simulate, sf.Born):
        survey = small_survey(wavelet=small_wavelet(3))
        with pytest.warns(UserWarning, match=dispersed) as caught:
            call(slow, survey)
        assert [warning.filename for warning in caught] == [__file__]
        call(slow * 0.9, survey)  # a survey is warned of once
    with pytest.warns(UserWarning, match="the record will be dispersed; 3.5 or more are advised"):
        sf.simulate(slow, small_survey(wavelet=small_wavelet(3)))
    sf.simulate(slow, small_survey(wavelet=torch.zeros(NT)))  # silence is not dispersed


def test_a_model_far_above_the_layers_vmax_is_a_warning() -> None:
    velocity = torch.full((14, 17), 3400.0)
    layer = sf.CPML(4, vmax=2500.0)
    with pytest.warns(UserWarning, match=r"velocity, 3400 m/s, exceeds CPML vmax = 2500 m/s by more than a third"):
        sf.simulate(velocity, small_survey(layer, wavelet=small_wavelet()))
    with pytest.warns(UserWarning, match="the layer will reflect") as caught:
        sf.simulate(velocity, small_survey(sf.Faces(top=sf.Free(), left=layer), wavelet=small_wavelet()))
    assert caught[0].filename == __file__
    sf.simulate(velocity * 0.95, small_survey(layer, wavelet=small_wavelet()))
    sf.simulate(velocity, small_survey("sponge", wavelet=small_wavelet()))


def poisoned(value: float) -> Tensor:
    velocity = small_velocity(2, 14, 17)
    velocity[1, 3, 4] = value
    return velocity


@pytest.mark.parametrize(
    ("velocity", "error", "message"),
    [
        (np.ones((14, 17)), TypeError, r"velocity must be a float16, bfloat16, float32 or float64 tensor, got ndarray"),
        ([[2000.0]], TypeError, r"velocity must be a float16, .* tensor, got list"),
        (None, TypeError, r"velocity must be a float16, .* tensor, got NoneType"),
        (small_velocity(14, 17).to(torch.float8_e5m2), TypeError, r"velocity must be .* got torch\.float8_e5m2"),
        (small_velocity(14, 17).long(), TypeError, r"velocity must be .* tensor, got torch\.int64"),
        (small_velocity(14, 17).cfloat(), TypeError, r"velocity must be .* tensor, got torch\.complex64"),
        (small_velocity(17), ValueError, r"velocity must have shape \[nz, nx\] or \[models, nz, nx\], got \[17\]"),
        (small_velocity(2, 1, 14, 17), ValueError, r"velocity must have shape .*, got \[2, 1, 14, 17\]"),
        (small_velocity(0, 14, 17), ValueError, r"velocity must have shape .*, got \[0, 14, 17\]"),
        (small_velocity(17, 14), ValueError, r"velocity must have the survey's 14 x 17 cells \(nz x nx\), got 17 x 14"),
        (small_velocity(3, 14, 17), ValueError, r"wavelet holds 2 models, velocity holds 3"),
        (small_velocity(14, 17), ValueError, r"wavelet holds 2 models, velocity holds 1"),
        (poisoned(math.nan), ValueError, r"finite and positive, got nan at \(model, iz, ix\) = \(1, 3, 4\)"),
        (poisoned(math.inf), ValueError, r"finite and positive, got inf at \(model, iz, ix\) = \(1, 3, 4\)"),
        (poisoned(-math.inf), ValueError, r"finite and positive, got -inf at \(model, iz, ix\) = \(1, 3, 4\)"),
        (poisoned(0.0), ValueError, r"finite and positive, got 0\.0 at \(model, iz, ix\) = \(1, 3, 4\)"),
        (poisoned(-2000.0), ValueError, r"finite and positive, got -2000\.0 at \(model, iz, ix\) = \(1, 3, 4\)"),
        (small_velocity(2, 14, 17).to("meta"), ValueError, r"velocity must be on the CPU or a CUDA device, got meta"),
    ],
    ids=str,
)
def test_refuses_velocity(velocity: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sf.simulate(velocity, small_survey())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"engine": "gpu"}, ValueError, r"engine must be one of \('auto', 'plain', 'resident'.*got 'gpu'"),
        ({"engine": None}, ValueError, r"engine must be one of .*got None"),
        ({"engine": "plain"}, ValueError, r"engine 'plain' does not run on cpu; there it is one of \('auto', 'cpu'\)"),
        ({"engine": "resident"}, ValueError, r"engine 'resident' does not run on cpu"),
        ({"engine": "tiled"}, ValueError, r"engine 'tiled' does not run on cpu"),
        ({"storage": "all"}, TypeError, r"storage must be a seisfast\.Storage, got 'all'"),
        ({"storage": sf.Storage(every=50)}, ValueError, r"Storage every must not exceed 1\d steps \(Nyquist.*got 50"),
    ],
    ids=str,
)
def test_refuses_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sf.simulate(small_velocity(2, 14, 17), small_survey(), **arguments)


def test_another_kind_of_survey_is_refused() -> None:
    with pytest.raises(TypeError, match=r"survey must be a seisfast\.Survey, got dict"):
        sf.simulate(small_velocity(14, 17), small_survey().to_dict())


# -- records that are not finite ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
def test_a_diverged_record_names_its_shot_and_model() -> None:
    wavelet = small_wavelet(2, 3, 2)
    wavelet[1, 2] = 1e307
    survey = small_survey(wavelet=wavelet)
    with pytest.raises(FloatingPointError, match=r"the record of shot 2 of model 1 is not finite: the wavefield diver"):
        sf.simulate(small_velocity(2, 14, 17), survey)
    one = small_survey(wavelet=wavelet[1])
    with pytest.raises(FloatingPointError, match="the record of shot 2 is not finite"):
        sf.simulate(small_velocity(14, 17), one)


def test_check_passes_finite_records_on_and_names_others() -> None:
    data = torch.zeros(2, 3, 4, 5)
    assert sf.check(data) is data
    data[1, 2, 3, 4] = math.nan
    with pytest.raises(FloatingPointError, match="shot 2 of model 1 is not finite"):
        sf.check(data)
    data[0, 1, 0, 0] = math.inf
    data[0, 1, 1, 0] = -math.inf
    with pytest.raises(FloatingPointError, match="shot 1 of model 0 is not finite"):
        sf.check(data)
    with pytest.raises(FloatingPointError, match=r"record of shot 1 is not finite"):
        sf.check(data[0])


# -- engines -----------------------------------------------------------------------------------------------------------


def test_engine_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "build_info", lambda: {"cuda": True})
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    assert choose_engine("auto", cpu) == choose_engine("cpu", cpu) == "cpu"
    for name in ("auto", "plain", "resident", "cluster", "tiled"):
        assert choose_engine(name, cuda) == name
    assert ENGINES == ("auto", "plain", "resident", "cluster", "tiled", "cpu")
    with pytest.raises(ValueError, match=r"engine 'cpu' does not run on cuda:0; there it is one of \('auto', 'plain'"):
        choose_engine("cpu", cuda)
    monkeypatch.setattr(_native, "build_info", lambda: {"cuda": False})
    with pytest.raises(ValueError, match="this build of seisfast has no CUDA engine"):
        choose_engine("auto", cuda)
    survey = small_survey()
    velocity = small_velocity(2, 14, 17)
    assert torch.equal(sf.simulate(velocity, survey, engine="cpu"), sf.simulate(velocity, survey))


def test_engine_description_names_the_grid() -> None:
    text = describe_engine((100, 100))
    assert "100 x 100 cells with C-PML run on a grid of 128 x 128, order 4" in text
    assert "CPU tensors:  engine cpu" in text
    assert "CUDA tensors on " in text
    assert "with sponge run on a grid of 310 x 310" in describe_engine((70, 70), sf.Sponge())
    assert "run on a grid of 1 x 1, order 8" in describe_engine((1, 1), sf.CPML(0), 8)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([1.0], TypeError, "data must be a floating-point tensor, got list"),
        (torch.zeros(3, 4, 5, dtype=torch.int32), TypeError, r"data must be a floating-point tensor, got torch\.int32"),
        (torch.zeros(4, 5), ValueError, r"data must have shape \[shots, time, receivers\] or .* got \[4, 5\]"),
    ],
)
def test_what_check_refuses(data: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sf.check(data)


def test_substeps_that_do_not_fit_are_refused_before_any_work() -> None:
    with pytest.raises(MemoryError, match=r"substeps must leave room for .* GiB; cpu has .* GiB, got 10000000"):
        sf.simulate(small_velocity(14, 17), small_survey(wavelet=small_wavelet(3, 2)), substeps=10**7)
