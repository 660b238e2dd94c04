"""The feature operators and what is wrong with their input: NaN is seen, misfits are refused; and plans for CUDA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from small_features import (
    DTYPES,
    LAYOUTS,
    TRAINING,
    Mlp,
    Norm,
    embedding_gradients,
    embedding_plan,
    kernels,
    mlp_of,
    noise,
    norm_gradients,
    norm_of,
    stored,
    wide,
)

from seisfast import _native, features
from seisfast.engines import CHIPS
from seisfast.reference import features as twins

# -- not a number ------------------------------------------------------------------------------------------------------

NOT_FINITE = pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])


@DTYPES
@NOT_FINITE
def test_nan_stays_in_its_gather_and_is_seen(value: float, dtype: torch.dtype) -> None:
    k, weight = stored(kernels(), dtype), noise(3, 7, 40)
    clean, poisoned = noise(3, 7, 40, dtype=dtype), noise(3, 7, 40, dtype=dtype)
    poisoned[1, 2, 3] = value
    out, grads = embedding_gradients(features.trace_embedding, poisoned, k, weight)
    expected, clean_grads = embedding_gradients(features.trace_embedding, clean, k, weight)
    assert torch.equal(out.isnan(), twins.trace_embedding(wide(poisoned), *wide(k)).isnan())
    assert bool(out[1].isnan().all())
    assert bool(grads[0][1].isnan().all())
    for alone in (0, 2):
        assert torch.equal(out[alone], expected[alone])
        assert torch.equal(grads[0][alone], clean_grads[0][alone])
    for name, grad in zip(("w1", "w2", "w3", "b1", "b2"), grads[1:], strict=False):
        assert bool(grad.isnan().all()), name


@DTYPES
def test_nan_in_a_weight_is_seen(dtype: torch.dtype) -> None:
    for which in range(6):
        k = stored(kernels(), dtype)
        k.all()[which].view(-1)[0] = float("nan")
        assert bool(features.trace_embedding(noise(2, 7, 40, dtype=dtype), *k).isnan().all())


@DTYPES
@LAYOUTS
@TRAINING
@NOT_FINITE
def test_nan_stays_in_its_channel_and_is_seen(
    value: float, training: bool, channels_last: bool, dtype: torch.dtype
) -> None:
    clean = norm_of(2, 21, 4, 6, dtype=dtype, channels_last=channels_last)
    poisoned = clean.to("cpu")
    poisoned.x[1, 5, 2, 3] = value
    out, grads = norm_gradients(features.norm_relu, poisoned, training=training)
    expected, clean_grads = norm_gradients(features.norm_relu, clean, training=training)
    twin = norm_gradients(twins.norm_relu, Norm(*wide(tuple(poisoned))), training=training)
    assert torch.equal(out.isnan(), twin[0].isnan())
    if training:
        assert torch.equal(grads[0].isnan(), twin[1][0].isnan())
    else:  # nothing but the value itself
        assert not bool((grads[0].isnan() & poisoned.x.isfinite()).any())
    others = [c for c in range(21) if c != 5]
    assert torch.equal(out[:, others], expected[:, others])
    assert torch.equal(grads[0][:, others], clean_grads[0][:, others])
    assert torch.equal(grads[1][others], clean_grads[1][others])


def test_nan_in_the_traces_is_seen_by_the_mlp() -> None:
    mlp = mlp_of(2, 3, 4, 10)
    expected = mlp.run(features.trace_mlp)
    mlp.traces[1, 2, 3, 4] = float("nan")
    out = mlp.run(features.trace_mlp)
    assert bool(out[:, 11].isnan().all())  # both samples of the batch share the trace's statistics
    assert torch.equal(out[:, :11], expected[:, :11])


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.int32, torch.int64, torch.bool, torch.complex64], ids=str)
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    def message(name: str) -> str:
        return rf"^{name} must be float32, float64 or bfloat16, got {dtype}$"

    k, norm, mlp = kernels(), norm_of(2, 4, 6), mlp_of(2, 3, 4, 10)
    with pytest.raises(TypeError, match=message("gathers")):
        features.trace_embedding(torch.zeros(2, 4, 6, dtype=dtype), *k)
    with pytest.raises(TypeError, match=message("x")):
        features.norm_relu(torch.zeros(2, 4, 6, dtype=dtype), *norm[1:], training=True)
    with pytest.raises(TypeError, match=message("traces")):
        Mlp(mlp.context, mlp.traces.to(dtype), *mlp[2:]).run(features.trace_mlp)
    with pytest.raises(TypeError, match=message("context")):
        Mlp(mlp.context.to(dtype), *mlp[1:]).run(features.trace_mlp)


@pytest.mark.parametrize("shape", [(0, 4, 6), (2, 0, 6), (2, 4, 0), (5,), ()], ids=str)
def test_gathers_of_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    message = f"gathers must be [..., receivers, time] and not empty, got shape {list(shape)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        features.trace_embedding(torch.zeros(shape), *kernels().to(torch.float32))


def test_gathers_of_a_single_value_are_refused() -> None:
    """The third norm would leave nothing of it."""
    with pytest.raises(
        ValueError, match=r"gathers must hold at least 2 values each, to be normalised, got shape \[3, 1, 1\]"
    ):
        features.trace_embedding(noise(3, 1, 1), *kernels())


@pytest.mark.parametrize("which", range(3))
def test_weights_of_wrong_shapes_are_refused(which: int) -> None:
    gathers = noise(2, 4, 6)
    expected = [[4, 1, 5, 5], [4, 4, 5, 5], [1, 4, 5, 5]][which]
    for name, tensors in (("weights", 0), ("biases", 1)):
        k = kernels()
        shape = expected if name == "weights" else expected[:1]
        k[tensors][which] = torch.zeros([*shape, 2])
        written = ", ".join(map(str, shape))
        with pytest.raises(ValueError, match=rf"{name}\[{which}\] must have shape \[{written}\], got \[{written}, 2\]"):
            features.trace_embedding(gathers, *k)
        k[tensors][which] = torch.zeros(shape, device="meta")
        with pytest.raises(ValueError, match=rf"{name}\[{which}\] must be on cpu, got meta"):
            features.trace_embedding(gathers, *k)
        del k[tensors][which]
        with pytest.raises(ValueError, match=f"{name} must be those of three convolutions, got 2"):
            features.trace_embedding(gathers, *k)


@pytest.mark.parametrize("shape", [(0, 1, 5, 5), (0,), ()], ids=str)
def test_weights_without_channels_are_refused(shape: tuple[int, ...]) -> None:
    k = kernels()
    message = f"weights[0] must have shape [C, 1, 5, 5] with C at least 1, got {list(shape)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        features.trace_embedding(noise(2, 4, 6), [torch.zeros(shape), *k.weights[1:]], k.biases)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traces": (2, 3, 10)}, r"traces must be \[batch, shots, receivers, time\], got shape \[2, 3, 10\]"),
        ({"traces": (0, 3, 4, 10)}, r"traces must be \[batch, shots, receivers, time\], got shape \[0, 3, 4, 10\]"),
        ({"context": (2, 3)}, r"context must be \[batch=2, shots=3, features\] on cpu, got shape \[2, 3\] on cpu"),
        ({"context": (2, 4, 6)}, r"context must be \[batch=2, shots=3, features\] on cpu, got shape \[2, 4, 6\]"),
        ({"context": (1, 3, 6)}, r"context must be \[batch=2, shots=3, features\] on cpu, got shape \[1, 3, 6\]"),
        ({"context": (2, 3, 5)}, r"layers\[0\].weight must have shape \[9, 22\], got \[9, 23\]"),
        ({"traces": (2, 3, 4, 11)}, r"layers\[0\].weight must have shape \[9, 24\], got \[9, 23\]"),
        ({"weight": (9, 22)}, r"layers\[0\].weight must have shape \[9, 23\], got \[9, 22\]"),
        ({"bias": (8,)}, r"layers\[0\].bias must have shape \[9\], got \[8\]"),
        ({"scale": (11,)}, r"layers\[0\].scale must have shape \[12\], got \[11\]"),
        ({"shift": (12, 1)}, r"layers\[0\].shift must have shape \[12\], got \[12, 1\]"),
        ({"running_mean": (3,)}, r"layers\[0\].running_mean must have shape \[12\], got \[3\]"),
        ({"running_variance": ()}, r"layers\[0\].running_variance must have shape \[12\], got \[\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mlps_of_wrong_shapes_are_refused(changes: dict[str, tuple[int, ...]], message: str) -> None:
    mlp = mlp_of(2, 3, 4, 10)
    new = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in changes.items()}
    inputs = {"context": mlp.context, "traces": mlp.traces}
    given = [new.pop(name, tensor) for name, tensor in inputs.items()]
    layers = [mlp.layers[0]._replace(**new), *mlp.layers[1:]]
    with pytest.raises(ValueError, match=message):
        features.trace_mlp(*given, layers, mlp.map_shape, training=True)


def test_other_wrong_mlps_are_refused() -> None:
    mlp = mlp_of(2, 3, 4, 10)
    for wrong_shape in ((2, 4), (-2, -3), (6,), (1, 2, 3), ()):
        message = rf"map_shape must be \(h, w\) with as many cells .* has outputs, 6, got {re.escape(str(wrong_shape))}"
        with pytest.raises(ValueError, match=message):
            features.trace_mlp(mlp.context, mlp.traces, mlp.layers, wrong_shape, training=True)
    with pytest.raises(ValueError, match="layers must hold at least one layer, got none"):
        features.trace_mlp(mlp.context, mlp.traces, [], (2, 3), training=True)
    wrong = [mlp.layers[0], mlp.layers[1]._replace(weight=torch.zeros(7, 8)), mlp.layers[2]]
    with pytest.raises(ValueError, match=r"layers\[1\].weight must have shape \[7, 9\], got \[7, 8\]"):
        features.trace_mlp(mlp.context, mlp.traces, wrong, (2, 3), training=True)
    away = [mlp.layers[0]._replace(weight=mlp.layers[0].weight.to("meta")), *mlp.layers[1:]]
    with pytest.raises(ValueError, match=r"layers\[0\].weight must be on cpu, got meta"):
        features.trace_mlp(mlp.context, mlp.traces, away, (2, 3), training=True)
    with pytest.raises(ValueError, match=r"layers\[0\].running_mean must be given in evaluation, got None"):
        mlp_of(2, 3, 4, 10, running=False).run(features.trace_mlp, training=False)
    single = mlp_of(1, 3, 4, 10, widths=(), map_shape=(1, 1))
    message = (
        r"^layers\[0\] must have at least 2 values per normalised channel in training, got 1; "
        "use a batch of at least 2 models"
    )
    with pytest.raises(ValueError, match=message):
        single.run(features.trace_mlp)
    assert single.run(features.trace_mlp, training=False).shape == (1, 12, 1, 1)


def test_a_context_of_another_type_is_refused() -> None:
    """Not by torch's own message about a matrix product inside. Under autocast both take its type."""
    mlp = mlp_of(2, 3, 4, 10, dtype=torch.float32)
    for dtype in (torch.float64, torch.bfloat16):
        message = f"^context must have the type of traces, torch.float32, got {dtype}$"
        with pytest.raises(TypeError, match=message):
            Mlp(mlp.context.to(dtype), *mlp[1:]).run(features.trace_mlp)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Mlp(mlp.context.bfloat16(), *mlp[1:]).run(features.trace_mlp)
        assert torch.equal(found, mlp.run(features.trace_mlp))


def test_wrong_norms_are_refused() -> None:
    norm = norm_of(2, 4, 6)
    for shape in ((5,), (0, 4), (2, 4, 0), ()):
        with pytest.raises(ValueError, match=r"x must be \[batch, channels, \.\.\.\] and not empty, got shape"):
            features.norm_relu(torch.zeros(shape), *norm[1:], training=True)
    for place, name in enumerate(("running_mean", "running_variance", "scale", "shift"), start=1):
        for wrong, message in (
            (torch.zeros(3), rf"^{name} must have shape \[4\], got \[3\]"),
            (torch.zeros(4, device="meta"), f"^{name} must be on cpu, got meta"),
        ):
            given = list(norm)
            given[place] = wrong
            with pytest.raises(ValueError, match=message):
                features.norm_relu(*given, training=True)
        if name.startswith("running"):
            given[place] = None
            with pytest.raises(ValueError, match=f"^{name} must be given in evaluation, got None"):
                features.norm_relu(*given, training=False)
    with pytest.raises(ValueError, match="x must have at least 2 values per normalised channel in training, got 1;"):
        features.norm_relu(noise(1, 4), *norm[1:], training=True)
    assert features.norm_relu(noise(1, 4), *norm[1:], training=False).shape == (1, 4)


# -- plans for CUDA ----------------------------------------------------------------------------------------------------


HOPPER, AMPERE, *_ = CHIPS.values()
PLANNED = [
    *((240, 32, 1000, c) for c in (1, 4, 5, 8)), (240, 70, 1000, 4), (1, 8, 64, 4), (3, 1, 2, 4), (70_000, 2, 9, 4),
    (1, 200, 3000, 4), (2, 64, 2000, 4), (3, 32, 1000, 16), (1, 1, 100_000, 4), (1, 5000, 3, 4), (5120, 32, 1000, 4),
]  # fmt: skip


@DTYPES
@pytest.mark.parametrize("adjoint", [False, True], ids=["forward", "adjoint"])
@pytest.mark.parametrize("chip", CHIPS)
def test_plans_fit_the_chip(chip: str, adjoint: bool, dtype: torch.dtype) -> None:
    limits = CHIPS[chip]
    for shape in PLANNED:
        found = embedding_plan(shape, dtype, adjoint, limits)
        assert found["parts"] % shape[0] == 0
        assert found["threads"] % 32 == 0
        slabs, slab_groups = found["parts"] // shape[0], -(-shape[2] // 8)
        assert 1 <= slabs <= max(1, slab_groups) or found["blocks"] > 0
        if found["blocks"] == 0:
            assert (found["shared"], found["workspace"] > 0) == (0, True)
            continue
        assert dtype != torch.float64
        assert found["blocks"] == slabs
        assert found["blocks"] in (1, 2, 4, 8, 16)
        assert found["blocks"] <= limits["cluster"]
        assert 0 < found["shared"] <= limits["shared"]
        assert 32 <= found["threads"] <= 512
        assert found["workspace"] == 0


def test_plans_stay_on_chip_where_they_can() -> None:
    single, half = torch.float32, torch.bfloat16

    def blocks(shape: tuple[int, int, int], dtype: torch.dtype, adjoint: bool, chip: dict[str, int] = HOPPER) -> int:
        return embedding_plan((*shape, 4), dtype, adjoint, chip)["blocks"]

    for adjoint in (False, True):
        for dtype in (single, half):
            for receivers in (32, 70):
                assert blocks((240, receivers, 1000), dtype, adjoint) > 1
            for chip in CHIPS.values():
                assert blocks((240, 8, 64), dtype, adjoint, chip) == 1
        assert blocks((1, 200, 3000), single, adjoint) == 0
        assert blocks((240, 32, 1000), single, adjoint, AMPERE) == 0
        assert blocks((240, 32, 1000), half, adjoint) < blocks((240, 32, 1000), single, adjoint)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_plans_in_the_documentation_are_the_real_ones(dtype: torch.dtype) -> None:
    page = (Path(__file__).parents[1] / "docs" / "performance.md").read_text()
    for adjoint in (False, True):
        plan = embedding_plan((240, 32, 1000, 4), dtype, adjoint, HOPPER)
        assert f"{plan['blocks']} blocks of {plan['threads']} threads, {plan['shared']:,} bytes" in page


def test_plans_of_too_much_are_refused() -> None:
    with pytest.raises(RuntimeError, match="trace_embedding: these gathers are too large for one call"):
        embedding_plan((2**31 - 1, 2, 40_000, 4), torch.float64, chip=HOPPER)
    if not _native.build_info()["cuda"]:
        with pytest.raises(RuntimeError, match="CUDA"):
            embedding_plan((1, 1, 2, 1), torch.float32)
