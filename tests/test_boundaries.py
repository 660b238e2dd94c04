"""Boundaries: the constants of their profiles, their text form, and the combinations that are refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from seisfast.boundaries import (
    CPML,
    Boundary,
    Faces,
    Free,
    Sponge,
    boundary_from_dict,
    boundary_to_dict,
    check_boundary,
    faces_of,
    padding,
)

EVERY_KIND = [
    CPML(),
    CPML(0),
    CPML(7, frequency=5.0, vmax=6000.0),
    Sponge(),
    Sponge(60, vmin_gradient=True),
    Faces(),
    Faces(top=Free(), bottom=CPML(3), left=CPML(0), right=CPML(9, 20.0)),
]


def test_defaults() -> None:
    assert CPML() == CPML(width=14, frequency=15.0, vmax=4500.0)
    assert Sponge() == Sponge(width=120, vmin_gradient=False)
    assert Faces() == Faces(CPML(), CPML(), CPML(), CPML())
    assert faces_of(CPML(3)) == Faces(CPML(3), CPML(3), CPML(3), CPML(3))


def test_padding_is_top_bottom_left_right() -> None:
    assert padding(CPML(4)) == (4, 4, 4, 4)
    assert padding(Sponge(6)) == (6, 6, 6, 6)
    assert padding(Faces(Free(), CPML(1), CPML(2), CPML(3))) == (0, 1, 2, 3)


def test_layer_coefficients_follow_the_formula() -> None:
    dt, spacing, width, frequency, vmax = 1e-3, 8.0, 5, 12.0, 4000.0
    a, b = CPML(width, frequency, vmax).coefficients(spacing, dt)
    for i in range(width):
        depth = i / (width - 1)
        sigma = 5 * vmax / spacing * depth ** (4 / 3) / (width * (1 - depth) + 3.5)
        alpha = math.pi * frequency / 2 * (1 - depth)
        assert b[i] == pytest.approx(math.exp(-(sigma + alpha) * dt), rel=1e-14)
        assert a[i] == pytest.approx(sigma / (sigma + alpha) * (b[i] - 1), rel=1e-14)
    assert (np.diff(a) < 0).all()
    assert ((b > 0) & (b < 1)).all()
    assert CPML(1).coefficients(spacing, dt)[0] == 0  # one cell does not absorb
    assert [len(x) for x in CPML(0).coefficients(spacing, dt)] == [0, 0]


def test_sponge_profile_is_openfwis() -> None:
    profile = Sponge(120).profile(10.0, 1e-3)
    kappa = 3 * math.log(1e7) / (2 * 1190.0)  # per m/s of slowest velocity
    assert profile[0] == 0.0
    assert profile[-1] == pytest.approx(kappa * 1e-3, rel=1e-14)
    assert profile[60] == pytest.approx(kappa * 1e-3 * (600 / 1190) ** 2, rel=1e-14)


@pytest.mark.parametrize("boundary", EVERY_KIND, ids=repr)
def test_text_form_comes_back(boundary: Boundary) -> None:
    text = json.dumps(boundary_to_dict(boundary))
    assert boundary_from_dict(json.loads(text)) == boundary
    assert check_boundary(boundary) is boundary


def test_numpy_numbers_become_plain_ones() -> None:
    boundary = CPML(np.int64(3), frequency=np.float32(15.0), vmax=4000)
    assert boundary == CPML(3, 15.0, 4000.0)
    assert [type(value) for value in dataclasses.astuple(boundary)] == [int, float, float]
    assert boundary_from_dict(json.loads(json.dumps(boundary_to_dict(boundary)))) == boundary
    assert json.dumps(boundary_to_dict(Sponge(np.int32(9)))) == json.dumps(boundary_to_dict(Sponge(9)))


def test_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CPML().width = 20  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Faces().top = Free()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CPML(-1), ValueError, r"CPML width must be an integer of at least 0, got -1"),
        (lambda: CPML(2.5), TypeError, r"CPML width must be an integer of at least 0, got 2\.5"),
        (lambda: CPML(True), TypeError, r"CPML width must be an integer of at least 0, got True"),
        (lambda: CPML("14"), TypeError, r"CPML width must be an integer of at least 0, got '14'"),
        (lambda: CPML(frequency=0.0), ValueError, r"CPML frequency must be positive and finite, got 0\.0"),
        (lambda: CPML(frequency=math.nan), ValueError, r"CPML frequency must be positive and finite, got nan"),
        (lambda: CPML(frequency="15"), TypeError, r"CPML frequency must be a number, got '15'"),
        (lambda: CPML(vmax=-4500.0), ValueError, r"CPML vmax must be positive and finite, got -4500\.0"),
        (lambda: CPML(vmax=math.inf), ValueError, r"CPML vmax must be positive and finite, got inf"),
        (lambda: CPML(vmax=None), TypeError, r"CPML vmax must be a number, got None"),
        (lambda: Sponge(1), ValueError, r"Sponge width must be an integer of at least 2, got 1"),
        (lambda: Sponge(120.0), TypeError, r"Sponge width must be an integer of at least 2, got 120\.0"),
        (lambda: Sponge(vmin_gradient="yes"), TypeError, r"Sponge vmin_gradient must be True or False, got 'yes'"),
        (lambda: Faces(top=Sponge()), ValueError, r"Faces top must be CPML or Free, got Sponge\(.*all four faces"),
        (
            lambda: Faces(bottom=Free()),
            ValueError,
            r"Faces bottom must be CPML, got Free\(\); allowed are CPML",
        ),
        (lambda: Faces(left=Sponge(20)), ValueError, r"Faces left must be CPML, got Sponge.*Sponge on all four faces"),
        (lambda: Faces(right=None), ValueError, r"Faces right must be CPML, got None"),
        (lambda: Faces(top=CPML), ValueError, r"Faces top must be CPML or Free, got <class"),
        (lambda: check_boundary(Free()), ValueError, r"boundary must be CPML, Sponge or Faces\(.*got Free\(\)"),
        (lambda: check_boundary("cpml"), ValueError, r"boundary must be CPML, Sponge or Faces\(.*got 'cpml'"),
        (lambda: boundary_from_dict({"kind": "PML"}), ValueError, r"boundary kind must be one of .*'CPML'.*'PML'"),
        (lambda: boundary_from_dict({}), ValueError, r"boundary kind must be one of"),
        (lambda: boundary_from_dict(None), ValueError, r"boundary kind must be one of .*got None"),
        (lambda: boundary_from_dict({"kind": "CPML", "wide": 3}), ValueError, r"boundary CPML has no wide"),
        (lambda: boundary_from_dict({"kind": "Faces", "roof": {"kind": "Free"}}), ValueError, r"Faces has no roof"),
    ],
)
def test_refuses(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
