"""Records and velocity models in MATLAB files, as FCNVMB, DD-Net and others publish them.

Source: the readers of YangFangShu/FCNVMB-Deep-learning-based-seismic-velocity-model-building and FanSmale/ddnet.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from seisfast.data.units import metres_per_second

RECORD_KEYS = ("Rec", "data")
VELOCITY_KEYS = ("vmodel", "svmodel", "data")
RECORD_AXES = ("shots", "time", "receivers")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat_records(
    path: str | os.PathLike[str], *, key: str | None = None, axes: str | None = None
) -> npt.NDArray[np.float32]:
    """Records from a MATLAB file.

    Args:
        path: a .mat file of version 7 or older.
        key: name of the variable; left out, the one of `Rec` and `data` that is there.
        axes: order of its axes in MATLAB, such as "time receivers shots", which FCNVMB and DD-Net have. Left out, it is
            that one, and must be seen to be: time longer than receivers, and these more than shots. MATLAB drops a
            last axis of one, so `[time, receivers]` is one shot.

    Returns:
        `[shots, time, receivers]`, float32, in the units of the file.

    Raises:
        FileNotFoundError: no such file.
        ImportError: scipy is missing.
        TypeError: a variable that does not hold floating-point numbers.
        ValueError: a file of another kind or version 7.3, a key that is not there or not unique, another number of
            axes, axes that could be others, or numbers that are not finite.
    """
    names = ("time", "receivers", "shots") if axes is None else _named(axes)
    file = Path(path)
    name = _chosen(file, key, RECORD_KEYS)
    array = _variable(file, name)
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise ValueError(f"{file}: {name} must be [time, receivers, shots], got shape {list(shape)}")
    if axes is None and not array.shape[0] > array.shape[1] > array.shape[2]:
        raise ValueError(
            f"{file}: {name} of shape {list(shape)} may have its axes in another order than [time, receivers, shots]; "
            f'give axes="time receivers shots", or what they are'
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{file}: {name} must be finite, got NaN or infinity")
    ordered = array.transpose([names.index(axis) for axis in RECORD_AXES])
    return np.ascontiguousarray(ordered, dtype=np.float32)


def read_mat_velocity(
    path: str | os.PathLike[str], *, key: str | None = None, order: str | None = None, unit: str = "m/s"
) -> npt.NDArray[np.float32]:
    """A velocity model from a MATLAB file.

    Args:
        path: a .mat file of version 7 or older.
        key: name of the variable; left out, the one of `vmodel`, `svmodel` and `data` that is there.
        order: "zx" for `[nz, nx]` in MATLAB, "xz" for `[nx, nz]`. Left out, it is "zx" for a model at least as wide as
            deep, and must be given for others.
        unit: "m/s" or "km/s", that of the file.

    Returns:
        `[nz, nx]`, m/s, float32.

    Raises:
        FileNotFoundError: no such file.
        ImportError: scipy is missing.
        TypeError: a variable that does not hold floating-point numbers.
        ValueError: as `read_mat_records`, or values that are no velocities in m/s.
    """
    if order not in (None, "zx", "xz"):
        raise ValueError(f'order must be "zx" or "xz", got {order!r}')
    file = Path(path)
    name = _chosen(file, key, VELOCITY_KEYS)
    array = _variable(file, name)
    if array.ndim != 2:
        raise ValueError(f"{file}: {name} must be [nz, nx], got shape {list(array.shape)}")
    if order is None and array.shape[0] > array.shape[1]:
        raise ValueError(
            f"{file}: {name} of shape {list(array.shape)} may be [nz, nx] or [nx, nz]; "
            'give order="zx" for the first, order="xz" for the second; records of one shot are read with '
            'axes="time receivers shots"'
        )
    return metres_per_second(f"{file}: {name}", array.T if order == "xz" else array, unit)


def holds_records(path: str | os.PathLike[str], key: str | None = None) -> bool:
    """Whether the variable that the readers would take is one of records: `Rec`, or one of three axes.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `read_mat_records`.
    """
    file = Path(path)
    name = _chosen(file, key, (*RECORD_KEYS, *VELOCITY_KEYS))
    return name == RECORD_KEYS[0] or len(_variables(file)[name][0]) == 3


def _scipy_io() -> ModuleType:
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError("reading .mat files needs scipy: pip install 'seisfast[io]'") from error
    module: ModuleType = scipy.io
    return module


def _variables(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and MATLAB class of everything that a file holds, by name."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    with file.open("rb") as opened:
        begins = opened.read(520)
    if begins.startswith((_HDF5, b"MATLAB 7.3")) or begins[512:].startswith(_HDF5):
        raise ValueError(
            f"{file} is a MATLAB file of version 7.3 (HDF5), which is not read; "
            "save it again in MATLAB with save(name, '-v7')"
        )
    found = _tried(file, lambda module: module.whosmat(str(file), appendmat=False))
    return {str(name): (tuple(shape), str(kind)) for name, shape, kind in found}


def _chosen(file: Path, key: str | None, known: tuple[str, ...]) -> str:
    """The one variable that is asked for, or that has a known name."""
    held = list(_variables(file))
    if key is not None:
        if key not in held:
            raise ValueError(f"{file} has no variable {key!r}; it has {_listed(held)}")
        return key
    found = [name for name in dict.fromkeys(known) if name in held]
    if not found:
        raise ValueError(f"{file} has none of {_listed(dict.fromkeys(known))}; give key= one of {_listed(held)}")
    if len(found) > 1:
        raise ValueError(f"{file} has {_listed(found)}; give key= the one to read")
    return found[0]


def _variable(file: Path, name: str) -> npt.NDArray[np.floating[Any]]:
    shape, kind = _variables(file)[name]
    if kind in ("double", "single"):
        array = _tried(file, lambda module: module.loadmat(str(file), appendmat=False, variable_names=[name]))[name]
        kind = f"complex {kind}" if np.iscomplexobj(array) else kind
    if kind not in ("double", "single"):
        raise TypeError(f"{file}: {name} must hold real floating-point numbers, got {kind}; convert it in MATLAB")
    if 0 in shape:
        raise ValueError(f"{file}: {name} must hold numbers, got shape {list(shape)}")
    # Doubles that are whole come as the small integers that MATLAB packs them into.
    return np.asarray(array, np.float32 if kind == "single" else np.float64)


def _tried(file: Path, read: Any) -> Any:  # noqa: ANN401 - scipy has no types
    module = _scipy_io()
    damaged = (ValueError, TypeError, LookupError, EOFError, OSError, zlib.error, module.matlab.MatReadError)
    try:
        return read(module)
    except damaged as error:
        raise ValueError(
            f"{file} is not a whole MATLAB file (truncated, damaged or of another kind): {error}"
        ) from None


def _named(axes: str) -> tuple[str, ...]:
    names = tuple(axes.replace(",", " ").split()) if isinstance(axes, str) else ()
    if sorted(names) != sorted(RECORD_AXES):
        raise ValueError(f"axes must name {', '.join(RECORD_AXES)} in some order, got {axes!r}")
    return names


def _listed(names: Any) -> str:  # noqa: ANN401 - any names
    return ", ".join(map(repr, names)) or "no variables"
