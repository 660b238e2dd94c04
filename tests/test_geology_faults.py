"""FlatFault and CurveFault: layers cut by faults, in the two versions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seisfast.geology import CurveFault, FlatFault, FlatVel

KINDS = [FlatFault, CurveFault]


def jumps(models: Tensor) -> Tensor:
    """Rows that interfaces jump by from each column to the next, the most of a model, `[models]`.

    The first interface down each column; a fault lets it jump, a fold of limited slope does not.
    """
    first = (models == models[:, :1]).cumprod(1).sum(1)
    return first.diff(dim=1).abs().amax(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("version", "most"), [("A", (2, 3, 4)), ("B", (6, 7, 8))])
def test_a_section_has_the_layers_of_the_files(kind: type[FlatFault], version: str, most: tuple[int, ...]) -> None:
    family = kind(version=version)
    assert family.layers == most
    found = [len(model.unique()) for model in kind(version=version, faults=(0,))(range(120), seed=3)]
    assert all(count <= most[index % 3] for index, count in enumerate(found))
    assert {count for index, count in enumerate(found) if count == most[index % 3]} == set(most)


@pytest.mark.parametrize("kind", KINDS)
def test_version_a_is_a_few_layers_that_grow_with_depth_everywhere(kind: type[FlatFault]) -> None:
    models = kind(version="A")(range(600), seed=1)
    steps = models.diff(dim=1)
    assert (steps >= 0).all(), "a normal fault never puts a layer under a deeper one"
    assert steps[steps > 0].min() >= 150 - 1
    for index, model in enumerate(models):
        assert len(model.unique()) == 2 + index % 3


@pytest.mark.parametrize("kind", KINDS)
def test_version_b_has_reverse_faults_and_second_sections(kind: type[FlatFault]) -> None:
    models = kind(version="B")(range(240), seed=1)
    assert (models.diff(dim=1) < 0).flatten(1).any(1).float().mean() > 0.4
    values = torch.tensor([len(model.unique()) for model in models])
    assert values.max() > 8, "two sections"
    for model in models:
        values = model.unique()
        assert len(values) > 1


def test_flat_layers_stay_flat_between_faults() -> None:
    """A flat model changes across a column boundary only where a fault passes: in few places."""
    whole = FlatFault(faults=(0,))(range(100), seed=2)
    assert (whole == whole[:, :, :1]).all()
    for version, most in (("A", 1), ("B", 4)):
        faults = FlatFault(version=version)(range(100), seed=2)
        changes = (faults.diff(dim=2) != 0).sum(2)
        assert changes.max() > 0
        assert changes.max() <= most * 2, "a row meets a fault once, a bent one twice"
    folded = CurveFault(version="A", faults=(0,))(range(100), seed=2)
    assert ((folded.diff(dim=2) != 0).sum(2) > 2).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_of_version_a_is_faulted_by_a_small_throw(kind: type[FlatFault]) -> None:
    faulted, whole = (kind(version="A", faults=faults)(range(400), seed=5) for faults in ((1,), (0,)))
    assert (faulted != whole).flatten(1).any(1).all()
    assert (faulted[:, :, 1:] != faulted[:, :, :-1]).flatten(1).any(1).all()
    first = [(models == models[:, :1, :1]).cumprod(1).sum(1).float() for models in (faulted, whole)]
    shift = (first[0] - first[1]).abs()
    if kind is FlatFault:
        assert shift.amax(1).min() >= 2, "5 % of the depth at the smallest, along a fault that leans by 0.6"
        assert shift.max() <= 0.15 * 70 + 1
        assert ((shift > 0).float().mean(1) < 1.0).all(), "one side stays"


def test_faults_let_curves_jump() -> None:
    smooth, cut = (jumps(CurveFault(version="A", faults=(count,))(range(200), seed=6)) for count in (0, 1))
    assert smooth.max() <= 2
    assert cut.float().mean() > smooth.float().mean() + 1


@pytest.mark.parametrize("kind", KINDS)
def test_faults_scale_with_the_grid(kind: type[FlatFault]) -> None:
    """At twice the cells, every other cell is nearly the same model."""
    fine = kind(shape=(140, 140), version="A")(range(50))
    coarse = kind(shape=(70, 70), version="A")(range(50))
    assert (fine[:, ::2, ::2] == coarse).float().mean() > 0.95


def test_numbers_asked_for_go_before_those_of_the_version() -> None:
    assert CurveFault().layers == (6, 7, 8)
    assert CurveFault(version="a") == CurveFault(layers=[2, 3, 4], faults=[1], version="A")
    assert FlatFault(layers=(5,), faults=(2,), version="A").to_dict() == {
        "name": "FlatFault", "shape": [70, 70], "velocity": [1500.0, 4500.0], "layers": [5], "faults": [2],
        "version": "A",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"version": "D"}, ValueError, 'version must be "A" or "B", got \'D\''),
        ({"version": None}, ValueError, 'version must be "A" or "B", got None'),
        ({"layers": 0}, TypeError, "layers must be a sequence"),
        ({"layers": (0,)}, ValueError, "layers must be 2 or larger, got 0"),
        ({"faults": (-1,)}, ValueError, "faults must be 0 or larger, got -1"),
        ({"shape": (7, 70)}, ValueError, "shape needs a row for every layer, got nz=7 for 8 layers"),
        ({"shape": (3, 1), "version": "A"}, ValueError, "shape needs a row for every layer, got nz=3 for 4 layers"),
        ({"velocity": (1500.0, 1505.0), "version": "A"}, ValueError, "leave room for 4 layers"),
    ],
)
def test_bad_input(kind: type[FlatFault], options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kind(**options)


@pytest.mark.parametrize("version", ["A", "B"])
@pytest.mark.parametrize("kind", KINDS)
def test_small_and_wide_grids(kind: type[FlatFault], version: str) -> None:
    for shape in ((8, 1), (8, 300)):
        models = kind(shape=shape, version=version)(range(20))
        assert models.shape == (20, *shape)
        assert models.min() >= 1500
        assert models.max() <= 4500


def test_first_layer_is_slow_as_in_the_released_records() -> None:
    """Slower rock on top, later first arrivals: 164, 159, 150 and 121 ms in Vel-A, Fault-B, Fault-A and Vel-B.

    Means over released records, from a public notebook of the Kaggle competition of 2025; see docs/geology.md.
    """
    tops = {
        name: (1.0 / family(range(300))[:, :8]).mean().reciprocal().item()
        for name, family in (
            ("Vel-A", FlatVel(version="A")),
            ("Vel-B", FlatVel(version="B")),
            ("Fault-A", FlatFault(version="A")),
            ("Fault-B", FlatFault(version="B")),
        )
    }
    assert tops["Vel-A"] < tops["Fault-B"] < tops["Fault-A"] < tops["Vel-B"] - 200
