"""Datasets read from disk: ours and the released layouts, damaged files, batches in seeded order."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SHAPE, SURVEY, write_stored
from torch.utils.data import DataLoader

from seisfast.data import StoredDataset, batches, write
from seisfast.geology import SeisInv, split
from seisfast.propagator import simulate


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


def copy_of(stored: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stored, folder / "copy"))


def test_stored_samples(stored: Path) -> None:
    dataset = StoredDataset(stored)
    assert len(dataset) == 25
    assert dataset.geometry == {"shots": 2, "receivers": 8, "samples": 40, "shape": SHAPE}
    assert dataset.survey == SURVEY
    assert dataset.geology == GEOLOGY
    velocity = GEOLOGY(range(25), seed=4)
    records = simulate(velocity, SURVEY)
    for index in (0, 9, 10, 19, 20, 24, -1):
        record, model = dataset[index]
        assert record.dtype == model.dtype == torch.float32
        assert torch.equal(record, records[index])
        assert torch.equal(model, velocity[index][None])
    with pytest.raises(IndexError):
        dataset[25]
    dataset[0][0].zero_()
    assert torch.equal(dataset[0][0], records[0]), "samples are copies"


def test_a_batch_is_its_samples(stored: Path, tmp_path: Path) -> None:
    dataset = StoredDataset(stored, [3, 24, 11, 0])
    records, velocity = dataset.read([2, 0, -1])
    assert records.dtype == velocity.dtype == torch.float32
    for k, index in enumerate((2, 0, 3)):
        assert torch.equal(records[k], dataset[index][0])
        assert torch.equal(velocity[k], dataset[index][1])
    assert [dataset.where(k) for k in (0, 1, 2)] == [f" (row {r} of data{f}.npy)" for r, f in ((3, 1), (4, 3), (1, 2))]
    for name in ("data1.npy", "model1.npy"):
        np.save(tmp_path / name, np.load(stored / name).astype(np.float64))
    assert torch.equal(StoredDataset(tmp_path).read([3])[0][0], records[1])


def test_splits_by_indices(stored: Path) -> None:
    everything = StoredDataset(stored)
    parts = [StoredDataset(stored, part) for part in split(25)]
    assert [len(part) for part in parts] == [21, 2, 2]
    assert torch.equal(parts[2][1][0], everything[24][0])
    assert torch.equal(StoredDataset(stored, [7, 3])[1][1], everything[3][1])


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(stored: Path, workers: int) -> None:
    dataset = StoredDataset(stored)
    context = "spawn" if workers else None
    loader = DataLoader(dataset, batch_size=10, num_workers=workers, multiprocessing_context=context)
    records = torch.cat([records for records, _ in loader])
    assert torch.equal(records, torch.stack([dataset[index][0] for index in range(25)]))


def test_a_pickled_dataset_holds_no_data(stored: Path) -> None:
    dataset = StoredDataset(stored)
    packed = pickle.dumps(dataset)
    assert len(packed) < 20_000
    again = pickle.loads(packed)
    assert torch.equal(again[13][0], dataset[13][0])
    assert again.survey == SURVEY


def released(folder: Path, names: list[tuple[str, str]], models: int = 4) -> np.ndarray:
    """A folder as OpenFWI releases it; the number of each model stands in all its cells."""
    for number, (data, model) in enumerate(names):
        values = np.arange(number * models, (number + 1) * models, dtype=np.float32)[:, None, None, None]
        for name, shape in ((data, (5, 30, 7)), (model, (1, 7, 7))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / name, np.broadcast_to(values, (models, *shape)))
    return np.arange(len(names) * models)


@pytest.mark.parametrize(
    "names",
    [
        [
            ("data/data1.npy", "model/model1.npy"),
            ("data/data2.npy", "model/model2.npy"),
            ("data/data10.npy", "model/model10.npy"),
        ],
        [("data1.npy", "model1.npy"), ("data2.npy", "model2.npy"), ("data10.npy", "model10.npy")],
        [
            ("seis2_1_0.npy", "vel2_1_0.npy"),
            ("seis2_1_9.npy", "vel2_1_9.npy"),
            ("seis2_1_31.npy", "vel2_1_31.npy"),
        ],
        [("seis6_1_31.npy", "vel6_1_31.npy"), ("seis8_1_0.npy", "vel8_1_0.npy")],
        [("seismic/seismic1.npy", "vmodel/vmodel1.npy"), ("seismic/seismic2.npy", "vmodel/vmodel2.npy")],
    ],
    ids=["Vel and Style", "one folder", "Fault", "Fault B", "DD-Net"],
)
def test_released_layouts(tmp_path: Path, names: list[tuple[str, str]]) -> None:
    expected = released(tmp_path, names)
    dataset = StoredDataset(tmp_path)
    assert dataset.survey is None
    assert dataset.geology is None
    assert dataset.geometry == {"shots": 5, "receivers": 7, "samples": 30, "shape": (7, 7)}
    assert [float(dataset[index][0].mean()) for index in range(len(dataset))] == expected.tolist()
    assert [float(dataset[index][1].mean()) for index in range(len(dataset))] == expected.tolist()


def test_other_precisions_and_orders(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3, 2, 6, 4))
    np.save(tmp_path / "data1.npy", np.asfortranarray(data.astype(">f8")))
    np.save(tmp_path / "model1.npy", np.full((3, 1, 5, 4), 1500, np.float16))
    record, velocity = StoredDataset(tmp_path)[2]
    assert record.dtype == velocity.dtype == torch.float32
    np.testing.assert_array_equal(record.numpy(), data[2].astype(np.float32))


def truncate(folder: Path) -> None:
    os.truncate(folder / "data1.npy", 5000)


def append(folder: Path) -> None:
    with (folder / "model1.npy").open("ab") as file:
        file.write(b"more")


def empty(folder: Path) -> None:
    (folder / "data1.npy").write_bytes(b"")


def text(folder: Path) -> None:
    (folder / "data1.npy").write_text("velocity,depth\n" * 100)


def put(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


F4 = np.float32


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (truncate, ValueError, r"data1\.npy is not a whole \.npy file \(truncated or damaged\)"),
        (empty, ValueError, r"data1\.npy is not a whole \.npy file"),
        (text, ValueError, r"data1\.npy is not a whole \.npy file"),
        (append, ValueError, r"model1\.npy is not one \.npy array of the size its header says"),
        (put("data1.npy", np.array([{}, None])), ValueError, r"data1\.npy is not a whole \.npy file"),
        (
            put("data1.npy", np.zeros((4, 5, 30, 7), int)),
            TypeError,
            r"data1\.npy must hold floating-point .* int64",
        ),
        (
            put("data1.npy", np.zeros((4, 30, 7), F4)),
            ValueError,
            r"data1\.npy .*\[n, shots, time, receivers\], got \[4, 30, 7\]",
        ),
        (
            put("model1.npy", np.zeros((4, 7, 7), F4)),
            ValueError,
            r"model1\.npy .*\[n, 1, nz, nx\], got \[4, 7, 7\]",
        ),
        (
            put("model1.npy", np.zeros((4, 2, 7, 7), F4)),
            ValueError,
            r"model1\.npy .*\[n, 1, nz, nx\], got \[4, 2, 7, 7\]",
        ),
        (put("data1.npy", np.zeros((0, 5, 30, 7), F4)), ValueError, r"data1\.npy"),
        (
            put("model2.npy", np.zeros((3, 1, 7, 7), F4)),
            ValueError,
            "data2.npy and .*model2.npy must hold as many models, got 4 records and 3",
        ),
        (
            put("data2.npy", np.zeros((4, 5, 31, 7), F4)),
            ValueError,
            r"data2\.npy must have the shape \[n, 5, 30, 7\] of the other files, got \[4, 5, 31, 7\]",
        ),
        (
            put("model2.npy", np.zeros((4, 1, 8, 7), F4)),
            ValueError,
            r"model2\.npy must have the shape \[n, 1, 7, 7\]",
        ),
        (drop("model2.npy"), FileNotFoundError, r"data2\.npy has no partner model2\.npy"),
        (drop("data1.npy"), FileNotFoundError, r"model1\.npy has no partner data1\.npy"),
    ],
)
def test_a_bad_file_is_named(
    tmp_path: Path, harm: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    released(tmp_path, [("data1.npy", "model1.npy"), ("data2.npy", "model2.npy")])
    StoredDataset(tmp_path)
    harm(tmp_path)
    with pytest.raises(error, match=message):
        StoredDataset(tmp_path)


def test_a_missing_file_of_ours_is_named(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    (folder / "model3.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"model3\.npy is missing"):
        StoredDataset(folder)


def test_an_exchanged_file_of_ours_is_named(stored: Path, tmp_path: Path) -> None:
    folder = copy_of(stored, tmp_path)
    np.save(folder / "model3.npy", np.zeros((4, 1, *SHAPE), F4))
    with pytest.raises(ValueError, match=r"model3\.npy must have the shape \[5, 1, 20, 24\] that dataset\.json states"):
        StoredDataset(folder)


def test_a_generator_of_the_users_own(tmp_path: Path) -> None:
    class Halfspace(SeisInv):
        """One velocity everywhere."""

        def _make(self, index: torch.Tensor, *uniform: torch.Tensor) -> torch.Tensor:
            return torch.full((len(index), *self.shape), 2000.0)

    dataset = StoredDataset(write(Halfspace(shape=SHAPE), SURVEY, tmp_path, 2, progress=False))
    assert dataset.geology is None
    assert dataset.survey == SURVEY
    assert (dataset[1][1] == 2000).all()


def test_folders_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no dataset: expected dataset\.json, pairs like data1\.npy"):
        StoredDataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        StoredDataset(tmp_path / "nowhere")


def test_batches_of_an_epoch(stored: Path) -> None:
    dataset = StoredDataset(stored)
    epoch = list(batches(dataset, 4, seed=1, epoch=0))
    assert [len(records) for records, _ in epoch] == [4] * 6 + [1]
    assert epoch[0][0].shape == (4, 2, 40, 8)
    assert epoch[0][1].shape == (4, 1, *SHAPE)
    velocity = torch.cat([velocity for _, velocity in epoch])
    inside = {model.numpy().tobytes() for model in velocity}
    assert inside == {dataset[index][1].numpy().tobytes() for index in range(25)}, "every sample once"
    records = torch.cat([records for records, _ in epoch])
    again = torch.cat([records for records, _ in batches(dataset, 4, seed=1, epoch=0)])
    assert torch.equal(records, again)
    for other in (batches(dataset, 4, seed=2, epoch=0), batches(dataset, 4, seed=1, epoch=1)):
        assert not torch.equal(records, torch.cat([records for records, _ in other]))


def test_batches_go_on_in_the_middle(stored: Path) -> None:
    dataset = StoredDataset(stored, range(3, 20))
    whole = list(batches(dataset, 5, seed=1, epoch=2))
    rest = list(batches(dataset, 5, seed=1, epoch=2, start_batch=2))
    assert len(rest) == len(whole) - 2
    for (records, velocity), (expected, model) in zip(rest, whole[2:], strict=True):
        assert torch.equal(records, expected)
        assert torch.equal(velocity, model)
    assert list(batches(dataset, 5, seed=1, epoch=2, start_batch=9)) == []


def test_batches_in_their_own_order(stored: Path) -> None:
    dataset = StoredDataset(stored, [5, 2, 9])
    (records, _), (last, _) = batches(dataset, 2, seed=1, epoch=3, shuffle=False)
    assert torch.equal(records[1], dataset[1][0])
    assert torch.equal(last[0], dataset[2][0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda f: StoredDataset(f, [25]), IndexError, r"indices must lie in 0 \.\.\. 24, got 25"),
        (lambda f: StoredDataset(f, [-1]), IndexError, "indices must lie in"),
        (lambda f: StoredDataset(f, [0.5]), TypeError, "indices must be whole numbers, got 0.5"),
        (lambda f: StoredDataset(f, []), ValueError, "indices must name at least one model"),
        (
            lambda f: batches(StoredDataset(f), 0, seed=0, epoch=0),
            ValueError,
            "batch_size must be at least 1",
        ),
        (lambda f: batches(StoredDataset(f), 2, seed=-3, epoch=0), ValueError, "seed must lie in"),
        (
            lambda f: batches(StoredDataset(f), 2, seed=0, epoch=-1),
            ValueError,
            "epoch must be 0 or larger, got -1",
        ),
        (
            lambda f: batches(StoredDataset(f), 2, seed=0, epoch=0, start_batch=-1),
            ValueError,
            "start_batch must be 0",
        ),
        (
            lambda f: batches(StoredDataset(f), 2, seed=0, epoch=1.0),
            TypeError,
            "epoch must be a whole number",
        ),
    ],
)
def test_bad_places(stored: Path, make: Callable[[Path], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(stored)
