"""Records in half precision: what is stored, and what it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

LARGEST = 65504.0
_ROUNDING = 2.0**-11  # of a float16 number that is not subnormal
_SMALLEST = 2.0**-25  # half of the distance of subnormal numbers
_MARGIN = 1.001  # for the rounding of the norms
WORST = 1e-3
"""Largest relative L2 error of a record that may be stored."""


def powers(records: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """For each model the power of two that brings its largest sample into [2^14, 2^15); 1 for silence.

    Args:
        records: `[models, shots, time, receivers]`.
    """
    peak = np.abs(records).max(axis=(1, 2, 3)).astype(np.float64)
    exponent = np.where(peak > 0.0, 15 - np.frexp(peak)[1], 0)
    scale: npt.NDArray[np.float32] = np.ldexp(1.0, np.clip(exponent, -126, 126)).astype(np.float32)
    return scale


def halved(records: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Rounded to float16; what is too large becomes infinite, which `error_bound` tells."""
    return torch.from_numpy(records).half().numpy()  # by vectors, which numpy does not


def error_bound(stored: npt.NDArray[np.floating[Any]]) -> float:
    """The largest relative L2 error that rounding to these numbers can have made in one of the models.

    It follows from the stored numbers alone: each is at most 2^-11 of itself, or 2^-25, from what it was. Silent
    records have none, and one with a number that is not finite makes it infinite.

    Args:
        stored: float16 `[models, shots, time, receivers]`.
    """
    worst = 0.0
    for record in stored:
        size = torch.from_numpy(np.array(record)).flatten().float().abs_()
        norm = float(torch.linalg.vector_norm(size))
        if not math.isfinite(norm):
            return math.inf
        if norm > 0.0:
            off = torch.linalg.vector_norm(size.mul_(_ROUNDING).clamp_min_(_SMALLEST))
            worst = max(worst, _MARGIN * float(off) / norm)
    return worst
