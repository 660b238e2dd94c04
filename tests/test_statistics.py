"""Statistics of velocity models and records: against numpy, from every kind of input, saved and read, and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_data import GEOLOGY, SHAPE, write_stored

from seisfast import metrics, statistics
from seisfast.data import StoredDataset
from seisfast.statistics import Statistics, measure

RNG = np.random.default_rng(0)
MODELS = RNG.integers(1500, 4000, (7, 5, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


def assert_numpys(
    found: Statistics, models: NDArray[Any], step: float = statistics.STEP, tolerance: float = 1e-9
) -> None:
    """Every number against numpy's on the whole array."""
    models = models.astype(np.float64)
    close = {"rtol": 0, "atol": tolerance}
    np.testing.assert_allclose(found.mean, models.mean(0), **close)
    np.testing.assert_allclose(found.deviation, models.std(0), **close)
    np.testing.assert_allclose(found.depth_mean, models.mean((0, 2)), **close)
    np.testing.assert_allclose(found.depth_deviation, models.std((0, 2)), **close)
    np.testing.assert_array_equal(found.depth_smallest, models.min((0, 2)))
    np.testing.assert_array_equal(found.depth_largest, models.max((0, 2)))
    down, right = np.abs(np.diff(models, axis=1)) > step, np.abs(np.diff(models, axis=2)) > step
    inside = (down[:, :, :-1] | right[:, :-1]).mean(0)
    np.testing.assert_array_equal(found.interfaces, np.pad(inside, (0, 1), mode="edge"))
    edges, counts = found.edges.numpy(), found.counts.numpy()
    assert edges[0] <= models.min() < edges[1]
    assert edges[-2] <= models.max() < edges[-1]
    np.testing.assert_array_equal(counts, np.histogram(models, edges)[0])
    assert (found.models, found.shape) == (len(models), models.shape[1:])
    whole = {"slowest": models.min(), "mean": models.mean(), "deviation": models.std(), "fastest": models.max()}
    assert found.summary == pytest.approx({**whole, "interfaces": float(found.interfaces.mean())}, abs=tolerance)


def assert_same(one: Statistics, other: Statistics) -> None:
    """Equal to the bit, but for the examples."""
    assert one.to_dict() == other.to_dict()


def test_numbers_are_numpys() -> None:
    assert_numpys(measure(MODELS), MODELS)
    assert_numpys(measure(MODELS, step=1200.0), MODELS, step=1200.0)
    uneven = MODELS + RNG.uniform(0, 1, MODELS.shape)
    assert_numpys(measure(uneven, bin_width=0.7), uneven)


def test_a_pass_in_parts_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    together = measure(MODELS, examples=3)
    for cells in (1, 60, 100):
        monkeypatch.setattr(statistics, "BATCH", cells)
        apart = measure(MODELS, examples=3)
        assert_same(apart, together)
        assert torch.equal(apart.examples, together.examples)


def test_every_kind_of_input_is_the_same_set(stored: Path, tmp_path: Path) -> None:
    models = GEOLOGY(range(25), 4)
    expected = measure(models)
    assert_numpys(expected, models.numpy())
    assert_same(measure(GEOLOGY, count=25, seed=4), expected)
    assert_same(measure(models[:, None].double()), expected)
    dataset = measure(StoredDataset(stored))
    assert dataset.spacing == (10.0, 10.0)
    assert_same(measure(models, spacing=10.0), dataset)
    np.save(tmp_path / "all.npy", np.asfortranarray(models.numpy()))
    assert_same(measure(tmp_path / "all.npy"), expected)
    for name, part in (("a", models[:1, None]), ("b", models[1]), ("c", models[2:])):
        np.save(tmp_path / f"{name}.npy", part)
    assert_same(measure([tmp_path / f"{name}.npy" for name in "abc"]), expected)
    assert_same(measure([str(tmp_path / f"{name}.npy") for name in "cab"], count=23), measure(models[2:]))
    assert_same(measure(StoredDataset(stored, range(3, 9)), count=4), measure(models[3:7], spacing=10.0))


def test_the_soft_f_has_the_same_interfaces() -> None:
    found = measure(MODELS, step=0)
    np.testing.assert_array_equal(found.interfaces, metrics.interfaces(torch.from_numpy(MODELS)).double().mean(0))
    ramp = np.tile(1500.0 + 8.0 * np.arange(30)[:, None], (1, 4))
    ramp[20:] += 300.0
    expected = np.zeros((30, 4))
    expected[19] = 1.0
    np.testing.assert_array_equal(measure(ramp).interfaces, expected)
    assert measure(ramp, step=0).interfaces.all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5), (3, 5, 1), (1, 4, 4)])
def test_edge_sizes(shape: tuple[int, int, int]) -> None:
    models = RNG.uniform(1500, 4000, shape)
    found = measure(models)
    np.testing.assert_allclose(found.mean, models.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.depth_deviation, models.std((0, 2)), atol=1e-9)
    assert found.counts.sum() == models.size
    if shape[1:] == (1, 1):
        assert not found.interfaces.any()
    if shape == (3, 5, 1):
        down = np.abs(np.diff(models, axis=1)) > statistics.STEP
        np.testing.assert_array_equal(found.interfaces, np.pad(down.mean(0), ((0, 1), (0, 0)), mode="edge"))
    assert len(found.examples) == len(models)


def test_constant_models_deviate_by_nothing() -> None:
    found = measure(np.full((50, 3, 4), 1500.1))
    assert found.summary == {"slowest": 1500.1, "mean": 1500.1, "deviation": 0.0, "fastest": 1500.1, "interfaces": 0.0}
    assert not found.depth_deviation.any()
    assert (found.edges.tolist(), found.counts.tolist()) == ([1500.0, 1550.0], [600])


def test_bins_begin_at_multiples_of_their_width() -> None:
    found = measure(np.array([[100.0, 149.99, 150.0, 300.0]]), bin_width=50)
    assert found.edges.tolist() == [100.0, 150.0, 200.0, 250.0, 300.0, 350.0]
    assert found.counts.tolist() == [2, 1, 0, 0, 1]


def test_examples_are_spread_over_the_set() -> None:
    models = np.arange(1.0, 101.0)[:, None, None]
    assert measure(models, examples=4).examples.flatten().tolist() == [1.0, 34.0, 67.0, 100.0]
    assert measure(models, examples=1).examples.flatten().tolist() == [1.0]
    assert measure(models, examples=0).examples.shape == (0, 1, 1)


def test_records_are_read_when_asked_for(stored: Path) -> None:
    dataset = StoredDataset(stored, range(2, 20))
    assert measure(dataset).records is None
    records = torch.stack([dataset[k][0] for k in range(18)]).double().numpy()
    found = measure(dataset, records=True).records
    assert found is not None
    silent = ~records.any(axis=2)
    assert (found.smallest, found.largest) == (records.min(), records.max())
    assert found.rms == pytest.approx(math.sqrt((records**2).mean()), rel=1e-12)
    assert (found.zero_traces, found.traces) == (silent.mean(), silent.size)


def test_zero_traces_and_broken_records(tmp_path: Path) -> None:
    records = np.ones((2, 2, 5, 3), np.float32)
    records[0, 1, :, 2] = 0.0
    records[1, 0, 0] = 0.0
    np.save(tmp_path / "data1.npy", records)
    np.save(tmp_path / "model1.npy", np.full((2, 1, 4, 4), 2000.0, np.float32))
    found = measure(StoredDataset(tmp_path), records=True).records
    assert found is not None
    assert (found.zero_traces, found.traces) == (1 / 12, 12)
    records[1, 1, 2, 0] = np.inf
    np.save(tmp_path / "data1.npy", records)
    with pytest.raises(ValueError, match=r"records must be finite, .* model 1 of .*row 1 of data1.npy"):
        measure(StoredDataset(tmp_path), records=True)
    assert measure(StoredDataset(tmp_path)).models == 2


def test_saved_statistics_are_the_same(stored: Path, tmp_path: Path) -> None:
    for number, found in enumerate((measure(StoredDataset(stored), records=True), measure(MODELS + 0.1))):
        again = Statistics.load(found.save(tmp_path / "new" / f"{number}.json"))
        assert_same(again, found)
        assert again.mean.dtype == torch.float64
        assert again.records == found.records
        assert again.examples.shape == (0, *found.shape)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    content = measure(MODELS).to_dict()
    with pytest.raises(FileNotFoundError):
        Statistics.load(tmp_path / "no.json")
    for change, message in (
        ({"format": "other"}, 'must have the format "seisfast statistics 1"'),
        ({"extra": 1}, "unknown .*extra"),
        ({"mean": [1.0]}, "mean must be"),
        ({"edges": content["edges"][1:]}, "edges must have the shape"),
        ({"depth_mean": None}, "depth_mean must have the shape"),
        ({"models": 8}, "counts must add up to the 8 models"),
        ({"records": {"rms": 1.0}}, "missing .* required"),
    ):
        (tmp_path / "a.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=f"a.json does not hold statistics of seisfast: .*{message}"):
            Statistics.load(tmp_path / "a.json")
    for text in ("[1]", "{"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match="does not hold statistics"):
            Statistics.load(tmp_path / "a.json")


def test_a_table_has_a_row_for_each_set(stored: Path) -> None:
    sets = {"noise": measure(MODELS), "stored": measure(StoredDataset(stored), records=True, step=5)}
    lines = statistics.table(sets).splitlines()
    numbers = sets["noise"].summary
    assert lines[2].split()[:5] == ["noise", "7", "5", "x", "6"]
    assert lines[2].split()[5:7] == [f"{numbers['slowest']:.0f}", f"{numbers['mean']:.0f}"]
    assert "more than 20, 5 m/s" in lines[5]
    assert lines[6].startswith("stored: records from ")
    assert lines[6].endswith("% of 400 traces are zero")
    assert len(lines) == 7


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nan": ({"models": np.where(np.arange(210).reshape(7, 5, 6) == 65, np.nan, MODELS)}, ValueError,
            r"finite and positive, got nan at \(iz, ix\) = \(0, 5\) in model 2 of the array"),
    "negative": ({"models": -MODELS}, ValueError, r"finite and positive, got -\d+.0 at .* model 0"),
    "infinite": ({"models": MODELS * np.inf}, ValueError, "finite and positive, got inf"),
    "shape": ({"models": MODELS[None]}, ValueError, r"models must be \[nz, nx\], .* got \[1, 7, 5, 6\]"),
    "empty": ({"models": MODELS[:0]}, ValueError, r"got \[0, 5, 6\]"),
    "complex": ({"models": MODELS + 1j}, TypeError, "real numbers, got complex"),
    "kind": ({"models": 3}, TypeError, "must be a data set, a geology, an array or .npy files, got int"),
    "mixed": ({"models": [MODELS]}, TypeError, "got list"),
    "no files": ({"models": []}, ValueError, "at least one file"),
    "no file": ({"models": "nowhere.npy"}, FileNotFoundError, "there is no file nowhere.npy"),
    "large": ({"models": MODELS, "count": 8}, ValueError, "count must be at most the 7 models of the array, got 8"),
    "zero": ({"models": MODELS, "count": 0}, ValueError, "count must be an integer of at least 1, got 0"),
    "below": ({"models": GEOLOGY, "count": -3}, ValueError, "count must be an integer of at least 1, got -3"),
    "uncounted": ({"models": GEOLOGY}, ValueError, "count must say how many models of SeisInv"),
    "half": ({"models": MODELS, "count": 1.5}, TypeError, "count must be an integer"),
    "seed": ({"models": GEOLOGY, "count": 1, "seed": -1}, ValueError, "seed must lie in"),
    "step": ({"models": MODELS, "step": -1}, ValueError, "step must be at least 0 m/s, got -1"),
    "step nan": ({"models": MODELS, "step": math.nan}, ValueError, "step must be at least 0 m/s, got nan"),
    "bins": ({"models": MODELS, "bin_width": 0}, ValueError, "bin_width must be positive"),
    "narrow": ({"models": MODELS, "bin_width": 1e-3}, ValueError, "bin_width must leave at most 100000 bins"),
    "spacing": ({"models": MODELS, "spacing": -5.0}, ValueError, "spacing must be positive"),
    "examples": ({"models": MODELS, "examples": -1}, ValueError, "examples must be an integer of at least 0"),
    "records": ({"models": MODELS, "records": True}, ValueError, "only be read from a stored data set, got the array"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    arguments, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        measure(**arguments)


def test_bad_files_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", MODELS)
    np.save(tmp_path / "small.npy", MODELS[:, 1:])
    np.save(tmp_path / "hole.npy", np.where(MODELS[3, 2, 2] == MODELS, np.nan, MODELS))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    (tmp_path / "text.npy").write_text("not an array")
    for name, message in (
        ("small", r"one shape, got \[5, 6\] in .*good.npy and \[4, 6\] in .*small.npy"),
        ("hole", "model [0-6] of .*hole.npy"),
        ("text", "text.npy is not a .npy array"),
    ):
        with pytest.raises(ValueError, match=message):
            measure([tmp_path / "good.npy", tmp_path / f"{name}.npy"])
    with pytest.raises(TypeError, match=r"real numbers, got <U1 in .*words\.npy"):
        measure(tmp_path / "words.npy")


def test_the_salt_models(data_dir: Path) -> None:
    files = sorted((data_dir / "salt_models").glob("*.npy"))
    if not files:
        pytest.skip("no salt models among the test data")
    found = measure(files, spacing=10.0)
    assert_numpys(found, np.stack([np.load(file) for file in files]), tolerance=1e-8)
    assert found.summary["interfaces"] < 0.15, "sediment whose velocity grows by 4 to 9 m/s per cell is no interface"
    assert measure(files, step=0).summary["interfaces"] > 0.8


def test_geologies_keep_their_promises() -> None:
    found = measure(GEOLOGY, count=40)
    assert found.shape == SHAPE
    assert found.summary["slowest"] >= GEOLOGY.velocity[0]
    assert found.summary["fastest"] <= GEOLOGY.velocity[1]
    assert (found.depth_mean.diff() >= 0).all(), "velocity grows with depth"
