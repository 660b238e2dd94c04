"""Folders of MATLAB files as FCNVMB and DD-Net lay them out, turned into OpenFWI's layout."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisfast.data.checks import check_count
from seisfast.data.matlab import read_mat_records, read_mat_velocity
from seisfast.data.progress import model_bar
from seisfast.files import sync_folder

_RECORD = re.compile(r"(georec|srec|seismic)(\d+)\.mat")
_VELOCITY = re.compile(r"(svmodel|vmodel)(\d+)\.mat")
_KIND = re.compile(r"georec|srec|seismic|svmodel|vmodel")
_EXPECTED = "georec1.mat and vmodel1.mat, srec1.mat and svmodel1.mat, or seismic1.mat and vmodel1.mat"

_Key = tuple[str, int]
_Reader = Callable[[Path], npt.NDArray[np.float32]]


def find_mat_pairs(folder: str | os.PathLike[str]) -> list[tuple[Path, Path]]:
    """Pairs of record and velocity files in a folder and all below it.

    Records are `georec{n}.mat`, `srec{n}.mat` or `seismic{n}.mat`, velocities `vmodel{n}.mat` or `svmodel{n}.mat`: in
    one folder, or in two beside each other that are named alike, such as `georec_train` and `vmodel_train`.

    Returns:
        (records, velocity), by folder and number.

    Raises:
        FileNotFoundError: no such folder, no such files, or one without its partner.
        ValueError: two files for one place.

    Source: PathConfig.py and func/DataLoad_Train.py of FCNVMB, func/datasets_reader.py of ddnet.
    """
    records, velocities = _found(folder, _RECORD), _found(folder, _VELOCITY)
    if not records:
        raise FileNotFoundError(f"{folder} holds no records in .mat files: expected pairs like {_EXPECTED}")
    for key in sorted({*records, *velocities}):
        if key not in records or key not in velocities:
            present, absent = (records, "velocity model") if key in records else (velocities, "record")
            raise FileNotFoundError(f"{present[key]} has no partner: no {absent} with number {key[1]} beside it")
    return [(records[key], velocities[key]) for key in sorted(records)]


def find_mat_velocities(folder: str | os.PathLike[str]) -> list[Path]:
    """Velocity files in a folder and all below it, by folder and number, whether or not they have records.

    Raises:
        FileNotFoundError: no such folder, or no such files.
        ValueError: two files for one place.
    """
    velocities = _found(folder, _VELOCITY)
    if not velocities:
        raise FileNotFoundError(f"{folder} holds no velocity models: expected files like vmodel1.mat or svmodel1.mat")
    return [velocities[key] for key in sorted(velocities)]


def convert_mat_folder(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    per_file: int = 500,
    unit: str = "m/s",
    progress: bool = True,
) -> Path:
    """Copy the pairs of `find_mat_pairs` into OpenFWI's layout, which `StoredDataset` reads.

    The output gets `data{k}.npy`, float32 `[n, shots, time, receivers]`, and `model{k}.npy`, float32 `[n, 1, nz, nx]`
    in m/s, k = 1, 2, ... They are written into a folder beside it, which takes its name when they are complete: what a
    kill leaves there is dropped by the next call.

    Args:
        folder: of .mat files.
        output: must not exist, or be an empty folder.
        per_file: models in a file.
        unit: "m/s" or "km/s", that of the velocity files.
        progress: show a progress bar on a terminal.

    Returns:
        The output folder.

    Raises:
        FileNotFoundError: as `find_mat_pairs`.
        TypeError, ValueError: a file that `read_mat_records` or `read_mat_velocity` refuses, one of another shape than
            the first, or an output folder that holds arrays.
        OSError: no room on the disk.
    """
    check_count("per_file", per_file)
    pairs = find_mat_pairs(folder)
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"output must not exist, or be an empty folder, got {target}")
    growing = target.with_name(f"{target.name}.partial")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    records, velocities = zip(*pairs, strict=True)
    read = (_alike(read_mat_records), _alike(lambda path: read_mat_velocity(path, unit=unit)[None]))
    with model_bar("convert", len(pairs), shown=progress) as advance:
        for number, start in enumerate(range(0, len(pairs), per_file), 1):
            part = slice(start, start + per_file)
            _write(growing / f"data{number}.npy", records[part], read[0], int)
            _write(growing / f"model{number}.npy", velocities[part], read[1], advance)
    os.replace(growing, target)
    sync_folder(target.parent)
    return target


def convert_mat_velocities(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], *, unit: str = "m/s", progress: bool = True
) -> Path:
    """Copy the velocity models of a folder into one `.npy` file, float32 `[models, 1, nz, nx]` in m/s.

    Raises:
        FileNotFoundError: as `find_mat_velocities`.
        TypeError, ValueError: a file that `read_mat_velocity` refuses, or one of another shape than the first.
        OSError: no room on the disk.
    """
    files, target = find_mat_velocities(folder), Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    with model_bar("convert", len(files), shown=progress) as advance:
        _write(target, files, _alike(lambda path: read_mat_velocity(path, unit=unit)[None]), advance)
    return target


def _found(folder: str | os.PathLike[str], pattern: re.Pattern[str]) -> dict[_Key, Path]:
    """Files of a name by their folder, with the kind taken out of its name, and their number."""
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"folder does not exist: {root}")
    found: dict[_Key, Path] = {}
    for path in sorted(root.rglob("*.mat")):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        key = (_KIND.sub("", path.parent.relative_to(root).as_posix()), int(match[2]))
        if key in found:
            raise ValueError(f"{found[key]} and {path} stand for the same place; keep one of them")
        found[key] = path
    return found


def _alike(read: _Reader) -> _Reader:
    """The reader, which refuses an array of another shape than that of its first file."""
    first: list[tuple[int, ...]] = []

    def checked(file: Path) -> npt.NDArray[np.float32]:
        array = read(file)
        first[:] = first or [array.shape]
        if array.shape != first[0]:
            raise ValueError(f"{file} must have the shape {list(first[0])} of the first file, got {list(array.shape)}")
        return array

    return checked


def _write(target: Path, files: Sequence[Path], read: _Reader, advance: Callable[[int], object]) -> None:
    """One .npy file of the arrays of many."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("wb") as opened:
            for k, file in enumerate(files):
                array = read(file)
                if k == 0:
                    opened.write(_header((len(files), *array.shape)))
                opened.write(array.tobytes())
                advance(1)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()
