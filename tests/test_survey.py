"""The survey: presets, text form, immutability, derived values, stability limit, and what it refuses."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_survey import BOUNDARIES, small_survey, small_velocity, small_wavelet

import seisfast as sf

DEVICE = torch.device("cpu")


def plain_survey(**changes: object) -> sf.Survey:
    """Two shots of one source on 6 x 7 cells, 12 samples."""
    settings: dict[str, object] = {
        "shape": (6, 7),
        "spacing": 10.0,
        "dt": 1e-3,
        "nt": 12,
        "sources": [(1, 1), (3, 5)],
        "receivers": [(1, 0), (1, 3), (2, 6)],
        "wavelet": small_wavelet(nt=12),
        "boundary": sf.CPML(3),
    }
    return sf.Survey(**{**settings, **changes})


def test_openfwi_preset() -> None:
    survey = sf.Survey.openfwi()
    assert survey.shape == (70, 70)
    assert (survey.spacing, survey.dt, survey.nt, survey.order) == ((10.0, 10.0), 1e-3, 1000, 4)
    assert survey.sources.tolist() == [[[1, ix]] for ix in (0, 17, 34, 52, 69)]
    assert survey.receivers.tolist() == [[[1, ix] for ix in range(70)]]
    assert torch.equal(survey.wavelet, sf.wavelets.ricker(15.0, 1e-3, 1000))
    assert survey.boundary == sf.Sponge(120)
    assert survey.padded_shape((70, 70)) == (310, 310)
    wide = sf.Survey.openfwi(nx=190, nz=60, frequency=5.0)
    assert wide.shape == (60, 190)
    assert wide.sources[:, 0, 1].tolist() == [0, 47, 94, 142, 189]
    assert wide.receivers_per_shot == 190
    assert torch.equal(wide.wavelet, sf.wavelets.ricker(5.0, 1e-3, 1000))


def test_seisinv_preset() -> None:
    survey = sf.Survey.seisinv()
    assert survey.shape == (100, 100)
    assert (survey.spacing, survey.dt, survey.nt, survey.order) == ((10.0, 10.0), 1e-3, 1000, 4)
    assert survey.sources.tolist() == [[[1, ix]] for ix in range(2, 100, 5)]
    expected = [0, 3, 6, 10, 13, 16, 19, 22, 26, 29, 32, 35, 38, 42, 45, 48]
    expected += [99 - ix for ix in reversed(expected)]
    assert survey.receivers.tolist() == [[[1, ix] for ix in expected]]
    assert survey.boundary == sf.CPML(14)
    assert survey.padded_shape((100, 100)) == (128, 128)
    assert torch.equal(survey.wavelet, sf.wavelets.ricker(15.0, 1e-3, 1000))


def test_seisinv_every_number_is_an_argument() -> None:
    survey = sf.Survey.seisinv(
        shape=(30, 40), spacing=5.0, dt=5e-4, nt=60, shots=4, receivers=5, frequency=25.0, depth=3, boundary=sf.CPML(6)
    )
    assert survey.sources.tolist() == [[[3, ix]] for ix in (5, 15, 25, 35)]
    assert survey.receivers[0, :, 1].tolist() == [0, 10, 20, 29, 39]
    assert (survey.spacing, survey.dt, survey.nt) == ((5.0, 5.0), 5e-4, 60)
    assert survey.boundary == sf.CPML(6)
    assert sf.Survey.seisinv(frequency=8.0).boundary == sf.CPML(14, frequency=8.0)


@pytest.mark.parametrize("preset", [sf.Survey.openfwi(), sf.Survey.seisinv()], ids=["openfwi", "seisinv"])
def test_presets_have_four_points_per_wavelength_and_say_nothing(preset: sf.Survey) -> None:
    assert preset.peak_frequency == pytest.approx(15.0, abs=0.3)
    velocity = torch.full(preset.shape, 1500.0)
    short = sf.Survey.from_dict({**preset.to_dict(), "nt": 200, "wavelet": preset.wavelet[:200].tolist()})
    sf.simulate(velocity, short)  # warnings are errors here


def test_fields_have_one_form() -> None:
    survey = plain_survey(spacing=(5, 10), sources=np.array([[1, 1], [3, 5]], np.uint16), order=np.int64(6))
    assert survey.spacing == (5.0, 10.0)
    assert survey.sources.shape == (2, 1, 2)
    assert survey.receivers.shape == (1, 3, 2)
    assert survey.sources.dtype == survey.receivers.dtype == torch.int32
    assert (survey.shots, survey.receivers_per_shot, survey.order) == (2, 3, 6)
    many = small_survey()
    assert many.sources.shape == (3, 2, 2)
    assert many.receivers.shape == (3, 5, 2)
    assert plain_survey(spacing=np.array([5.0, 10.0])).spacing == (5.0, 10.0)
    assert plain_survey(boundary=None).boundary == sf.CPML(14)
    assert plain_survey(sources=torch.tensor([[1, 1], [3, 5]])) == plain_survey()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_text_form_and_copies_come_back(boundary: str) -> None:
    survey = small_survey(boundary, order=6)
    back = sf.Survey.from_dict(json.loads(json.dumps(survey.to_dict())))
    velocity = small_velocity(2, 14, 17)
    for other in (back, pickle.loads(pickle.dumps(survey)), copy.deepcopy(survey), copy.copy(survey)):
        assert other == survey
        assert other.boundary == survey.boundary
        assert torch.equal(other.receivers, survey.receivers)
        assert torch.equal(sf.simulate(velocity, other), sf.simulate(velocity, survey))


def test_equality_sees_every_field() -> None:
    survey = plain_survey()
    assert survey == plain_survey()
    assert survey != "survey"
    changes: list[dict[str, Any]] = [
        {"shape": None},
        {"spacing": 10.5},
        {"dt": 9e-4},
        {"sources": [(1, 1), (3, 4)]},
        {"receivers": [(1, 0), (1, 3), (2, 5)]},
        {"wavelet": small_wavelet(nt=12) * 2},
        {"order": 2},
        {"boundary": sf.CPML(4)},
    ]
    for change in changes:
        assert plain_survey(**change) != survey, change
    with pytest.raises(TypeError, match="unhashable"):
        hash(survey)


def test_immutable_and_independent_of_what_it_was_made_from() -> None:
    sources, wavelet = np.array([[1, 1], [3, 5]]), small_wavelet(nt=12)
    survey = plain_survey(sources=sources, wavelet=wavelet)
    before = survey.to_dict()
    sources[:] = 0
    wavelet.zero_()
    assert survey.to_dict() == before
    with pytest.raises(AttributeError, match=r"immutable; make a new one instead of setting 'dt'"):
        survey.dt = 2e-3
    with pytest.raises(AttributeError, match=r"immutable; make a new one instead of setting 'colour'"):
        survey.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"immutable; 'dt' cannot be deleted"):
        del survey.dt


def test_a_shape_left_out_is_that_of_the_first_velocity() -> None:
    survey = plain_survey(shape=None)
    assert survey.shape is None
    assert "any grid" in repr(survey)
    assert sf.simulate(small_velocity(6, 7), survey).shape == (2, 12, 3)
    assert survey.shape == (6, 7)
    assert survey == plain_survey()
    with pytest.raises(ValueError, match=r"velocity must have the survey's 6 x 7 cells \(nz x nx\), got 8 x 7"):
        sf.simulate(small_velocity(8, 7), survey)
    refused = plain_survey(shape=None)
    with pytest.raises(ValueError, match=r"sources must lie inside the 3 x 7 model"):
        sf.simulate(small_velocity(3, 7), refused)
    assert refused.shape is None


def test_repr_names_the_main_figures() -> None:
    text = repr(small_survey("sponge"))
    for part in ("14 x 17 cells", "10 x 10 m", "3 shots", "5 receivers", "70 samples of 1 ms", "order 4", "Sponge("):
        assert part in text


def test_peak_frequency() -> None:
    for frequency in (5.0, 15.0, 20.0):
        wavelet = sf.wavelets.ricker(frequency, 1e-3, 1000)
        found = plain_survey(nt=1000, wavelet=wavelet).peak_frequency
        assert found == pytest.approx(frequency, abs=0.3)
    assert plain_survey(wavelet=torch.zeros(12)).peak_frequency == 0.0


def test_arrays_are_converted_once_and_follow_the_dtype() -> None:
    survey = plain_survey()
    half = survey.array("wavelet", DEVICE, torch.float32)
    assert half.dtype == torch.float32
    assert survey.array("wavelet", DEVICE, torch.float32) is half
    assert survey.array("sources", DEVICE) is survey.sources
    profile = survey.profile((6, 7), torch.float64, DEVICE)
    assert profile.shape == (2 * 12 + 2 * 13,)
    assert survey.profile((6, 7), torch.float64, DEVICE) is profile
    learned = plain_survey(wavelet=small_wavelet(nt=12).requires_grad_())
    assert learned.array("wavelet", DEVICE, torch.float32).requires_grad
    assert not learned.array("sources", DEVICE).requires_grad


def test_made_or_first_used_without_gradients_still_trains() -> None:
    velocity = small_velocity(6, 7).requires_grad_()
    with torch.inference_mode():
        made = plain_survey()
    used = plain_survey()
    with torch.inference_mode():
        sf.simulate(small_velocity(6, 7), used)
    for survey in (made, used):
        (grad,) = torch.autograd.grad(sf.simulate(velocity, survey).square().sum(), velocity)
        assert grad.abs().max() > 0


# -- stability ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "squared"), [(2, 1 / 2), (4, 3 / 8), (6, 45 / 136), (8, 315 / 1024)])
def test_largest_courant_number_per_order(order: int, squared: float) -> None:
    survey = plain_survey(order=order)
    assert survey.largest_dt(3000.0, 1500.0) * 3000.0 / 10.0 == pytest.approx(math.sqrt(squared), rel=1e-12)


def test_largest_dt_for_unequal_spacing_and_for_a_sponge() -> None:
    survey = plain_survey(spacing=(5.0, 20.0))
    expected = 2 / (2000.0 * math.sqrt(16 / 3 * (1 / 25 + 1 / 400)))
    assert survey.largest_dt(2000.0, 2000.0) == pytest.approx(expected, rel=1e-12)
    sponge = plain_survey(boundary=sf.Sponge(10))
    limit = sponge.largest_dt(3000.0, 2000.0)
    kappa = 2000.0 * 3 * math.log(1e7) / (2 * 90.0)
    assert (3000.0 * limit) ** 2 * 2 * 16 / 3 / 100 == pytest.approx(4 - 2 * kappa * limit, rel=1e-12)
    assert limit < plain_survey().largest_dt(3000.0, 2000.0)


# -- what is refused ---------------------------------------------------------------------------------------------------

POSITIONS = r"\[shots, 2\] or \[shots, per_shot, 2\]"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"spacing": 0.0}, ValueError, r"spacing must be positive and finite, got 0\.0"),
        ({"spacing": (10.0, -1.0)}, ValueError, r"spacing must be positive and finite, got -1\.0"),
        ({"spacing": (10.0, 10.0, 10.0)}, ValueError, r"spacing must be one number or \(dz, dx\), got \(10"),
        ({"spacing": None}, TypeError, r"spacing must be one number or \(dz, dx\), got None"),
        ({"spacing": (10.0, "x")}, TypeError, r"spacing must be a number, got 'x'"),
        ({"dt": 0.0}, ValueError, r"dt must be positive and finite, got 0\.0"),
        ({"dt": math.nan}, ValueError, r"dt must be positive and finite, got nan"),
        ({"dt": "1 ms"}, TypeError, r"dt must be a number, got '1 ms'"),
        ({"nt": 0}, ValueError, r"nt must be an integer of at least 1, got 0"),
        ({"nt": 12.0}, TypeError, r"nt must be an integer of at least 1, got 12\.0"),
        ({"nt": True}, TypeError, r"nt must be an integer of at least 1, got True"),
        ({"order": 3}, ValueError, r"order must be one of \(2, 4, 6, 8\), got 3"),
        ({"order": 10}, ValueError, r"order must be one of \(2, 4, 6, 8\), got 10"),
        ({"order": "4"}, ValueError, r"order must be one of \(2, 4, 6, 8\), got '4'"),
        ({"boundary": sf.Free()}, ValueError, r"boundary must be CPML, Sponge or Faces\(.*got Free\(\)"),
        ({"boundary": "sponge"}, ValueError, r"boundary must be CPML, Sponge or Faces\(.*got 'sponge'"),
        (
            {"boundary": sf.Sponge(6), "spacing": (5.0, 10.0)},
            ValueError,
            r"dz = dx under a Sponge, got \(5\.0, 10\.0\)",
        ),
        ({"shape": (6,)}, ValueError, r"shape must be \(nz, nx\) with at least one cell each, got \(6,\)"),
        ({"shape": 70}, ValueError, r"shape must be \(nz, nx\) with at least one cell each, got 70"),
        ({"shape": (0, 7)}, ValueError, r"shape must be an integer of at least 1, got 0"),
        ({"shape": (6.5, 7)}, TypeError, r"shape must be an integer of at least 1, got 6\.5"),
        ({"sources": []}, ValueError, r"sources must hold at least one position \(iz, ix\), got shape \(0,\)"),
        ({"sources": [1, 2]}, ValueError, rf"sources must have shape {POSITIONS}, got \[2\]"),
        ({"sources": [[1, 2, 3]]}, ValueError, rf"sources must have shape {POSITIONS}, got \[1, 3\]"),
        ({"sources": [[1, 2], [3]]}, ValueError, rf"sources must have shape {POSITIONS}, got rows of different"),
        ({"sources": [[[[1, 2]]]]}, ValueError, rf"sources must have shape {POSITIONS}, got \[1, 1, 1, 2\]"),
        ({"sources": [(True, False)]}, TypeError, r"sources must be positions \(iz, ix\) in cells, .*, got bool"),
        ({"sources": torch.ones(2, 2, dtype=torch.cfloat)}, TypeError, r"sources must be positions .*, got complex128"),
        ({"sources": [("a", "b")]}, TypeError, r"sources must be positions .*, got <U1"),
        ({"sources": None}, TypeError, r"sources must be positions \(iz, ix\) in cells, .*, got object"),
        (
            {"sources": [(1, 1), (6, 5)]},
            ValueError,
            r"inside the 6 x 7 model.* = \(6, 5\) for sources\[1, 0\]",
        ),
        ({"sources": [(1, -1), (3, 5)]}, ValueError, r"sources must lie inside.*= \(1, -1\) for sources\[0, 0\]"),
        (
            {"sources": [(2**40, 1), (3, 5)]},
            ValueError,
            r"sources must be numbers of cells, got 1099511627776 for sources\[0, 0\]",
        ),
        (
            {"sources": [(-(2**31), 1), (3, 5)]},
            ValueError,
            r"sources must be numbers of cells, got -2147483648 for sources",
        ),
        ({"receivers": [(1, 0), (1, 7)]}, ValueError, r"receivers must lie.*= \(1, 7\) for receivers\[0, 1\]"),
        (
            {"receivers": [[(1, 0)], [(1, 3)], [(1, 4)]]},
            ValueError,
            r"receivers must be shared \(\[receivers, 2\]\) or one set for each of the 2 shots, got 3 sets",
        ),
        (
            {"boundary": sf.Faces(top=sf.Free()), "sources": [(1, 1), (0, 5)]},
            ValueError,
            r"sources must lie below the free surface \(iz > 0.*= \(0, 5\) for sources\[1, 0\]",
        ),
        (
            {"boundary": sf.Faces(top=sf.Free()), "receivers": [(0, 1)]},
            ValueError,
            r"receivers must lie below the free surface \(iz > 0.*= \(0, 1\) for receivers\[0, 0\]",
        ),
        ({"wavelet": torch.zeros(11)}, ValueError, r"wavelet must have shape \[time\] = \[12\].*got \[11\]"),
        ({"wavelet": torch.zeros(3, 12)}, ValueError, r"\[shots, time\] = \[2, 12\].*got \[3, 12\]"),
        ({"wavelet": torch.zeros(2, 2, 12)}, ValueError, r"\[2, 1, 12\] or \[models, 2, 1, 12\].*got \[2, 2, 12\]"),
        ({"wavelet": torch.zeros(4, 2, 2, 12)}, ValueError, r"wavelet must have shape.*got \[4, 2, 2, 12\]"),
        ({"wavelet": torch.zeros(0, 2, 1, 12)}, ValueError, r"wavelet must have shape.*got \[0, 2, 1, 12\]"),
        ({"wavelet": torch.tensor(1.0)}, ValueError, r"wavelet must have shape.*got \[\]"),
        ({"wavelet": torch.zeros(12, dtype=torch.int64)}, TypeError, r"float32 or float64, got torch.int64"),
        ({"wavelet": torch.zeros(12, dtype=torch.cfloat)}, TypeError, r"float32 or float64, got torch.complex64"),
        ({"wavelet": [1] * 12}, TypeError, r"wavelet must be float16, bfloat16, float32 or float64, got int64"),
        ({"wavelet": None}, TypeError, r"wavelet must be float16, bfloat16, float32 or float64, got object"),
        ({"wavelet": torch.full((12,), math.nan)}, ValueError, r"wavelet must be finite, got NaN or infinity"),
        ({"wavelet": torch.full((12,), math.inf)}, ValueError, r"wavelet must be finite, got NaN or infinity"),
    ],
)
def test_refuses(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plain_survey(**change)


@pytest.mark.parametrize("order", [4, 6, 8])
def test_a_free_surface_needs_more_rows_than_the_stencil_reaches(order: int) -> None:
    def surface(rows: int) -> sf.Survey:
        return sf.Survey(
            shape=(rows, 3), spacing=10.0, dt=1e-3, nt=2, sources=[(1, 1)], receivers=[(1, 1)], wavelet=[1.0, 0.0],
            order=order, boundary=sf.Faces(top=sf.Free()),
        )  # fmt: skip

    with pytest.raises(ValueError, match=rf"Free\(\) with order {order} needs more than {order // 2} rows"):
        surface(order // 2)
    assert surface(order // 2 + 1).shape == (order // 2 + 1, 3)


def test_a_periodic_grid_must_be_wider_than_the_stencil() -> None:
    def sponge(order: int) -> sf.Survey:
        return sf.Survey(
            shape=(3, 4), spacing=10.0, dt=1e-3, nt=2, sources=[(1, 1)], receivers=[(1, 1)], wavelet=[1.0, 0.0],
            order=order, boundary=sf.Sponge(2),
        )  # fmt: skip

    with pytest.raises(ValueError, match="Sponge is too narrow: the periodic grid must be wider than the stencil"):
        sponge(8)
    assert sponge(6).padded_shape((3, 4)) == (7, 8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sf.Survey.openfwi(nx=70.5), TypeError, r"nx must be an integer of at least 1, got 70\.5"),
        (lambda: sf.Survey.openfwi(nz=1), ValueError, r"sources must lie inside the 1 x 70 model"),
        (lambda: sf.Survey.openfwi(frequency=-1.0), ValueError, r"frequency must be positive and finite, got -1"),
        (lambda: sf.Survey.seisinv(shots=0), ValueError, r"shots must be an integer of at least 1, got 0"),
        (lambda: sf.Survey.seisinv(receivers=2.5), TypeError, r"receivers must be an integer of at least 1, got 2\.5"),
        (lambda: sf.Survey.seisinv(depth=100), ValueError, r"sources must lie inside the 100 x 100 model"),
        (lambda: sf.Survey.seisinv(depth=-1), ValueError, r"depth must be an integer of at least 0, got -1"),
        (lambda: sf.Survey.seisinv(shape=100), ValueError, r"shape must be \(nz, nx\)"),
        (lambda: sf.Survey.from_dict({}), ValueError, r"a survey needs the keys .*missing \['boundary', 'dt'"),
        (lambda: sf.Survey.from_dict({**plain_survey().to_dict(), "colour": 1}), ValueError, r"unknown \['colour'\]"),
        (lambda: sf.Survey.from_dict({**plain_survey().to_dict(), "nt": 0}), ValueError, r"nt must be an integer"),
        (lambda: plain_survey().check_shape((6, 7, 1)), ValueError, r"shape must be \(nz, nx\).*got \(6, 7, 1\)"),
        (lambda: plain_survey().check_shape((7, 6)), ValueError, r"survey's 6 x 7 cells \(nz x nx\), got 7 x 6"),
    ],
)
def test_presets_and_text_forms_refuse(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_copy_keeps_a_trainable_wavelet() -> None:
    pulse = sf.wavelets.ricker(15.0, 1e-3, 40).float().requires_grad_()
    survey = sf.Survey(spacing=10.0, dt=1e-3, nt=40, sources=[(1, 1)], receivers=[(1, 3)], wavelet=pulse)
    copied = copy.deepcopy(survey)
    assert copied == survey
    assert copied.wavelet.dtype == torch.float32
    assert copied.wavelet.requires_grad


def test_a_reversed_numpy_wavelet_is_taken() -> None:
    pulse = np.arange(40.0)[::-1]
    survey = sf.Survey(spacing=10.0, dt=1e-3, nt=40, sources=[(1, 1)], receivers=[(1, 3)], wavelet=pulse)
    assert survey.wavelet[0] == 39.0


# -- one shot ----------------------------------------------------------------------------------------------------------

MASK = [[True, False, True, True, False], [False, True, True, True, True], [True, False, False, False, False]]
ALONE: dict[str, dict[str, Any]] = {
    "sources and receivers of each shot": {},
    "shared receivers, one wavelet": {"receivers": [(1, 0), (2, 9), (2, 3)], "wavelet": small_wavelet()},
    "a wavelet per shot": {"wavelet": small_wavelet(3)},
    "a wavelet per model": {"wavelet": small_wavelet(2, 3, 2)},
    "any grid, order, boundary and steps": {
        "shape": None, "order": 8, "boundary": BOUNDARIES["free"], "dt": 9e-4, "receivers": [(1, 0), (1, 6)],
        "sources": [(2, 3), (3, 4), (5, 6)], "wavelet": small_wavelet(),
    },
    "a mask": {"receiver_mask": MASK},
    "a mask of shared receivers": {"receivers": [(1, k) for k in range(5)], "receiver_mask": MASK},
    "kinds of a shot": {"source_kind": ["dipole_x", "dipole_z"], "receiver_kind": ["gradient_z"] + ["pressure"] * 4},
    "kinds by shot": {
        "source_kind": [["dipole_x", "monopole"], ["monopole"] * 2, ["dipole_z"] * 2],
        "receiver_kind": [["pressure"] * 5, ["gradient_x"] * 5, ["gradient_z"] + ["pressure"] * 4],
    },
    "between cells": {"sources": [(1.5, 2.25), (4.0, 8.0), (9.75, 12.5)], "wavelet": small_wavelet(3)},
}  # fmt: skip


@pytest.mark.parametrize("case", ALONE)
def test_a_shot_alone_is_that_of_the_survey(case: str) -> None:
    survey = small_survey(**ALONE[case])
    velocity = small_velocity(2, 14, 17)
    records, fields = sf.simulate(velocity, survey, snapshots=sf.Every(13))
    for k in range(3):
        alone = survey.shot(k)
        assert alone.shots == 1
        record, field = sf.simulate(velocity, alone, snapshots=sf.Every(13))
        torch.testing.assert_close(record[:, 0], records[:, k], rtol=0, atol=1e-13 * float(records.abs().max()))
        torch.testing.assert_close(field[:, 0], fields[:, k], rtol=0, atol=1e-13 * float(fields.abs().max()))


@pytest.mark.parametrize("case", ALONE)
def test_some_shots_are_those_of_the_survey(case: str) -> None:
    survey = small_survey(**ALONE[case])
    velocity = small_velocity(2, 14, 17)
    records = sf.simulate(velocity, survey)
    for shots in ([2, 0], [1, 2], [0, 1, 2], [1, 1]):
        some = sf.simulate(velocity, survey.subset(shots))
        torch.testing.assert_close(some, records[:, shots], rtol=0, atol=1e-13 * float(records.abs().max()))
    assert survey.subset([0, 1, 2]) == survey
    with pytest.raises(ValueError, match="shots must name at least one shot, got none"):
        survey.subset([])
    with pytest.raises(ValueError, match="shots must lie between 0 and 2, got 3"):
        survey.subset([0, 3])


@pytest.mark.parametrize("case", ALONE)
def test_a_survey_made_of_its_arguments_is_the_same(case: str) -> None:
    survey = small_survey(**ALONE[case])
    assert survey._replaced() == survey
    assert survey._replaced(spacing=5.0) == small_survey(**{**ALONE[case], "spacing": 5.0})


def test_a_shot_alone_has_the_gradient_of_its_survey() -> None:
    places = torch.tensor([[1.5, 2.25], [3.5, 4.0]], dtype=torch.float64, requires_grad=True)
    wavelet = small_wavelet(2, nt=12).requires_grad_()
    survey = plain_survey(sources=places, wavelet=wavelet)
    alone = survey.shot(1)
    velocity = small_velocity(6, 7)
    whole = torch.autograd.grad(sf.simulate(velocity, survey)[1].square().sum(), (places, wavelet))
    own = torch.autograd.grad(sf.simulate(velocity, alone).square().sum(), (places, wavelet))
    for ours, theirs in zip(own, whole, strict=True):
        assert ours[1].abs().max() > 0
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        places += 0.25
    assert alone.positions("sources").tolist() == [[[3.75, 4.25]]] != survey.shot(0).positions("sources").tolist()


@pytest.mark.parametrize(
    ("shot", "error", "message"),
    [
        (2, ValueError, r"shot must lie between 0 and 1, got 2"),
        (-1, ValueError, r"shot must lie between 0 and 1, got -1"),
        (0.0, TypeError, r"shot must be an integer between 0 and 1, got 0\.0"),
        (True, TypeError, r"shot must be an integer between 0 and 1, got True"),
        (1, ValueError, r"shot must be one with a receiver that takes part, got 1, where receiver_mask has none"),
    ],
)
def test_a_shot_that_is_not_there(shot: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    survey = plain_survey(receiver_mask=[[True] * 3, [False] * 3])
    with pytest.raises(error, match=message):
        survey.shot(shot)
