"""What all figures share: new axes, checks of what is drawn, metres, where colours end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def cell_size(spacing: Spacing) -> tuple[float, float, str]:
    """Metres between cells (dz, dx) and their unit; without a spacing the axes count cells."""
    if spacing is None:
        return 1.0, 1.0, "cells"
    dz, dx = (float(d) for d in (spacing if isinstance(spacing, tuple) else (spacing, spacing)))
    if not (math.isfinite(dz) and math.isfinite(dx) and dz > 0 and dx > 0):
        raise ValueError(f"spacing must be positive metres, got {spacing}")
    return dz, dx, "m"


def clip(values: Array, perc: float) -> float:
    """Where colours symmetric about zero end: this percentile of the absolute amplitude, one where all is zero."""
    if not 0 < perc <= 100:
        raise ValueError(f"perc must lie in (0, 100], got {perc}")
    amplitude = np.abs(values)
    return float(np.percentile(amplitude, perc)) or float(amplitude.max()) or 1.0
