"""Positions between cells: the kernel, and records beside those of a grid moved or refined onto the position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_survey import Places, double, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.positions import RADIUS, kernel, slope

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
