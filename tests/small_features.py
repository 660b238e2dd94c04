"""What the tests of the feature operators share: cases, data, twins in float64, how far a ReLU's input is from zero.

Two correct codes may put a value near zero on either side of a ReLU, and a gradient then differs by all that passed
there. So gradients are compared on data that is drawn until no input of a ReLU of the float64 twin lies within a margin
of zero that is far above the kernels' rounding: the twin then runs on the kernel's own masks, whatever the order of
its sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from small_gpu import READY
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seisfast import _native
from seisfast.features import TraceLayer
from seisfast.ops.features import statistics_type
from seisfast.reference import features as twins
from seisfast.training.precision import float32_products

# Largest relative L2 difference between an operator and its twin in float64, by the type of the maps.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}
# Receivers and samples: one trace, ragged edges, rows shorter than a window, more than a vector.
GATHERS = [(1, 2), (2, 1), (3, 5), (4, 16), (7, 64), (5, 203), (33, 101)]

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f64", "f32", "bf16"])
SINGLE = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
TRAINING = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
LAYOUTS = pytest.mark.parametrize("channels_last", [False, True], ids=["channels-first", "channels-last"])
GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not READY, reason="needs a CUDA device and an extension built with CUDA"),
]
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])


def on_gpu(test: Any) -> Any:  # noqa: ANN401 - a test
    """Marks a test that has nothing to ask of a CPU."""
    for mark in GPU:
        test = mark(test)
    return test


def device_shapes(small: list[tuple[int, ...]], large: list[tuple[int, ...]]) -> Any:  # noqa: ANN401 - a mark
    """(device, shape): a few small ones on a CPU, all on a GPU."""
    on_cpu = [pytest.param("cpu", shape, id=f"cpu-{shape}") for shape in small[2:4]]
    on_cuda = [pytest.param("cuda", shape, id=f"cuda-{shape}", marks=GPU) for shape in (*small, *large)]
    return pytest.mark.parametrize(("device", "shape"), on_cpu + on_cuda)


# Largest relative L2 difference in a precision of torch's products.
PRECISIONS = {"float32": 1e-5, "tf32": 1e-3, "bf16": 1e-2}


def under(precision: str, run: Callable[[], Tensor], device: str) -> Tensor:
    """The result of a run in a precision, as a training has it."""
    with (
        float32_products(precision, torch.device(device)),
        torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        return run()


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 3, device: torch.device | None = None) -> Tensor:
    """Normal deviates, the same on every device."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.to(device=device, dtype=dtype)


def relative(value: Tensor, expected: Tensor) -> float:
    """Relative L2 difference, on the CPU."""
    value, expected = (tensor.detach().double().cpu() for tensor in (value, expected))
    assert value.shape == expected.shape
    return float((value - expected).norm() / expected.norm())


def flat(pair: tuple[Tensor, list[Tensor]]) -> list[Tensor]:
    """An output and its gradients in one list."""
    return [pair[0], *pair[1]]


def assert_equal(found: Any, expected: Any) -> None:  # noqa: ANN401 - sequences of tensors
    """To the bit."""
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert torch.equal(a, b), f"result {k} differs in {int((a != b).sum())} of {b.numel()} values"


def wide(value: Any) -> Any:  # noqa: ANN401
    """The same values in float64: of a tensor, a sequence or a layer."""
    if isinstance(value, Tensor):
        return value.detach().double()
    if isinstance(value, TraceLayer):
        return TraceLayer(*(wide(part) for part in value))
    return [wide(part) for part in value] if isinstance(value, (list, tuple)) else value


# -- ReLUs -------------------------------------------------------------------------------------------------------------


class _Relus(TorchFunctionMode):
    """Hands the input of every torch.relu to a function that returns its output."""

    def __init__(self, replaced: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.replaced = replaced

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        return self.replaced(*args) if function is torch.relu else function(*args, **(kwargs or {}))


@contextmanager
def relu_inputs() -> Iterator[list[Tensor]]:
    """The inputs of all ReLUs of the twins inside this block, in order."""
    seen: list[Tensor] = []

    def watched(value: Tensor) -> Tensor:
        seen.append(value.detach())
        return value.clamp(min=0)

    with _Relus(watched):
        yield seen


@contextmanager
def relu_masks(masks: Sequence[Tensor]) -> Iterator[None]:
    """The twins inside this block let pass what the masks say, one mask per ReLU, in order."""
    left = iter(masks)
    with _Relus(lambda value: value * next(left).to(value.dtype).reshape(value.shape)):
        yield
    assert next(left, None) is None


def distance(run: Callable[[], object]) -> float:
    """The smallest absolute input of a ReLU in a run of twins."""
    with relu_inputs() as seen, torch.no_grad():
        run()
    return min(float(value.abs().min()) for value in seen)


def first_clear(make: Callable[[int], Any], run: Callable[[Any], object], margin: float, tries: int = 400) -> Any:  # noqa: ANN401
    """The first data of `make(seed)` for which no ReLU of the float64 twin has an input within the margin of zero."""
    for seed in range(tries):
        made = make(seed)
        if distance(lambda made=made: run(made)) > margin:
            return made
    raise AssertionError(f"no data without a ReLU's input within {margin} of zero in {tries} tries")


# -- trace_embedding ---------------------------------------------------------------------------------------------------


class Kernels(NamedTuple):
    """Weights and biases of the three convolutions."""

    weights: list[Tensor]
    biases: list[Tensor]

    def all(self) -> list[Tensor]:
        return [*self.weights, *self.biases]

    def to(self, *where: Any) -> Kernels:  # noqa: ANN401
        return Kernels(*([tensor.detach().to(*where) for tensor in tensors] for tensors in self))

    def leaves(self) -> Kernels:
        return Kernels(*([tensor.detach().clone().requires_grad_() for tensor in tensors] for tensors in self))


def kernels(channels: int = 4, dtype: torch.dtype = torch.float64, seed: int = 11) -> Kernels:
    """Random ones, of about torch's size."""
    shapes = ((channels, 1, 5, 5), (channels, channels, 5, 5), (1, channels, 5, 5))
    weights = [noise(*s, dtype=dtype, seed=seed + k) / (25 * s[1]) ** 0.5 for k, s in enumerate(shapes)]
    biases = [0.3 * noise(s[0], dtype=dtype, seed=seed + 3 + k) for k, s in enumerate(shapes)]
    return Kernels(weights, biases)


def stored(k: Kernels, dtype: torch.dtype) -> Kernels:
    """Weights beside maps of a type."""
    return k.to(statistics_type(dtype))


def embedding_plan(
    shape: tuple[int, ...], dtype: torch.dtype, adjoint: bool = False, chip: dict[str, int] | None = None
) -> dict[str, int]:
    """How a chip, or the current device, would run (gathers, receivers, samples, channels)."""
    params = {
        **dict(zip(("gathers", "receivers", "samples", "channels"), shape, strict=True)),
        "eps": 1e-5, "input_gradient": True, "weights": [0] * 3, "biases": [0] * 3,
        **dict.fromkeys(("x", "out", "statistics", "grad_out", "grad_x", "grad_weights", "workspace"), 0),
    }  # fmt: skip
    return _native.embedding_plan(params, str(dtype).removeprefix("torch."), adjoint, chip)


def clear_gathers(
    count: int, receivers: int, samples: int, k: Kernels, dtype: torch.dtype, margin: float = 2e-5, tries: int = 400
) -> Tensor:
    """Gathers on whose ReLUs every code agrees: `[count, receivers, samples]`, on the device of the weights."""
    double, device, found = wide(k), k.weights[0].device, []
    for seed in range(tries):
        gather = noise(1, receivers, samples, seed=100 + seed).to(dtype).to(device)
        if distance(lambda gather=gather: twins.trace_embedding(gather.double(), *double)) > margin:
            found.append(gather)
        if len(found) == count:
            return torch.cat(found)
    raise AssertionError(f"{len(found)} of {count} gathers in {tries} tries")


def stored_masks(gathers: Tensor, k: Kernels, statistics: Tensor) -> list[Tensor]:
    """Masks of the kernels: the maps again, from the statistics that the forward pass saved.

    On CUDA maps are rounded to their stored type before and after the norm. Float32 sums in another order leave a
    value near zero on the other side about once in a million, or where bfloat16 rounds it to the other neighbour.
    """
    exact = statistics.dtype
    stored = gathers.dtype if gathers.is_cuda else exact
    maps, masks = gathers.to(exact)[:, None], []
    for layer, (weight, bias) in enumerate(zip(k.weights, k.biases, strict=True)):
        mean, inverse = (statistics[:, layer, i, None, None, None] for i in (0, 1))
        convolved = torch.nn.functional.conv2d(maps, weight.to(exact), bias.to(exact), padding=2).to(stored).to(exact)
        maps = ((convolved - mean) * inverse).to(stored).to(exact)
        masks.append(maps > 0)
        maps = maps.clamp(min=0)
    return masks


def embedding_gradients(
    run: Callable[..., Tensor], gathers: Tensor, k: Kernels, weight: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Output, and the gradients of gathers, weights and biases, for the weight of every output."""
    leaf, leaves = gathers.detach().clone().requires_grad_(), k.leaves()
    out = run(leaf, *leaves)
    return out.detach(), list(torch.autograd.grad(out, (leaf, *leaves.all()), weight.to(out.dtype)))


def assert_embedding_gradients(
    found: list[Tensor], expected: list[Tensor], tolerance: float, of_biases: float | None = None
) -> None:
    """All to the tolerance; the third bias, whose gradient is zero, by absolute value: ours is zero exactly.

    With one channel the norms take away the other biases, too. What they leave of the others are sums that nearly
    cancel, in which a rounding of maps (bfloat16 on CUDA) weighs more: `of_biases`.
    """
    names, scale = ("gathers", "w1", "w2", "w3", "b1", "b2", "b3"), float(expected[2].abs().max())
    assert float(found[-1]) == 0.0
    for name, ours, theirs in zip(names, found, expected, strict=True):
        if name == "b3" or (theirs.numel() == 1 and name in ("b1", "b2")):
            assert float(theirs.abs()) < 1e-9 * scale
            assert float(ours.abs()) < tolerance * scale
        else:
            allowed = of_biases if of_biases is not None and name in ("b1", "b2") else tolerance
            assert relative(ours, theirs) < allowed, f"gradient of {name}: {relative(ours, theirs)}"


# -- trace_mlp and norm_relu -------------------------------------------------------------------------------------------


class Mlp(NamedTuple):
    """Arguments of trace_mlp."""

    context: Tensor
    traces: Tensor
    layers: list[TraceLayer]
    map_shape: tuple[int, int]

    def run(self, mlp: Callable[..., Tensor], **options: Any) -> Tensor:  # noqa: ANN401
        return mlp(*self, **{"training": True, **options})

    def to(self, *where: Any) -> Mlp:  # noqa: ANN401
        """The same on another device or in another type."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(*where, copy=True)

        layers = [TraceLayer(*(moved(part) for part in layer)) for layer in self.layers]
        return Mlp(self.context.detach().to(*where), self.traces.detach().to(*where), layers, self.map_shape)

    def leaves(self) -> tuple[Mlp, list[Tensor]]:
        """A copy whose inputs and parameters require gradients, and the list of these."""
        context, traces = (t.detach().clone().requires_grad_() for t in (self.context, self.traces))
        layers, leaves = [], [context, traces]
        for layer in self.layers:
            parameters = [part.detach().clone().requires_grad_() for part in layer[:4]]
            kept = [None if part is None else part.clone() for part in layer[4:]]
            layers.append(TraceLayer(*parameters, *kept))
            leaves += parameters
        return Mlp(context, traces, layers, self.map_shape), leaves


def mlp_of(
    batch: int,
    shots: int,
    receivers: int,
    samples: int,
    features: int = 6,
    widths: Sequence[int] = (9, 7),
    map_shape: tuple[int, int] = (2, 3),
    dtype: torch.dtype = torch.float64,
    seed: int = 21,
    running: bool = True,
) -> Mlp:
    """Random inputs, parameters and running statistics in which a mistake shows."""
    traces, seeds = shots * receivers, itertools.count(1000 * seed)

    def made(*shape: int) -> Tensor:
        return noise(*shape, dtype=dtype, seed=next(seeds))

    inputs, layers = features + shots + receivers + samples, []
    for outputs in (*widths, map_shape[0] * map_shape[1]):
        weight, bias = made(outputs, inputs) / inputs**0.5, 0.3 * made(outputs)
        scale, shift, mean, variance = 1 + 0.3 * made(traces), 0.3 * made(traces), 0.3 * made(traces), made(traces)
        kept = (mean, 0.5 + variance.abs()) if running else (None, None)
        layers.append(TraceLayer(weight, bias, scale, shift, *kept))
        inputs = outputs
    return Mlp(made(batch, shots, features), made(batch, shots, receivers, samples), layers, map_shape)


def mlp_gradients(run: Callable[..., Tensor], mlp: Mlp, **options: Any) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401
    """Output, and the gradients of context, traces and all parameters."""
    copy, leaves = mlp.leaves()
    out = copy.run(run, **options)
    weight = noise(*out.shape, seed=9, dtype=out.dtype, device=out.device)
    return out.detach(), list(torch.autograd.grad(out, leaves, weight))


class Norm(NamedTuple):
    """Arguments of norm_relu."""

    x: Tensor
    running_mean: Tensor | None
    running_variance: Tensor | None
    scale: Tensor
    shift: Tensor

    def run(self, norm: Callable[..., Tensor], **options: Any) -> Tensor:  # noqa: ANN401
        return norm(*self, **{"training": True, **options})

    def to(self, *where: Any) -> Norm:  # noqa: ANN401
        return Norm(*(None if t is None else t.detach().to(*where, copy=True) for t in self))

    def fresh(self) -> Norm:
        """The same with running statistics of its own, for they are written."""
        return Norm(self.x, *(None if t is None else t.clone() for t in self[1:3]), *self[3:])


def norm_of(
    *shape: int, dtype: torch.dtype = torch.float64, seed: int = 31, channels_last: bool = False, offset: float = 0.2
) -> Norm:
    """Random maps with a mean, parameters and running statistics in which a mistake shows."""
    channels = shape[1]
    x = (noise(*shape, seed=seed) + offset).to(dtype)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    mean, scale, shift, variance = (noise(channels, seed=seed + k) for k in range(1, 5))
    others = (offset + 0.3 * mean, 0.5 + variance.abs(), 1 + 0.3 * scale, 0.3 * shift)
    return Norm(x, *(t.to(torch.float32 if dtype == torch.bfloat16 else dtype) for t in others))


def norm_gradients(run: Callable[..., Tensor], norm: Norm, **options: Any) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401
    """Output, and the gradients of x, scale and shift."""
    leaves = [t.detach().clone(memory_format=torch.preserve_format).requires_grad_() for t in norm[::3]]
    shift = norm.shift.detach().clone().requires_grad_()
    kept = [None if t is None else t.clone() for t in norm[1:3]]
    out = Norm(leaves[0], *kept, leaves[1], shift).run(run, **options)
    weight = noise(*out.shape, seed=9, dtype=out.dtype, device=out.device)
    return out.detach(), list(torch.autograd.grad(out, (*leaves, shift), weight))


def assert_norm_gradients(found: list[Tensor], expected: list[Tensor], few: bool, tolerance: float) -> None:
    """All to the tolerance. `few`: of two values of a channel the norm leaves the sign, so their gradient is tiny."""
    for name, ours, theirs in zip(("x", "scale", "shift"), found, expected, strict=True):
        if few and name == "x":
            difference = (ours.double().cpu() - theirs.cpu()).abs().max()
            assert float(difference) < 100 * tolerance * float(expected[2].abs().max())
        else:
            assert relative(ours, theirs) < tolerance, f"gradient of {name}: {relative(ours, theirs)}"


def clear_norm(*shape: int, margin: float = 1e-5, training: bool = True, **options: Any) -> Norm:  # noqa: ANN401
    """Maps on whose ReLU every code agrees."""

    def twin(norm: Norm) -> Tensor:
        return Norm(*wide(tuple(norm))).run(twins.norm_relu, training=training)

    found: Norm = first_clear(lambda seed: norm_of(*shape, seed=31 + 10 * seed, **options), twin, margin)
    return found


def clear_mlp(*sizes: int, margin: float = 1e-5, training: bool = True, **options: Any) -> Mlp:  # noqa: ANN401
    """Inputs on whose ReLUs every code agrees."""

    def twin(mlp: Mlp) -> Tensor:
        return Mlp(*wide(tuple(mlp))).run(twins.trace_mlp, training=training)

    found: Mlp = first_clear(lambda seed: mlp_of(*sizes, seed=21 + seed, **options), twin, margin)
    return found
