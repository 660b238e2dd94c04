"""FlatVel and CurveVel: layers that reach from side to side, in the two versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seisfast.geology import CurveVel, FlatVel

KINDS = [FlatVel, CurveVel]
LAYERS = FlatVel().layers


def rows_between(models: Tensor) -> Tensor:
    """Number of the layer that each cell lies in, counted down its column, `[models, nz, nx]`."""
    return torch.nn.functional.pad((models[:, 1:] != models[:, :-1]).cumsum(1), (0, 0, 1, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["A", "B"])
@pytest.mark.parametrize("shape", [(70, 70), (7, 1), (9, 60), (100, 33)])
def test_every_column_has_the_layers_of_its_model(kind: type[FlatVel], version: str, shape: tuple[int, int]) -> None:
    models = kind(shape=shape, version=version)(range(200), seed=1)
    for index, (model, layer) in enumerate(zip(models, rows_between(models), strict=True)):
        count = LAYERS[index % len(LAYERS)]
        assert (layer[-1] == count - 1).all(), "a layer is missing, or two neighbours are equal"
        assert len(model.unique()) == count
        for number in range(count):
            assert len(model[layer == number].unique()) == 1, "a layer has more than one velocity"


@pytest.mark.parametrize("kind", KINDS)
def test_velocity_grows_with_depth_in_version_a_alone(kind: type[FlatVel]) -> None:
    steps = kind(version="A")(range(300), seed=2).diff(dim=1)
    assert (steps >= 0).all()
    assert steps[steps > 0].min() >= 150 - 1, "rounding to whole m/s may take one"
    steps = kind(version="B")(range(300), seed=2).diff(dim=1)
    assert steps[steps != 0].abs().min() >= 150 - 1
    falls, rises = (steps < 0).sum(), (steps > 0).sum()
    assert 0.9 < falls / rises < 1.1


@pytest.mark.parametrize("kind", KINDS)
def test_versions_have_the_same_velocities_over_the_whole_range(kind: type[FlatVel]) -> None:
    easy, hard = kind(version="A")(range(300)), kind(version="B")(range(300))
    for first, second in zip(easy, hard, strict=True):
        assert torch.equal(first.unique(), second.unique())
    for models in (easy, hard):
        assert models.min() < 1520
        assert models.max() > 4480
    assert easy[:, 0].mean() < 2200 < 2800 < hard[:, 0].mean() < 3200, "every layer is as likely on top"


def test_every_order_of_layers_is_as_likely() -> None:
    tops = FlatVel(layers=(3,), version="B")(range(3000))[:, [0, 35, -1], 0]
    ranks = FlatVel(layers=(3,), shape=(3, 1), version="B")(range(3000))[:, :, 0].argsort(1) @ torch.tensor([9, 3, 1])
    assert len(tops.unique(dim=0)) > 2900
    counts = ranks.unique(return_counts=True)[1]
    assert len(counts) == 6
    assert (counts - 500).abs().max() < 90, "four standard deviations"


@pytest.mark.parametrize("version", ["A", "B"])
def test_flat_layers_are_flat_and_of_many_thicknesses(version: str) -> None:
    models = FlatVel(version=version)(range(200), seed=3)
    assert (models == models[:, :, :1]).all()
    first = (rows_between(models)[:, :, 0] == 0).sum(1)
    assert first.min() <= 8
    assert first.max() >= 35


@pytest.mark.parametrize(("version", "steepest"), [("A", 0.4), ("B", 0.9)])
def test_interfaces_are_parallel_curves_of_limited_slope(version: str, steepest: float) -> None:
    models = CurveVel(version=version, layers=(4,))(range(200), seed=4)
    tops = torch.stack([(rows_between(models) <= number).sum(1) for number in range(3)], dim=1).float()
    bend = tops - tops.mean(2, keepdim=True)
    assert (bend[:, :1] - bend).abs().max() <= 1, "they are parallel but for rounding to rows"
    swing = bend.amax((1, 2)) - bend.amin((1, 2))
    assert swing.min() >= 1
    assert swing.max() > {"A": 12, "B": 19}[version]
    across = (tops[:, :, 10:] - tops[:, :, :-10]) / 10
    assert across.abs().max() <= steepest + 0.1


def test_version_b_bends_more() -> None:
    easy, hard = ((CurveVel(version=version)(range(300)).diff(dim=2) != 0).float().mean() for version in "AB")
    assert hard > 1.2 * easy


def test_a_wider_model_goes_on_where_the_narrow_one_ends() -> None:
    wide = CurveVel(shape=(70, 190))(range(20))
    assert torch.equal(wide[:, :, :70], CurveVel()(range(20)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"version": "C"}, ValueError, 'version must be "A" or "B", got \'C\''),
        ({"version": 1}, ValueError, 'version must be "A" or "B", got 1'),
        ({"layers": (1,)}, ValueError, "layers must be 2 or larger, got 1"),
        ({"layers": ()}, ValueError, "layers must name at least one count"),
        ({"layers": 3}, TypeError, "layers must be a sequence"),
        ({"shape": (6, 70)}, ValueError, "shape needs a row for every layer, got nz=6 for 7 layers"),
        ({"shape": (1, 1)}, ValueError, "shape needs a row for every layer, got nz=1"),
        ({"velocity": (1500.0, 1510.0)}, ValueError, "velocity must be in m/s and leave room for 7 layers"),
    ],
)
def test_bad_input(kind: type[FlatVel], options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kind(**options)


@pytest.mark.parametrize("make", [lambda: FlatVel((2, 1), layers=(2,)), lambda: CurveVel((2, 1), layers=(2,))])
def test_smallest_grid(make: Callable[[], FlatVel]) -> None:
    models = make()(range(50))
    assert (models[:, 0] != models[:, 1]).all()
