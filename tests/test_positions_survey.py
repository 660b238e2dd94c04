"""Surveys with positions between cells, kinds and masks: text form, copies, equality, repr, and what is refused."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
import torch
from small_survey import SOURCES, UNUSUAL, double, small_velocity, tiny_survey

import seisfast as sf

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")


# -- text form and copies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", UNUSUAL)
def test_text_form_and_copies_come_back(case: str) -> None:
    place = torch.tensor(SOURCES, requires_grad=True)
    survey = tiny_survey(place, **UNUSUAL[case])
    velocity = small_velocity(6, 7)
    copies = (pickle.loads(pickle.dumps(survey)), copy.deepcopy(survey))
    for other in (sf.Survey.from_dict(json.loads(json.dumps(survey.to_dict()))), *copies):
        assert other == survey
        assert repr(other) == repr(survey)
        assert torch.equal(sf.simulate(velocity, other), sf.simulate(velocity, survey))
    for other in copies:
        assert other.sources.requires_grad
        assert other.sources.dtype == torch.float32


def test_equality_sees_positions_kinds_and_mask() -> None:
    survey = tiny_survey()
    changes: list[dict[str, Any]] = [
        {"sources": [[1.3, 2.2], [4.0, 5.5]]},
        {"receivers": [[2.2, 3.0], [3.1, 0.4], [5.0, 5.9]]},
        *({key: value} for case in UNUSUAL.values() for key, value in case.items()),
    ]
    for change in changes:
        assert tiny_survey(**change) != survey, change


def test_a_plain_survey_is_described_as_before() -> None:
    keys = {"shape", "spacing", "dt", "nt", "sources", "receivers", "wavelet", "order", "boundary"}
    described = sf.Survey.seisinv().to_dict()
    assert set(described) == keys
    assert described["sources"][0] == [[1, 2]]
    assert all(type(n) is int for n in described["sources"][0][0])


def test_repr_names_what_is_unusual() -> None:
    text = repr(tiny_survey(source_kind="dipole_z", **UNUSUAL["mask"]))
    assert "2 shots (dipole_z), 3 receivers (2 masked)" in text


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"sources": [[1.5, 6.01], [1, 1]]},
            ValueError,
            r"sources must lie inside the 6 x 7 model .* = \(1\.5, 6\.01\)",
        ),
        ({"sources": [[1, 1], [-0.01, 1]]}, ValueError, r"sources must lie .*\(-0\.01, 1\) for sources\[1, 0\]"),
        ({"receivers": [[5.5, 1]]}, ValueError, r"receivers must lie inside .* = \(5\.5, 1\) for receivers\[0, 0\]"),
        (
            {"sources": [[1, math.nan], [1, 1]]},
            ValueError,
            r"sources must be numbers of cells, got nan for sources\[0, 0\]",
        ),
        (
            {"receivers": [[1, math.inf]]},
            ValueError,
            r"receivers must be numbers of cells, got inf for receivers\[0, 0\]",
        ),
        (
            {"boundary": sf.Faces(top=sf.Free()), "sources": [[0.5, 1], [0.0, 1.5]]},
            ValueError,
            r"sources must lie below the free surface \(iz > 0; .*got \(iz, ix\) = \(0, 1\.5\) for sources\[1, 0\]",
        ),
        (
            {"source_kind": "dipole"},
            ValueError,
            r"source_kind must be one of 'monopole', 'dipole_z', 'dipole_x', got 'dipole'",
        ),
        ({"source_kind": None}, ValueError, r"source_kind must be one of .*, got None"),
        ({"source_kind": ["monopole"] * 2}, ValueError, r"source_kind must be one name.*\[1\] or \[2, 1\], got \[2\]"),
        ({"receiver_kind": "gradient"}, ValueError, r"receiver_kind must be one of 'pressure', .*, got 'gradient'"),
        (
            {"receiver_kind": ["pressure"] * 2},
            ValueError,
            r"receiver_kind must be one name.*\[3\] or \[2, 3\], got \[2\]",
        ),
        (
            {"receiver_kind": [["pressure"], []]},
            ValueError,
            r"receiver_kind must have shape .* rows of different lengths",
        ),
        ({"receiver_mask": [[1, 0, 1]] * 2}, TypeError, r"receiver_mask must be boolean, got int64"),
        (
            {"receiver_mask": [True] * 3},
            ValueError,
            r"receiver_mask must have shape \[shots, receivers\] = \[2, 3\], got \[3\]",
        ),
        (
            {"receiver_mask": [[True], []]},
            ValueError,
            r"receiver_mask must have shape .*, got rows of different lengths",
        ),
        (
            {"receiver_mask": [[False] * 3] * 2},
            ValueError,
            r"receiver_mask must leave a receiver in some shot, got none",
        ),
        (
            {"receivers": [[9, 9], [2, 2], [1, 1]], "receiver_mask": [[False, True, True], [True, True, True]]},
            ValueError,
            r"receivers must lie inside .* for receivers\[0, 0\]",
        ),
    ],
)
def test_refuses(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tiny_survey(**change)


def test_refuses_positions_that_vmap_maps() -> None:
    places, velocity = double([SOURCES, SOURCES]), small_velocity(6, 7)
    with pytest.raises(
        ValueError, match=r"sources cannot be mapped by torch\.func\.vmap: their values say which cells"
    ):
        torch.vmap(lambda p: sf.simulate(velocity, tiny_survey(p)))(places)


def test_refuses_moving_positions_on_another_device() -> None:
    survey = tiny_survey()
    survey._points["receivers"].given = torch.zeros(1, 3, 2, device="meta", requires_grad=True)
    with pytest.raises(ValueError, match="receivers requires grad on meta, but velocity is on cpu"):
        sf.simulate(small_velocity(6, 7), survey)
