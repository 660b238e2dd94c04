"""Forward mode and second derivatives on a GPU: the CPU's, by the plain engine and no twin, in groups of shots too."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from small_gpu import CUDA, ENGINES, MARKS, busy_survey, launches
from small_survey import COMPILED, ORDERS, noise, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor
from torch.func import grad, jvp

import seisfast as sf
from seisfast.ops import acoustic

pytestmark = [*MARKS, pytest.mark.usefixtures("no_twin")]
SHAPE = (31, 37)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}
TASKS = pytest.mark.parametrize("task", ["born", "curvature"])


def along_tangents(task: str, survey: sf.Survey, velocity: Tensor, **options: Any) -> list[Tensor]:  # noqa: ANN401
    """Derivatives of the records (born), or of a misfit's gradients by velocity and wavelet, brought to the CPU."""
    wavelet = survey.wavelet.to(velocity)
    primals = (velocity, wavelet)
    tangents = tuple(size * noise(*t.shape, seed=5).to(t) for size, t in ((50, velocity), (1, wavelet)))

    def record(v: Tensor, w: Tensor) -> Tensor:
        return sf.simulate(v, survey._replaced(wavelet=w), **options)

    def slopes(v: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return grad(lambda v, w: record(v, w).square().sum(), argnums=(0, 1))(v, w)

    if task == "born":
        return [jvp(record, primals, tangents)[1].cpu()]
    return [t.cpu() for t in jvp(slopes, primals, tangents)[1]]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", COMPILED)
@TASKS
def test_equals_the_cpu_engine(task: str, boundary: str, order: int, dtype: torch.dtype) -> None:
    survey = busy_survey(boundary, SHAPE, order=order)
    velocity = small_velocity(3, *SHAPE, dtype=dtype)
    with launches() as seen:
        found = along_tangents(task, survey, velocity.to(CUDA))
    assert [launch.engine for launch in seen if launch.task == task] == ["plain"]
    for ours, cpus in zip(found, along_tangents(task, survey, velocity), strict=True):
        assert bool(cpus.any())
        assert relative(ours, cpus) < TOLERANCE[dtype]


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
def test_the_plain_engine_runs_them_without_a_warning(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustic, "_warned", set())
    survey, velocity = busy_survey("cpml", SHAPE), small_velocity(3, *SHAPE, dtype=torch.float32).to(CUDA)
    change = torch.ones_like(velocity)
    with launches() as seen, warnings.catch_warnings():
        warnings.filterwarnings("error", message="simulate runs on the plain engine")
        data = sf.Born(velocity, survey, engine=engine)(change)
    assert [launch[:2] for launch in seen] == [("plain", "born")]
    assert torch.equal(data, sf.Born(velocity, survey, engine="plain")(change))


@pytest.mark.parametrize(("task", "memory"), [("born", 300_000), ("curvature", 4_000_000)])
def test_groups_of_shots_that_fit_the_memory(task: str, memory: int) -> None:
    survey, velocity = small_survey(shape=SHAPE, wavelet=small_wavelet(3, 2)), small_velocity(2, *SHAPE).to(CUDA)
    expected = along_tangents(task, survey, velocity)
    with launches() as seen:
        found = along_tangents(task, survey, velocity, storage=sf.Storage("checkpoint", memory=memory))
    groups = [range(launch.first, launch.first + launch.count) for launch in seen if launch.task == task]
    assert len(groups) > 1
    assert [job for group in groups for job in group] == list(range(6))
    assert all(torch.equal(ours, whole) for ours, whole in zip(found, expected, strict=True))


@pytest.mark.parametrize("boundary", ["cpml", "free", "sponge"])
def test_gradgradcheck(boundary: str) -> None:
    shape, nt = (6, 7), 8
    layers = {"cpml": sf.CPML(3), "free": sf.Faces(top=sf.Free()), "sponge": sf.Sponge(4)}[boundary]

    def run(velocity: Tensor, wavelet: Tensor) -> Tensor:
        survey = small_survey(
            layers, shape=shape, nt=nt, dt=8e-4, sources=[(1, 1), (3, 5)], receivers=[(1, ix) for ix in (0, 2, 4, 6)],
            wavelet=wavelet,
        )  # fmt: skip
        return sf.simulate(velocity, survey)

    inputs = (small_velocity(*shape).to(CUDA).requires_grad_(), noise(2, nt).to(CUDA).requires_grad_())
    assert torch.autograd.gradgradcheck(run, inputs, eps=1e-3, atol=1e-6, rtol=1e-4, fast_mode=True)
