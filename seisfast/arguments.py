"""What a survey is made of, checked and converted once: numbers, cells and samples, and the errors they raise."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor


def positive(name: str, value: Any) -> float:  # noqa: ANN401 - whatever the user gave
    """The value as a float.

    Raises:
        TypeError: not a real number.
        ValueError: not positive and finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def whole(name: str, value: Any, least: int = 1) -> int:  # noqa: ANN401
    """The value as an int.

    Raises:
        TypeError: not an integer.
        ValueError: below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def spacings(spacing: Any) -> tuple[float, float]:  # noqa: ANN401
    """(dz, dx) in metres from one number or a pair.

    Raises:
        TypeError: not numbers.
        ValueError: not two, or not positive.
    """
    if isinstance(spacing, numbers.Real):
        return positive("spacing", spacing), positive("spacing", spacing)
    if not isinstance(spacing, (tuple, list, np.ndarray)):
        raise TypeError(f"spacing must be one number or (dz, dx), got {spacing!r}")
    if len(spacing) != 2:
        raise ValueError(f"spacing must be one number or (dz, dx), got {spacing!r}")
    return positive("spacing", spacing[0]), positive("spacing", spacing[1])


def cells(name: str, positions: Any, forms: str) -> Tensor:  # noqa: ANN401
    """Positions as int32 on the CPU, a tensor that no transform or mode around this call has marked.

    Raises:
        TypeError: not integers.
        ValueError: none, a shape that is not one of `forms`, or numbers that no grid has.
    """
    if isinstance(positions, Tensor):
        if positions.is_floating_point() or positions.is_complex():
            raise TypeError(_not_cells(name, positions.dtype))
        positions = positions.tolist()
    try:
        array = np.asarray(positions)
    except ValueError as error:
        raise ValueError(f"{name} must have shape {forms}, got rows of different lengths") from error
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one position (iz, ix), got shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(_not_cells(name, array.dtype))
    if array.ndim not in (2, 3) or array.shape[-1] != 2:
        raise ValueError(f"{name} must have shape {forms}, got {list(array.shape)}")
    largest = max(int(array.max()), -int(array.min()))
    if largest > 2**30:
        raise ValueError(f"{name} must be cell indices, got {largest}")
    with torch.inference_mode(False):
        return torch.from_numpy(array.astype(np.int32))


def samples(wavelet: Any, shots: int, per_shot: int, nt: int) -> Tensor:  # noqa: ANN401
    """The wavelet as a tensor of its own, or the given one where it requires grad.

    Raises:
        TypeError: not float32 or float64.
        ValueError: a shape that does not fit the shots and samples, or values that are not finite.
    """
    given = wavelet if isinstance(wavelet, Tensor) else np.asarray(wavelet)
    if not isinstance(given, Tensor):
        if given.dtype not in (np.float32, np.float64):
            raise TypeError(f"wavelet must be float32 or float64, got {given.dtype}")
        given = torch.from_numpy(given)
    if given.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"wavelet must be float32 or float64, got {given.dtype}")
    forms = {1: (nt,), 2: (shots, nt), 3: (shots, per_shot, nt)}
    dims = given.dim()
    wanted = forms.get(dims, (given.shape[0] if dims else 0, shots, per_shot, nt))
    if tuple(given.shape) != wanted or given.numel() == 0:
        raise ValueError(
            f"wavelet must have shape [time] = [{nt}], [shots, time] = [{shots}, {nt}], [shots, per_shot, time] = "
            f"[{shots}, {per_shot}, {nt}] or [models, {shots}, {per_shot}, {nt}], got {list(given.shape)}"
        )
    if not bool(torch.isfinite(given.detach()).all()):
        raise ValueError("wavelet must be finite, got NaN or infinity")
    if given.requires_grad:
        return given
    with torch.inference_mode(False):
        return given.clone()


def _not_cells(name: str, dtype: object) -> str:
    return f"{name} must be integer cells (iz, ix), got {dtype}; round them to the grid first"
