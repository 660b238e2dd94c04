"""Positions between cells: their accuracy, edges, derivatives, dipoles and gradients, masks, and what is refused."""

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
from small_survey import BOUNDARIES, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor
from torch.autograd import forward_ad

import seisfast as sf
from seisfast.engines import CHIPS, planned_engine
from seisfast.positions import RADIUS, kernel, slope

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
CPU = torch.device("cpu")
Places = Any  # what torch.as_tensor takes
NOISE = torch.randn(2, 14, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
SOURCES, RECEIVERS = [[1.3, 2.2], [4.0, 5.0]], [[2.2, 3.0], [3.1, 0.4], [5.0, 6.0]]


def tiny_survey(sources: Places = SOURCES, receivers: Places = RECEIVERS, **changes: object) -> sf.Survey:
    """Two shots and three receivers, some between cells, on 6 x 7 cells, 14 samples of noise."""
    settings: dict[str, object] = {"shape": (6, 7), "nt": 14, "dt": 8e-4, "wavelet": NOISE, "boundary": sf.CPML(3)}
    return small_survey(sources=sources, receivers=receivers, **{**settings, **changes})


def double(values: Places, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


# -- the kernel --------------------------------------------------------------------------------------------------------


def test_kernel_is_a_sinc_in_the_stated_window() -> None:
    distance = torch.linspace(-4.99, 4.99, 400, dtype=torch.float64)
    y = 1 - (distance / RADIUS) ** 2
    b = 8.25

    def bessel(x: Tensor) -> Tensor:
        return torch.special.i0(x) - 2 * torch.special.i1(x) / x  # of order two

    window = y * bessel(b * y.sqrt()) / bessel(double(b))
    assert torch.allclose(kernel(distance), torch.sinc(distance) * window, rtol=0, atol=1e-14)
    whole = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    assert torch.equal(kernel(whole), (whole == 0).double())


@pytest.mark.parametrize("beside", [0.0, 1e-12, 1e-9, 1e-4, 0.25, 0.5 - 1e-12, 0.5])
def test_kernel_has_exact_derivatives_everywhere(beside: float) -> None:
    distance = double([k + s * beside for k in range(-4, 5) for s in (-1, 1)], requires_grad=True)
    assert torch.autograd.gradcheck(kernel, distance)
    assert torch.autograd.gradgradcheck(kernel, distance)
    assert torch.autograd.gradcheck(slope, distance)


def test_kernel_ends_with_two_continuous_derivatives() -> None:
    end = double([-RADIUS, RADIUS], requires_grad=True)
    first = torch.autograd.grad(kernel(end).sum(), end, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), end)[0]
    assert not kernel(end).any()
    assert first.abs().max() < 1e-15
    assert second.abs().max() < 1e-15
    assert float(slope(double(0.0))) == 0.0


# -- accuracy: a grid shifted so that the position is on it ------------------------------------------------------------


def shifted(model: str, down: float, right: float) -> Tensor:
    """A model of 60 x 64 cells whose cell (0, 0) lies at (down, right): 1500 m/s, four points per wavelength."""
    if model == "homogeneous":
        return torch.full((60, 64), 1500.0, dtype=torch.float64)
    z = torch.arange(60, dtype=torch.float64)[:, None] + down
    x = torch.arange(64, dtype=torch.float64) + right
    return 1500.0 + 700.0 * torch.exp(-((z - 33) ** 2 + (x - 30) ** 2) / (2 * 6.0**2))


def preset_like(sources: Places, receivers: Places, boundary: sf.boundaries.Boundary, **changes: object) -> sf.Survey:
    settings: dict[str, object] = {"wavelet": sf.wavelets.ricker(15.0, 1e-3, 450), "nt": 450, "spacing": 10.0}
    return small_survey(boundary, sources=sources, receivers=receivers, shape=None, **{**settings, **changes})


@pytest.mark.parametrize("model", ["homogeneous", "smooth"])
@pytest.mark.parametrize(
    "boundary", [sf.CPML(20), sf.Sponge(60), sf.Faces(top=sf.Free())], ids=["cpml", "sponge", "free"]
)
def test_random_positions_against_a_shifted_grid(boundary: sf.boundaries.Boundary, model: str) -> None:
    """A free surface stays where it is, so there the grid moves sideways only."""
    random = np.random.default_rng(1)
    errors, nearest = [], []
    for _ in range(3):
        shift = random.uniform(-0.5, 0.5, 2)
        if isinstance(boundary, sf.Faces):
            shift[0] = 0.0
        source = random.integers((6, 6), (54, 58), (1, 2))
        receivers = random.integers((6, 6), (54, 58), (30, 2))
        receivers = receivers[np.hypot(*(receivers - source).T) > RADIUS]
        expected = sf.simulate(shifted(model, *shift), preset_like(source, receivers, boundary))
        here = shifted(model, 0.0, 0.0)
        found = sf.simulate(here, preset_like(source + shift, receivers + shift, boundary))
        errors.append(relative(found, expected))
        moved = preset_like(np.round(source + shift).astype(int), receivers, boundary)
        nearest.append(relative(sf.simulate(here, moved), expected))
    assert max(errors) < 4e-4  # the promise is 1e-3
    assert model == "homogeneous" or max(nearest) > 20 * max(errors)


def refined(times: int, sources: Places, receivers: Places, top: str) -> Tensor:
    """Record on 32 x 36 cells of 10 m, or on the same model with cells `times` smaller: order 8, 8 Hz, 5e-4 s."""
    sides = [sf.CPML(20 * times, frequency=8.0)] * 3
    boundary = sf.Faces(sf.Free() if top == "free" else sides[0], *sides)
    places = [np.array(given) * times for given in (sources, receivers)]
    if times > 1:
        places = [np.round(given).astype(int) for given in places]
    survey = small_survey(
        boundary, shape=None, spacing=10.0 / times, dt=5e-4, nt=500, order=8, sources=places[0], receivers=places[1],
        wavelet=sf.wavelets.ricker(8.0, 5e-4, 500) * times**2,  # of a point source, which is a cell's area strong
    )  # fmt: skip
    return sf.simulate(torch.full((31 * times + 1, 35 * times + 1), 1500.0, dtype=torch.float64), survey)


@pytest.mark.parametrize(
    ("top", "depth", "bound"),
    [("free", 0.2, 8e-4), ("free", 0.6, 5e-4), ("free", 2.8, 3e-4), ("cpml", 0.4, 1.5e-3), ("cpml", 2.2, 3e-4)],
)
def test_shallow_positions_against_a_grid_five_times_finer(top: str, depth: float, bound: float) -> None:
    """Fractions of sources and receivers differ. Within two cells of a C-PML the kernel feels the damped cells."""
    places = [[depth, 8.4]], [[0.2, 17.6], [0.8, 22.2], [1.4, 14.8], [2.6, 25.4], [18.6, 24.2]]
    assert relative(refined(1, *places, top), refined(5, *places, top)) < bound


def test_a_free_surface_is_an_odd_mirror() -> None:
    """The taps above it are folded: the record is that of a doubled model with a mirror source of opposite sign."""
    sources, receivers = (
        np.array([[0.3, 8.4], [2.45, 3.1]]),
        np.array([[0.2, 3.3], [1.7, 9.9], [3.0, 5.5], [0.6, 12.4]]),
    )
    velocity = small_velocity(12, 14)
    sides = {"bottom": sf.CPML(3), "left": sf.CPML(4), "right": sf.CPML(0)}
    wavelet = small_wavelet(2, nt=60)
    free = small_survey(
        sf.Faces(top=sf.Free(), **sides), shape=(12, 14), nt=60, sources=sources, receivers=receivers, wavelet=wavelet,
        receiver_kind=["pressure", "gradient_z", "gradient_x", "gradient_z"], source_kind=[["dipole_z"], ["monopole"]],
    )  # fmt: skip
    signs = torch.tensor([1.0, -1.0])[:, None].double()  # a dipole keeps its sign in the mirror, a monopole does not
    pairs = [[(11 + z, x), (11 - z, x)] for z, x in sources]
    whole = small_survey(
        sf.Faces(top=sf.CPML(3), **sides), shape=(23, 14), nt=60,
        sources=pairs, receivers=receivers + np.array([11, 0]),
        wavelet=torch.stack([wavelet[0] * abs(signs), wavelet[1] * signs]), receiver_kind=free.receiver_kind,
        source_kind=[["dipole_z"] * 2, ["monopole"] * 2],
    )  # fmt: skip
    doubled = torch.cat([velocity[1:].flip(0), velocity])
    assert relative(sf.simulate(velocity, free), sf.simulate(doubled, whole)) < 1e-12


# -- a linear map on either side of the engine -------------------------------------------------------------------------


def explicit(velocity: Tensor, survey: sf.Survey) -> Tensor:
    """R F(S w): the record of cells that a survey of whole positions fires and hears, weighted."""
    (fired, strengths), (heard, weights) = (
        survey.cells(name, (14, 17), CPU, torch.float64) for name in ("sources", "receivers")
    )
    assert strengths is not None
    assert weights is not None
    inside = [((cells >= 0) & (cells < torch.tensor([14, 17]))).all() for cells in (fired, heard)]
    assert all(inside)
    pulses = torch.einsum("spc,spt->sct", strengths, survey.wavelet)
    data = sf.simulate(velocity, small_survey("cpml", sources=fired, receivers=heard, wavelet=pulses))
    return torch.einsum("stc,src->str", data, weights.expand(3, -1, -1))


def test_the_record_is_that_of_weighted_cells() -> None:
    random = np.random.default_rng(3)
    survey = small_survey(
        sources=random.uniform(4.5, 8.5, (3, 2, 2)), receivers=random.uniform(4.5, 8.5, (4, 2)),
        wavelet=small_wavelet(3, 2), source_kind=["monopole", "dipole_x"],
        receiver_kind=["pressure", "gradient_z", "gradient_x", "pressure"],
    )  # fmt: skip
    velocity = small_velocity(14, 17)
    assert relative(sf.simulate(velocity, survey), explicit(velocity, survey)) < 1e-12


def test_weights_wrap_around_a_sponge_and_end_beyond_a_layer() -> None:
    kept = {}
    for name, boundary in {"sponge": sf.Sponge(2), "rigid": sf.CPML(0)}.items():
        survey = small_survey(
            boundary, shape=(14, 17), sources=[(0.25, 16.0)], receivers=[(3, 3)], wavelet=small_wavelet()
        )
        cells, weights = survey.cells("sources", (14, 17), CPU, torch.float64)
        assert weights is not None
        kept[name] = {int(z): float(w) for (z, _), w in zip(cells[0], weights[0, 0], strict=True)}
        assert (cells[0, :, 1] == 16).all()
    expected = {k: float(kernel(double(0.25 - k))) for k in range(-4, 6)}
    assert kept["rigid"] == {k: w for k, w in expected.items() if k >= 0}
    assert kept["sponge"] == {k if k >= -2 else k + 18: w for k, w in expected.items()}


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_equals_the_twin_at_every_edge(boundary: str, order: int) -> None:
    """Taps in the layers, in the mirror, beyond the grid; gradients by all that can have one."""
    velocity, weights = small_velocity(2, 14, 17), torch.randn(2, 3, 40, 5, dtype=torch.float64)
    top = 0.3 if boundary == "free" else 0.0
    found = []
    for run in (sf.simulate, sf.reference.simulate):
        leaves = (
            velocity.clone().requires_grad_(), small_wavelet(3, 2, nt=40).requires_grad_(),
            double([[[top, 2.2], [6.5, 6.5]], [[4, 0.1], [4, 9]], [[12.8, 16.0], [0.4, 15.9]]], requires_grad=True),
            double([[top, 0.0], [0.7, 16.0], [13.0, 3.1], [7.2, 8.8], [12.9, 15.5]], requires_grad=True),
        )  # fmt: skip
        survey = small_survey(
            boundary, nt=40, order=order, wavelet=leaves[1], sources=leaves[2], receivers=leaves[3],
            source_kind=["monopole", "dipole_z"], receiver_kind=["pressure"] * 3 + ["gradient_x", "gradient_z"],
        )  # fmt: skip
        data = run(leaves[0], survey)
        found.append((data, *torch.autograd.grad((data * weights).sum(), leaves)))
    for ours, twins in zip(*found, strict=True):
        assert ours.abs().max() > 0
        assert relative(ours, twins) < 1e-11


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_dot_product_of_the_wavelet_map(boundary: str) -> None:
    wavelet = torch.randn(3, 2, 70, dtype=torch.float64, requires_grad=True)
    survey = small_survey(
        boundary, wavelet=wavelet, sources=[[(1.2, 2.7), (6.1, 6)], [(4.5, 8), (4, 9.9)], [(13, 16), (0.8, 0.3)]],
        receivers=[(1.4, 3.3), (5.5, 0.2), (12.7, 15.1)], source_kind="dipole_x",
    )  # fmt: skip
    data = sf.simulate(small_velocity(2, 14, 17), survey)
    residual = torch.randn_like(data)
    (grad,) = torch.autograd.grad(data, wavelet, residual)
    data = data.detach()
    difference = (data * residual).sum() - (wavelet.detach() * grad).sum()
    assert abs(float(difference / (data.norm() * residual.norm()))) < 1e-13


# -- whole positions cost nothing --------------------------------------------------------------------------------------


def test_whole_numbers_are_cells_to_the_last_bit() -> None:
    velocity = small_velocity(6, 7)
    cells = tiny_survey([[1, 2], [4, 5]], [[2, 3], [3, 0], [5, 6]])
    floats = tiny_survey([[1.0, 2.0], [4.0, 5.0]], torch.tensor([[2.0, 3.0], [3.0, 0.0], [5.0, 6.0]]))
    assert floats == cells
    assert floats.receivers.dtype == torch.int32
    assert floats.cells("receivers", (6, 7), CPU, torch.float64) == (floats.receivers, None)
    expected = sf.simulate(velocity, cells)
    assert torch.equal(sf.simulate(velocity, floats), expected)
    moving = tiny_survey(cells.sources[:, 0].double().requires_grad_(), cells.receivers[0].float().requires_grad_())
    assert torch.equal(sf.simulate(velocity, moving), expected)  # weights are exactly one and zero


def test_only_axes_and_cells_that_are_needed() -> None:
    def count(**changes: object) -> int:
        survey = tiny_survey([[2, 2], [4, 5]], **{"shape": (40, 40), **changes})
        return int(survey.cells("receivers", (40, 40), CPU, torch.float64)[0].shape[1])

    assert count(receivers=[[20, 20], [20, 21]]) == 2
    assert count(receivers=[[20, 20.5]]) == 2 * RADIUS
    assert count(receivers=[[20, 20.5], [20, 21.5]]) == 2 * RADIUS + 1
    assert count(receivers=[[20.5, 20.5]]) == (2 * RADIUS) ** 2
    assert count(receivers=[[20, 20]], receiver_kind="gradient_x") == 2 * RADIUS - 1
    assert count(receivers=[[20, 20], [30, 30.5]]) == 1 + 2 * RADIUS


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_shots_with_too_many_cells_run_on_the_plain_engine(sources: int) -> None:
    fired = [[(20.4, 10.4 + 25 * k) for k in range(sources)]]
    survey = tiny_survey(fired, [[1, 1]], shape=(100, 100), boundary=sf.CPML(14), wavelet=NOISE[:1])
    found = planned_engine(survey, (100, 100), chip=CHIPS["H100, H200 (sm_90)"])
    if sources < 3:
        assert found["engine"] != "plain"
    else:
        assert found["engine"] == "plain"
        assert "300 sources are fired together, on chip at most 256" in found["reason"]


# -- derivatives by positions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "boundary", [sf.CPML(3), sf.Faces(top=sf.Free()), sf.Sponge(4)], ids=["cpml", "free", "sponge"]
)
@pytest.mark.parametrize("beside", [0.0, 1e-7])
def test_gradcheck(boundary: sf.boundaries.Boundary, beside: float) -> None:
    """Differences reach across whole positions, where the cells change."""
    velocity = small_velocity(6, 7)
    slowest = velocity.argmin()

    def record(free: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor) -> Tensor:
        held = torch.where(torch.arange(42).view(6, 7) == slowest, velocity, free)  # its sponge detaches the slowest
        return sf.simulate(held, tiny_survey(sources, receivers, wavelet=wavelet, boundary=boundary, nt=8))

    positions = (double([[1, 2], [4, 5]]) + beside, double([[2, 3], [3, 1], [4, 5]]) + beside)
    leaves = [t.requires_grad_() for t in (velocity.clone(), NOISE[:, :8].clone(), *positions)]
    assert torch.autograd.gradcheck(record, leaves, eps=1e-4, atol=1e-7, rtol=1e-5, fast_mode=True)
    assert torch.autograd.gradgradcheck(record, leaves, eps=1e-4, atol=1e-6, rtol=1e-4, fast_mode=True)


def test_gradcheck_of_dipoles_and_gradients() -> None:
    def record(sources: Tensor, receivers: Tensor) -> Tensor:
        kinds = {"source_kind": [["dipole_z"], ["dipole_x"]], "receiver_kind": ["pressure", "gradient_z", "gradient_x"]}
        return sf.simulate(small_velocity(6, 7), tiny_survey(sources, receivers, **kinds))

    positions = [double(p, requires_grad=True) for p in (SOURCES, [[2.2, 3.0], [3.1, 0.4], [4.0, 5.0]])]
    assert torch.autograd.gradcheck(record, positions, eps=1e-5, atol=1e-8, rtol=1e-6, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_come_back_in_the_positions_own_form(dtype: torch.dtype) -> None:
    sources, receivers = (torch.tensor(p, dtype=dtype, requires_grad=True) for p in (SOURCES, RECEIVERS))
    sf.simulate(small_velocity(6, 7), tiny_survey(sources, receivers)).square().sum().backward()
    for leaf in (sources, receivers):
        assert leaf.grad is not None
        assert leaf.grad.dtype == dtype
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.abs().min() > 0


@pytest.mark.parametrize("storage", [sf.Storage("all"), sf.Storage("checkpoint")], ids=["all", "checkpoint"])
def test_every_storage_gives_the_same_gradient(storage: sf.Storage) -> None:
    grads = []
    for kept in (storage, None):
        leaves = small_velocity(6, 7).requires_grad_(), double(SOURCES, requires_grad=True)
        data = sf.simulate(leaves[0], tiny_survey(leaves[1]), storage=kept)
        grads.append(torch.autograd.grad(data.square().sum(), leaves))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_an_inversion_finds_the_source() -> None:
    """The survey is made once and follows the tensor through four cells."""
    velocity = torch.full((30, 34), 2000.0, dtype=torch.float64)

    def survey(place: Tensor) -> sf.Survey:
        receivers = [(z, x) for z in (4, 25) for x in range(2, 32, 6)]
        pulse = sf.wavelets.ricker(12.0, 1e-3, 250)
        return small_survey(sf.CPML(10), shape=(30, 34), nt=250, sources=place, receivers=receivers, wavelet=pulse)

    truth, place = double([[13.37, 18.81]]), double([[15.8, 15.6]], requires_grad=True)
    observed, moving = sf.simulate(velocity, survey(truth)), survey(place)
    search = torch.optim.LBFGS([place], max_iter=30, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        search.zero_grad()
        loss = (sf.simulate(velocity, moving) - observed).square().sum() / observed.square().sum()
        loss.backward()
        return loss

    search.step(misfit)
    assert torch.allclose(place.detach(), truth, rtol=0, atol=1e-4)
    assert np.array_equal(moving.positions("sources")[:, 0], place.detach().numpy())


def test_a_survey_follows_a_tensor_and_refuses_to_leave_the_model() -> None:
    velocity, place = small_velocity(6, 7), double(SOURCES, requires_grad=True)
    survey = tiny_survey(place)
    for step in ([2.4, 1.1], [-1.9, 0.0], [0.0, 1.0]):
        with torch.no_grad():
            place[0] += double(step)
        fresh = tiny_survey(place.detach())
        assert relative(sf.simulate(velocity, survey), sf.simulate(velocity, fresh)) < 1e-13
        assert survey == fresh
    with torch.no_grad():
        place[0, 1] = 6.25
    with pytest.raises(
        ValueError, match=r"sources must lie inside the 6 x 7 model.*= \(1\.8, 6\.25\) for sources\[0, 0\]"
    ):
        sf.simulate(velocity, survey)


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


def test_a_gradient_is_the_derivative_of_a_smooth_field() -> None:
    """Against central differences of order eight over the cells beside the receiver."""
    survey = preset_like(
        [(30, 12)], [(30 + k, 40 + j) for k, j in ((0, 0), *((k, 0) for k in range(-4, 5)))], sf.CPML(20)
    )
    velocity = shifted("smooth", 0, 0)
    around = sf.simulate(velocity, survey)[0, :, 1:]
    weights = double([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280]) / 10.0
    found = sf.simulate(velocity, preset_like([(30, 12)], [(30, 40)], sf.CPML(20), receiver_kind="gradient_z"))[0, :, 0]
    assert relative(found, around @ weights) < 2e-3


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


# -- inside torch ------------------------------------------------------------------------------------------------------

UNUSUAL: dict[str, dict[str, Any]] = {
    "between": {},
    "dipoles": {"source_kind": "dipole_z", "receiver_kind": ["pressure", "gradient_x", "gradient_z"]},
    "mask": {"receiver_mask": [[True, False, True], [False, True, True]]},
}


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


# -- with substeps -----------------------------------------------------------------------------------------------------


def test_substeps_and_positions_between_cells_together() -> None:
    velocity = small_velocity(6, 7)
    place = double(SOURCES, requires_grad=True)
    mask = [[True, True, False], [True, True, True]]
    survey = tiny_survey(sources=place, receiver_mask=mask, receiver_kind=["pressure", "gradient_z", "gradient_x"])
    data = sf.simulate(velocity, survey, substeps=3)
    (slope_,) = torch.autograd.grad(data.square().sum(), place)
    expected = sf.reference.simulate(velocity, survey, substeps=3)
    assert relative(data, expected) < 1e-12
    assert data[0, :, 2].abs().max() == 0 < data[1, :, 2].abs().max()
    assert relative(slope_, torch.autograd.grad(expected.square().sum(), place)[0]) < 1e-11
