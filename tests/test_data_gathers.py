"""Gathers and surveys: positions to cells and back, records on a survey, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from small_survey import noise, relative

import seisfast as sf
from seisfast.data import Gathers

SOURCES = [[20.0, 10.0], [150.0, 10.0]]
RECEIVERS = [[10.0 * k, 10.0] for k in range(20)]
RECORDS = noise(2, 40, 20, dtype=torch.float32)


def gathers(**changes: object) -> Gathers:
    settings: dict[str, Any] = {"records": RECORDS, "dt": 1e-3, "sources": SOURCES, "receivers": RECEIVERS}
    return Gathers(**{**settings, **changes})


def survey(**changes: object) -> sf.Survey:
    settings: dict[str, Any] = {
        "shape": (10, 20), "spacing": 10.0, "dt": 1e-3, "nt": 40, "sources": [(1, 2), (1, 15)],
        "receivers": [(1, ix) for ix in range(20)], "wavelet": sf.wavelets.ricker(15.0, 1e-3, 40),
    }  # fmt: skip
    return sf.Survey(**{**settings, **changes})


# -- surveys -----------------------------------------------------------------------------------------------------------


def test_there_and_back() -> None:
    made = gathers()
    assert made.survey(shape=(10, 20), spacing=10.0, frequency=15.0) == survey()
    assert torch.equal(made.onto(survey()), RECORDS)
    again = Gathers.of(RECORDS, survey())
    np.testing.assert_array_equal(again.sources, made.sources)
    np.testing.assert_array_equal(again.receivers, made.receivers)
    assert made.extent == ((0.0, 10.0), (190.0, 10.0))
    assert repr(made) == "Gathers(2 shots, 20 receivers, 40 samples of 1 ms, x 0 to 190 m, z 10 to 10 m)"


def test_positions_between_cells_and_unequal_spacing() -> None:
    made = gathers(sources=[[20.0, 10.0], [153.0, 7.5]])
    fine = made.survey(spacing=(5.0, 12.5), wavelet=torch.zeros(40))
    np.testing.assert_allclose(fine.positions("sources")[:, 0], [[2.0, 1.6], [1.5, 12.24]])
    assert torch.equal(made.onto(fine), RECORDS)
    assert fine.receivers.dtype == torch.float64
    tenth = gathers(receivers=[[0.1 * k * 100.0, 10.0] for k in range(20)])  # 0.1 * 3 is not 0.3
    assert tenth.survey(spacing=10.0, frequency=15.0).receivers.dtype == torch.int32


def test_rounding_does_not_put_a_position_outside() -> None:
    made = gathers(receivers=[[10.0 * k + 1e-9 * (k - 10), 10.0] for k in range(20)])
    assert made.survey(shape=(10, 20), spacing=10.0, frequency=15.0) == survey()


def test_each_shot_with_receivers_of_its_own() -> None:
    places = np.stack([np.array(RECEIVERS), np.array(RECEIVERS) + np.array([5.0, 0.0])])
    mask = np.ones((2, 20), bool)
    mask[1, 15:] = False
    places[1, 15:] = np.nan
    made = gathers(receivers=places, mask=mask)
    assert not made.records[1, :, 15:].any()
    own = made.survey(shape=(10, 21), spacing=10.0, frequency=15.0)
    assert own.receivers.shape == (2, 20, 2)
    assert own.receiver_mask is not None
    assert own.receiver_mask.tolist() == mask.tolist()
    assert torch.equal(made.onto(own), made.records)
    records = sf.simulate(torch.full((10, 21), 2000.0), own)
    assert records[1, :, :15].abs().amax(0).min() > 0
    assert not records[1, :, 15:].any()


def test_another_time_axis_simulates_what_the_file_holds() -> None:
    """A file in steps of 4 ms: simulated in steps of 1 ms, and read back onto the finer survey."""
    fine = survey(nt=400, wavelet=sf.wavelets.ricker(12.0, 1e-3, 400))
    model = torch.linspace(1800.0, 2600.0, 10)[:, None].expand(10, 20)
    records = sf.simulate(model, fine)
    coarse = gathers(records=records[:, 3::4], dt=4e-3)
    made = coarse.survey(shape=(10, 20), spacing=10.0, frequency=12.0, dt=1e-3)
    assert made == fine
    assert relative(coarse.onto(made), records) < 2e-3
    assert relative(coarse.onto(made)[:, 3::4], records[:, 3::4]) < 1e-6


@pytest.mark.parametrize("k", [2, 4])
def test_longer_steps_have_the_records_of_a_simulation_in_them(k: int) -> None:
    """A shift by one of the shorter steps is 6 %."""
    pulse = sf.wavelets.ricker(10.0, 1e-3, 400)
    fine = survey(nt=400, wavelet=pulse)
    longer = survey(nt=400 // k, dt=k * 1e-3, wavelet=pulse[::k].clone())
    model = torch.linspace(1800.0, 2600.0, 10)[:, None].expand(10, 20)
    records = sf.simulate(model, fine, substeps=4)
    wanted = sf.simulate(model, longer, substeps=4 * k)
    found = Gathers.of(records, fine).onto(longer)
    inner = slice(0, 400 // k - 16)
    assert relative(found[:, inner], wanted[:, inner]) < 1e-4
    assert relative(records[:, k - 2 :: k][:, inner], wanted[:, inner]) > 0.05


def test_a_file_that_begins_later_is_zero_before() -> None:
    later = gathers(start=0.01)
    own = later.survey(shape=(10, 20), spacing=10.0, frequency=15.0)
    assert own.nt == 50
    found = later.onto(own)
    assert not found[:, :10].any()
    assert torch.equal(found[:, 10:], RECORDS)
    smooth = torch.sin(torch.arange(40.0) / 8.0)[None, :, None].expand(2, 40, 20)
    half = survey(dt=5e-4, nt=100, wavelet=torch.zeros(100))
    found = gathers(records=smooth, start=0.01).onto(half)
    assert not found[:, :20].any()
    torch.testing.assert_close(found[:, 21::2], smooth.contiguous(), atol=1e-5, rtol=0)
    assert found[:, 20].abs().max() < 0.1, "one sample before the first"


# -- matching ----------------------------------------------------------------------------------------------------------


def test_shots_and_traces_in_any_order() -> None:
    made = gathers()
    turned = survey(sources=[(1, 15), (1, 2), (1, 15)], receivers=[(1, ix) for ix in (7, 3, 3)])
    assert torch.equal(made.onto(turned), RECORDS[[1, 0, 1]][..., [7, 3, 3]])
    near = survey(sources=[(1.3, 2.4), (1.0, 14.6)], receivers=[(1, ix + 0.4) for ix in range(19)])
    assert torch.equal(made.onto(near), RECORDS[..., :19])
    assert torch.equal(made.onto(survey(sources=[(5, 2), (5, 15)]), tolerance=41.0), RECORDS)


def test_repeats_at_one_place_keep_their_order() -> None:
    made = gathers(sources=[SOURCES[0]] * 2, receivers=[RECEIVERS[k // 2] for k in range(20)])
    again = made.survey(spacing=10.0, frequency=15.0)
    assert torch.equal(made.onto(again), RECORDS)
    mask = np.ones((2, 20), bool)
    mask[:, 0] = False
    dead = gathers(sources=[SOURCES[0]] * 2, receivers=[RECEIVERS[k // 2] for k in range(20)], mask=mask)
    assert torch.equal(dead.onto(again)[..., 1:], RECORDS[..., 1:])


def test_traces_in_between_are_interpolated() -> None:
    line = torch.arange(20.0)
    records = torch.stack([line, 3.0 - line]).unsqueeze(1).expand(2, 40, 20)
    made = gathers(records=records)
    between = survey(receivers=[(1, 2.25), (1, 0.0), (1, 18.75), (1, 19.0)])
    found = made.onto(between, traces="linear")
    wanted = torch.tensor([2.25, 0.0, 18.75, 19.0])
    torch.testing.assert_close(found, torch.stack([wanted, 3.0 - wanted]).unsqueeze(1).expand(2, 40, 4))
    assert torch.equal(made.onto(survey(), traces="linear"), made.records)
    down = gathers(records=records, receivers=[[40.0, 10.0 * k] for k in range(20)])
    well = survey(shape=(20, 20), receivers=[(4.5, 4), (11.0, 4)])
    torch.testing.assert_close(down.onto(well, traces="linear")[0, 0], torch.tensor([4.5, 11.0]))
    mask = np.ones((2, 20), bool)
    mask[:, 5] = False
    with pytest.raises(ValueError, match=r"shot 0 has no trace within 9.9 m of receiver 5 .*\(linear: 10 m away\)"):
        gathers(records=records, mask=mask).onto(survey(), traces="linear", tolerance=9.9)
    torch.testing.assert_close(
        gathers(records=records, mask=mask).onto(survey(), traces="linear"), records.contiguous()
    )


def test_a_masked_receiver_needs_no_trace() -> None:
    mask = np.ones((2, 20), bool)
    mask[0, 3] = False
    made = gathers(mask=mask)
    with pytest.raises(ValueError, match=r"shot 0 has no trace within 5 m of receiver 3 at \(x, z\) = \(30, 10\) m"):
        made.onto(survey())
    found = made.onto(survey(receiver_mask=mask))
    assert torch.equal(found, made.records)


def test_what_does_not_fit_is_named() -> None:
    made = gathers()
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (survey(sources=[(1, 2), (1, 9)]), {},
         "shot 1 at (x, z) = (90, 10) m has no gather within 5 m: the nearest, 1, at (x, z) = (150, 10) m, is 60"),
        (survey(receivers=[(1, 4), (3, 4)]), {}, "shot 0 has no trace within 5 m of receiver 1 at (x, z) = (40, 30)"),
        (survey(nt=41, wavelet=torch.zeros(41)), {}, "0 to 0.04 s that the gathers have, got 0 to 0.041 s"),
        (survey(sources=[[(1, 2), (1, 3)]]), {}, "survey must have one source in each shot, got 2"),
        (survey(), {"traces": "cubic"}, 'traces must be "nearest" or "linear"'),
        (survey(), {"tolerance": 0}, "tolerance must be positive and finite, got 0"),
    ]  # fmt: skip
    for asked, options, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            made.onto(asked, **options)
    with pytest.raises(ValueError, match=r"must end in the 0\.04 to 0\.08 s that the gathers have, got 0 to 0.04 s"):
        gathers(start=0.04).onto(survey())
    dead = np.array([[True] * 20, [False] * 20])
    with pytest.raises(ValueError, match="shot 1 has no live trace for its 20 receivers"):
        gathers(mask=dead).onto(survey())
    outside = [
        ({"shape": (10, 19)}, "lie in 0 to 180 m and 0 to 90 m along x and z, got x 0 to 190 m and z 10 to 10 m; the"),
        ({"shape": (1, 20)}, "must lie in 0 to 190 m and 0 to 0 m along x and z"),
    ]  # fmt: skip
    for shape, message in outside:
        with pytest.raises(ValueError, match=re.escape(message)):
            made.survey(spacing=10.0, frequency=15.0, **shape)
    with pytest.raises(ValueError, match=r'must start at 0 along x and z.*geometry \{"origin": \[x, z\]\}'):
        gathers(sources=[[-5.0, 0.0], [0.0, 0.0]]).survey(spacing=10.0, frequency=15.0)
    for wavelets in ({}, {"frequency": 15.0, "wavelet": torch.zeros(40)}):
        with pytest.raises(ValueError, match="give either frequency"):
            made.survey(spacing=10.0, **wavelets)


def test_gathers_that_do_not_fit_themselves() -> None:
    holes = RECORDS.clone()
    holes[1, 3, 4] = torch.nan
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"records": RECORDS[0]}, ValueError, "records must be [shots, time, receivers], got shape [40, 20]"),
        ({"records": RECORDS[:, :0]}, ValueError, "records must be [shots, time, receivers]"),
        ({"records": RECORDS > 0}, TypeError, "records must be real numbers, got torch.bool"),
        ({"records": holes}, ValueError, "NaN or infinity in trace 4 of shot 1"),
        ({"sources": SOURCES[:1]}, ValueError, "sources must be [shots, 2] = [2, 2] of (x, z), got shape [1, 2]"),
        ({"receivers": RECEIVERS[:5]}, ValueError, "[20, 2] of (x, z), or [2, 20, 2], got shape [5, 2]"),
        ({"receivers": [[np.nan, 0.0]] * 20}, ValueError, "receivers must be finite"),
        ({"sources": [[np.inf, 0.0]] * 2}, ValueError, "sources must be finite"),
        ({"mask": np.ones((2, 5), bool)}, ValueError, "mask must have shape [shots, receivers] = [2, 20]"),
        ({"mask": np.ones((2, 20))}, TypeError, "mask must be boolean"),
        ({"dt": 0.0}, ValueError, "dt must be positive and finite"),
        ({"start": "0"}, TypeError, "start must be a number"),
    ]  # fmt: skip
    for changes, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            gathers(**changes)
    mask = np.ones((2, 20), bool)
    mask[1, 4] = False
    assert not gathers(records=holes, mask=mask).records[1, :, 4].any(), "what is masked may be anything"
