"""Each CUDA engine on a GPU: equal to the CPU engine to the bit wherever it runs, and plain where it does not."""

from __future__ import annotations

import warnings

import pytest
import torch
from small_gpu import (
    CUDA,
    ENGINES,
    MARKS,
    SHAPES,
    assert_equal,
    busy_survey,
    is_hopper,
    launches,
    needs,
    run,
    spread,
)
from small_survey import BOUNDARIES, NT, ORDERS, noise, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.engines import planned_engine
from seisfast.ops import acoustic

pytestmark = MARKS
ON_CHIP = ENGINES[1:]
STORAGES = {
    "all": sf.Storage("all"),
    "checkpoint": sf.Storage("checkpoint"),
    "auto": sf.Storage(),
    "every": sf.Storage(every=4),
    "half": sf.Storage(dtype=torch.float16),
    "every_half": sf.Storage(every=4, dtype=torch.float16),
}
EVERYWHERE = pytest.mark.parametrize("engine", ENGINES)
FLOAT64 = ("plain", "resident")


def gradients_by(engine: str, boundary: str) -> str:
    """The engine that a call gets when a gradient is asked for: a second kept field is only plain's."""
    return "plain" if boundary == "sponge_vmin" else engine


# -- equal to the CPU engine to the bit --------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@EVERYWHERE
def test_equals_the_cpu_engine(engine: str, boundary: str, order: int, storage: str) -> None:
    shape = SHAPES[engine]
    survey = busy_survey(boundary, shape, order=order)
    needs(engine, survey, shape)
    velocity, kept = small_velocity(3, *shape, dtype=torch.float32), STORAGES[storage]
    found = run(engine, survey, velocity, kept, expected=gradients_by(engine, boundary))
    assert_equal(found, run("cpu", survey, velocity, kept))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("engine", FLOAT64)
def test_equals_the_cpu_engine_in_float64(engine: str, boundary: str, order: int, storage: str) -> None:
    shape = SHAPES[engine]
    survey = busy_survey(boundary, shape, order=order)
    needs(engine, survey, shape, torch.float64)
    velocity, kept = small_velocity(3, *shape), STORAGES[storage]
    found = run(engine, survey, velocity, kept, expected=gradients_by(engine, boundary))
    assert_equal(found, run("cpu", survey, velocity, kept))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@EVERYWHERE
def test_records_without_a_gradient(engine: str, boundary: str, order: int) -> None:
    """The engine that only records, which keeps nothing; with it also `vmin_gradient` runs on chip."""
    shape = SHAPES[engine]
    survey = busy_survey(boundary, shape, order=order)
    needs(engine, survey, shape)
    velocity = small_velocity(3, *shape, dtype=torch.float32)
    with launches() as seen:
        data = sf.simulate(velocity.to(CUDA), survey, engine=engine).cpu()
    assert {launch.engine for launch in seen} == {engine}
    assert_equal((data,), (sf.simulate(velocity, survey, engine="cpu"),))


@pytest.mark.parametrize("nt", [1, 2, 13, 61])
@pytest.mark.parametrize("storage", STORAGES)
@EVERYWHERE
def test_any_number_of_steps(engine: str, storage: str, nt: int) -> None:
    """Last segments, launches of a tile and groups of compressed steps that are not whole."""
    shape = SHAPES[engine]
    for boundary in ("unequal", "sponge"):
        survey = busy_survey(boundary, shape, nt=nt, wavelet=small_wavelet(3, 1, 12, nt=nt))
        needs(engine, survey, shape)
        velocity, kept = small_velocity(3, *shape, dtype=torch.float32), STORAGES[storage]
        for ours, cpus in zip(run(engine, survey, velocity, kept), run("cpu", survey, velocity, kept), strict=True):
            assert torch.equal(ours, cpus)


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("boundary", ["cpml", "free", "sponge", "rigid"])
@EVERYWHERE
def test_a_source_and_a_receiver_in_every_row_and_column(engine: str, boundary: str, order: int) -> None:
    """Wherever a grid is cut, a source and a receiver lie on the cut and on both sides of it."""
    shape = nz, nx = SHAPES[engine]
    sources = [(iz, nx // 3) for iz in range(1, nz)] + [(nz // 3, ix) for ix in range(nx) if ix != nx // 3]
    receivers = [(iz, nx // 2) for iz in range(1, nz)] + [(2 * nz // 3, ix) for ix in range(nx)]
    assert len(sources) <= 256
    survey = small_survey(
        boundary, shape=shape, order=order, sources=[sources], receivers=receivers,
        wavelet=small_wavelet(1, 1, len(sources)),
    )  # fmt: skip
    needs(engine, survey, shape)
    velocity = small_velocity(1, *shape, dtype=torch.float32)
    assert_equal(run(engine, survey, velocity), run("cpu", survey, velocity))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@EVERYWHERE
def test_many_shots_and_every_form_of_the_arrays(engine: str, boundary: str) -> None:
    """Equal to plain to the bit; the shots' sum, which torch takes in an order of its own, near the CPU's."""
    shape = SHAPES[engine]
    velocity = small_velocity(2, *shape, dtype=torch.float32)
    shots = [[a, b] for a, b in zip(spread(shape, 2, 3), spread(shape, 3, 2), strict=True)]
    own = [spread(shape, 2, 4)[s:] + spread(shape, 3, 4)[: 2 + s] for s in range(6)]
    for wavelet in (small_wavelet(), small_wavelet(6), small_wavelet(6, 2), small_wavelet(2, 6, 2)):
        for receivers in (spread(shape, 3, 3), own):
            survey = small_survey(boundary, shape=shape, sources=shots, receivers=receivers, wavelet=wavelet)
            needs(engine, survey, shape)
            found = run(engine, survey, velocity, expected=gradients_by(engine, boundary))
            assert_equal(found, run("plain", survey, velocity))
            cpus = run("cpu", survey, velocity)
            assert_equal(found[:1], cpus[:1])
            assert relative(found[1], cpus[1]) < 1e-5
            assert relative(found[2], cpus[2]) < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8), (13, 31), (32, 32), (63, 64), (101, 103)])
@pytest.mark.parametrize("boundary", ["cpml", "sponge", "rigid", "unequal"])
@pytest.mark.parametrize("engine", ["auto", *ON_CHIP])
def test_any_size(engine: str, boundary: str, shape: tuple[int, int]) -> None:
    """Whatever the engine makes of the grid, plain included."""
    survey = small_survey(
        boundary, shape=shape, sources=[(shape[0] - 1, shape[1] - 1)], receivers=[(0, 0), (0, shape[1] - 1), (0, 0)],
        wavelet=small_wavelet(),
    )  # fmt: skip
    velocity = small_velocity(*shape, dtype=torch.float32)
    for storage in ("all", "checkpoint", "half"):
        results = []
        for name, device in ((engine, CUDA), ("cpu", torch.device("cpu"))):
            leaf = velocity.detach().to(device, copy=True).requires_grad_()
            data = sf.simulate(leaf, survey, storage=STORAGES[storage], engine=name)
            (grad,) = torch.autograd.grad(data.square().sum(), leaf)
            results.append((data.detach().cpu(), grad.cpu()))
        for ours, cpus in zip(*results, strict=True):
            assert torch.equal(ours, cpus)


@pytest.mark.parametrize("boundary", ["cpml", "sponge"])
@pytest.mark.parametrize("rows", [250, 480, 960, 1400, 1900])
def test_clusters_of_many_blocks(rows: int, boundary: str) -> None:
    """Up to 16 blocks: more than 8 is a size that a launch must ask for."""
    shape = (rows, 118)
    survey = busy_survey(boundary, shape, nt=40, wavelet=small_wavelet(1, 1, 12, nt=40))
    needs("cluster", survey, shape)
    found = [planned_engine(survey, shape, adjoint=adjoint, engine="cluster")["blocks"][0] for adjoint in (False, True)]
    assert not is_hopper() or rows < 1900 or min(found) > 8
    velocity = small_velocity(1, *shape, dtype=torch.float32)
    for storage in ("all", "checkpoint"):
        ours = run("cluster", survey, velocity, STORAGES[storage])
        assert_equal(ours, run("cpu", survey, velocity, STORAGES[storage]))


# -- the grids that the engines were made for --------------------------------------------------------------------------


def made_for(engine: str) -> tuple[sf.Survey, tuple[int, int]]:
    """A survey whose grid this engine was made for."""
    if engine == "resident":
        return sf.Survey.seisinv(), (100, 100)
    if engine == "cluster":
        return sf.Survey.openfwi(), (70, 70)
    shape = (500, 700)
    return busy_survey(sf.CPML(14), shape, nt=60, spacing=10.0, wavelet=small_wavelet(1, 1, 12, nt=60)), shape


@pytest.mark.parametrize("engine", ON_CHIP)
def test_auto_takes_the_engine_made_for_the_grid(engine: str) -> None:
    survey, shape = made_for(engine)
    needs(engine, survey, shape)
    if not is_hopper():
        pytest.skip("the choice depends on the chip")
    velocity = (1500.0 + torch.linspace(0, 2500, shape[0])[:, None].expand(shape)).to(CUDA).requires_grad_()
    for storage in STORAGES.values():
        with launches() as seen:
            sf.simulate(velocity, survey, storage=storage).square().sum().backward()
        assert {launch[:2] for launch in seen} == {(engine, "forward"), (engine, "adjoint")}


@pytest.mark.parametrize("storage", ["all", "checkpoint", "every", "half"])
@pytest.mark.parametrize("engine", ON_CHIP)
def test_the_grid_that_the_engine_was_made_for(engine: str, storage: str) -> None:
    """128 x 128 with C-PML, OpenFWI's 310 x 310 with a sponge, 528 x 728: records as the CPU's, all equal to plain."""
    survey, shape = made_for(engine)
    needs(engine, survey, shape)
    velocity = (1500.0 + torch.linspace(0, 2000, shape[0])[:, None]) * (1 + 0.1 * torch.rand(1, *shape))
    found = run(engine, survey, velocity, STORAGES[storage])
    assert_equal(found, run("plain", survey, velocity, STORAGES[storage]))
    assert_equal(found[:1], (sf.simulate(velocity, survey),))


@pytest.mark.parametrize("engine", ["cluster", "tiled"])
@pytest.mark.parametrize("boundary", [sf.CPML(14), sf.CPML(20), sf.Faces(top=sf.Free()), sf.Sponge(20)], ids=repr)
@pytest.mark.parametrize("order", [4, 8])
def test_medium_grids(engine: str, order: int, boundary: sf.boundaries.Boundary) -> None:
    """Layers of 14 and 20 cells, narrow and wide strips, on grids of several blocks."""
    shape = (201, 151) if engine == "cluster" else (263, 331)
    survey = busy_survey(boundary, shape, order=order, spacing=10.0, wavelet=small_wavelet(1, 1, 12))
    needs(engine, survey, shape)
    velocity = small_velocity(1, *shape, dtype=torch.float32)
    assert_equal(run(engine, survey, velocity), run("cpu", survey, velocity))


# -- the same call again, in other company, in groups ------------------------------------------------------------------


@EVERYWHERE
def test_repeatable_and_independent_of_the_batch(engine: str) -> None:
    shape = SHAPES[engine]
    survey = small_survey(shape=shape, wavelet=small_wavelet(3, 2))
    needs(engine, survey, shape)
    velocity = small_velocity(4, *shape, dtype=torch.float32)
    weights = noise(4, 3, NT, 5, dtype=torch.float32).to(CUDA)

    def both(models: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        leaf = models.to(CUDA).requires_grad_()
        data = sf.simulate(leaf, survey, engine=engine)
        return data.detach(), torch.autograd.grad(data, leaf, residual)[0]

    first = both(velocity, weights)
    for _ in range(3):
        assert_equal(both(velocity, weights), first)
    for model in range(4):
        alone = both(velocity[model], weights[model])
        assert_equal(alone, (first[0][model], first[1][model]))


@pytest.mark.parametrize("storage", ["all", "checkpoint", "half"])
@EVERYWHERE
def test_groups_of_shots_that_fit_the_memory(engine: str, storage: str) -> None:
    """With little memory the shots run one by one or in groups: the same bits."""
    shape, kept = SHAPES[engine], STORAGES[storage]
    survey = small_survey(shape=shape, wavelet=small_wavelet(2, 3, 2))
    needs(engine, survey, shape)
    velocity = small_velocity(2, *shape, dtype=torch.float32)
    expected = run(engine, survey, velocity, kept)
    scheme = acoustic_scheme(survey, velocity, kept)
    needed = acoustic.kept_bytes(scheme, 2, 3, shape, NT, torch.float32)
    for memory, most in ((needed + 1, 1), (needed + 4 * work(engine, survey, velocity, kept), 4)):
        with launches() as seen:
            little = sf.Storage(kept.mode, kept.every, kept.dtype, memory)
            found = run(engine, survey, velocity, little)
        assert_equal(found, expected)
        adjoint = [launch for launch in seen if launch.task == "adjoint"]
        assert [launch.first for launch in adjoint] == list(range(0, 6, most))
        assert [launch.count for launch in adjoint] == [min(most, 6 - first) for first in range(0, 6, most)]


def acoustic_scheme(survey: sf.Survey, velocity: Tensor, storage: sf.Storage) -> acoustic.Scheme:
    """What `simulate` makes of a call that asks for a gradient."""
    from seisfast.planning import planned_scheme

    return planned_scheme(velocity.clone().requires_grad_(), survey, storage, "auto")


def work(engine: str, survey: sf.Survey, velocity: Tensor, storage: sf.Storage) -> int:
    """Bytes of work memory of one shot in the adjoint."""
    from seisfast import _native

    scheme = acoustic_scheme(survey, velocity, storage)
    shape = (velocity.shape[1], velocity.shape[2])
    numbers = acoustic.describe_run(scheme, shape, 2, 3, 2, 5, survey.nt)
    return 4 * int(_native.acoustic_plan(numbers, "float32", "adjoint", engine)["workspace"])


# -- transposed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("engine", "dtype"), [*((e, torch.float32) for e in ENGINES), *((e, torch.float64) for e in FLOAT64)]
)
def test_dot_product_of_the_wavelet_map(engine: str, dtype: torch.dtype, boundary: str, order: int) -> None:
    shape = SHAPES[engine]
    given = busy_survey(boundary, shape, order=order)
    needs(engine, given, shape, dtype)
    wavelet = noise(2, 1, 12, NT, dtype=dtype).to(CUDA).requires_grad_()
    survey = given._replaced(wavelet=wavelet)
    with launches() as seen:
        data = sf.simulate(small_velocity(2, *shape, dtype=dtype).to(CUDA), survey, engine=engine)
        residual = noise(*data.shape, dtype=dtype, seed=4).to(CUDA)
        (grad,) = torch.autograd.grad(data, wavelet, residual)
    assert {launch.engine for launch in seen} == {engine}  # nothing is kept for a wavelet's gradient
    data, residual = data.detach().double(), residual.double()
    difference = (data * residual).sum() - (wavelet.detach().double() * grad.double()).sum()
    assert abs(float(difference / (data.norm() * residual.norm()))) < {torch.float64: 1e-13, torch.float32: 1e-6}[dtype]


# -- where an engine does not run --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "shape", "boundary", "dtype", "reason"),
    [
        ("cluster", (40, 300), "cpml", torch.float32, "cluster: the layers are longer than the threads of a block"),
        ("cluster", (31, 37), "cpml", torch.float64, "cluster: float32 only"),
        ("tiled", (97, 131), "cpml", torch.float64, "tiled: float32 only"),
        ("resident", (200, 200), "cpml", torch.float32, "resident: 210 x 210 cells exceed the registers of a block"),
        ("resident", (31, 37), sf.CPML(30), torch.float32, "resident: a layer with the reach of the stencil is"),
    ],
)  # fmt: skip
def test_what_an_engine_does_not_take_runs_on_plain_with_one_warning(
    engine: str, shape: tuple[int, int], boundary: str | sf.boundaries.Boundary, dtype: torch.dtype, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    survey = busy_survey(boundary, shape)
    velocity = small_velocity(3, *shape, dtype=dtype).to(CUDA)
    monkeypatch.setattr(acoustic, "_warned", set())
    if not is_hopper() and engine == "cluster":
        reason = "cluster: "
    with launches() as seen, pytest.warns(UserWarning, match=f"simulate runs on the plain engine.*{reason}"):
        data = sf.simulate(velocity, survey, engine=engine)
    assert {launch.engine for launch in seen} == {"plain"}
    assert_equal((data.cpu(),), (sf.simulate(velocity.cpu(), survey, engine="cpu"),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*points per shortest wavelength")
        assert torch.equal(sf.simulate(velocity, survey, engine=engine), data)


def test_auto_in_float64_may_run_on_plain_silently() -> None:
    survey = busy_survey("cpml", (97, 131))
    velocity = small_velocity(3, 97, 131).to(CUDA)
    with warnings.catch_warnings(), launches() as seen:
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*points per shortest wavelength")
        data = sf.simulate(velocity, survey)
    assert {launch.engine for launch in seen} == {"plain"}
    assert_equal((data.cpu(),), (sf.simulate(velocity.cpu(), survey),))
