"""Parts of a large model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seisfast import geology
from seisfast.geology import Crops


def layered(nz: int = 60, nx: int = 90) -> np.ndarray:
    """A model whose every cell has a velocity of its own, `[nz, nx]`, from 1500 to below 4500 m/s."""
    return 1500.0 + np.arange(nz * nx).reshape(nz, nx) * (2999.0 / (nz * nx))


@pytest.fixture
def path(tmp_path: Path) -> str:
    np.save(tmp_path / "large.npy", layered().astype(np.float32))
    return str(tmp_path / "large.npy")


OPTIONS: list[dict[str, Any]] = [
    {"shape": (20, 30)},
    {"shape": (20, 30), "scale": (0.3, 2.5)},
    {"shape": (60, 90), "flip": False},
    {"shape": (1, 1), "scale": (0.1, 50.0)},
    {"shape": (60, 1), "fit": "crop"},
    {"shape": (7, 90), "scale": (0.5, 9.0), "fit": "model", "velocity": (2000.0, 2500.0)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_models_stay_in_range_and_do_not_depend_on_batch_or_default_dtype(path: str, options: dict[str, Any]) -> None:
    family = Crops(model=path, **options)
    together = family(range(70), seed=5)
    assert together.dtype == torch.float32
    assert together.shape == (70, *family.shape)
    assert together.isfinite().all()
    assert family.velocity[0] <= together.min() <= together.max() <= family.velocity[1]
    torch.set_default_dtype(torch.float64)
    try:
        apart = Crops(model=path, **options)([69, 0, 64], seed=5)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(apart, together[[69, 0, 64]])


def test_models_stay_the_same_from_version_to_version() -> None:
    content = (
        Crops(model=layered(), shape=(20, 30), scale=(0.3, 2.5))(range(32), seed=7).numpy().astype("<f4").tobytes()
    )
    assert hashlib.sha256(content).hexdigest()[:16] == "3764e6091de6498a"


def test_parts_of_scale_one_are_cut_out_unchanged_from_everywhere() -> None:
    large = layered(9, 12).astype(np.float32)
    found = set()
    for model in Crops(model=large, shape=(7, 8))(range(300)).numpy():
        upright = model if model[0, 0] < model[0, 1] else model[:, ::-1]
        (row, column), *others = np.argwhere(large == upright[0, 0])
        assert not others
        np.testing.assert_array_equal(upright, large[row : row + 7, column : column + 8])
        found.add((int(row), int(column), upright is model))
    assert found == {(row, column, side) for row in range(3) for column in range(5) for side in (True, False)}


def test_without_flip_no_model_is_mirrored() -> None:
    assert (Crops(model=layered(), shape=(20, 30), scale=(0.5, 2), flip=False)(range(50)).diff(dim=2) > 0).all()


def test_values_between_cells_are_bilinear() -> None:
    plane = 2000.0 + 3.0 * np.arange(40)[:, None] + 7.0 * np.arange(50)
    models = Crops(model=plane, shape=(10, 12), scale=(1.7, 1.7), flip=False)(range(30))
    down, across = models.diff(dim=1), models.diff(dim=2)
    torch.testing.assert_close(down, torch.full_like(down, 3.0 * 1.7), rtol=0, atol=2e-3)
    torch.testing.assert_close(across, torch.full_like(across, 7.0 * 1.7), rtol=0, atol=2e-3)
    start = (models[:, 0, 0] - 2000.0 - (3.0 + 7.0) * (0.5 * 1.7 - 0.5)).round()
    assert start.unique().numel() > 15
    torch.testing.assert_close(models[:, 0, 0], 2000.0 + start + 10.0 * 0.35, rtol=0, atol=2e-3)


def test_scales_are_spread_and_held_back_by_the_large_model() -> None:
    ramp = 2000.0 + 10.0 * np.arange(100.0)[:, None].repeat(80, 1)
    down = Crops(model=ramp, shape=(20, 20), scale=(1.0, 9.0))(range(200))[:, 10:12, 0].diff(dim=1) / 10.0
    assert 1.0 <= down.min() < 1.1
    assert 3.9 < down.max() <= 4.001, "80 columns hold 20 cells of scale 4"


def test_a_large_model_that_is_too_small_is_refused() -> None:
    family = Crops(model=layered(), shape=(61, 90))
    with pytest.raises(ValueError, match=r"scale must begin at 0.9836 or less for a large model of 60 x 90 cells"):
        family([0])
    assert Crops(model=layered(), shape=(61, 90), scale=(0.98, 1.0))([0]).shape == (1, 61, 90)


def test_fit() -> None:
    large = layered()
    narrow: dict[str, Any] = {"model": large, "shape": (20, 30), "velocity": (2000.0, 3000.0), "flip": False}
    with pytest.raises(ValueError, match=r"velocity must hold the large model, which reaches from 1500 to 4498.*fit"):
        Crops(**narrow)([0])
    kept = Crops(**{**narrow, "velocity": (1500.0, 4500.0)})(range(40))
    torch.testing.assert_close(Crops(**narrow, fit="clip")(range(40)), kept.clamp(2000, 3000), rtol=0, atol=0)
    scaled = 2000 + 1000 * (kept - large.min()) / (large.max() - large.min())
    torch.testing.assert_close(Crops(**narrow, fit="model")(range(40)), scaled, rtol=0, atol=1e-2)
    stretched = Crops(**narrow, fit="crop")(range(40))
    assert (stretched.amin((1, 2)) == 2000).all()
    assert (stretched.amax((1, 2)) == 3000).all()


@pytest.mark.parametrize("fit", ["model", "crop"])
def test_a_constant_model_becomes_the_slowest(fit: str) -> None:
    assert (Crops(model=np.full((80, 80), 2500.0), fit=fit)([0, 1]) == 1500).all()


def test_description_makes_the_same_generator(path: str) -> None:
    for family in (Crops(model=path), Crops(model=Path(path), shape=(20, 30), scale=(0.5, 2), fit="crop", flip=False)):
        family = geology.build(**{**family.to_dict(), "shape": (20, 30)})
        description = json.loads(json.dumps(family.to_dict()))
        again = geology.build(**description)
        assert again == family
        assert again.to_dict() == description
        assert torch.equal(again([5]), family([5]))


def test_another_file_is_refused(path: str) -> None:
    description = Crops(model=path, shape=(20, 30)).to_dict()
    np.save(path, layered()[::-1])
    again = geology.build(**description)  # a description can be read without its file
    for use in (lambda: again([0]), again.to_dict):
        with pytest.raises(
            ValueError, match=r"model has changed: .* has the digest [0-9a-f]{16}, the description says"
        ):
            use()


def test_arrays_and_tensors() -> None:
    large = layered()
    family = Crops(model=large, shape=(20, 30))
    assert family == Crops(model=torch.from_numpy(large), shape=(20, 30))
    assert family != Crops(model=large + 1, shape=(20, 30))
    expected = family([1])
    large[:] = 2000.0
    assert torch.equal(Crops(model=family.model, shape=(20, 30))([1]), expected), "the array was copied"
    with pytest.raises(ValueError, match=r"model was given as an array, .*: save it with numpy.save and give the path"):
        family.to_dict()


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    def use(content: np.ndarray) -> None:
        np.save(tmp_path / "m.npy", content)
        Crops(model=tmp_path / "m.npy")([0])

    with pytest.raises(FileNotFoundError, match=r"model must be a .npy file, got .*nowhere.npy"):
        Crops(model=tmp_path / "nowhere.npy")([0])
    for values in (np.ones(5), np.ones((1, 90, 90)), np.full((90, 90), "x"), np.ones((0, 4)), np.full((9, 9), 1j)):
        with pytest.raises(ValueError, match=r"model must be a 2-D array of numbers, got .* from .*m.npy"):
            use(values)
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"model must hold finite velocities above 0 in m/s, got others in "):
            use(np.full((90, 90), value))
    for wrong in (b"", b"text"):
        (tmp_path / "m.npy").write_bytes(wrong)
        with pytest.raises(ValueError, match=r"model must be a .npy file of numbers, got .*m.npy"):
            Crops(model=tmp_path / "m.npy")([0])


def test_parts_of_marmousi(data_dir: Path) -> None:
    file = data_dir / "marmousi2/vp_true_500x174.bin"
    if not file.is_file():
        pytest.skip(f"no {file}")
    large = np.fromfile(file, "<f4").reshape(500, 174).T
    models = Crops(model=large, velocity=(1500, 4800), scale=(1, 2.4))(range(64))
    assert (models[:, :5].amin((1, 2)) == 1500).float().mean() > 0.2, "some reach up to the water"
    assert models.amax() > 4000
    assert models.flatten(1).std(1).min() > 50


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_a_gpu_makes_the_same_models(path: str, options: dict[str, Any]) -> None:
    family = Crops(model=path, **options)
    assert torch.equal(family(range(100), device="cuda").cpu(), family(range(100)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Crops(), TypeError, "model"),
        (lambda: Crops(model=3), TypeError, "model must be a path, got int"),
        (lambda: Crops(model=""), ValueError, "model must be a path, got an empty one"),
        (lambda: Crops(model=np.ones(4)), ValueError, r"model must be a 2-D array of numbers, got float64 \(4,\)"),
        (lambda: Crops(model="m.npy", scale=2.0), TypeError, "scale must be two numbers"),
        (lambda: Crops(model="m.npy", scale=(1, 2, 3)), TypeError, "scale must be two numbers"),
        (lambda: Crops(model="m.npy", scale=(2, 1)), ValueError, "0 < smallest <= largest"),
        (lambda: Crops(model="m.npy", scale=(0, 1)), ValueError, "0 < smallest <= largest"),
        (lambda: Crops(model="m.npy", scale=(1, float("inf"))), ValueError, "0 < smallest <= largest"),
        (lambda: Crops(model="m.npy", flip=1), TypeError, "flip must be True or False, got 1"),
        (lambda: Crops(model="m.npy", fit="any"), ValueError, "fit must be one of keep, clip, model, crop, got 'any'"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
