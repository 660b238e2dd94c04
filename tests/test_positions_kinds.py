"""Positions between cells: dipoles and gradients, reciprocity, and receivers that a mask takes away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_survey import (
    NOISE,
    RECEIVERS,
    SOURCES,
    Places,
    double,
    relative,
    small_survey,
    small_velocity,
    small_wavelet,
    tiny_survey,
)
from torch import Tensor

import seisfast as sf

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
CPU = torch.device("cpu")


# -- dipoles and gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [(7.0, 8.0), (6.3, 8.7)], ids=["whole", "between"])
@pytest.mark.parametrize(("axis", "name"), [(0, "z"), (1, "x")])
def test_dipoles_and_gradients_are_limits_of_neighbours(axis: int, name: str, where: tuple[float, float]) -> None:
    velocity, step = small_velocity(14, 17), 1e-4
    beside = [np.array([where]) + sign * step * np.eye(2)[axis] for sign in (1, -1)]
    metres = 2 * step * (9.0, 11.0)[axis]

    def record(sources: Places, receivers: Places, **kinds: object) -> Tensor:
        survey = small_survey(sources=sources, receivers=receivers, wavelet=small_wavelet(), **kinds)
        return sf.simulate(velocity, survey)

    here, there = [where], [(4, 4), (9.2, 3.3)]
    expected = (record(here, beside[0]) - record(here, beside[1])) / metres
    assert relative(record(here, here, receiver_kind=f"gradient_{name}"), expected) < 1e-7
    expected = (record(beside[0], there) - record(beside[1], there)) / metres
    assert relative(record(here, there, source_kind=f"dipole_{name}"), expected) < 1e-7


def test_derivatives_by_a_position_are_gradients_per_cell() -> None:
    velocity, places = small_velocity(6, 7), double(RECEIVERS)
    for axis, name in enumerate("zx"):
        tangent = torch.eye(2, dtype=torch.float64)[axis].expand(3, 2)
        derivative = torch.func.jvp(lambda p: sf.simulate(velocity, tiny_survey(receivers=p)), (places,), (tangent,))[1]
        gradient = sf.simulate(velocity, tiny_survey(receiver_kind=f"gradient_{name}")) * (9.0, 11.0)[axis]
        assert relative(derivative, gradient) < 1e-12


@pytest.mark.parametrize(
    ("one", "other"), [("monopole", "pressure"), ("dipole_z", "gradient_z"), ("dipole_x", "gradient_x")]
)
def test_reciprocity(one: str, other: str) -> None:
    """Source and receiver change places, kinds included. Edges absorb nothing: a kernel may reach into them."""
    velocity = small_velocity(14, 40)
    velocity[:, :15], velocity[:, 25:] = 2100.0, 3300.0
    a, b = [(6.3, 7.6)], [(7.8, 31.1)]
    settings: dict[str, Any] = {"boundary": "rigid", "shape": (14, 40), "nt": 120, "wavelet": small_wavelet(nt=120)}
    there = sf.simulate(velocity, small_survey(sources=a, receivers=b, source_kind=one, **settings))
    back = sf.simulate(velocity, small_survey(sources=b, receivers=a, receiver_kind=other, **settings))
    assert there.abs().max() > 0
    assert relative(there, back) < 1e-11


def test_components_of_one_place_are_those_of_one_each() -> None:
    velocity, names = small_velocity(6, 7), ["pressure", "gradient_z", "gradient_x"]
    together = sf.simulate(velocity, tiny_survey(receivers=[[3, 2]] * 3, receiver_kind=names))
    for k, name in enumerate(names):
        alone = sf.simulate(velocity, tiny_survey(receivers=[[3, 2]], receiver_kind=name))
        assert relative(together[..., k], alone[..., 0]) < 1e-14
    each = tiny_survey(receivers=[[3, 2]], receiver_kind=[["pressure"], ["gradient_x"]])
    assert relative(sf.simulate(velocity, each)[:, :, 0], torch.stack([together[0, :, 0], together[1, :, 2]])) < 1e-14


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("padding", [-1, 99, -1.5, math.nan])
def test_masked_receivers_are_silent(shared: bool, padding: float) -> None:
    velocity = small_velocity(6, 7)
    mask = np.array([[True, False, True, False], [True, False, False, False]])
    rows = [[2.2, 3.0], [padding] * 2, [4.0, 5.5], [padding] * 2]
    receivers = rows if shared else [rows, [[1, 1], [padding] * 2, [padding] * 2, [padding] * 2]]
    data = sf.simulate(velocity, tiny_survey(receivers=receivers, receiver_mask=mask))
    assert not data[~torch.from_numpy(mask)[:, None].expand_as(data)].any()
    for shot in (0, 1):
        places = np.array(receivers if shared else receivers[shot], dtype=float)[mask[shot]]
        alone = tiny_survey([SOURCES[shot]], places, wavelet=NOISE[shot])
        assert relative(data[shot][:, mask[shot]], sf.simulate(velocity, alone)[0]) < 1e-14


def test_masked_receivers_give_no_gradient() -> None:
    velocity = small_velocity(6, 7).requires_grad_()
    mask = [[True, True, False], [True, False, False]]
    receivers = double([[2.2, 3.0], [3.1, 0.4], [math.nan, 40.0]], requires_grad=True)
    data = sf.simulate(velocity, tiny_survey(receivers=receivers, receiver_mask=mask))
    silent = ~torch.tensor(mask)[:, None].expand_as(data)
    dead = torch.autograd.grad(data[silent].sum(), (velocity, receivers), retain_graph=True)
    assert not any(g.any() for g in dead)
    alive = torch.autograd.grad(data.square().sum(), receivers)[0]
    assert alive[:2].abs().min() > 0
    assert not alive[2].any()


def test_a_shot_may_have_no_receivers_and_a_full_mask_is_none() -> None:
    velocity = small_velocity(6, 7)
    cells = [[2, 3], [3, 1]]
    data = sf.simulate(velocity, tiny_survey(receivers=cells, receiver_mask=[[False, False], [True, True]]))
    expected = sf.simulate(velocity, tiny_survey(receivers=cells))
    assert not data[0].any()
    assert torch.equal(data[1], expected[1])
    full = tiny_survey(receivers=cells, receiver_mask=torch.ones(2, 2, dtype=torch.bool))
    assert full.cells("receivers", (6, 7), CPU, torch.float64)[1] is None
    assert torch.equal(sf.simulate(velocity, full), expected)
