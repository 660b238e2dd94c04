"""norm_relu and trace_mlp on a GPU, or with small data on a CPU: against their twins, in every precision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_features import (
    DEVICES,
    DTYPES,
    LAYOUTS,
    PRECISIONS,
    TOLERANCE,
    TRAINING,
    Mlp,
    Norm,
    assert_norm_gradients,
    clear_mlp,
    clear_norm,
    device_shapes,
    flat,
    kernels,
    mlp_gradients,
    mlp_of,
    noise,
    norm_gradients,
    norm_of,
    on_gpu,
    relative,
    relu_masks,
    under,
    wide,
)
from small_gpu import CUDA, READY

from seisfast import features
from seisfast.reference import features as twins
from seisfast.training.precision import float32_products


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Exact float32 in torch's own products and convolutions, on both sides of a comparison."""
    with float32_products("float32", torch.device("cuda" if READY else "cpu")):
        yield


# -- norm_relu ---------------------------------------------------------------------------------------------------------

MAPS = [(2, 1), (3, 4, 5), (4, 7, 33), (2, 5, 3, 9), (3, 33, 8, 21), (5, 64, 7, 6), (2, 1000, 3, 2)]
LARGE_MAPS = [(24, 64, 32, 250), (12, 640, 1024), (12, 640, 257), (12, 1, 100, 100), (3, 70_000, 2), (2, 12, 1, 90_001)]


@DTYPES
@TRAINING
@LAYOUTS
@device_shapes(MAPS, LARGE_MAPS)
def test_norm_relu_is_the_twin(
    device: str, shape: tuple[int, ...], channels_last: bool, training: bool, dtype: torch.dtype
) -> None:
    if channels_last and len(shape) != 4:
        pytest.skip("these maps have no channels last")
    options = {"dtype": dtype, "channels_last": channels_last}
    norm = norm_of(*shape, **options).to(device)
    found, ours = norm_gradients(features.norm_relu, norm, training=training)
    for layout in (torch.contiguous_format, torch.channels_last if len(shape) == 4 else torch.contiguous_format):
        assert found.is_contiguous(memory_format=layout) == norm.x.is_contiguous(memory_format=layout)
    double, few = Norm(*wide(tuple(norm))), norm.x.numel() // norm.x.shape[1] == 2
    tolerance = TOLERANCE[dtype] * (10 if few else 1)
    assert relative(found, double.to(device).run(twins.norm_relu, training=training)) < tolerance
    with relu_masks([found > 0]):  # the kernel's own
        _, theirs = norm_gradients(twins.norm_relu, double, training=training)
    assert_norm_gradients(ours, theirs, few and training, tolerance)
    norm.run(features.norm_relu, training=training)
    double.run(twins.norm_relu, training=training)
    assert relative(norm.running_mean, double.running_mean) < tolerance
    assert relative(norm.running_variance, double.running_variance) < tolerance


@DTYPES
@LAYOUTS
@DEVICES
def test_norm_relu_is_the_cpus(device: str, channels_last: bool, dtype: torch.dtype) -> None:
    norm = clear_norm(3, 20, 6, 10, dtype=dtype, channels_last=channels_last)
    found, expected = (flat(norm_gradients(features.norm_relu, n)) for n in (norm.to(device), norm))
    for a, b in zip(found, expected, strict=True):
        assert relative(a, b) < TOLERANCE[dtype]


@LAYOUTS
@DEVICES
def test_norm_of_values_far_from_zero(device: str, channels_last: bool) -> None:
    norm = norm_of(4, 64, 30, 20, dtype=torch.float32, channels_last=channels_last, offset=50.0).to(device)
    assert relative(norm.run(features.norm_relu), Norm(*wide(tuple(norm))).run(twins.norm_relu)) < 1e-5


@DTYPES
@LAYOUTS
@DEVICES
def test_nan_stays_in_its_channel_and_is_seen(device: str, channels_last: bool, dtype: torch.dtype) -> None:
    clean = norm_of(2, 21, 4, 6, dtype=dtype, channels_last=channels_last).to(device)
    poisoned = clean.to(device)
    poisoned.x[1, 5, 2, 3] = float("nan")
    others = [c for c in range(21) if c != 5]
    out, grads = norm_gradients(features.norm_relu, poisoned)
    expected, clean_grads = norm_gradients(features.norm_relu, clean)
    assert bool(out[:, 5].isnan().all())
    assert bool(grads[0][:, 5].isnan().all())
    assert torch.equal(out[:, others], expected[:, others])
    assert torch.equal(grads[0][:, others], clean_grads[0][:, others])


# -- trace_mlp ---------------------------------------------------------------------------------------------------------


@TRAINING
@DEVICES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("sizes", [(2, 3, 4, 10), (3, 1, 7, 33), (1, 5, 2, 19)], ids=str)
def test_mlp_is_the_twin(device: str, sizes: tuple[int, ...], dtype: torch.dtype, training: bool) -> None:
    mlp = clear_mlp(*sizes, training=training, dtype=dtype, widths=(20, 33, 8)).to(device)
    found, ours = mlp_gradients(features.trace_mlp, mlp, training=training)
    expected, theirs = mlp_gradients(twins.trace_mlp, Mlp(*wide(tuple(mlp))), training=training)
    tolerance = 10 * TOLERANCE[dtype]
    assert relative(found, expected) < (TOLERANCE[dtype] if dtype == torch.float32 else tolerance)
    floor = max(float(t.norm()) for t in theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert float((a.double() - b).norm()) < tolerance * max(float(b.norm()), 1e-3 * floor), k


@on_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_mlp_at_full_size(precision: str) -> None:
    """A batch of 12 of 20 x 32 traces. Where five layers of rounding pass the limit, no further off than the twin."""
    mlp = mlp_of(
        12, 20, 32, 1000, features=128, widths=(1024, 512, 256, 256), map_shape=(16, 16), dtype=torch.float32
    ).to(CUDA)  # fmt: skip
    expected = Mlp(*wide(tuple(mlp))).run(twins.trace_mlp)
    error, twins_error = (
        relative(under(precision, lambda run=run: mlp.run(run), "cuda"), expected)
        for run in (features.trace_mlp, twins.trace_mlp)
    )
    assert error < max(PRECISIONS[precision], 1.2 * twins_error)


@DEVICES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_autocast(device: str, dtype: torch.dtype) -> None:
    k, gathers = kernels().to(torch.float32).to(device), noise(2, 7, 40, dtype=torch.float32).to(device)
    norm, mlp = norm_of(4, 5, 20, dtype=torch.float32).to(device), mlp_of(4, 3, 4, 30, dtype=torch.float32).to(device)
    expected = [
        twins.trace_embedding(wide(gathers), *wide(k)),
        Norm(*wide(tuple(norm))).run(twins.norm_relu),
        Mlp(*wide(tuple(mlp))).run(twins.trace_mlp),
    ]
    with torch.autocast(device, dtype=dtype):
        found = [features.trace_embedding(gathers, *k), norm.run(features.norm_relu), mlp.run(features.trace_mlp)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == (torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)
        assert relative(ours, theirs) < 1e-2
