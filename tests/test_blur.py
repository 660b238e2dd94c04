"""Means in windows: band matrices against convolutions, exact whatever torch allows products, and under transforms."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from seisfast import blur, losses
from seisfast.blur import Padding, Window, window_means
from seisfast.similarity import ssim

TRIPLE: list[Window] = [(5, 0.7), (11, 1.5), (23, 3.1)]


@pytest.fixture
def _no_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blur, "_bands", {})


@pytest.fixture
def _precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def maps(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    x = torch.rand(*shape, dtype=dtype)
    return x, (x + 0.2 * torch.rand_like(x)).clamp(max=1)


@pytest.mark.parametrize(
    ("padding", "windows"),
    [
        ("zero", TRIPLE),
        ("reflect", TRIPLE),
        ("valid", [(11, 1.5)]),
        ("valid", [(8, 1.5)]),
        ("valid", [(1, 1.5)]),
        ("valid", [(24, None)]),
        ("zero", [(7, None)]),
        ("reflect", [(47, 6.0)]),
    ],
)
def test_products_and_convolutions_agree(
    padding: Padding, windows: list[Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = torch.rand(24, 6, 29, dtype=torch.float64, requires_grad=True)
    found = []
    for limit in (1024, 0):
        monkeypatch.setattr(blur, "_LARGEST_PRODUCT", limit)
        means = window_means(moments, windows, padding)
        weights = torch.linspace(0, 1, means.numel(), dtype=torch.float64).reshape(means.shape)
        found.append((means.detach(), torch.autograd.grad(means, moments, weights)[0]))
    side = windows[0][0]
    expected = (24 - side + 1, 29 - side + 1) if padding == "valid" else (24, 29)
    assert found[0][0].shape == (len(windows), expected[0], 6, expected[1])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["reflect", "valid"])
def test_weights_sum_to_one(padding: Padding) -> None:
    for windows in ([(11, 1.5)], [(9, None)]):
        bands = blur.band_matrices(30, windows, padding, torch.empty(0, dtype=torch.float64))
        torch.testing.assert_close(bands.sum(-1), torch.ones_like(bands[..., 0]), rtol=0, atol=1e-14)


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_rounded_products_do_not_touch_it(precision: str) -> None:
    """On a CPU with bfloat16 products "medium" would change the value by percents: small variances of large means."""
    x = 0.7 + 0.05 * torch.rand(2, 1, 100, 100)
    y = x + 0.05 * torch.rand_like(x)
    exact = ssim(x.double(), y.double())
    torch.set_float32_matmul_precision(precision)
    leaf = x.clone().requires_grad_()
    value = ssim(leaf, y)
    (slope,) = torch.autograd.grad(value, leaf)
    torch.set_float32_matmul_precision("highest")
    assert float(value.detach()) == pytest.approx(float(exact), abs=1e-6)
    (expected,) = torch.autograd.grad(ssim(leaf, y), leaf)
    assert float((slope - expected).norm() / expected.norm()) < 1e-3


@pytest.mark.usefixtures("_no_bands")
def test_matrices_are_kept_but_never_those_of_another_world() -> None:
    x, y = maps(2, 1, 26, 24)
    with FakeTensorMode():
        ssim(torch.rand(1, 1, 26, 24), torch.rand(1, 1, 26, 24))
    assert blur._bands == {}
    with torch.inference_mode():
        ssim(x, y)
    kept = dict(blur._bands)
    assert len(kept) == 2
    ssim(x.requires_grad_(), y).backward()  # through the matrices made in inference mode
    assert all(blur._bands[key] is matrix for key, matrix in kept.items())
    for size in range(40, 60):
        ssim(*maps(1, 1, size, size + 30))
    assert len(blur._bands) == blur._MOST_BANDS
    ssim(*maps(1, 1, 16, 300))
    assert all(key[0] <= blur._LARGEST_BAND for key in blur._bands)


@pytest.mark.filterwarnings("ignore")  # inductor's advice depends on the machine
@pytest.mark.parametrize("name", ["l2_ssim", "seisinvnet_released"])
def test_compiled_whole(name: str) -> None:
    torch._dynamo.reset()
    loss = losses.build(name)
    compiled = torch.compile(lambda a, b: loss(a, b), fullgraph=True)
    x, y = maps(2, 1, 26, 24)
    leaf = x.requires_grad_()
    value, expected = compiled(leaf, y), loss(leaf, y)
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    ours, theirs = (torch.autograd.grad(v, leaf)[0] for v in (value, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, on first use of forward mode
def test_every_kind_of_derivative() -> None:
    x, y = maps(1, 1, 6, 7, dtype=torch.float64)

    def measure(a: Tensor) -> Tensor:
        return ssim(a, y, 5, padding="reflect")

    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(measure, leaf, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(measure, leaf)
    batch, others = maps(3, 1, 12, 12, dtype=torch.float64)
    each = torch.vmap(torch.func.grad(lambda a, b: ssim(a, b)))(batch, others)
    leaf = batch.clone().requires_grad_()
    (whole,) = torch.autograd.grad(3 * ssim(leaf, others), leaf)
    torch.testing.assert_close(each, whole)


def _in_a_child(queue: multiprocessing.Queue[float]) -> None:
    torch.set_num_threads(1)
    queue.put(float(ssim(torch.full((20, 20), 0.2), torch.full((20, 20), 0.6), padding="valid")))


def test_after_a_fork() -> None:
    expected = float(ssim(torch.full((20, 20), 0.2), torch.full((20, 20), 0.6), padding="valid"))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == pytest.approx(expected)
    child.join()
    torch.set_num_threads(threads)
