"""Textures: from noise and from a folder of images."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from seisfast import geology
from seisfast.geology import Style, images
from seisfast.geology.fields import smoothed

SMALL = [
    Style(shape=(36, 50)),
    Style(shape=(70, 70), version="A"),
    Style(shape=(1, 300)),
    Style(shape=(30, 1), trend=1),
]


def save(folder: Path, name: str, values: np.ndarray) -> None:
    Image.fromarray(values.astype(np.uint8)).save(folder / name)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five images of different sizes: large, small, one pixel wide, coloured, and constant."""
    draw = np.random.default_rng(0)
    save(tmp_path, "b.png", draw.integers(0, 256, (300, 420)))
    save(tmp_path, "a.PNG", draw.integers(0, 256, (9, 7)))
    save(tmp_path, "c.png", draw.integers(0, 256, (40, 1)))
    save(tmp_path, "d.jpg", draw.integers(0, 256, (80, 90, 3)))
    save(tmp_path, "e.jpeg", np.full((60, 60), 77))
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def check_independence(family: Style) -> None:
    together = family(range(70), seed=5)
    assert together.dtype == torch.float32
    assert together.shape == (70, *family.shape)
    assert together.isfinite().all()
    assert family.velocity[0] <= together.min() <= together.max() <= family.velocity[1]
    torch.set_default_dtype(torch.float64)
    try:
        apart = family([69, 0, 64], seed=5)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(apart, together[[69, 0, 64]])
    assert not torch.equal(family(range(70), seed=6), together)


@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_models_stay_in_range_and_do_not_depend_on_batch_or_default_dtype(family: Style) -> None:
    check_independence(family)


@pytest.mark.parametrize("shape", [(36, 50), (1, 20), (400, 3)])
def test_models_of_images_do_so_as_well(pictures: Path, shape: tuple[int, int]) -> None:
    check_independence(Style(shape=shape, images=str(pictures)))


@pytest.mark.parametrize(("version", "digest"), [("A", "5e29cd3ca8117be7"), ("B", "07529deef4481bf3")])
def test_models_stay_the_same_from_version_to_version(version: str, digest: str) -> None:
    content = Style(shape=(36, 50), version=version)(range(32), seed=7).numpy().astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest


def roughness(models: Tensor) -> float:
    return (models.diff(n=2, dim=1).abs().mean() / models.std()).item()


def test_a_is_smoother_than_b() -> None:
    smooth, rough = (Style(version=version)(range(64)) for version in "AB")
    assert roughness(smooth) < 0.6 * roughness(rough)


def test_models_have_the_statistics_that_were_fitted_to_the_released_ones() -> None:
    row = torch.arange(70.0) - 34.5
    for version, length, deviation, rough in (("A", 3.48, 183.4, 0.0), ("B", 1.96, 158.0, 58.0)):
        models = Style(version=version)(range(150))
        slope = (models.mean(2) @ row) / (row @ row)
        assert abs(slope.mean() - 31.4) < 5.0
        rest = models - models.mean((1, 2), keepdim=True) - (slope[:, None] * row)[:, :, None]
        assert abs(rest.std() - (deviation**2 + rough**2) ** 0.5) < 25.0
        step = (2 * deviation**2 * (1 - math.exp(-0.5 / length**2)) + 2 * rough**2) ** 0.5
        for axis in (1, 2):
            assert 0.7 * step < rest.diff(dim=axis).std() < 1.2 * step


def test_models_use_the_velocity_range() -> None:
    models = Style()(range(200))
    low, high = models.amin((1, 2)), models.amax((1, 2))
    assert low.min() < 1530
    assert low.max() <= 1500 + 0.12 * 3000 + 0.1
    assert high.min() >= 1500 + 0.86 * 3000 - 0.1
    assert high.max() > 4470


def test_trend_is_growth_with_depth() -> None:
    growth = [Style(trend=trend)(range(100)).mean((0, 2)) for trend in (0.0, 0.4, 1.0)]
    assert abs(growth[0][-1] - growth[0][0]) < 250
    assert growth[1][-10:].mean() - growth[1][:10].mean() > 600
    depth = Style(trend=1.0)([3])[0]
    torch.testing.assert_close(depth[:, 0], torch.linspace(depth.min(), depth.max(), 70), rtol=0, atol=0.1)


def test_smoothing_is_a_running_mean() -> None:
    maps = torch.randn(2, 9, 12)
    padded = torch.nn.functional.pad(maps[:, None].double(), (2, 2, 2, 2), mode="replicate")
    expected = torch.nn.functional.avg_pool2d(padded, 5, stride=1)[:, 0]
    torch.testing.assert_close(smoothed(maps, 2, 1).double(), expected, rtol=0, atol=1e-6)
    assert torch.equal(smoothed(maps, 2, 0), maps)


def test_an_image_is_recognised_in_its_models(tmp_path: Path) -> None:
    save(tmp_path, "steps.png", np.repeat(np.arange(0, 250, 25), 30)[:, None].repeat(300, 1))
    models = Style(images=str(tmp_path), version="B", trend=0.0)(range(20))
    assert (models.diff(dim=1) >= -0.01).all(), "grey values grow downwards"
    assert (models.amax(2) - models.amin(2)).max() < 0.01


def test_half_of_the_models_are_mirrored(tmp_path: Path) -> None:
    save(tmp_path, "ramp.png", np.arange(256)[None, :].repeat(256, 0))
    models = Style(images=str(tmp_path), trend=0.0)(range(100))
    assert 30 < (models[:, 35, -1] > models[:, 35, 0]).sum() < 70


def test_a_constant_image_leaves_the_trend(tmp_path: Path) -> None:
    save(tmp_path, "grey.png", np.full((50, 50), 9))
    model = Style(images=str(tmp_path))([0])[0]
    assert (model.diff(dim=0) > 0).all()


def test_images_leave_memory_when_there_are_too_many(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Style(images=str(pictures))(range(40))
    monkeypatch.setattr(images, "CACHE_BYTES", 100)
    family = Style(images=str(pictures))
    assert torch.equal(family(range(40)), expected)
    assert len(family._folder._kept) == 1


def test_description_makes_the_same_generator(pictures: Path) -> None:
    for family in (*SMALL, Style(images=str(pictures)), Style(images=pictures)):
        description = json.loads(json.dumps(family.to_dict()))
        again = geology.build(**description)
        assert again == family
        assert again.to_dict() == description
        assert torch.equal(again([5]), family([5]))


def test_another_folder_is_refused(pictures: Path) -> None:
    description = Style(images=str(pictures)).to_dict()
    save(pictures, "f.png", np.zeros((5, 5)))
    again = geology.build(**description)  # a description can be read without its files
    for use in (lambda: again([0]), again.to_dict):
        with pytest.raises(
            ValueError, match=r"images has changed: .* has the digest [0-9a-f]{16}, the description says"
        ):
            use()


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images must hold .jpeg, .jpg, .png files, got .* without any"):
        Style(images=str(tmp_path))([0])
    with pytest.raises(FileNotFoundError, match=r"images must be a folder, got .*nowhere"):
        Style(images=str(tmp_path / "nowhere"))([0])
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"images must hold readable files, got .*broken.png"):
        Style(images=str(tmp_path))([0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_makes_the_same_models(pictures: Path) -> None:
    for family in (*SMALL, Style(images=str(pictures))):
        assert torch.equal(family(range(100), device="cuda").cpu(), family(range(100)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Style(version="C"), ValueError, 'version must be "A" or "B", got .C.'),
        (lambda: Style(trend=1.5), ValueError, r"trend must lie in 0 ... 1, got 1.5"),
        (lambda: Style(trend=float("nan")), ValueError, "trend must lie in"),
        (lambda: Style(trend="much"), TypeError, "trend must be a number, got 'much'"),
        (lambda: Style(images=3), TypeError, "images must be a path, got int"),
        (lambda: Style(images=""), ValueError, "images must be a path, got an empty one"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_images_of_16_bits_keep_their_content(tmp_path: Path) -> None:
    from PIL import Image

    ramp = np.arange(80 * 80, dtype=np.uint16).reshape(80, 80) * 10
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    deep = Style(images=str(tmp_path), trend=0.0)([0])
    (tmp_path / "deep.png").unlink()
    Image.fromarray((ramp >> 8).astype(np.uint8)).save(tmp_path / "deep.png")
    assert torch.equal(deep, Style(images=str(tmp_path), trend=0.0)([0]))


def test_images_of_other_numbers_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((80, 80), np.float32)).save(tmp_path / "floats.tiff")
    (tmp_path / "floats.tiff").rename(tmp_path / "floats.png")
    with pytest.raises(ValueError, match=r"images must have 8 or 16 bits of grey or colour, .*floats.png' has mode F"):
        Style(images=str(tmp_path))([0])
