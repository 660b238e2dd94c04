"""Properties of the generated velocity models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seisfast import geology
from seisfast.geology import CurveFault, CurveVel, FlatFault, FlatVel, Geology, SeisInv
from seisfast.geology.base import derived_seed, uniforms, wave

FAMILIES = [
    SeisInv(),
    SeisInv(shape=(37, 90)),
    FlatVel(version="A"),
    FlatVel(version="B"),
    CurveVel(version="A", shape=(45, 20)),
    CurveVel(version="B"),
    FlatFault(version="A"),
    FlatFault(version="B"),
    CurveFault(version="A"),
    CurveFault(),
    CurveFault(shape=(100, 64), faults=(0, 5)),
]


def interfaces_of(model: Tensor) -> Tensor:
    """Velocity steps down every column, `[nz - 1, nx]`."""
    return model[1:] - model[:-1]


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_models_are_whole_metres_per_second_inside_the_range(family: Geology) -> None:
    models = family(range(100), seed=3)
    assert models.dtype == torch.float32
    assert models.shape == (100, *family.shape)
    assert models.min() >= family.velocity[0]
    assert models.max() <= family.velocity[1]
    torch.testing.assert_close(models, models.round(), rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_a_model_does_not_depend_on_its_batch(family: Geology) -> None:
    together = family(range(150), seed=5)
    order = torch.randperm(150)
    assert torch.equal(family(order.tolist(), seed=5), together[order])
    for index in (0, 63, 64, 149):
        assert torch.equal(family([index], seed=5)[0], together[index])


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_seeds_and_numbers_make_different_models(family: Geology) -> None:
    first, second = family(range(40), seed=0), family(range(40), seed=1)
    assert (first != second).flatten(1).any(1).all()
    assert len({model.numpy().tobytes() for model in torch.cat([first, second])}) == 80


@pytest.mark.parametrize("family", [SeisInv(), CurveVel(), FlatFault(version="A"), CurveFault()], ids=repr)
def test_threads_and_default_dtype_change_nothing(family: Geology) -> None:
    expected = family(range(70), seed=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.set_default_dtype(torch.float64)
        again = family(range(70), seed=2)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
    assert again.dtype == torch.float32
    assert torch.equal(again, expected)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("SeisInv", "ae3d0ca2b1a8cdd0"),
        ("CurveFault", "c140fcd79d677482"),
        ("FlatVel-A", "c6702505844a3b03"),
        ("FlatVel-B", "cbc704d9270b9d8a"),
        ("CurveVel-A", "541fcb553a4528d3"),
        ("CurveVel-B", "0a2ae5bce322c8b8"),
        ("FlatFault-A", "906fe5550e813619"),
        ("FlatFault-B", "101526acf989ffda"),
        ("CurveFault-A", "b116ae2cccfa5016"),
    ],
)
def test_models_stay_the_same_from_version_to_version(name: str, digest: str) -> None:
    content = geology.build(name)(range(32), seed=7).numpy().astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest


def test_no_model_at_all() -> None:
    assert SeisInv()([]).shape == (0, 100, 100)


def test_largest_index_and_seed() -> None:
    assert SeisInv()([2**40], seed=2**63 - 1).shape == (1, 100, 100)


def test_numpy_and_tensor_indices() -> None:
    expected = SeisInv()([4, 9])
    assert torch.equal(SeisInv()(np.array([4, 9])), expected)
    assert torch.equal(SeisInv()(torch.tensor([4, 9])), expected)


# SeisInv


@pytest.mark.parametrize("shape", [(100, 100), (33, 190), (5, 1), (6, 400)])
def test_every_column_has_all_layers_growing_with_depth(shape: tuple[int, int]) -> None:
    family = SeisInv(shape=shape)
    for index, model in enumerate(family(range(120), seed=1)):
        steps = interfaces_of(model)
        assert (steps >= 0).all(), "velocity falls with depth"
        assert ((steps > 0).sum(0) == 1 + index % 4).all(), "interfaces cross, touch or leave the model"
        assert len(model.unique()) == 2 + index % 4


def test_types_have_equal_parts_in_every_split() -> None:
    models = SeisInv(shape=(20, 3))(range(12_00))
    kinds = torch.tensor([len(model.unique()) - 1 for model in models])
    assert kinds.bincount().tolist() == [0, 300, 300, 300, 300]
    for part in geology.split(1200):
        assert kinds[list(part)].bincount()[1:].unique().numel() == 1


def test_contrast_is_visible() -> None:
    models = SeisInv()(range(400), seed=2)
    steps = models[:, 1:] - models[:, :-1]
    assert steps[steps > 0].min() >= 0.08 * 2500 - 1


def test_velocities_reach_over_the_range() -> None:
    models = SeisInv()(range(400), seed=2)
    assert models.min() < 1520
    assert models.max() > 3980


def test_interfaces_undulate_gently() -> None:
    rows = (SeisInv(interfaces=(1,))(range(300)) == SeisInv(interfaces=(1,))(range(300))[:, :1, :1]).sum(1)
    swing = rows.amax(1) - rows.amin(1)
    assert (rows.diff(dim=1).abs() <= 3).all(), "flanks are steeper than 3 cells per cell"
    assert swing.float().mean() > 4
    assert swing.max() <= 17


def test_layers_are_not_all_alike() -> None:
    rows = (SeisInv(interfaces=(1,))(range(300)) == SeisInv(interfaces=(1,))(range(300))[:, :1, :1]).sum(1)
    mean = rows.float().mean(1)
    assert mean.min() < 30
    assert mean.max() > 70


def test_many_interfaces() -> None:
    model = SeisInv(shape=(100, 50), interfaces=(20,))([0])[0]
    assert ((interfaces_of(model) > 0).sum(0) == 20).all()


# CurveFault


def test_without_faults_velocity_grows_with_depth_and_interfaces_are_smooth() -> None:
    models = CurveFault(faults=(0,))(range(200), seed=4)
    assert (models[:, 1:] >= models[:, :-1]).all()
    assert all(len(model.unique()) <= 8 for model in models)


def test_faults_break_the_order_of_layers() -> None:
    models = CurveFault(faults=(2,))(range(200), seed=4)
    broken = (models[:, 1:] < models[:, :-1]).flatten(1).any(1)
    assert broken.float().mean() > 0.5


def test_mean_velocity_grows_with_depth() -> None:
    profile = CurveFault()(range(600)).mean((0, 2))
    assert (profile.diff() > 0).all()
    assert profile[-1] - profile[0] > 1000


def test_sections_have_the_layers_asked_for() -> None:
    models = CurveFault(layers=(3,), faults=(0,))(range(100))
    values = torch.tensor([len(model.unique()) for model in models])
    assert values.max() == 3
    models = CurveFault(layers=(3,), faults=(1,))(range(100))
    values = torch.tensor([len(model.unique()) for model in models])
    assert values.max() == 6, "the second section has velocities of its own"


def test_faults_come_in_equal_parts() -> None:
    mixed = CurveFault(layers=(6,), faults=(0, 3))(range(60))
    assert (mixed[0::2].diff(dim=1) >= 0).all()
    assert torch.equal(mixed[1::2], CurveFault(layers=(6,), faults=(3, 3))(range(60))[1::2])


def statistics(models: Tensor) -> dict[str, Tensor]:
    """Figures that describe a picture of a model, `[models]` each."""
    down = models[:, 1:] - models[:, :-1]
    across = models[:, :, 1:] - models[:, :, :-1]
    return {
        "mean": models.mean((1, 2)),
        "deviation": models.flatten(1).std(1),
        "slowest": models.amin((1, 2)),
        "fastest": models.amax((1, 2)),
        "top ten rows": models[:, :10].mean((1, 2)),
        "bottom ten rows": models[:, -10:].mean((1, 2)),
        "interfaces met going down": (down != 0).float().mean((1, 2)),
        "interfaces met going across": (across != 0).float().mean((1, 2)),
        "steps to slower rock going down": (down < 0).float().mean((1, 2)),
        "values": torch.tensor([float(len(model.unique())) for model in models]),
    }


def test_a_released_model_is_an_ordinary_member_of_the_family(data_dir: Path) -> None:
    released = torch.from_numpy(np.load(data_dir / "openfwi_sample/velocity.npy"))[0]
    ours = statistics(CurveFault()(range(256)))
    for name, value in statistics(released).items():
        rank = (ours[name] < value).float().mean()
        assert 0.03 < rank < 0.97, f"{name}: {value.item()} is at rank {rank.item():.3f}"


# what they share


def test_random_numbers_are_those_of_a_stream_of_their_own() -> None:
    """Whatever was drawn before, and however many."""
    indices = [5, 0, 2**63 - 1, 5]
    for count in (1, 4, 7):
        for row, index in zip(uniforms(indices, 2**63 - 1, count), indices, strict=True):
            raw = np.random.Philox(key=(2**63 - 1, 0), counter=(0, index, 0, 0)).random_raw(count)
            assert row.tolist() == [(int(value) >> 40) / 2**24 for value in raw]


def test_wave_is_a_sine() -> None:
    turns = torch.linspace(-3, 3, 2001)
    torch.testing.assert_close(wave(turns), torch.sin(2 * torch.pi * turns), rtol=0, atol=1.2e-3)


def test_derived_seeds_differ() -> None:
    seeds = {derived_seed(seed, number) for seed in range(30) for number in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_description_makes_the_same_generator(family: Geology) -> None:
    description = json.loads(json.dumps(family.to_dict()))
    assert geology.build(**description) == family
    assert description["name"] == family.name


def test_build_takes_any_case() -> None:
    assert geology.build("seisinv", shape=(50, 50)) == SeisInv(shape=(50, 50))


def test_names_are_those_of_the_families() -> None:
    openfwi = ("FlatVel", "CurveVel", "FlatFault", "CurveFault", "Style")
    assert list(geology.NAMES) == ["SeisInv", *openfwi, "Salt", "SeisInv2", "Crops"]
    needed = {"Crops": {"model": "large.npy"}}
    assert [geology.build(name, **needed.get(name, {})).name for name in geology.NAMES] == list(geology.NAMES)
    assert [f"{name}-{version}" for name in openfwi for version in "AB"] == list(geology.OPENFWI_NAMES)


def test_build_takes_the_names_of_openfwi() -> None:
    for name in geology.OPENFWI_NAMES:
        family, version = name.split("-")
        expected = geology.build(family, version=version)
        for spelled in (name, name.lower(), name.upper(), name.replace("-", "_")):
            assert geology.build(spelled) == expected
    assert geology.build("flatvel-a", version="a", shape=(20, 30)) == FlatVel(version="A", shape=(20, 30))


def test_descriptions_older_than_the_versions_still_build() -> None:
    described = {"shape": [70, 70], "velocity": [1500.0, 4500.0], "layers": [6, 7, 8], "faults": [1, 2, 3, 4]}
    assert geology.build("CurveFault", **described) == CurveFault()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(12_000, (10_000, 1_000, 1_000)), (12, (10, 1, 1)), (3, (1, 1, 1)), (500, (416, 42, 42))],
)
def test_split(count: int, sizes: tuple[int, int, int]) -> None:
    parts = geology.split(count)
    assert tuple(map(len, parts)) == sizes
    assert [index for part in parts for index in part] == list(range(count))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SeisInv(shape=(100,)), ValueError, r"shape must be \(nz, nx\), got \(100,\)"),
        (lambda: SeisInv(shape=(100, 0)), ValueError, "shape must be 1 or larger, got 0"),
        (lambda: SeisInv(shape=(100, 2.5)), TypeError, "shape must hold whole numbers, got 2.5"),
        (lambda: SeisInv(shape=100), TypeError, "shape must be a sequence"),
        (lambda: SeisInv(shape=(4, 50)), ValueError, "shape needs more rows than interfaces, got nz=4"),
        (lambda: SeisInv(velocity=(4000, 1500)), ValueError, "0 < slowest < fastest"),
        (lambda: SeisInv(velocity=(0, 1500)), ValueError, "0 < slowest < fastest"),
        (lambda: SeisInv(velocity=(1500, float("inf"))), ValueError, "0 < slowest < fastest"),
        (lambda: SeisInv(velocity=(1500, float("nan"))), ValueError, "0 < slowest < fastest"),
        (lambda: SeisInv(velocity=(1.5, 4.0)), ValueError, "velocity must be in m/s"),
        (lambda: SeisInv(velocity=1500.0), TypeError, "velocity must be two numbers"),
        (lambda: SeisInv(velocity=("a", "b")), TypeError, "velocity must be two numbers"),
        (lambda: SeisInv(interfaces=()), ValueError, "interfaces must name at least one count"),
        (lambda: SeisInv(interfaces=(0, 1)), ValueError, "interfaces must be 1 or larger, got 0"),
        (lambda: SeisInv(interfaces=3), TypeError, "interfaces must be a sequence"),
        (lambda: CurveFault(layers=(1,)), ValueError, "layers must be 2 or larger, got 1"),
        (lambda: CurveFault(faults=(-1,)), ValueError, "faults must be 0 or larger, got -1"),
        (lambda: CurveFault(velocity=(2.0, 4.5)), ValueError, "velocity must be in m/s"),
        (lambda: SeisInv()([-1]), ValueError, "indices must be 0 or larger, got -1"),
        (lambda: SeisInv()([2**63]), ValueError, r"indices must be at most 2\*\*63 - 1"),
        (lambda: SeisInv()([0.5]), TypeError, "indices must hold whole numbers, got 0.5"),
        (lambda: SeisInv()([True]), TypeError, "indices must hold whole numbers, got True"),
        (lambda: SeisInv()(3), TypeError, "indices must be a sequence"),
        (lambda: SeisInv()("12"), TypeError, "indices must be a sequence"),
        (lambda: SeisInv()([0], seed=-1), ValueError, r"seed must lie in 0 ... 2\*\*63 - 1, got -1"),
        (lambda: SeisInv()([0], seed=2**63), ValueError, "seed must lie in"),
        (lambda: SeisInv()([0], seed=1.5), TypeError, "seed must be a whole number, got 1.5"),
        (
            lambda: geology.build("Marmousi"),
            ValueError,
            "name must be one of SeisInv, .*, Style-B, got 'Marmousi'",
        ),
        (lambda: geology.build("SeisInv-A"), ValueError, "name must be one of"),
        (lambda: geology.build("FlatVel-C"), ValueError, "name must be one of"),
        (
            lambda: geology.build("FlatVel-A", version="B"),
            ValueError,
            "version must be 'A' to go with FlatVel-A, got 'B'",
        ),
        (lambda: geology.build("SeisInv", grid=3), TypeError, "grid"),
        (lambda: geology.split(2), ValueError, "count must be at least 3"),
        (lambda: geology.split(12.0), TypeError, "count must be a whole number"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_families_of_one_seed_have_nothing_in_common() -> None:
    """Layer velocities of the upper left cell, model by model, of families that make them in the same way."""
    names = ("SeisInv", "FlatVel-A", "CurveVel-A", "SeisInv2", "FlatFault-A")
    tops = torch.stack([geology.build(name)(range(300))[:, 0, 0] for name in names])
    correlated = torch.corrcoef(tops) - torch.eye(len(names))
    assert float(correlated.abs().max()) < 0.25


def test_a_label_names_the_version() -> None:
    assert [family.label for family in (FlatVel(version="A"), SeisInv())] == ["FlatVel-A", "SeisInv"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("FlatVel", {"depth": 3}, r"FlatVel has no \['depth'\]; it has shape"), ("Crops", {}, "Crops needs model")],
)
def test_options_that_a_family_lacks(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        geology.build(name, **options)
