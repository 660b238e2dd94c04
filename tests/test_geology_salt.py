"""Salt models: their rules, and their statistics against the real ones."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seisfast import geology
from seisfast.geology import Salt

SIMULATED = Salt(kind="simulated", velocity=(2000.0, 4500.0))
SMALL = [
    Salt(shape=(50, 70)),
    Salt(shape=(50, 70), kind="simulated", velocity=(2000.0, 4500.0)),
    Salt(shape=(1, 40)),
    Salt(shape=(40, 1), kind="simulated"),
    Salt(shape=(30, 200), bodies=(0, 1)),
]


@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_models_stay_in_range_and_do_not_depend_on_batch_or_default_dtype(family: Salt) -> None:
    together = family(range(70), seed=5)
    assert together.shape == (70, *family.shape)
    assert together.dtype == torch.float32
    assert family.velocity[0] <= together.min() <= together.max() <= family.velocity[1]
    torch.set_default_dtype(torch.float64)
    try:
        apart = [family([index], seed=5)[0] for index in (69, 0, 64)]
    finally:
        torch.set_default_dtype(torch.float32)
    for model, index in zip(apart, (69, 0, 64), strict=True):
        assert torch.equal(model, together[index])
    assert not torch.equal(family(range(70), seed=6), together)


@pytest.mark.parametrize(
    ("family", "digest"),
    [(Salt(shape=(50, 70)), "674ba27896a5afc8"), (Salt(shape=(50, 70), kind="simulated"), "17552ab61b40aaf0")],
    ids=["seg", "simulated"],
)
def test_models_stay_the_same_from_version_to_version(family: Salt, digest: str) -> None:
    content = family(range(32), seed=7).numpy().astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest


def test_bodies_come_in_turn() -> None:
    models = Salt(shape=(60, 90), bodies=(0, 1))(range(40))
    assert (models == 4482.0).flatten(1).any(1).tolist() == [False, True] * 20


def test_simulated_layers_lie_around_the_salt_and_grow_with_depth() -> None:
    rock = Salt(shape=(80, 120), kind="simulated", velocity=(2000.0, 4500.0), bodies=(0,))(range(60))
    assert (rock.diff(dim=1) >= 0).all()
    assert [len(model.unique()) for model in rock[:6]] == [5, 6, 7, 8, 9, 10]
    assert rock.max() <= 4000


def test_the_salt_is_one_piece() -> None:
    salt = Salt(shape=(60, 90))(range(40)) == 4482.0
    for body in salt.numpy():
        reached = np.zeros_like(body)
        reached[tuple(np.argwhere(body)[0])] = True
        for _ in range(200):
            grown = reached.copy()
            grown[1:] |= reached[:-1]
            grown[:-1] |= reached[1:]
            grown[:, 1:] |= grown[:, :-1].copy()
            grown[:, :-1] |= grown[:, 1:].copy()
            reached = grown & body
        assert reached.sum() > 0.97 * body.sum()


def statistics(models: Tensor) -> dict[str, float]:
    """Figures of models with a body of the largest velocity."""
    salt = models == models.max()
    salt, models = (part[salt.flatten(1).any(1)] for part in (salt, models))
    deep, wide = salt.any(2).float(), salt.any(1).float()
    nz, nx = models.shape[1:]
    rock = torch.where(salt, torch.nan, models)
    profile = torch.nanmean(rock, dim=(0, 2))
    return {
        "share of salt": salt.float().mean().item(),
        "first row of salt": deep.argmax(1).float().mean().item() / nz,
        "last row of salt": 1 - deep.flip(1).argmax(1).float().mean().item() / nz,
        "columns of salt": wide.sum(1).mean().item() / nx,
        **{f"velocity at {part} of the depth": profile[int(part * nz)].item() for part in (0.1, 0.2, 0.4, 0.6, 0.8)},
    }


def compare(real: Tensor, ours: Tensor, places: float, velocities: float) -> None:
    expected, found = statistics(real), statistics(ours)
    for name, value in expected.items():
        margin = velocities if name.startswith("velocity") else 0.015 if name.startswith("share") else places
        assert abs(found[name] - value) < margin, f"{name}: {found[name]:.4g} instead of {value:.4g}"


def test_seg_models_resemble_the_real_ones(data_dir: Path) -> None:
    files = sorted((data_dir / "salt_models").glob("model*.npy"))
    if not files:
        pytest.skip(f"no salt models in {data_dir}")
    real = torch.from_numpy(np.stack([np.load(file) for file in files])).float()
    compare(real, Salt()(range(120)), places=0.07, velocities=200.0)
    empty = real[(real < 4482).flatten(1).all(1)].mean((0, 2))
    ours = Salt(bodies=(0,))(range(60)).mean((0, 2))
    assert (ours - empty)[8::10].abs().max() < 180.0, "mean velocity of a row without salt"
    water = (Salt()(range(40)) == 1500.0).sum(1)
    assert water.min() >= 2
    assert water.max() <= 13


def test_simulated_models_resemble_the_released_ones(data_dir: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = data_dir / "simulate_models/vmodel_1601_1700.zip"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with zipfile.ZipFile(path) as archive:
        content = [scipy_io.loadmat(io.BytesIO(archive.read(name)))["data"] for name in archive.namelist()]
    real = torch.from_numpy(np.stack(content)).float()
    compare(real, SIMULATED(range(100)), places=0.05, velocities=120.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_a_gpu_makes_the_same_models(family: Salt) -> None:
    assert torch.equal(family(range(100), device="cuda").cpu(), family(range(100)))


@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_description_makes_the_same_generator(family: Salt) -> None:
    assert geology.build(**json.loads(json.dumps(family.to_dict()))) == family


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Salt(kind="C"), ValueError, "kind must be one of seg, simulated, got 'C'"),
        (lambda: Salt(bodies=(2,)), ValueError, "bodies must be 0 or 1, got 2"),
        (lambda: Salt(bodies=()), ValueError, "bodies must name at least one count"),
        (lambda: Salt(kind="simulated", velocity=(1.5, 4.5)), ValueError, "velocity must be in m/s"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
