"""Seeded families of velocity models to simulate and train on."""

from __future__ import annotations

import dataclasses
from typing import Any

from seisfast.geology.base import VERSIONS, Geology
from seisfast.geology.crops import Crops
from seisfast.geology.faults import CurveFault, FlatFault
from seisfast.geology.layers import SeisInv
from seisfast.geology.realistic import SeisInv2
from seisfast.geology.salt import Salt
from seisfast.geology.style import Style
from seisfast.geology.vel import CurveVel, FlatVel

_CLASSES: dict[str, type[Geology]] = {
    make.__name__: make for make in (SeisInv, FlatVel, CurveVel, FlatFault, CurveFault, Style, Salt, SeisInv2, Crops)
}

NAMES = tuple(_CLASSES)
"""Names of the families, which `build` knows."""

_VERSIONED = [name for name, make in _CLASSES.items() if "version" in {f.name for f in dataclasses.fields(make)}]

OPENFWI_NAMES = tuple(f"{name}-{version}" for name in _VERSIONED for version in VERSIONS)
"""OpenFWI's names of its data sets, family and version in one, which `build` knows, too."""


def build(name: str, **options: Any) -> Geology:  # noqa: ANN401
    """Make a generator by its name, for configurations and stored descriptions.

    Args:
        name: One of `NAMES` or of `OPENFWI_NAMES`, in any case; "_" may stand for "-".
        **options: Fields of the class; the result of `Geology.to_dict` fits as a whole.

    Raises:
        ValueError: When the name is unknown, or when it says another version than `options`.
        TypeError: When an option is not a field of the class.
    """
    asked = str(name).replace("_", "-").lower()
    for known, make in _CLASSES.items():
        if asked == known.lower():
            return _made(make, options)
    for known in OPENFWI_NAMES:
        if asked == known.lower():
            family, version = known.split("-")
            if str(options.get("version", version)).upper() != version:
                raise ValueError(f"version must be {version!r} to go with {known}, got {options['version']!r}")
            return _made(_CLASSES[family], {**options, "version": version})
    raise ValueError(f"name must be one of {', '.join(NAMES + OPENFWI_NAMES)}, got {name!r}")


def _made(make: type[Geology], options: dict[str, Any]) -> Geology:
    """A generator, after checking that its class has these options and lacks none.

    Raises:
        TypeError: Naming them.
    """
    known = {field.name: field.default for field in dataclasses.fields(make)}
    if not set(options) <= set(known):
        raise TypeError(f"{make.__name__} has no {sorted(set(options) - set(known))}; it has {', '.join(known)}")
    missing = [name for name, default in known.items() if default is dataclasses.MISSING and name not in options]
    if missing:
        raise TypeError(f"{make.__name__} needs {', '.join(missing)}")
    return make(**options)


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


__all__ = [
    "NAMES",
    "OPENFWI_NAMES",
    "Crops",
    "CurveFault",
    "CurveVel",
    "FlatFault",
    "FlatVel",
    "Geology",
    "Salt",
    "SeisInv",
    "SeisInv2",
    "Style",
    "build",
    "split",
]
