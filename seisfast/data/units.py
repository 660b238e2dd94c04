"""Velocities of files in m/s, refused where their values cannot be velocities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UNITS = {"m/s": 1.0, "km/s": 1000.0}
SLOWEST, FASTEST = 300.0, 10_000.0  # m/s: from dry sand to more than any rock of the crust


def metres_per_second(place: str, values: npt.NDArray[np.floating[Any]], unit: str) -> npt.NDArray[np.float32]:
    """A velocity model in m/s.

    Args:
        place: what the messages name, such as the file.
        values: `[nz, nx]`.
        unit: "m/s" or "km/s", that of the values.

    Raises:
        ValueError: another unit, or values that are not finite or not between 300 and 10,000 m/s.
    """
    check_unit(unit)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(
            f"{place} must hold finite velocities, got {int(wrong.sum())} that are NaN or infinite, the first at "
            f"(iz, ix) = {_first(wrong)}"
        )
    low, high = float(values.min()), float(values.max())
    if not _plausible(low, high, unit):
        other = next(name for name in UNITS if name != unit)
        remedy = f'; give unit="{other}"' if _plausible(low, high, other) else ""
        raise ValueError(
            f"{place} must hold velocities between {SLOWEST:g} and {FASTEST:g} m/s, got {low:g} to {high:g} {unit}"
            f"{remedy}"
        )
    return np.ascontiguousarray(values * values.dtype.type(UNITS[unit]), dtype=np.float32)


def check_unit(unit: str) -> None:
    """Refuse what is no unit of velocity."""
    if unit not in UNITS:
        raise ValueError(f'unit must be "m/s" or "km/s", got {unit!r}')


def _plausible(low: float, high: float, unit: str) -> bool:
    return low * UNITS[unit] >= SLOWEST and high * UNITS[unit] <= FASTEST


def _first(wrong: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(wrong)[0])
