"""Seeded families of velocity models to simulate and train on."""

from __future__ import annotations

from typing import Any

from seisfast.geology.base import Geology
from seisfast.geology.faults import CurveFault
from seisfast.geology.layers import SeisInv

NAMES = ("SeisInv", "CurveFault")
"""Names that `build` knows."""

_CLASSES: dict[str, type[Geology]] = {"SeisInv": SeisInv, "CurveFault": CurveFault}


def build(name: str, **options: Any) -> Geology:  # noqa: ANN401
    """Make a generator by its name, for configurations and stored descriptions.

    Args:
        name: One of `NAMES`, in any case.
        **options: Fields of the class; the result of `Geology.to_dict` fits as a whole.

    Raises:
        ValueError: When the name is unknown.
        TypeError: When an option is not a field of the class.
    """
    for known, make in _CLASSES.items():
        if str(name).lower() == known.lower():
            return make(**options)
    raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")


def split(count: int) -> tuple[range, range, range]:
    """Parts for training, validation and test in the ratio 10 : 1 : 1, as in the SeisInv data set.

    Args:
        count: Number of models, at least 3; 12,000 give 10,000, 1,000 and 1,000.

    Returns:
        Three neighbouring ranges that together are `range(count)`.

    Raises:
        TypeError: When `count` is not a whole number.
        ValueError: When it is too small for three parts.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count must be a whole number, got {count!r}")
    if count < 3:
        raise ValueError(f"count must be at least 3 to make three parts, got {count}")
    part = max(1, round(count / 12))
    return range(count - 2 * part), range(count - 2 * part, count - part), range(count - part, count)


__all__ = ["NAMES", "CurveFault", "Geology", "SeisInv", "build", "split"]
