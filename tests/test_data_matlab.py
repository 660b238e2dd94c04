"""MATLAB files: genuine models, records in their axes, folders to OpenFWI's layout, and what is refused."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seisfast.data import StoredDataset, convert_mat_folder, find_mat_pairs, read_mat_records, read_mat_velocity
from seisfast.data.mat_folder import convert_mat_velocities, find_mat_velocities
from seisfast.data.matlab import holds_records

io = pytest.importorskip("scipy.io", reason="the extra io is not installed")

RECORDS = np.random.default_rng(1).normal(size=(40, 12, 5))  # time x receivers x shots, as FCNVMB has them
MODEL = np.random.default_rng(2).uniform(1500.0, 4500.0, (6, 9))


def saved(path: Path, **variables: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, variables)
    return path


def test_genuine_models(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "simulate_models" / "vmodel_1601_1700.zip") as archive:
        names = archive.namelist()
        assert len(names) == 100
        for name in names[:3]:
            archive.extract(name, tmp_path / "vmodel")
    first = read_mat_velocity(tmp_path / "vmodel" / names[0])
    assert (first.shape, first.dtype) == ((201, 301), np.float32)
    assert first[-10:].mean() > first[:10].mean() + 500.0
    assert 2000.0 < first.min() < first.max() <= 4500.0
    file = convert_mat_velocities(tmp_path / "vmodel", tmp_path / "models.npy", progress=False)
    models = np.load(file)
    assert models.shape == (3, 1, 201, 301)
    np.testing.assert_array_equal(models[0, 0], first)
    with pytest.raises(ValueError, match=r"shape \[201, 301\] may have its axes in another order"):
        read_mat_records(tmp_path / "vmodel" / names[0])


@pytest.mark.parametrize("key", ["Rec", "data"])
def test_records_become_shots_time_receivers(key: str, tmp_path: Path) -> None:
    file = saved(tmp_path / "a.mat", **{key: RECORDS})
    found = read_mat_records(file)
    assert (found.shape, found.dtype) == ((5, 40, 12), np.float32)
    np.testing.assert_array_equal(found[3, 7], RECORDS[7, :, 3].astype(np.float32))
    assert holds_records(file)
    one = saved(tmp_path / "one.mat", **{key: RECORDS[..., :1]})
    assert read_mat_records(one).shape == (1, 40, 12)


def test_axes_may_be_given(tmp_path: Path) -> None:
    turned = saved(tmp_path / "a.mat", ob_data=RECORDS.transpose(2, 1, 0))
    found = read_mat_records(turned, key="ob_data", axes="shots, receivers, time")
    np.testing.assert_array_equal(found, RECORDS.transpose(2, 0, 1).astype(np.float32))
    many = saved(tmp_path / "b.mat", Rec=RECORDS[:10])
    assert read_mat_records(many, axes="time receivers shots").shape == (5, 10, 12)


def test_models_and_their_units(tmp_path: Path) -> None:
    for key in ("vmodel", "svmodel", "data"):
        file = saved(tmp_path / "a.mat", **{key: MODEL})
        np.testing.assert_array_equal(read_mat_velocity(file), MODEL.astype(np.float32))
        assert not holds_records(file)
    turned = saved(tmp_path / "b.mat", vmodel=MODEL.T / 1e3)
    np.testing.assert_allclose(read_mat_velocity(turned, order="xz", unit="km/s"), MODEL, rtol=2e-7)
    deep = saved(tmp_path / "c.mat", vmodel=MODEL.T)
    assert read_mat_velocity(deep, order="zx").shape == (9, 6)


def test_whole_doubles_are_no_integers(tmp_path: Path) -> None:
    """MATLAB packs doubles that are whole into small integers; they are doubles all the same."""
    file = saved(tmp_path / "a.mat", vmodel=np.round(MODEL))
    content = bytearray(file.read_bytes())
    values = np.round(MODEL).astype("<u2").tobytes(order="F")
    start = content.index(np.round(MODEL).astype("<f8").tobytes(order="F"))
    # The data element of 8-byte doubles (type 9) becomes one of uint16 (type 4), padded to 8 bytes.
    packed = values + bytes(-len(values) % 8)
    shorter = 8 * MODEL.size - len(packed)
    content[start - 8 : start + 8 * MODEL.size] = (4).to_bytes(4, "little") + len(values).to_bytes(4, "little") + packed
    content[132:136] = (int.from_bytes(content[132:136], "little") - shorter).to_bytes(4, "little")
    file.write_bytes(content)
    assert io.loadmat(file)["vmodel"].dtype == np.uint16, "the file is what it is meant to be"
    np.testing.assert_array_equal(read_mat_velocity(file), np.round(MODEL).astype(np.float32))


def test_bad_files_are_named_with_their_remedy(tmp_path: Path) -> None:
    holes = RECORDS.copy()
    holes[1, 2, 3] = np.inf
    good = saved(tmp_path / "good.mat", data=RECORDS)
    (tmp_path / "short.mat").write_bytes(good.read_bytes()[:-400])
    (tmp_path / "text.mat").write_text("not a MATLAB file, though its name says so" * 20)
    (tmp_path / "empty.mat").write_bytes(b"")
    new = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(100)
    (tmp_path / "new.mat").write_bytes(new)
    (tmp_path / "hdf.mat").write_bytes(new[512:])
    cases: list[tuple[Callable[..., Any], str, dict[str, Any], dict[str, Any], type[Exception], str]] = [
        (read_mat_records, "none", {}, {}, FileNotFoundError, "there is no file"),
        (read_mat_records, "short", {}, {}, ValueError, "short.mat is not a whole MATLAB file"),
        (read_mat_records, "text", {}, {}, ValueError, "text.mat is not a whole MATLAB file"),
        (read_mat_velocity, "empty", {}, {}, ValueError, "empty.mat is not a whole MATLAB file"),
        (read_mat_records, "new", {}, {}, ValueError, "version 7.3 (HDF5), which is not read; save it again in MATLAB"),
        (read_mat_velocity, "hdf", {}, {}, ValueError, "save(name, '-v7')"),
        (read_mat_records, "a", {"seis": RECORDS}, {}, ValueError, "none of 'Rec', 'data'; give key= one of 'seis'"),
        (read_mat_records, "a", {"Rec": RECORDS, "data": RECORDS}, {}, ValueError, "has 'Rec', 'data'; give key="),
        (read_mat_velocity, "a", {"vp": MODEL}, {"key": "vq"}, ValueError, "no variable 'vq'; it has 'vp'"),
        (read_mat_records, "a", {"Rec": RECORDS.transpose(2, 0, 1)}, {}, ValueError,
         'Rec of shape [5, 40, 12] may have its axes in another order than [time, receivers, shots]; give axes="time'),
        (read_mat_records, "a", {"Rec": RECORDS[None]}, {}, ValueError, "[time, receivers, shots], got shape [1, 40"),
        (read_mat_records, "a", {"Rec": RECORDS}, {"axes": "t r s"}, ValueError, "axes must name shots, time"),
        (read_mat_records, "a", {"Rec": holes}, {}, ValueError, "Rec must be finite"),
        (read_mat_records, "a", {"Rec": RECORDS + 1j}, {}, TypeError, "numbers, got complex double"),
        (read_mat_records, "a", {"Rec": (100 * RECORDS).astype(np.int16)}, {}, TypeError, "got int16; convert it in"),
        (read_mat_records, "a", {"Rec": "words"}, {}, TypeError, "real floating-point numbers, got char"),
        (read_mat_records, "a", {"Rec": np.zeros((0, 3))}, {}, ValueError, "must hold numbers, got shape [0, 3]"),
        (read_mat_velocity, "a", {"vmodel": MODEL.T}, {}, ValueError, 'shape [9, 6] may be [nz, nx] or [nx, nz]; give'),
        (read_mat_velocity, "a", {"vmodel": RECORDS}, {}, ValueError, "must be [nz, nx], got shape [40, 12, 5]"),
        (read_mat_velocity, "a", {"vmodel": MODEL / 1e3}, {}, ValueError, 'a.mat: vmodel must hold velocities between'),
        (read_mat_velocity, "a", {"vmodel": MODEL / 1e3}, {}, ValueError, 'give unit="km/s"'),
        (read_mat_velocity, "a", {"vmodel": MODEL}, {"order": "yz"}, ValueError, 'order must be "zx" or "xz"'),
    ]  # fmt: skip
    for read, name, variables, options, error, message in cases:
        file = saved(tmp_path / f"{name}.mat", **variables) if variables else tmp_path / f"{name}.mat"
        with pytest.raises(error, match=re.escape(message)):
            read(file, **options)


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "a.mat", data=RECORDS)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"\.mat files needs scipy: pip install 'seisfast\[io\]'"):
        read_mat_records(file)


# -- folders -----------------------------------------------------------------------------------------------------------


def fcnvmb(folder: Path, numbers: range, part: str = "train") -> None:
    for n in numbers:
        saved(folder / f"georec_{part}" / f"georec{n}.mat", Rec=RECORDS + n)
        saved(folder / f"vmodel_{part}" / f"vmodel{n}.mat", vmodel=MODEL + n)


def test_a_folder_becomes_a_data_set(tmp_path: Path) -> None:
    fcnvmb(tmp_path / "SimulateData", range(1, 13))
    folder = convert_mat_folder(tmp_path / "SimulateData", tmp_path / "out", per_file=5, progress=False)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{kind}{k}.npy" for kind in ("data", "model") for k in (1, 2, 3)
    ]
    stored = StoredDataset(folder)
    assert len(stored) == 12
    assert stored.geometry == {"shots": 5, "receivers": 12, "samples": 40, "shape": (6, 9)}
    for k in (0, 9, 11):  # by number, not by name: 2 before 10
        records, velocity = stored[k]
        np.testing.assert_array_equal(records, (RECORDS + k + 1).transpose(2, 0, 1).astype(np.float32))
        np.testing.assert_array_equal(velocity[0], (MODEL + k + 1).astype(np.float32))


@pytest.mark.parametrize(
    ("records", "model"),
    [
        ("georec{}.mat", "vmodel{}.mat"),
        ("seismic/seismic{}.mat", "vmodel/vmodel{}.mat"),
        ("train_data/seismic/seismic{}.mat", "train_data/vmodel/vmodel{}.mat"),
        ("srec_train/srec{}.mat", "svmodel_train/svmodel{}.mat"),
        ("georec_test/georec{}.mat", "vmodel_test/svmodel{}.mat"),
    ],
)
def test_pairs_are_found_in_every_layout(records: str, model: str, tmp_path: Path) -> None:
    for n in (2, 10, 1):
        for name in (records, model):
            (tmp_path / name.format(n)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name.format(n)).touch()
    (tmp_path / "results.mat").touch()
    wanted = [(tmp_path / records.format(n), tmp_path / model.format(n)) for n in (1, 2, 10)]
    assert find_mat_pairs(tmp_path) == wanted
    assert find_mat_velocities(tmp_path) == [pair[1] for pair in wanted]


def test_equal_numbers_in_two_parts_do_not_meet(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fcnvmb(tmp_path, range(1, 2), part)
    pairs = find_mat_pairs(tmp_path)
    assert [pair[0].parent.name for pair in pairs] == ["georec_test", "georec_train"]
    assert [pair[1].parent.name for pair in pairs] == ["vmodel_test", "vmodel_train"]


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    empty, half, twice, uneven = (tmp_path / name for name in ("empty", "half", "twice", "uneven"))
    empty.mkdir()
    fcnvmb(half, range(1, 4))
    (half / "vmodel_train" / "vmodel2.mat").unlink()
    fcnvmb(twice, range(1, 2))
    saved(twice / "georec_train" / "seismic1.mat", Rec=RECORDS)
    fcnvmb(uneven, range(1, 4))
    saved(uneven / "georec_train" / "georec3.mat", Rec=RECORDS[:30])
    for folder, error, message in (
        (tmp_path / "none", FileNotFoundError, "folder does not exist"),
        (empty, FileNotFoundError, "no records in .mat files: expected pairs like georec1.mat and vmodel1.mat"),
        (half, FileNotFoundError, "georec2.mat has no partner: no velocity model with number 2 beside it"),
        (twice, ValueError, "stand for the same place"),
        (uneven, ValueError, r"georec3.mat must have the shape \[5, 40, 12\] of the first file, got \[5, 30, 12\]"),
    ):
        with pytest.raises(error, match=message):
            convert_mat_folder(folder, tmp_path / "out", progress=False)
        assert not list((tmp_path / "out").glob("*"))
    with pytest.raises(FileNotFoundError, match="no velocity models"):
        find_mat_velocities(empty)
    fcnvmb(tmp_path / "good", range(1, 3))
    convert_mat_folder(tmp_path / "good", tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="output must not exist, or be an empty folder"):
        convert_mat_folder(tmp_path / "good", tmp_path / "out", progress=False)
