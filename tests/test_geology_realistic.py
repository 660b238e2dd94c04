"""Layers, folds, faults and salt of the realistic models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seisfast import geology
from seisfast.geology import SeisInv2

SMALL = [
    SeisInv2(shape=(40, 50)),
    SeisInv2(shape=(1, 30)),
    SeisInv2(shape=(30, 1), kinds=("salt", "faults")),
    SeisInv2(shape=(20, 150), layers=(25,)),
]


@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_models_are_whole_metres_per_second_inside_the_range_whatever_the_batch(family: SeisInv2) -> None:
    together = family(range(70), seed=5)
    assert together.dtype == torch.float32
    assert together.shape == (70, *family.shape)
    assert family.velocity[0] <= together.min() <= together.max() <= family.velocity[1]
    assert torch.equal(together, together.round())
    torch.set_default_dtype(torch.float64)
    try:
        apart = family([69, 0, 64, 63], seed=5)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(apart, together[[69, 0, 64, 63]])
    assert not torch.equal(family(range(70), seed=6), together)


def test_models_stay_the_same_from_version_to_version() -> None:
    content = SeisInv2(shape=(50, 50))(range(80), seed=7).numpy().astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "5d6b4cb822ed35a4"


def grows(models: Tensor) -> Tensor:
    """Whether velocity never falls with depth, `[models]`."""
    return (models.diff(dim=1) >= 0).flatten(1).all(1)


def test_kinds_come_in_turn_and_layers_with_each_round() -> None:
    models = SeisInv2(shape=(60, 60), layers=(2, 7))(range(160))
    assert grows(models[0::4]).all(), "layers"
    assert grows(models[1::4]).all(), "folds"
    assert (~grows(models[2::4])).float().mean() > 0.5, "faults put deep layers beside and above shallow ones"
    salt = (models == 4500.0).flatten(1).any(1)
    assert salt[3::4].all()
    assert salt.float().mean() < 0.35
    few, many = ([len(model.unique()) for model in models[start::8]] for start in (0, 4))
    assert max(few) <= 2
    assert 5 < sum(many) / len(many) <= 7


def test_folds_bend_more_than_layers() -> None:
    def swing(kind: str) -> float:
        models = SeisInv2(kinds=(kind,), layers=(2,))(range(100))
        rows = (models == models.amin((1, 2), keepdim=True)).sum(1)
        return (rows.amax(1) - rows.amin(1)).float().mean().item()

    flat, folded = swing("layers"), swing("folds")
    assert 0.5 < flat < 10
    assert folded > 2.5 * flat


def test_salt_is_the_fastest_and_of_moderate_size() -> None:
    models = SeisInv2(kinds=("salt",))(range(200))
    salt = models == 4500.0
    share = salt.float().mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.4
    assert 0.06 < share.mean() < 0.2
    assert models[~salt].max() <= 1500 + 0.8 * 3000
    assert 0.3 < salt[:, -1].any(1).float().mean() < 0.7, "about half have a stem to the floor"


def test_mean_velocity_grows_with_depth() -> None:
    profile = SeisInv2()(range(200)).mean((0, 2))
    assert profile[-10:].mean() - profile[:10].mean() > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_a_gpu_makes_the_same_models(family: SeisInv2) -> None:
    assert torch.equal(family(range(100), device="cuda").cpu(), family(range(100)))


@pytest.mark.parametrize("family", SMALL, ids=repr)
def test_description_makes_the_same_generator(family: SeisInv2) -> None:
    description = json.loads(json.dumps(family.to_dict()))
    assert geology.build(**description) == family
    assert description["name"] == "SeisInv2"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SeisInv2(kinds=()), ValueError, "kinds must hold some of layers, folds, faults, salt, got"),
        (lambda: SeisInv2(kinds=("karst",)), ValueError, "kinds must hold some of layers, folds, faults, salt"),
        (lambda: SeisInv2(kinds="salt"), TypeError, "kinds must be a sequence of names, got 'salt'"),
        (lambda: SeisInv2(layers=(1, 2)), ValueError, "layers must be 2 or larger, got 1"),
        (lambda: SeisInv2(velocity=(1.5, 4.5)), ValueError, "velocity must be in m/s"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
