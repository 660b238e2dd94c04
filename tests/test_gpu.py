"""The CUDA engines among torch: batches, streams, graphs, compilation, transforms, devices, size, and refusals."""

from __future__ import annotations

import pytest
import torch
from small_gpu import CUDA, ENGINES, MARKS, SHAPES, assert_equal, launches, needs
from small_survey import NT, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.engines import choose_engine, describe_engine

pytestmark = MARKS
EVERYWHERE = pytest.mark.parametrize("engine", ENGINES)


def engine_survey(engine: str) -> tuple[sf.Survey, tuple[int, int]]:
    """Three shots on a grid that the engine takes."""
    shape = SHAPES[engine]
    survey = small_survey(shape=shape, wavelet=small_wavelet(3, 2))
    needs(engine, survey, shape)
    return survey, shape


# -- batches and inputs ------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_strided_velocity_autocast_and_inference(engine: str) -> None:
    survey, shape = engine_survey(engine)
    velocity = small_velocity(2, *shape, dtype=torch.float32).to(CUDA)
    data = sf.simulate(velocity, survey, engine=engine)
    turned = velocity.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(sf.simulate(turned, survey, engine=engine), data)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(sf.simulate(velocity, survey, engine=engine), data)
    with torch.inference_mode():
        assert torch.equal(sf.simulate(velocity, survey, engine=engine), data)


@EVERYWHERE
def test_strided_wavelet_and_residual(engine: str) -> None:
    """A wavelet whose samples do not follow each other, a residual that was expanded, and one that was turned."""
    survey, shape = engine_survey(engine)
    models = small_velocity(2, *shape, dtype=torch.float32).to(CUDA)
    spaced = torch.stack([small_wavelet(3, 2), small_wavelet(3, 2)], -1)[..., 0]
    other = small_survey(shape=shape, wavelet=spaced)
    results = []
    for given in (survey, other):
        leaf = models.clone().requires_grad_()
        data = sf.simulate(leaf, given, engine=engine)
        expanded = torch.autograd.grad(data.sum(), leaf, retain_graph=True)[0]
        weights = torch.arange(data.numel(), device=CUDA, dtype=data.dtype).reshape(2, 5, NT, 3).transpose(1, 3)
        results.append((data.detach(), expanded, torch.autograd.grad(data, leaf, weights)[0]))
    assert_equal(results[0], results[1])
    leaf = models.clone().requires_grad_()
    data = sf.simulate(leaf, survey, engine=engine)
    assert torch.equal(torch.autograd.grad(data, leaf, torch.ones_like(data))[0], results[0][1])


@EVERYWHERE
def test_a_graph_kept_gives_the_same_gradient_again(engine: str) -> None:
    survey, shape = engine_survey(engine)
    for storage in (sf.Storage("all"), sf.Storage("checkpoint"), sf.Storage(dtype=torch.float16)):
        leaf = small_velocity(2, *shape, dtype=torch.float32).to(CUDA).requires_grad_()
        loss = sf.simulate(leaf, survey, storage=storage, engine=engine).square().sum()
        first = torch.autograd.grad(loss, leaf, retain_graph=True)[0]
        assert torch.equal(torch.autograd.grad(loss, leaf)[0], first)


# -- streams and graphs ------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_side_stream(engine: str) -> None:
    """The run is ordered with the work around it on whatever stream is current, backward too."""
    survey, shape = engine_survey(engine)
    velocity = small_velocity(4, *shape, dtype=torch.float32).to(CUDA)
    leaf = velocity.clone().requires_grad_()
    expected = sf.simulate(leaf, survey, engine=engine)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), leaf)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        busy = torch.randn(2048, 2048, device=CUDA)
        for _ in range(20):
            busy = busy @ busy / 2048
        moved = (velocity + 0.0 * busy[0, 0].nan_to_num(0.0, 0.0, 0.0)).requires_grad_()
        data = sf.simulate(moved, survey, engine=engine)
        doubled = data * 2
        (grad,) = torch.autograd.grad(data.square().sum(), moved)
    side.synchronize()
    assert torch.equal(doubled, expected * 2)
    assert torch.equal(grad, expected_grad)


@pytest.mark.parametrize("storage", ["all", "checkpoint", "half"])
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@EVERYWHERE
def test_cuda_graph_replays(engine: str, gradient: bool, storage: str) -> None:
    """Captured once, replayed for other models. A capture refuses whatever allocates or waits on the device."""
    survey, shape = engine_survey(engine)
    models = small_velocity(6, *shape, dtype=torch.float32).to(CUDA)
    place = models[:2].clone().requires_grad_(gradient)
    kept = sf.Storage(dtype=torch.float16) if storage == "half" else sf.Storage(storage)

    def step(velocity: Tensor) -> tuple[Tensor, ...]:
        data = sf.simulate(velocity, survey, storage=kept, engine=engine)
        return (data, torch.autograd.grad(data.square().sum(), velocity)[0]) if gradient else (data,)

    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        step(place)
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), launches() as seen:
        captured = step(place)
    assert {launch.engine for launch in seen} == {engine}
    for first in (0, 2, 4):
        with torch.no_grad():
            place.copy_(models[first : first + 2])
        graph.replay()
        torch.cuda.synchronize()
        expected = step(models[first : first + 2].clone().requires_grad_(gradient))
        assert_equal(tuple(t.detach() for t in captured), tuple(t.detach() for t in expected))
    with torch.no_grad():
        place.copy_(torch.full_like(place, float("nan")))
    graph.replay()
    with pytest.raises(FloatingPointError, match="shot 0 of model 0 is not finite"):
        sf.check(captured[0])


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the device
@pytest.mark.parametrize("engine", ["resident", "cluster"])
def test_compiled_whole(engine: str, mode: str) -> None:
    torch._dynamo.reset()
    survey, shape = engine_survey(engine)

    def loss(velocity: Tensor) -> Tensor:
        return sf.simulate(velocity * 1.01, survey, engine=engine).square().mean()

    compiled = torch.compile(loss, fullgraph=True, mode=mode)
    for _ in range(4):  # graphs are captured from the second call on
        leaf = small_velocity(2, *shape, dtype=torch.float32).to(CUDA).requires_grad_()
        if mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        value = compiled(leaf)
        (grad,) = torch.autograd.grad(value, leaf)
        expected = loss(leaf)
        (expected_grad,) = torch.autograd.grad(expected, leaf)
        assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        assert relative(grad.cpu(), expected_grad.cpu()) < 1e-5


@pytest.mark.parametrize("engine", ["plain", "resident"])
def test_torch_func(engine: str) -> None:
    survey, shape = engine_survey(engine)
    velocity = small_velocity(3, *shape).to(CUDA)
    tangent = torch.randn(3, *shape, dtype=torch.float64, device=CUDA)

    def record(v: Tensor) -> Tensor:
        return sf.simulate(v, survey, engine=engine)

    def on_cpu(v: Tensor) -> Tensor:
        return sf.simulate(v, survey)

    pushed = torch.func.jvp(record, (velocity,), (tangent,))[1]
    assert relative(pushed.cpu(), torch.func.jvp(on_cpu, (velocity.cpu(),), (tangent.cpu(),))[1]) < 1e-11
    gradients = torch.vmap(torch.func.grad(lambda v: record(v).square().sum()))(velocity)
    leaf = velocity.clone().requires_grad_()
    (batch,) = torch.autograd.grad(record(leaf).square().sum(), leaf)
    assert relative(gradients.cpu(), batch.cpu()) < 1e-13


# -- size and refusals -------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_large_batch(engine: str) -> None:
    """66 models of 20 shots: more blocks than a device holds at once; spot checks against the CPU."""
    preset = sf.Survey.seisinv(nt=200)
    needs(engine, preset, (100, 100))
    models = 1500.0 + torch.linspace(0, 2500, 100)[:, None].expand(66, 100, 100) * torch.rand(66, 1, 1)
    leaf = models.to(CUDA).requires_grad_()
    data = sf.simulate(leaf, preset, engine=engine)
    assert data.shape == (66, 20, 200, 32)
    (grad,) = torch.autograd.grad(data.square().sum(), leaf)
    for model in (0, 33, 65):
        single = models[model].clone().requires_grad_()
        expected = sf.simulate(single, preset)
        assert torch.equal(data[model].detach().cpu(), expected.detach())
        assert relative(grad[model].cpu(), torch.autograd.grad(expected.square().sum(), single)[0]) < 1e-4


@pytest.mark.parametrize("engine", ["plain", "tiled"])
def test_large_model(engine: str) -> None:
    velocity = 1500.0 + torch.linspace(0, 2500, 700)[:, None].expand(700, 900)
    survey = sf.Survey(
        spacing=10.0, dt=1e-3, nt=120, sources=[(2, 450), (2, 890)], receivers=[(2, ix) for ix in range(0, 900, 3)],
        wavelet=sf.wavelets.ricker(15.0, 1e-3, 120),
    )  # fmt: skip
    needs(engine, survey, (700, 900))
    assert_equal((sf.simulate(velocity.to(CUDA), survey, engine=engine).cpu(),), (sf.simulate(velocity, survey),))


def test_wavelet_on_another_device_is_moved_or_refused() -> None:
    velocity = small_velocity(14, 17).to(CUDA)
    here = sf.simulate(velocity, small_survey(wavelet=small_wavelet(3)))
    assert torch.equal(sf.simulate(velocity, small_survey(wavelet=small_wavelet(3).to(CUDA))), here)
    learned = small_survey(wavelet=small_wavelet(3).requires_grad_())
    with pytest.raises(ValueError, match="wavelet requires grad on cpu, but velocity is on cuda:0"):
        sf.simulate(velocity, learned)


def test_engine_names() -> None:
    for name in ("auto", *ENGINES):
        assert choose_engine(name, CUDA) == name
    text = describe_engine((100, 100))
    for direction in ("records", "gradient"):
        assert f"CUDA tensors on {torch.cuda.get_device_name()}, {direction}: engine" in text
    velocity = small_velocity(2, 14, 17).to(CUDA)
    with pytest.raises(ValueError, match=r"engine 'cpu' does not run on cuda:0; there it is one of \('auto', 'plain'"):
        sf.simulate(velocity, small_survey(), engine="cpu")
    with pytest.raises(
        ValueError, match=r"engine 'resident' does not run on cpu; there it is one of \('auto', 'cpu'\)"
    ):
        sf.simulate(velocity.cpu(), small_survey(), engine="resident")


@EVERYWHERE
def test_errors_name_the_cell_and_the_shot(engine: str) -> None:
    shape = SHAPES[engine]
    velocity = small_velocity(2, *shape, dtype=torch.float32).to(CUDA)
    survey, _ = engine_survey(engine)
    poisoned = velocity.clone()
    poisoned[1, 3, 4] = float("nan")
    with pytest.raises(ValueError, match=r"finite and positive, got nan at \(model, iz, ix\) = \(1, 3, 4\)"):
        sf.simulate(poisoned, survey, engine=engine)
    wavelet = small_wavelet(2, 3, 2)
    wavelet[1, 2] = 1e38
    with pytest.raises(FloatingPointError, match="shot 2 of model 1 is not finite"):
        sf.simulate(velocity, small_survey(shape=shape, wavelet=wavelet), engine=engine)
    assert sf.simulate(velocity, survey, engine=engine).shape == (2, 3, NT, 5)
