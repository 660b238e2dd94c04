"""What a survey is made of, checked and converted once: numbers, cells and samples."""

from __future__ import annotations

import math
import numbers
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Cells = npt.NDArray[np.int32]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def positive(name: str, value: Any) -> float:  # noqa: ANN401 - whatever the user gave
    """The value as a float.

    Raises:
        TypeError: not a real number.
        ValueError: not positive and finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def whole(name: str, value: Any, least: int = 1) -> int:  # noqa: ANN401
    """The value as an int.

    Raises:
        TypeError: not an integer.
        ValueError: below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {least}, got {value!r}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return number


def grid(shape: Any) -> tuple[int, int]:  # noqa: ANN401
    """(nz, nx) as ints.

    Raises:
        TypeError: not integers.
        ValueError: not two, or below 1.
    """
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ValueError(f"shape must be (nz, nx) with at least one cell each, got {shape!r}")
    return whole("shape", shape[0]), whole("shape", shape[1])


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


def cells(name: str, positions: Any, forms: str, shared: int) -> Cells:  # noqa: ANN401
    """Positions as `[sets, positions, 2]`.

    Args:
        name: of the argument.
        positions: cells (iz, ix), `[positions, 2]` or `[sets, positions, 2]`.
        forms: the shapes that the message names.
        shared: the axis that two dimensions lack.

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
    if array.ndim == 2:
        array = np.expand_dims(array, shared)
    return array.astype(np.int32)


def tensor_of(array: Cells) -> Tensor:
    """The array as a tensor that no transform or mode around this call has marked."""
    with ordinary_tensors():
        tensor = torch.from_numpy(array)
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def extent(array: Cells) -> tuple[int, int, int, int]:
    """Smallest iz and ix, largest iz and ix: plain numbers, which a compiled call can check."""
    low, high = array.min((0, 1)), array.max((0, 1))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def repeats(array: Cells) -> bool:
    """Whether a cell occurs twice in a set (the adjoint of such receivers must be summed in order)."""
    ordered = np.sort(array[..., 0].astype(np.int64) * 2**31 + array[..., 1], axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


def samples(wavelet: Any, shots: int, per_shot: int, nt: int) -> Tensor:  # noqa: ANN401
    """The wavelet as a tensor of its own, half types in float32, or the given one where it requires grad.

    Raises:
        TypeError: not floating point.
        ValueError: a shape that does not fit the shots and samples, or values that are not finite.
    """
    given = wavelet if isinstance(wavelet, Tensor) else np.asarray(wavelet)
    if not isinstance(given, Tensor):
        if given.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"wavelet must be float16, bfloat16, float32 or float64, got {given.dtype}")
        given = torch.from_numpy(np.array(given))
    if given.dtype not in FLOATS:
        raise TypeError(f"wavelet must be float16, bfloat16, float32 or float64, got {given.dtype}")
    forms = {1: (nt,), 2: (shots, nt), 3: (shots, per_shot, nt)}
    dims = given.dim()
    wanted = forms.get(dims, (given.shape[0] if dims else 0, shots, per_shot, nt))
    if tuple(given.shape) != wanted or given.numel() == 0:
        raise ValueError(
            f"wavelet must have shape [time] = [{nt}], [shots, time] = [{shots}, {nt}], "
            f"[shots, per_shot, time] = [{shots}, {per_shot}, {nt}] or [models, {shots}, {per_shot}, {nt}], "
            f"got {list(given.shape)}"
        )
    if not bool(torch.isfinite(given.detach()).all()):
        raise ValueError("wavelet must be finite, got NaN or infinity")
    if given.requires_grad:
        return given
    with ordinary_tensors():
        return given.to(torch.promote_types(given.dtype, torch.float32), copy=True)


def ordinary_tensors() -> AbstractContextManager[object]:
    """Within it, what is made can be used in training, also when the survey is first used under inference mode."""
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


def rounded_down(value: float) -> float:
    """Six significant digits, never above the value: a stated limit must itself be allowed."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 5)
    return math.floor(value / unit) * unit


def _not_cells(name: str, dtype: object) -> str:
    return f"{name} must be integer cells (iz, ix), got {dtype}; round them to the grid first"
