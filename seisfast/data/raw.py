"""Velocity models in raw binary files: nothing but numbers, so that all else is said and checked here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seisfast.arguments import grid
from seisfast.data.units import check_unit, metres_per_second

ORDERS = {"zx": (0, 1), "xz": (1, 0)}
# Marmousi and others are 3.3 to 90 times as rough in the wrong order. Short, steep folds may be so in the right one, as
# a few of CurveVel-B on 40 x 400 cells are; `check` is for them.
SMOOTHER = 2.0
_ABSURD = (1e-6, 1e9)  # numbers in the wrong byte order soon lie outside


def read_raw(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    *,
    order: str = "zx",
    dtype: npt.DTypeLike = "<f4",
    unit: str = "m/s",
    check: bool = True,
) -> npt.NDArray[np.float32]:
    """A velocity model from a file of numbers without a header.

    The order of the axes is checked by the total variation of the model over a box of unit sides: where the same
    numbers in the other order make a model less than half as rough, the order is refused. That says nothing of a model
    of nz = nx, which is as smooth transposed, nor of a shape and an order that are both swapped: they make the
    transposed model, as smooth as the right one. Steep folds of many cells along x may be refused in the right order.

    Args:
        path: the file.
        shape: (nz, nx) of the model, whatever the order.
        order: "zx" where the numbers of a row, along x, are neighbours in the file; "xz" where those of a column, along
            z, are, as in many Fortran and Seismic Unix files.
        dtype: of the numbers: "<f4" is float32 with the low byte first, ">f4" with the high byte first, "<f8" float64.
        unit: "m/s" or "km/s", that of the file.
        check: whether to refuse an order that makes the model rough.

    Returns:
        `[nz, nx]`, m/s, float32.

    Raises:
        FileNotFoundError: no such file.
        TypeError: a dtype or shape that is no floating-point type or no integers, or a check that is no bool.
        ValueError: a file of another size, values that are no velocities (not finite, not between 300 and 10,000 m/s,
            another unit, another byte order), or axes in the other order. The message names the remedy.
    """
    nz, nx = grid(shape)
    check_unit(unit)
    if not isinstance(check, bool):
        raise TypeError(f"check must be True or False, got {check!r}")
    if order not in ORDERS:
        raise ValueError(f'order must be "zx" or "xz", got {order!r}')
    kind = _floating(dtype)
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    _check_size(file, nz, nx, kind)
    numbers = np.fromfile(file, kind)
    _check_bytes(file, numbers)
    with np.errstate(invalid="ignore"):  # NaN is refused below
        native = numbers.astype(np.float64)  # half precision would round in km/s, and overflow in sums
    values = _picture(native, (nz, nx), order)
    velocity = metres_per_second(str(file), values, unit)
    if not check:
        return velocity
    other = next(name for name in ORDERS if name != order)
    rough, rough_otherwise = _roughness(values), _roughness(_picture(native, (nz, nx), other))
    if rough > SMOOTHER * rough_otherwise:
        raise ValueError(
            f'{file}: order "{order}" makes a model of {nz} x {nx} cells (nz x nx) that is '
            f'{rough / rough_otherwise:.1f} times as rough as order "{other}" does; give order="{other}", '
            f"or shape=({nx}, {nz}) if these were swapped, or check=False if the model is so"
        )
    return velocity


def _floating(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a floating-point type such as '<f4', got {dtype!r}") from None
    if kind.kind != "f":
        raise TypeError(f"dtype must be a floating-point type such as '<f4', got {kind}")
    return kind


def _check_size(file: Path, nz: int, nx: int, kind: np.dtype[Any]) -> None:
    """Refuse a file of another size, with what would fit."""
    size = file.stat().st_size
    if size == nz * nx * kind.itemsize:
        return
    count, rest = divmod(size, kind.itemsize)
    fits = []
    if count and not rest:
        fits += [f"shape=({nz}, {count // nz})"] if count % nz == 0 else []
        fits += [f"shape=({count // nx}, {nx})"] if count % nx == 0 else []
        fits += _near(count, nz / nx) if not fits else []
    fits += [f"dtype='<f{size // (nz * nx)}'" for width in (2, 4, 8) if size == width * nz * nx]
    raise ValueError(
        f"{file} must hold {nz} x {nx} numbers of {kind.itemsize} bytes = {nz * nx * kind.itemsize} bytes, has {size}"
        + (f"; {' or '.join(fits)} would fit" if fits else "")
    )


def _near(count: int, aspect: float) -> list[str]:
    """The shape of so many cells whose nz / nx is nearest to `aspect`, but for those of a single row or column."""
    divisors = [n for n in range(2, int(count**0.5) + 1) if count % n == 0]
    shapes = [pair for n in divisors for pair in ((n, count // n), (count // n, n))]
    return [f"shape={min(shapes, key=lambda s: abs(np.log(s[0] / s[1] / aspect)))}"] if shapes else []


def _check_bytes(file: Path, numbers: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse numbers that are absurd as they are and ordinary with their bytes the other way round."""
    turned = numbers.view(numbers.dtype.newbyteorder())
    if _absurd(numbers) and not _absurd(turned):
        raise ValueError(
            f"{file} holds numbers in another byte order than dtype={numbers.dtype.str!r}; "
            f"give dtype={turned.dtype.str!r}"
        )


def _absurd(numbers: npt.NDArray[np.floating[Any]]) -> bool:
    with np.errstate(invalid="ignore"):  # bytes the other way round may be any kind of NaN
        size = np.abs(numbers.astype(np.float64))
    return not bool(np.all((size == 0) | ((size > _ABSURD[0]) & (size < _ABSURD[1]))))


def _picture(numbers: npt.NDArray[np.floating[Any]], shape: tuple[int, int], order: str) -> npt.NDArray[Any]:
    """The numbers `[nz nx]` as `[nz, nx]`."""
    axes = ORDERS[order]
    return numbers.reshape([shape[axis] for axis in axes]).transpose(axes)


def _roughness(values: npt.NDArray[np.floating[Any]]) -> float:
    """Total variation over a box of unit sides."""
    sides = (np.abs(np.diff(values, axis=axis)).sum() / values.shape[1 - axis] for axis in (0, 1))
    return float(sum(sides))
