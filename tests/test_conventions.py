"""Conversions to deepwave and Devito: round trips, their equations step by step, and the codes themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_survey import ORDERS, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast import conventions
from seisfast.boundaries import Boundary
from seisfast.stencil import second_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
FREE = sf.Faces(sf.Free(), sf.CPML(20), sf.CPML(20), sf.CPML(20))


def quiet_survey(boundary: Boundary, order: int = 4, nt: int = 150) -> sf.Survey:
    """Two shots of two sources in the middle of 80 x 90 cells (or below a free top): no echo of a layer in 150 ms.

    The wavelet starts and ends in mid-air.
    """
    first = 1 if boundary is FREE else 38
    pulse = sf.wavelets.ricker(15.0, 1e-3, 220)[60 : 60 + nt]
    return sf.Survey(
        shape=(80, 90), spacing=(9.0, 10.0), dt=1e-3, nt=nt, order=order, boundary=boundary,
        sources=[[(first, 45), (first + 3, 44)], [(first + 1, 50), (first + 2, 41)]],
        receivers=[(first + 2, ix) for ix in range(38, 55)], wavelet=torch.stack([pulse, -0.4 * pulse]),
    )  # fmt: skip


def discrete_laplacian(u: npt.NDArray[np.float64], spacing: tuple[float, float], order: int) -> npt.NDArray[np.float64]:
    """Of the field `[first, second]`, zero outside."""
    reach = order // 2
    wide = np.pad(u, reach)
    total = np.zeros_like(u)
    for axis, h in enumerate(spacing):
        for k, weight in enumerate(second_weights(order)):
            for side in (k, -k) if k else (0,):
                rows = [slice(reach, reach + n) for n in u.shape]
                rows[axis] = slice(reach + side, reach + side + u.shape[axis])
                total += weight * wide[tuple(rows)] / h**2
    return total


# -- deepwave ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", [sf.CPML(20), FREE], ids=["cpml", "free"])
@pytest.mark.parametrize("order", ORDERS)
def test_deepwaves_record_is_ours_both_ways(order: int, boundary: Boundary) -> None:
    """To the last digits, until the boundary is heard: our experiment run there, and one of theirs run here."""
    deepwave = pytest.importorskip("deepwave")
    velocity, survey = small_velocity(80, 90), quiet_survey(boundary, order)
    data = sf.simulate(velocity, survey)
    arguments = conventions.to_deepwave(velocity, survey)
    theirs = deepwave.scalar(**arguments)[-1]
    assert relative(conventions.record_from_deepwave(theirs), data) < 1e-12
    assert relative(theirs, conventions.record_to_deepwave(data)) < 1e-12
    arguments["source_amplitudes"] = torch.randn(2, 2, 151, dtype=torch.float64)
    theirs = deepwave.scalar(**arguments)[-1]
    ours = sf.simulate(*conventions.from_deepwave(**arguments))
    assert relative(conventions.record_to_deepwave(ours), theirs) < 1e-12


def test_deepwaves_gradients_are_ours() -> None:
    deepwave = pytest.importorskip("deepwave")
    slopes = []
    for ours in (True, False):
        velocity = small_velocity(80, 90).requires_grad_()
        wavelet = small_wavelet(2, 2, nt=150).requires_grad_()
        survey = quiet_survey(sf.CPML(20))
        survey = sf.Survey.from_dict({**survey.to_dict(), "wavelet": wavelet})
        if ours:
            data = sf.simulate(velocity, survey)
        else:
            data = conventions.record_from_deepwave(deepwave.scalar(**conventions.to_deepwave(velocity, survey))[-1])
        slopes.append(torch.autograd.grad(data.square().sum(), (velocity, wavelet)))
    for a, b in zip(*slopes, strict=True):
        assert relative(a, b) < 1e-12


@pytest.mark.parametrize(
    "boundary", [sf.CPML(6, 12.0, 4000.0), sf.Faces(sf.CPML(2), sf.CPML(7), sf.CPML(0), sf.CPML(3)), FREE], ids=str
)
def test_round_trip_through_deepwaves_arguments(boundary: Boundary) -> None:
    velocity, survey = small_velocity(80, 90, dtype=torch.float32), quiet_survey(boundary)
    arguments = conventions.to_deepwave(velocity, survey)
    back, again = conventions.from_deepwave(**arguments)
    assert (again.spacing, again.dt, again.nt) == (survey.spacing, survey.dt, survey.nt)
    assert (again.order, again.boundary) == (survey.order, boundary)
    assert torch.equal(again.sources, survey.sources)
    assert torch.equal(again.receivers, survey.receivers.expand(2, -1, -1))
    assert torch.equal(back[int(boundary is FREE) :], velocity[int(boundary is FREE) :])
    assert torch.equal(sf.simulate(back, again), sf.simulate(velocity, survey))
    for name, value in conventions.to_deepwave(back, again).items():
        assert torch.equal(value, arguments[name]) if isinstance(value, Tensor) else value == arguments[name], name
    data = torch.randn(2, 150, 17)
    assert torch.equal(conventions.record_from_deepwave(conventions.record_to_deepwave(data)), data)


@pytest.mark.parametrize(
    ("velocity", "changes", "message"),
    [
        (small_velocity(2, 14, 17), {}, r"velocity must be one model \[nz, nx\] for deepwave, got \[2, 14, 17\]"),
        (small_velocity(14, 17), {"wavelet": small_wavelet(2, 3, 2)}, r"wavelet must be that of one model .* got 2"),
        (small_velocity(14, 18), {}, r"velocity must have the survey's 14 x 17 cells .* got 14 x 18"),
        (small_velocity(14, 17), {"boundary": sf.Sponge(7), "spacing": 10.0}, r"boundary must be CPML, or Free on top"),
        (small_velocity(14, 17), {"boundary": sf.Faces(left=sf.CPML(vmax=3e3))}, r"one frequency and vmax on all face"),
    ],
)  # fmt: skip
def test_what_deepwave_does_not_have(velocity: Tensor, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conventions.to_deepwave(velocity, small_survey(**{"wavelet": small_wavelet(3), **changes}))


@pytest.mark.parametrize("boundary", ["rigid", ["pml", "free", "pml", "pml"], ["periodic"] * 4])
def test_what_we_do_not_have_of_deepwave(boundary: str | list[str]) -> None:
    arguments = conventions.to_deepwave(small_velocity(80, 90), quiet_survey(sf.CPML(20)))
    with pytest.raises(ValueError, match=r'boundary must be "pml", or "free" as the first of four, got'):
        conventions.from_deepwave(**arguments | {"boundary": boundary})


# -- Devito ------------------------------------------------------------------------------------------------------------


def shots_of(script: dict[str, Any]) -> Iterator[tuple[npt.NDArray[np.float64], ...]]:
    """Samples of the sources, their coordinates and those of the receivers."""
    return zip(script["src"], script["src_coordinates"], script["rec_coordinates"], strict=True)


def devito_by_hand(script: dict[str, Any]) -> npt.NDArray[np.float64]:
    """The records of the script that `to_devito` describes, in numpy: what its Operator does, time by time."""
    vp, dt, records = script["vp"], script["dt"], []
    m = 1.0 / vp**2
    for src, sources, receivers in shots_of(script):
        at = [tuple(np.rint(places / script["spacing"]).astype(int).T) for places in (sources, receivers)]
        u, before = np.zeros_like(vp), np.zeros_like(vp)
        rec = np.zeros((len(src), len(receivers)))
        for time in range(1, len(src) - 1):  # an Operator's own bounds
            forward = 2 * u - before + dt**2 / m * discrete_laplacian(u, script["spacing"], script["space_order"])
            np.add.at(forward, at[0], src[time] * (dt**2 / m)[at[0]])
            rec[time] = u[at[1]]
            u, before = forward, u
        records.append(rec)
    return np.stack(records)


def devito_itself(script: dict[str, Any]) -> npt.NDArray[np.float64]:
    """The same by Devito, with the time bounds that it takes by itself."""
    devito = pytest.importorskip("devito", reason="devito is not installed")
    devito.configuration["log-level"] = "WARNING"
    vp, order, records = script["vp"], script["space_order"], []
    extent = tuple((n - 1) * h for n, h in zip(vp.shape, script["spacing"], strict=True))
    grid = devito.Grid(shape=vp.shape, extent=extent, dtype=np.float64)
    m = devito.Function(name="m", grid=grid, space_order=order)
    m.data[:] = 1.0 / vp**2
    for src, sources, receivers in shots_of(script):
        u = devito.TimeFunction(name="u", grid=grid, time_order=2, space_order=order)
        inject, rec = (
            devito.SparseTimeFunction(name=name, grid=grid, npoint=len(at), nt=len(src), coordinates=at)
            for name, at in (("src", sources), ("rec", receivers))
        )
        inject.data[:] = src
        dt = grid.stepping_dim.spacing
        step = devito.Eq(u.forward, devito.solve(m * u.dt2 - u.laplace, u.forward))
        scaled = inject.inject(field=u.forward, expr=inject * dt**2 / m)
        devito.Operator([step, scaled, rec.interpolate(expr=u)]).apply(dt=script["dt"])
        records.append(np.array(rec.data))
    return np.stack(records)


@pytest.mark.parametrize(("code", "tolerance"), [(devito_by_hand, 1e-12), (devito_itself, 1e-5)])
@pytest.mark.parametrize("order", ORDERS)
def test_devitos_record_is_ours_both_ways(code: Any, tolerance: float, order: int) -> None:  # noqa: ANN401
    """In the interior; Devito itself writes the weights of its stencil with nine digits."""
    velocity, survey = small_velocity(80, 90), quiet_survey(sf.CPML(20), order)
    data = sf.simulate(velocity, survey)
    script = conventions.to_devito(velocity, survey)
    record = code(script)
    assert relative(conventions.record_from_devito(record), data) < tolerance
    assert relative(torch.from_numpy(record), torch.from_numpy(conventions.record_to_devito(data))) < tolerance
    script["src"] = np.random.default_rng(0).standard_normal((2, 153, 2))
    ours = sf.simulate(*conventions.from_devito(**script, boundary=survey.boundary))
    assert relative(torch.from_numpy(conventions.record_to_devito(ours)), torch.from_numpy(code(script))) < tolerance


def test_devitos_arrays() -> None:
    velocity, survey = small_velocity(80, 90), quiet_survey(sf.CPML(20))
    script = conventions.to_devito(velocity, survey)
    assert script["vp"].shape == (90, 80)
    assert script["vp"][7, 3] == velocity[3, 7]
    assert script["spacing"] == (10.0, 9.0)
    assert script["src"].shape == (2, 153, 2)
    assert np.array_equal(script["src"][1, 1:-2, 0], survey.wavelet[1].numpy())
    assert script["src_coordinates"][0, 1].tolist() == [440.0, 369.0]  # (x, z) of cell (41, 44)
    assert script["rec_coordinates"].shape == (2, 17, 2)


def test_round_trip_through_devitos_arrays() -> None:
    velocity, survey = small_velocity(80, 90, dtype=torch.float32), quiet_survey(sf.CPML(9))
    script = conventions.to_devito(velocity, survey)
    back, again = conventions.from_devito(**script, boundary=sf.CPML(9))
    assert torch.equal(back, velocity)
    assert torch.equal(sf.simulate(back, again), sf.simulate(velocity, survey))
    for name, value in conventions.to_devito(back, again).items():
        assert np.array_equal(value, script[name]), name
    data = torch.randn(2, 150, 17)
    assert torch.equal(conventions.record_from_devito(conventions.record_to_devito(data)), data)


def test_devitos_coordinates_must_be_grid_points() -> None:
    script = conventions.to_devito(small_velocity(80, 90), quiet_survey(sf.CPML(20)))
    for name in ("src_coordinates", "rec_coordinates"):
        moved = script[name].copy()
        moved[1, 0] += (2.5, 0.0)
        x, z = moved[1, 0]
        with pytest.raises(ValueError, match=rf"{name} must lie on grid points of 10 x 9 m, got \({x:g}, {z:g}\)"):
            conventions.from_devito(**script | {name: moved})
    single = {name: script[name].astype(np.float32) for name in ("src_coordinates", "rec_coordinates")}
    assert conventions.from_devito(**script | single)[1] == conventions.from_devito(**script)[1]


def test_one_model_for_devito() -> None:
    with pytest.raises(ValueError, match=r"velocity must be one model \[nz, nx\] for Devito, got \[2, 80, 90\]"):
        conventions.to_devito(small_velocity(2, 80, 90), quiet_survey(sf.CPML(20)))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sources": [[1.5, 2.0], [4.0, 5.0]]}, "sources"),
        ({"receivers": [[2.2, 3.0]]}, "receivers"),
        ({"source_kind": "dipole_z"}, "sources"),
        ({"receiver_mask": [[True], [False]], "receivers": [[2, 3]]}, "receivers"),
    ],
)
def test_other_codes_take_whole_cells_alone(changes: dict[str, Any], name: str) -> None:
    settings = {"receivers": [[2, 3]], "sources": [[1, 2], [4, 5]], "wavelet": small_wavelet(2), **changes}
    survey, velocity = small_survey(**settings), small_velocity(14, 17)
    for convert, code in ((conventions.to_deepwave, "deepwave"), (conventions.to_devito, "Devito")):
        with pytest.raises(ValueError, match=f"{name} must be whole cells, of pressure and unmasked, for {code}"):
            convert(velocity, survey)
