"""SSIM and multi-scale SSIM: stored values, scikit-image, pytorch-msssim, gradients, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seisfast.similarity import Padding, msssim, ssim
from seisfast.training.precision import float32_products

UNIFORM = {"sigma": None, "padding": "valid", "sample_covariance": True}


@pytest.fixture(scope="module")
def pair(data_dir: Path) -> tuple[Tensor, Tensor]:
    """The stored estimate and reference on [0, 1], float64."""
    files = (data_dir / "metric_pair" / f"{name}.npy" for name in ("estimate", "reference"))
    estimate, reference = ((torch.from_numpy(np.load(file)).double() + 1) / 2 for file in files)
    return estimate, reference


def rough_maps(*shape: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(*shape, dtype=torch.float64)
    return x, (x + 0.3 * torch.rand_like(x)).clamp(max=1)


class TestStoredPair:
    """The values published with the stored pair of maps."""

    @pytest.mark.parametrize(
        ("options", "expected", "tolerance"),
        [
            ({}, 0.73054853, 1e-8),
            ({"padding": "valid"}, 0.68820815, 1e-8),
            ({"padding": "reflect"}, 0.693098, 1e-5),
            ({"window": 7, **UNIFORM}, 0.698209, 1e-6),
            ({"window": 11, **UNIFORM}, 0.796204, 1e-6),
            ({"window": 11, "data_range": 2.0, **UNIFORM}, 0.863361, 1e-6),
        ],
    )
    def test_ssim(
        self, pair: tuple[Tensor, Tensor], options: dict[str, Any], expected: float, tolerance: float
    ) -> None:
        assert float(ssim(*pair, **options)) == pytest.approx(expected, abs=tolerance)

    def test_ssim_in_float32(self, pair: tuple[Tensor, Tensor]) -> None:
        single = [maps.float() for maps in pair]
        assert float(ssim(*single)) == pytest.approx(0.730547, abs=1e-5)
        assert float(ssim(*single, padding="valid")) == pytest.approx(0.688213, abs=1e-5)

    def test_fcnvmb_in_metres_per_second(self, pair: tuple[Tensor, Tensor]) -> None:
        # The published 0.545545 is float32's, whose variances of thousands squared lose the fifth digit.
        estimate, reference = (1500 + 3000 * maps for maps in pair)
        assert float(ssim(estimate, reference, data_range=255.0)) == pytest.approx(0.5455694, abs=1e-7)
        single = float(ssim(estimate.float(), reference.float(), data_range=255.0))
        assert single == pytest.approx(0.545545, abs=5e-5)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"mapped": True, "repeat_last_level": True}, 0.975422),
            ({"mapped": True}, 0.975436),
            ({}, 0.949303),
        ],
    )
    def test_msssim(self, pair: tuple[Tensor, Tensor], options: dict[str, bool], expected: float) -> None:
        assert float(msssim(*pair, **options)) == pytest.approx(expected, abs=2e-6)


class TestAgainstOtherPackages:
    """scikit-image and pytorch-msssim."""

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ({"padding": "valid"}, {"gaussian_weights": True, "use_sample_covariance": False}),
            ({"window": 7, **UNIFORM}, {"win_size": 7}),
            ({"window": 11, **UNIFORM}, {"win_size": 11}),
        ],
    )
    def test_scikit_image(self, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
        x, y = rough_maps(40, 53)
        expected = structural_similarity(x.numpy(), y.numpy(), data_range=1.0, **theirs)
        assert float(ssim(x, y, **ours)) == pytest.approx(expected, abs=1e-12)

    def test_pytorch_msssim(self) -> None:
        other = pytest.importorskip("pytorch_msssim")
        x, y = rough_maps(3, 1, 176, 208)
        # That package rounds its window to float32.
        assert float(ssim(x, y, padding="valid")) == pytest.approx(float(other.ssim(x, y, data_range=1.0)), abs=1e-6)
        assert float(msssim(x, y)) == pytest.approx(float(other.ms_ssim(x, y, data_range=1.0)), abs=1e-6)


class TestProperties:
    """Symmetry, range, means, gradients, precision."""

    @pytest.mark.parametrize("padding", ["zero", "valid", "reflect"])
    def test_symmetric_and_at_most_one(self, padding: Padding) -> None:
        x, y = rough_maps(2, 1, 20, 24)
        assert float(ssim(x, y, padding=padding)) == pytest.approx(float(ssim(y, x, padding=padding)), abs=1e-14)
        assert float(ssim(x, y, padding=padding)) < 1
        assert float(ssim(x, x, padding=padding)) == pytest.approx(1, abs=1e-14)
        assert float(ssim(x, 1 - x, padding=padding)) < 0.5

    def test_identical_maps(self) -> None:
        x = torch.rand(2, 1, 32, 32)
        for options in ({}, {"mapped": True}, {"mapped": True, "repeat_last_level": True}):
            assert float(msssim(x, x, **options)) == pytest.approx(1, abs=1e-5)

    def test_constant_maps(self) -> None:
        x, y = (torch.full((16, 16), value, dtype=torch.float64) for value in (0.2, 0.6))
        expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
        assert float(ssim(x, y, padding="valid")) == pytest.approx(expected, abs=1e-12)
        assert float(ssim(x, x)) == pytest.approx(1, abs=1e-12)

    def test_batch_is_the_mean_of_its_maps(self) -> None:
        x, y = rough_maps(3, 1, 20, 24)
        for measure in (ssim, msssim):
            alone = sum(float(measure(a, b)) for a, b in zip(x, y, strict=True)) / 3
            assert float(measure(x, y)) == pytest.approx(alone, abs=1e-14)

    def test_batch_means_take_the_product_last(self) -> None:
        x, y = rough_maps(3, 1, 20, 24)
        assert float(msssim(x, y, batch_means=True)) != pytest.approx(float(msssim(x, y)), abs=1e-6)
        assert float(msssim(x[:1], y[:1], batch_means=True)) == pytest.approx(float(msssim(x[:1], y[:1])))

    def test_gradients(self) -> None:
        x, y = rough_maps(1, 1, 8, 9)
        x.requires_grad_()
        for padding in ("zero", "valid", "reflect"):
            assert torch.autograd.gradcheck(lambda a, p=padding: ssim(a, y, 5, padding=p), x)
        weights = (0.2, 0.3, 0.5)
        assert torch.autograd.gradcheck(lambda a: msssim(a, y, 5, weights=weights), x)
        for repeat in (False, True):
            assert torch.autograd.gradcheck(
                lambda a, r=repeat: msssim(a, y, 5, weights=weights, mapped=True, repeat_last_level=r), x
            )

    def test_negative_terms_have_a_finite_gradient(self) -> None:
        x = torch.rand(1, 1, 32, 32, requires_grad=True)
        value = msssim(x, 1 - x.detach())
        value.backward()
        assert float(value.detach()) == 0
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()

    def test_half_precision_and_autocast(self) -> None:
        x, y = (maps.bfloat16() for maps in rough_maps(2, 1, 16, 16))
        expected = ssim(x.float(), y.float())
        assert torch.equal(ssim(x, y), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(ssim(x.float(), y.float()), expected)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_tf32_does_not_touch_it(self) -> None:
        x = 0.7 + 0.05 * torch.rand(2, 1, 64, 64)
        y = x + 0.05 * torch.rand_like(x)
        with float32_products("tf32", torch.device("cuda")):
            leaf = x.cuda().requires_grad_()
            found = ssim(leaf, y.cuda())
            (slope,) = torch.autograd.grad(found, leaf)
        leaf = x.double().requires_grad_()
        (expected,) = torch.autograd.grad(ssim(leaf, y.double()), leaf)
        assert float(found.detach()) == pytest.approx(float(ssim(x.double(), y.double())), abs=1e-5)
        assert float((slope.cpu() - expected).norm() / expected.norm()) < 1e-4


class TestRefusals:
    """Bad input and its messages."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"padding": "same"}, "padding must be"),
            ({"window": 0}, "window must be a positive whole number"),
            ({"window": 4.0}, "window must be a positive whole number"),
            ({"window": 6}, "window must be odd"),
            (
                {"window": 21, "padding": "valid"},
                r"21 cells .* does not fit maps of 20 x 24 cells \(largest: 20\)",
            ),
            ({"window": 41, "padding": "reflect"}, r"does not fit maps of 20 x 24 cells \(largest: 39\)"),
            ({"sigma": 0.0}, "sigma must be positive"),
            ({"data_range": -1.0}, "data_range must be positive"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ssim(*rough_maps(20, 24), **options)

    @pytest.mark.parametrize("measure", [ssim, msssim])
    def test_maps(self, measure: Callable[[Tensor, Tensor], Tensor]) -> None:
        with pytest.raises(ValueError, match=r"same shape, got \[2, 1, 20, 20\] and \[2, 20, 20\]"):
            measure(torch.rand(2, 1, 20, 20), torch.rand(2, 20, 20))
        with pytest.raises(ValueError, match=r"x must be maps \[\.\.\., nz, nx\], got shape \[20\]"):
            measure(torch.rand(20), torch.rand(20))
        with pytest.raises(ValueError, match=r"got shape \[0, 20, 20\]"):
            measure(torch.rand(0, 20, 20), torch.rand(0, 20, 20))
        with pytest.raises(TypeError, match=r"y must be a floating-point tensor, got torch\.int64"):
            measure(torch.rand(20, 20), torch.ones(20, 20, dtype=torch.int64))

    def test_too_small_for_the_levels(self) -> None:
        with pytest.raises(ValueError, match=r"5 levels .* at least 16 x 16 cells, got 15 x 30"):
            msssim(torch.rand(15, 30), torch.rand(15, 30))
        assert float(msssim(torch.rand(15, 30), torch.rand(15, 30), weights=(0.5, 0.5))) < 1
