"""The Born operator and its transpose: against each other, the difference quotient and deepwave; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_survey import relative, shots, small_velocity, small_wavelet
from torch import Tensor
from torch.autograd import forward_ad

import seisfast as sf
from seisfast import conventions

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated"),  # torch.func.jvp's own
]
BETWEEN = {"receivers": [[2.2, 3.0], [3.1, 0.4], [5.0, 6.0]], "receiver_kind": ["pressure", "gradient_z", "pressure"]}


@pytest.mark.parametrize(
    ("boundary", "changes", "models", "storage", "substeps"),
    [
        ("cpml", {}, (), None, 1),
        ("cpml", {}, (2,), sf.Storage("all"), 1),
        ("sponge", {}, (2,), sf.Storage("checkpoint"), 1),
        ("free", {}, (), None, 1),
        ("sponge_vmin", {"nt": 30, "wavelet": small_wavelet(3, 2, nt=30)}, (), None, 1),
        ("cpml", BETWEEN, (), None, 3),
    ],
)
def test_transpose(
    boundary: str, changes: dict[str, Any], models: tuple[int, ...], storage: sf.Storage | None, substeps: int
) -> None:
    survey = shots(boundary, **changes)
    velocity = small_velocity(*models, 14, 17)
    born = sf.Born(velocity, survey, storage=storage, substeps=substeps)
    change, residual = torch.randn_like(velocity), torch.randn_like(sf.simulate(velocity, survey))
    data = born(change)
    assert data.shape == residual.shape
    for _ in range(2):  # what is kept serves every call
        image = born.transpose(residual)
        difference = float((data * residual).sum() - (change * image).sum())
        assert abs(difference) < 1e-12 * float(data.norm() * residual.norm())


def test_first_order_of_the_records() -> None:
    survey, velocity = shots("free"), small_velocity(14, 17)
    change = torch.randn_like(velocity)
    h = 1e-3
    quotient = (sf.simulate(velocity + h * change, survey) - sf.simulate(velocity - h * change, survey)) / (2 * h)
    assert relative(sf.Born(velocity, survey)(change), quotient) < 1e-8


def test_least_squares_by_autograd() -> None:
    """The operator is differentiable by the perturbation, and its gradient is the transpose."""
    survey, velocity = shots("cpml"), small_velocity(14, 17)
    born = sf.Born(velocity, survey)
    change = torch.randn_like(velocity).requires_grad_()
    data = born(change)
    (slope,) = torch.autograd.grad(data.square().sum() / 2, change)
    assert relative(slope, born.transpose(data.detach())) < 1e-12


@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.usefixtures("no_twin")
def test_derivatives_and_maps_by_the_argument(substeps: int) -> None:
    """Of a linear map the derivative is the map, in both modes; of the transpose it is the operator."""
    survey, velocity = shots("cpml", **BETWEEN), small_velocity(14, 17)
    born = sf.Born(velocity, survey, substeps=substeps)
    changes, residuals = torch.randn(3, 14, 17).double(), torch.randn(3, 3, 70, 3).double()
    image, record = born.transpose(residuals[0]), born(changes[0])
    for operator, transpose, given, other, there, back in (
        (born, born.transpose, changes, residuals, record, image),
        (born.transpose, born, residuals, changes, image, record),
    ):
        slope = torch.func.grad(lambda x, f=operator, y=other: (f(x) * y[0]).sum())(given[1])
        assert relative(slope, back) < 1e-12
        assert relative(torch.func.jvp(operator, (given[1],), (given[0],))[1], there) < 1e-12
        with forward_ad.dual_level():
            dual = operator(forward_ad.make_dual(given[1], given[0]))
            assert relative(forward_ad.unpack_dual(dual).tangent, there) < 1e-12
        leaf = given[1].clone().requires_grad_()
        (operator(leaf) * other[0]).sum().backward()
        assert leaf.grad is not None
        assert relative(leaf.grad, back) < 1e-12
        mapped = torch.func.vmap(operator)(given)
        assert torch.equal(mapped, torch.stack([operator(x) for x in given]))
        assert transpose(mapped[0]).shape == given[0].shape


@pytest.mark.usefixtures("no_twin")
def test_second_derivatives_of_a_misfit_of_it() -> None:
    """Gauss and Newton's Hessian, by autograd, forward mode, and both operators; compiled."""
    survey, velocity = shots("cpml"), small_velocity(14, 17)
    born = sf.Born(velocity, survey)
    at, along = torch.randn(2, 14, 17).double()
    expected = born.transpose(born(along))

    def misfit(change: Tensor) -> Tensor:
        return born(change).square().sum() / 2

    leaf = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(misfit(leaf), leaf, create_graph=True)
    assert relative(torch.autograd.grad((slope * along).sum(), leaf)[0], expected) < 1e-12
    assert relative(torch.func.jvp(torch.func.grad(misfit), (at,), (along,))[1], expected) < 1e-12


def test_half_types_and_what_is_not_finite() -> None:
    survey = shots("cpml", wavelet=1e6 * small_wavelet(3, 2))
    born, velocity = sf.Born(small_velocity(14, 17).half(), survey), small_velocity(14, 17).half().double()
    image = born.transpose(torch.full((3, 70, 5), 1e-3).half())  # its records would not fit float16
    exact = sf.Born(velocity, survey).transpose(torch.full((3, 70, 5), 1e-3).half().double())
    assert image.dtype == torch.float16
    assert relative(image, exact) < 2e-3
    with pytest.raises(FloatingPointError, match=r"shot 0 is not finite: .* is the perturbation finite"):
        born(torch.full((14, 17), float("nan")).half())


@pytest.mark.parametrize("first", ["eager", "grad", "vmap", "jvp", "inference"])
def test_the_first_transpose_may_come_anywhere(first: str) -> None:
    """It keeps what later calls need, marked by no transform."""
    survey, velocity = shots("free"), small_velocity(14, 17)
    born, data = sf.Born(velocity, survey), torch.randn(3, 70, 5).double()
    if first == "grad":
        torch.func.grad(lambda d: born.transpose(d).sum())(data)
    elif first == "vmap":
        torch.func.vmap(born.transpose)(data[None])
    elif first == "jvp":
        torch.func.jvp(born.transpose, (data,), (data,))
    elif first == "inference":
        with torch.inference_mode():
            born = sf.Born(velocity.clone(), survey)
            born.transpose(data)
    leaf = data.clone().requires_grad_()
    image = born.transpose(leaf)
    assert relative(image, sf.Born(velocity, survey).transpose(data)) == 0
    image.square().sum().backward()
    assert leaf.grad is not None
    assert relative(leaf.grad, 2 * born(image.detach())) < 1e-12


def test_it_stays_the_same_map() -> None:
    """Also where the velocity, the wavelet or the positions that it was made with change in place."""
    velocity, wavelet = small_velocity(14, 17), small_wavelet(3, 2).requires_grad_()
    receivers = torch.tensor(BETWEEN["receivers"], dtype=torch.float64, requires_grad=True)
    born = sf.Born(velocity, shots("cpml", wavelet=wavelet, receivers=receivers))
    change, residual = torch.randn(14, 17).double(), torch.randn(3, 70, 3).double()
    before = born(change)
    with torch.no_grad():
        velocity += 100
        wavelet *= 2
        receivers += 0.5
    data, image = born(change), born.transpose(residual)
    assert torch.equal(data, before)
    assert not data.requires_grad
    assert abs(float((data * residual).sum() - (change * image).sum())) < 1e-12 * float(data.norm() * residual.norm())


@pytest.mark.parametrize("what", ["velocity", "wavelet"])
def test_what_it_takes_as_constant_cannot_be_differentiated(what: str) -> None:
    def of(velocity: Tensor, wavelet: Tensor) -> Tensor:
        return sf.Born(velocity, shots("cpml", wavelet=wavelet))(torch.ones(14, 17).double()).sum()

    argnum, inputs = ("velocity", "wavelet").index(what), (small_velocity(14, 17), small_wavelet(3, 2))
    refusal, one = f"{what} must not be what forward mode or torch.func differentiates by", torch.ones(()).double()

    def of_one(x: Tensor) -> Tensor:
        return of(*(x if i == argnum else tensor for i, tensor in enumerate(inputs)))

    with pytest.raises(ValueError, match=refusal):
        torch.func.grad(of, argnums=argnum)(*inputs)
    with pytest.raises(ValueError, match=refusal):
        torch.func.grad(lambda s: torch.func.grad(lambda x: of_one(s * x))(inputs[argnum]).sum())(
            torch.ones(()).double()
        )
    for function in (
        of_one,
        lambda x: torch.func.jvp(lambda s: of_one(s * x), (one,), (one,))[1],
        lambda x: torch.func.grad(lambda s: s * of_one(x))(one),
    ):
        with pytest.raises(ValueError, match=refusal):
            torch.func.jvp(function, (inputs[argnum],), (inputs[argnum],))
    with forward_ad.dual_level(), pytest.raises(ValueError, match=refusal):
        of_one(forward_ad.make_dual(inputs[argnum], inputs[argnum]))
    if what == "velocity":  # the survey refuses such a wavelet
        with pytest.raises(ValueError, match=refusal):
            torch.func.vmap(of_one)(inputs[argnum][None])


def test_inside_a_transform_of_something_else() -> None:
    """What torch.func wraps without differentiating by it is a constant, too."""
    velocity, wavelet = small_velocity(14, 17), small_wavelet(3, 2)

    def of(scale: Tensor, velocity: Tensor, wavelet: Tensor) -> Tensor:
        return sf.Born(velocity, shots("cpml", wavelet=wavelet))(scale * torch.ones(14, 17).double()).sum()

    slope = torch.func.grad(of)(torch.tensor(2.0).double(), velocity, wavelet)
    assert relative(slope, of(torch.tensor(1.0).double(), velocity, wavelet)) < 1e-12


def test_deepwaves_born() -> None:
    deepwave = pytest.importorskip("deepwave", reason="deepwave is not installed")
    survey = sf.Survey(
        shape=(80, 90), spacing=10.0, dt=1e-3, nt=150, sources=[(38, 45)], receivers=[(41, ix) for ix in range(38, 55)],
        wavelet=sf.wavelets.ricker(25.0, 1e-3, 150), boundary=sf.CPML(20),
    )  # fmt: skip
    velocity, change = small_velocity(80, 90), torch.zeros(80, 90, dtype=torch.float64)
    change[42:48, 40:50] = 10 * torch.randn(6, 10, dtype=torch.float64)
    arguments = conventions.to_deepwave(velocity, survey)
    arguments["sc_receiver_locations"] = arguments.pop("receiver_locations")
    theirs = deepwave.scalar_born(dv=change, **arguments)[-1]
    assert relative(sf.Born(velocity, survey)(change), conventions.record_from_deepwave(theirs)) < 1e-10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ([[1.0]], TypeError, "perturbation must be a tensor, got list"),
        (torch.zeros(14, 18), ValueError, r"perturbation must have the shape \[14, 17\], got \[14, 18\]"),
        (torch.zeros(14, 17), ValueError, "perturbation must have the dtype torch.float64, got torch.float32"),
    ],
)
def test_what_is_refused(change: Tensor, error: type[Exception], message: str) -> None:
    born = sf.Born(small_velocity(14, 17), shots("cpml"))
    with pytest.raises(error, match=message):
        born(change)
    with pytest.raises(ValueError, match=r"data must have the shape \[3, 70, 5\], got \[14, 17\]"):
        born.transpose(torch.zeros(14, 17))
    with pytest.raises(ValueError, match="velocity must have the survey's 14 x 17 cells"):
        sf.Born(small_velocity(13, 17), shots("cpml"))
