"""What all figures share: new axes, checks of what is drawn and how, metres, where colours end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from seisfast.arguments import real
from seisfast.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Array = npt.NDArray[np.float64]
Spacing = float | tuple[float, float] | None


def new_axes(size: tuple[float, float]) -> Axes:
    """Axes of a new figure of this size in inches."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def as_array(name: str, values: npt.ArrayLike | torch.Tensor, dims: int, form: str) -> Array:
    """The values as float64 with leading axes of length one dropped until `dims` are left."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}")
    shape = array.shape
    while array.ndim > dims and array.shape[0] == 1:
        array = array[0]
    if array.ndim != dims or array.size == 0:
        raise ValueError(f"{name} must be {form}, got shape {list(shape)}")
    result = array.astype(np.float64)
    if not np.isfinite(result).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return result


def check_survey(survey: Survey | None) -> None:
    """Whether this is a survey, or none.

    Raises:
        TypeError: something else.
    """
    if not isinstance(survey, Survey | None):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")


def colour_map(cmap: str | Colormap, name: str = "cmap") -> Colormap:
    """The colour map of this name, or the one given.

    Raises:
        TypeError: neither a name nor a colour map.
        ValueError: a name that matplotlib does not know.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if isinstance(cmap, Colormap):
        return cmap
    if not isinstance(cmap, str):
        raise TypeError(f"{name} must be a colour map of matplotlib or its name, got {cmap!r}")
    if cmap not in colormaps:
        raise ValueError(f"{name} must be known to matplotlib, which has no colour map {cmap!r}")
    return colormaps[cmap]


def cell_size(spacing: Spacing, survey: Survey | None = None) -> tuple[float, float, str]:
    """Metres between cells (dz, dx) and their unit: the spacing, else that of the survey, else one cell."""
    check_survey(survey)
    if spacing is None:
        return (1.0, 1.0, "cells") if survey is None else (*survey.spacing, "m")
    dz, dx = (float(d) for d in (spacing if isinstance(spacing, tuple) else (spacing, spacing)))
    if not (math.isfinite(dz) and math.isfinite(dx) and dz > 0 and dx > 0):
        raise ValueError(f"spacing must be positive metres, got {spacing}")
    return dz, dx, "m"


def percentile(perc: float, name: str = "perc") -> float:
    """The percentile as a float.

    Raises:
        TypeError: not a real number.
        ValueError: outside (0, 100].
    """
    value = real(name, perc)
    if not 0 < value <= 100:
        raise ValueError(f"{name} must lie in (0, 100], got {perc}")
    return value


def clip(values: Array, perc: float) -> float:
    """Where colours symmetric about zero end: this percentile of the absolute amplitude, one where all is zero."""
    wanted, amplitude = percentile(perc), np.abs(values)
    return float(np.percentile(amplitude, wanted)) or float(amplitude.max()) or 1.0
