"""trace_embedding against its plain-torch twin: values, gradients, and gathers at the edge of what there is."""

from __future__ import annotations

import pytest
import torch
from small_features import (
    DTYPES,
    GATHERS,
    SINGLE,
    TOLERANCE,
    Kernels,
    assert_embedding_gradients,
    assert_equal,
    clear_gathers,
    embedding_gradients,
    first_clear,
    kernels,
    noise,
    relative,
    relu_inputs,
    relu_masks,
    stored,
    wide,
)
from torch import Tensor

from seisfast import features
from seisfast.reference import features as twins

# -- values ------------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("channels", [1, 4, 5, 8])
@pytest.mark.parametrize("shape", GATHERS, ids=str)
def test_embedding_is_the_twin(shape: tuple[int, int], channels: int, dtype: torch.dtype) -> None:
    k = stored(kernels(channels), dtype)
    gathers = noise(3, *shape, dtype=dtype)
    found = features.trace_embedding(gathers, *k)
    assert found.dtype == dtype
    # Two values and a norm over them: a rounding of their difference is one of the result.
    tolerance = TOLERANCE[dtype] * (10 if shape[0] * shape[1] == 2 and channels == 1 else 1)
    assert relative(found, twins.trace_embedding(wide(gathers), *wide(k))) < tolerance


@SINGLE
@pytest.mark.parametrize("leading", [(1,), (3,), (2, 3), (2, 1, 2)], ids=str)
def test_embedding_of_any_leading_dimensions(leading: tuple[int, ...], dtype: torch.dtype) -> None:
    k, gathers = kernels(dtype=dtype), noise(*leading, 6, 21, dtype=dtype)
    found = features.trace_embedding(gathers, *k)
    assert found.shape == gathers.shape
    one_by_one = [features.trace_embedding(gather, *k) for gather in gathers.reshape(-1, 6, 21)]
    assert torch.equal(found.reshape(-1, 6, 21), torch.stack(one_by_one))
    assert relative(found, twins.trace_embedding(wide(gathers), *wide(k))) < TOLERANCE[dtype]


@pytest.mark.parametrize("channels", [1, 4, 8])
@pytest.mark.parametrize("offset", [50.0, -50.0])
def test_embedding_of_values_far_from_zero(offset: float, channels: int) -> None:
    k = kernels(channels).to(torch.float32)
    for shape in ((4, 16), (7, 64), (33, 101)):
        gathers = (noise(2, *shape) + offset).float()
        expected = twins.trace_embedding(wide(gathers), *wide(k))
        assert relative(features.trace_embedding(gathers, *k), expected) < 1e-5


def test_embedding_of_one_gather_alone() -> None:
    k, gather = kernels().to(torch.float32), noise(6, 21, dtype=torch.float32)
    found = features.trace_embedding(gather, *k)
    assert found.shape == twins.trace_embedding(gather, *k).shape == gather.shape
    assert torch.equal(found, features.trace_embedding(gather[None], *k)[0])
    assert relative(found, twins.trace_embedding(wide(gather), *wide(k))) < 1e-5
    assert torch.equal(twins.trace_embedding(gather, *k), twins.trace_embedding(gather[None], *k)[0])


@pytest.mark.parametrize("channels", [1, 4, 5, 8])
def test_embedding_of_large_biases(channels: int) -> None:
    """Means of every layer that are far larger than what varies there."""
    k = kernels(channels).to(torch.float32)
    k = Kernels(k.weights, [50 + k.biases[0], k.biases[1] - 50, k.biases[2] + 50])
    gathers = noise(2, 9, 40, dtype=torch.float32)
    assert relative(features.trace_embedding(gathers, *k), twins.trace_embedding(wide(gathers), *wide(k))) < 1e-5


@SINGLE
def test_embedding_takes_eps(dtype: torch.dtype) -> None:
    k, gathers = kernels(dtype=dtype), 1e-3 * noise(2, 5, 30, dtype=dtype)
    results = [features.trace_embedding(gathers, *k, eps=eps) for eps in (1e-8, 1e-5, 1e-1)]
    for eps, found in zip((1e-8, 1e-5, 1e-1), results, strict=True):
        expected = twins.trace_embedding(wide(gathers), *wide(k), eps=eps)
        assert relative(found, expected) < TOLERANCE[dtype]
    assert relative(results[0], results[2]) > 0.1


@DTYPES
def test_embedding_of_silence(dtype: torch.dtype) -> None:
    """A gather of zeros, or of any constant: nothing to divide by but eps, beside a gather with a signal."""
    k = stored(kernels(), dtype)
    gathers = torch.zeros(3, 6, 20, dtype=dtype)
    gathers[1], gathers[2] = noise(6, 20, dtype=dtype), 1.0
    found, expected = features.trace_embedding(gathers, *k), twins.trace_embedding(wide(gathers), *wide(k))
    assert relative(found, expected) < TOLERANCE[dtype]
    out, grads = embedding_gradients(features.trace_embedding, gathers, k, noise(3, 6, 20))
    assert all(bool(t.isfinite().all()) for t in (out, *grads))


# -- gradients ---------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("channels", [1, 4, 5, 8])
@pytest.mark.parametrize("shape", [(1, 9), (3, 5), (7, 64), (33, 101)], ids=str)
def test_gradients_of_the_embedding_are_the_twins(shape: tuple[int, int], channels: int, dtype: torch.dtype) -> None:
    k = stored(kernels(channels), dtype)
    gathers, weight = clear_gathers(2, *shape, k, dtype), noise(2, *shape, dtype=dtype, seed=8)
    out, found = embedding_gradients(features.trace_embedding, gathers, k, weight)
    expected_out, expected = embedding_gradients(
        twins.trace_embedding, wide(gathers), k.to(torch.float64), wide(weight)
    )
    assert torch.equal(out > 0, expected_out > 0), "the masks of the third layer"
    assert_embedding_gradients(found, expected, TOLERANCE[dtype])


def test_gradients_of_values_far_from_zero() -> None:
    k, weight = kernels().to(torch.float32), noise(1, 6, 40, seed=8)

    def twin(gathers: Tensor) -> Tensor:
        return twins.trace_embedding(gathers.double(), *wide(k))

    gathers = first_clear(lambda seed: (noise(1, 6, 40, seed=seed) + 50).float(), twin, 1e-4)
    found = embedding_gradients(features.trace_embedding, gathers, k, weight)[1]
    expected = embedding_gradients(twins.trace_embedding, wide(gathers), k.to(torch.float64), weight)[1]
    assert_embedding_gradients(found, expected, 1e-5)


@SINGLE
def test_only_what_needs_a_gradient_gets_one(dtype: torch.dtype) -> None:
    """A record has none, in training: then the last transposed convolution is left out, and nothing else changes."""
    k, gathers, weight = kernels(dtype=dtype), noise(3, 5, 20, dtype=dtype), noise(3, 5, 20, dtype=dtype, seed=8)
    _, (_, *expected) = embedding_gradients(features.trace_embedding, gathers, k, weight)
    leaves = k.leaves()
    found = torch.autograd.grad(features.trace_embedding(gathers, *leaves), leaves.all(), weight)
    assert_equal(found, expected)
    leaf = gathers.clone().requires_grad_()
    (grad,) = torch.autograd.grad(features.trace_embedding(leaf, *k), leaf, weight)
    assert torch.equal(grad, embedding_gradients(features.trace_embedding, gathers, k, weight)[1][0])
    leaves.weights[1].requires_grad_(False)
    assert not features.trace_embedding(gathers, *k).requires_grad


def test_gradcheck_of_the_embedding() -> None:
    k = kernels(2).leaves()
    gathers = clear_gathers(2, 3, 7, k, torch.float64, margin=1e-3).requires_grad_()

    def run(gathers: Tensor, *tensors: Tensor) -> Tensor:
        return features.trace_embedding(gathers, tensors[:3], tensors[3:])

    assert torch.autograd.gradcheck(run, (gathers, *k.all()), eps=1e-6, atol=1e-7)


def test_masks_of_the_helper_are_those_of_the_twin() -> None:
    """The twin on given masks is the twin."""
    k, gathers = kernels(), noise(2, 5, 20)
    with relu_inputs() as seen:
        out = twins.trace_embedding(gathers, *k)
    with relu_masks([value > 0 for value in seen]):
        assert torch.equal(twins.trace_embedding(gathers, *k), out)
