"""The CUDA engine: equal to the CPU engine to the bit, on any stream, in graphs and compiled, at size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_survey import BOUNDARIES, NT, ORDERS, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast import _native
from seisfast.propagator import choose_engine, describe_engine

CUDA = torch.device("cuda")
READY = torch.cuda.is_available() and bool(_native.build_info()["cuda"])
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not READY, reason="needs a CUDA device and an extension built with CUDA"),
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
STORAGES = {
    "all": sf.Storage("all"),
    "checkpoint": sf.Storage("checkpoint"),
    "auto": sf.Storage(),
    "every": sf.Storage(every=4),
    "half": sf.Storage(dtype=torch.float16),
}


def one_shot(boundary: str, **changes: object) -> sf.Survey:
    """One shot of two sources, a wavelet of its own for each of three models: nothing is summed outside the engine."""
    settings: dict[str, object] = {
        "sources": [[(4, 8), (13, 16)]],
        "receivers": [(1, 2), (4, 8), (9, 16), (4, 8), (1, 0)],  # one cell twice
        "wavelet": small_wavelet(3, 1, 2),
    }
    return small_survey(boundary, **{**settings, **changes})


def run(
    device: torch.device, survey: Callable[[Tensor], sf.Survey], dtype: torch.dtype, storage: sf.Storage | None = None
) -> tuple[Tensor, ...]:
    """(record, gradient of the velocity, gradient of the wavelet) on a device, brought back."""
    velocity = small_velocity(3, 14, 17, dtype=dtype).to(device).requires_grad_()
    wavelet = small_wavelet(3, 1, 2, dtype=dtype).to(device).requires_grad_()
    data = sf.simulate(velocity, survey(wavelet), storage=storage)
    assert data.device.type == device.type
    weights = torch.randn(data.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(data)
    grads = torch.autograd.grad(data, (velocity, wavelet), weights)
    return tuple(t.detach().cpu() for t in (data, *grads))


# -- against the CPU ---------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_equals_the_cpu_engine_to_the_bit(boundary: str, order: int, dtype: torch.dtype) -> None:
    def survey(wavelet: Tensor) -> sf.Survey:
        return one_shot(boundary, order=order, wavelet=wavelet)

    for ours, cpus in zip(run(CUDA, survey, dtype), run(torch.device("cpu"), survey, dtype), strict=True):
        assert torch.equal(ours, cpus)


@DTYPES
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_storages_equal_the_cpu_engines_to_the_bit(boundary: str, storage: str, dtype: torch.dtype) -> None:
    def survey(wavelet: Tensor) -> sf.Survey:
        return one_shot(boundary, wavelet=wavelet)

    kept = STORAGES[storage]
    found = run(CUDA, survey, dtype, kept)
    for ours, cpus in zip(found, run(torch.device("cpu"), survey, dtype, kept), strict=True):
        assert torch.equal(ours, cpus)
    exact = run(CUDA, survey, dtype, STORAGES["all"])
    assert torch.equal(found[0], exact[0])
    assert torch.equal(found[1], exact[1]) == (not kept.lossy)


@DTYPES
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_many_shots_and_every_form_of_the_arrays(boundary: str, dtype: torch.dtype) -> None:
    """Records to the bit; the sum of the shots' gradients, which torch takes in an order of its own, closely."""
    velocity = small_velocity(2, 14, 17, dtype=dtype)
    shared = [(2, 3 * k) for k in range(5)]
    for wavelet in (small_wavelet(), small_wavelet(3), small_wavelet(3, 2), small_wavelet(2, 3, 2)):
        for changes in ({}, {"receivers": shared}):
            survey = small_survey(boundary, wavelet=wavelet, **changes)
            results = []
            for device in (CUDA, torch.device("cpu")):
                leaf = velocity.detach().to(device).requires_grad_()
                data = sf.simulate(leaf, survey)
                grad = torch.autograd.grad(data.square().sum(), leaf)[0]
                results.append((data.detach().cpu(), grad.cpu()))
            assert torch.equal(results[0][0], results[1][0])
            assert relative(results[0][1], results[1][1]) < {torch.float64: 1e-13, torch.float32: 1e-5}[dtype]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (7, 7), (13, 31)])
@pytest.mark.parametrize("boundary", ["cpml", "sponge", "rigid"])
def test_edge_sizes(boundary: str, shape: tuple[int, int]) -> None:
    survey = small_survey(
        boundary, shape=shape, sources=[(shape[0] - 1, shape[1] - 1)], receivers=[(0, 0)], wavelet=small_wavelet()
    )
    velocity = small_velocity(*shape)
    grads = []
    for device in (CUDA, torch.device("cpu")):
        leaf = velocity.detach().to(device).requires_grad_()
        grads.append(torch.autograd.grad(sf.simulate(leaf, survey).square().sum(), leaf)[0].cpu())
    assert relative(*grads) < 1e-13


def test_openfwi_preset_and_the_default_layer_equal_the_cpu_engine_to_the_bit() -> None:
    for survey, shape in ((sf.Survey.openfwi(), (70, 70)), (sf.Survey.seisinv(), (100, 100))):
        velocity = 1500.0 + torch.linspace(0, 2500, shape[0])[:, None].expand(shape)
        assert torch.equal(sf.simulate(velocity.to(CUDA), survey).cpu(), sf.simulate(velocity, survey))


def test_repeatable_and_independent_of_the_batch() -> None:
    survey = small_survey(wavelet=small_wavelet(3, 2))
    velocity = small_velocity(4, 14, 17, dtype=torch.float32).to(CUDA).requires_grad_()
    data = sf.simulate(velocity, survey)
    (grad,) = torch.autograd.grad(data.square().sum(), velocity)
    for _ in range(3):
        again = sf.simulate(velocity, survey)
        assert torch.equal(again, data)
        assert torch.equal(torch.autograd.grad(again.square().sum(), velocity)[0], grad)
    for model in range(4):
        assert torch.equal(sf.simulate(velocity[model].detach(), survey), data[model])


def test_strided_velocity_autocast_and_inference() -> None:
    survey = small_survey(wavelet=small_wavelet(3, 2))
    velocity = small_velocity(2, 14, 17, dtype=torch.float32).to(CUDA)
    data = sf.simulate(velocity, survey)
    assert torch.equal(sf.simulate(velocity.transpose(1, 2).contiguous().transpose(1, 2), survey), data)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(sf.simulate(velocity, survey), data)
    with torch.inference_mode():
        assert torch.equal(sf.simulate(velocity, survey), data)


# -- streams and graphs ------------------------------------------------------------------------------------------------


def test_side_stream() -> None:
    """The run is ordered with the work around it on whatever stream is current, backward too."""
    survey = small_survey(wavelet=small_wavelet(3, 2))
    velocity = small_velocity(4, 14, 17, dtype=torch.float32).to(CUDA)
    leaf = velocity.clone().requires_grad_()
    expected = sf.simulate(leaf, survey)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), leaf)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        busy = torch.randn(2048, 2048, device=CUDA)
        for _ in range(20):
            busy = busy @ busy / 2048
        moved = (velocity + 0.0 * busy[0, 0].nan_to_num(0.0, 0.0, 0.0)).requires_grad_()
        data = sf.simulate(moved, survey)
        doubled = data * 2
        (grad,) = torch.autograd.grad(data.square().sum(), moved)
    side.synchronize()
    assert torch.equal(doubled, expected * 2)
    assert torch.equal(grad, expected_grad)


def test_cuda_graph_replays_forward_and_gradient() -> None:
    survey = small_survey(wavelet=small_wavelet(3, 2))
    models = small_velocity(6, 14, 17, dtype=torch.float32).to(CUDA)
    place = models[:2].clone().requires_grad_()

    def step() -> tuple[Tensor, Tensor]:
        data = sf.simulate(place, survey)
        return data, torch.autograd.grad(data.square().sum(), place)[0]

    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        step()
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        data, grad = step()
    for first in (0, 2, 4):
        with torch.no_grad():
            place.copy_(models[first : first + 2])
        graph.replay()
        torch.cuda.synchronize()
        leaf = models[first : first + 2].clone().requires_grad_()
        expected = sf.simulate(leaf, survey)
        assert torch.equal(data, expected)
        assert torch.equal(grad, torch.autograd.grad(expected.square().sum(), leaf)[0])
    with torch.no_grad():
        place.copy_(torch.full_like(place, float("nan")))
    graph.replay()
    with pytest.raises(FloatingPointError, match="shot 0 of model 0 is not finite"):
        sf.check(data)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the device
def test_compiled_whole(mode: str) -> None:
    torch._dynamo.reset()
    survey = small_survey(wavelet=small_wavelet(3, 2))

    def loss(velocity: Tensor) -> Tensor:
        return sf.simulate(velocity * 1.01, survey).square().mean()

    compiled = torch.compile(loss, fullgraph=True, mode=mode)
    for _ in range(4):  # graphs are captured from the second call on
        leaf = small_velocity(2, 14, 17, dtype=torch.float32).to(CUDA).requires_grad_()
        if mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        value = compiled(leaf)
        (grad,) = torch.autograd.grad(value, leaf)
        expected = loss(leaf)
        (expected_grad,) = torch.autograd.grad(expected, leaf)
        assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        assert relative(grad.cpu(), expected_grad.cpu()) < 1e-5


def test_torch_func() -> None:
    survey = small_survey(wavelet=small_wavelet(3, 2))
    velocity = small_velocity(3, 14, 17).to(CUDA)
    tangent = torch.randn(3, 14, 17, dtype=torch.float64, device=CUDA)

    def record(v: Tensor) -> Tensor:
        return sf.simulate(v, survey)

    pushed = torch.func.jvp(record, (velocity,), (tangent,))[1]
    assert relative(pushed.cpu(), torch.func.jvp(record, (velocity.cpu(),), (tangent.cpu(),))[1]) < 1e-11
    gradients = torch.vmap(torch.func.grad(lambda v: record(v).square().sum()))(velocity)
    leaf = velocity.clone().requires_grad_()
    (batch,) = torch.autograd.grad(record(leaf).square().sum(), leaf)
    assert relative(gradients.cpu(), batch.cpu()) < 1e-13


# -- size and refusals -------------------------------------------------------------------------------------------------


def test_large_batch() -> None:
    """66 models of 20 shots: more blocks than a device holds at once; spot checks against the CPU."""
    preset = sf.Survey.seisinv(nt=200)
    models = 1500.0 + torch.linspace(0, 2500, 100)[:, None].expand(66, 100, 100) * torch.rand(66, 1, 1)
    leaf = models.to(CUDA).requires_grad_()
    data = sf.simulate(leaf, preset)
    assert data.shape == (66, 20, 200, 32)
    (grad,) = torch.autograd.grad(data.square().sum(), leaf)
    for model in (0, 33, 65):
        single = models[model].clone().requires_grad_()
        expected = sf.simulate(single, preset)
        assert torch.equal(data[model].detach().cpu(), expected.detach())
        assert relative(grad[model].cpu(), torch.autograd.grad(expected.square().sum(), single)[0]) < 1e-4


def test_large_model() -> None:
    velocity = 1500.0 + torch.linspace(0, 2500, 700)[:, None].expand(700, 900)
    survey = sf.Survey(
        spacing=10.0, dt=1e-3, nt=120, sources=[(2, 450), (2, 890)], receivers=[(2, ix) for ix in range(0, 900, 3)],
        wavelet=sf.wavelets.ricker(15.0, 1e-3, 120),
    )  # fmt: skip
    assert torch.equal(sf.simulate(velocity.to(CUDA), survey).cpu(), sf.simulate(velocity, survey))


def test_wavelet_on_another_device_is_moved_or_refused() -> None:
    velocity = small_velocity(14, 17).to(CUDA)
    here = sf.simulate(velocity, small_survey(wavelet=small_wavelet(3)))
    assert torch.equal(sf.simulate(velocity, small_survey(wavelet=small_wavelet(3).to(CUDA))), here)
    learned = small_survey(wavelet=small_wavelet(3).requires_grad_())
    with pytest.raises(ValueError, match="wavelet requires grad on cpu, but velocity is on cuda:0"):
        sf.simulate(velocity, learned)


def test_engine_names() -> None:
    assert choose_engine("auto", CUDA) == "plain"
    assert "CUDA tensors: engine plain" in describe_engine((100, 100))
    velocity = small_velocity(2, 14, 17).to(CUDA)
    assert torch.equal(sf.simulate(velocity, small_survey(), engine="plain"), sf.simulate(velocity, small_survey()))
    with pytest.raises(ValueError, match=r"engine 'cpu' does not run on cuda:0; this version has 'plain' there"):
        sf.simulate(velocity, small_survey(), engine="cpu")


def test_errors_name_the_cell_and_the_shot() -> None:
    velocity = small_velocity(2, 14, 17).to(CUDA)
    poisoned = velocity.clone()
    poisoned[1, 3, 4] = float("nan")
    with pytest.raises(ValueError, match=r"finite and positive, got nan at \(model, iz, ix\) = \(1, 3, 4\)"):
        sf.simulate(poisoned, small_survey())
    wavelet = small_wavelet(2, 3, 2)
    wavelet[1, 2] = 1e307
    with pytest.raises(FloatingPointError, match="shot 2 of model 1 is not finite"):
        sf.simulate(velocity, small_survey(wavelet=wavelet))
    assert sf.simulate(velocity, small_survey()).shape == (2, 3, NT, 5)
