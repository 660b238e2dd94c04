"""What a survey is made of, checked and converted once: numbers, cells and samples."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import forward_ad

Array = npt.NDArray[np.float64]
Kinds = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def real(name: str, value: Any) -> float:  # noqa: ANN401 - whatever the user gave
    """The value as a float.

    Raises:
        TypeError: not a real number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:  # noqa: ANN401
    """The value as a float.

    Raises:
        TypeError: not a real number.
        ValueError: not positive and finite.
    """
    number = real(name, value)
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


def item(name: str, value: Any, count: int) -> int:  # noqa: ANN401
    """The value as the number of one of `count` items.

    Raises:
        TypeError: not an integer.
        ValueError: below zero, or `count` or more.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer between 0 and {count - 1}, got {value!r}")
    number = int(value)
    if not 0 <= number < count:
        raise ValueError(f"{name} must lie between 0 and {count - 1}, got {value!r}")
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


def positions(name: str, given: Any, forms: str) -> Tensor:  # noqa: ANN401
    """Positions (iz, ix) in cells, with two or three dimensions: the given tensor where it moves, else float64.

    Args:
        name: of the argument.
        given: positions, the last dimension 2.
        forms: the shapes that the message names.

    Raises:
        TypeError: not real numbers.
        ValueError: none, or a shape that is not one of `forms`.
    """
    array = read(name, given) if isinstance(given, Tensor) else _array(name, given, forms)
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one position (iz, ix), got shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be positions (iz, ix) in cells, integer or floating point, got {array.dtype}")
    if array.ndim not in (2, 3) or array.shape[-1] != 2:
        raise ValueError(f"{name} must have shape {forms}, got {list(array.shape)}")
    return given if isinstance(given, Tensor) and is_moving(given) else tensor_of(array.astype(np.float64))


def is_moving(tensor: Tensor) -> bool:
    """Whether anything differentiates by this tensor: autograd in either direction, or torch.func."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return bool(tensor.requires_grad or wrapped or forward_ad.unpack_dual(tensor).tangent is not None)


def read(name: str, tensor: Tensor) -> npt.NDArray[Any]:
    """The values of a tensor, whatever transforms are around it.

    Raises:
        ValueError: `torch.func.vmap` maps over it.
    """
    functorch, inner = torch._C._functorch, tensor
    while functorch.is_functorch_wrapped_tensor(inner):
        if functorch.is_batchedtensor(inner):
            raise ValueError(f"{name} cannot be mapped by torch.func.vmap: their values say which cells they need")
        inner = functorch.get_unwrapped(inner)
    return np.array(tensor.tolist())


def kinds(name: str, given: Any, names: Sequence[str], shape: tuple[int, int]) -> Kinds:  # noqa: ANN401
    """What each position is, as places in `names`: `[1 or shots, positions]`.

    Raises:
        ValueError: another name, or a shape that is neither `[positions]` nor `[shots, positions]` = `shape`.
    """
    forms = f"[{shape[1]}] or [{shape[0]}, {shape[1]}]"
    array = _array(name, given, forms)
    wrong = [kind for kind in array.reshape(-1).tolist() if kind not in names]
    if wrong:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {wrong[0]!r}")
    if array.shape not in ((), shape[1:], shape):
        raise ValueError(f"{name} must be one name, or one for each position, {forms}, got {list(array.shape)}")
    places = np.argmax(array[..., None] == np.array(names), -1)
    return np.broadcast_to(places, (shape[0] if array.ndim == 2 else 1, shape[1]))


def flags(name: str, given: Any, shape: tuple[int, int]) -> Flags:  # noqa: ANN401
    """A mask of shape [shots, receivers] = `shape`.

    Raises:
        TypeError: not booleans.
        ValueError: another shape, or nothing left.
    """
    forms = f"[shots, receivers] = {list(shape)}"
    array = _array(name, given.cpu() if isinstance(given, Tensor) else given, forms)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {forms}, got {list(array.shape)}")
    if not array.any():
        raise ValueError(f"{name} must leave a receiver in some shot, got none")
    return array.copy()


def _array(name: str, given: Any, forms: str) -> npt.NDArray[Any]:  # noqa: ANN401
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} must have shape {forms}, got rows of different lengths") from error


def tensor_of(array: npt.NDArray[Any]) -> Tensor:
    """The array as a tensor that no transform or mode around this call has marked."""
    with ordinary_tensors():
        tensor = torch.from_numpy(array)
    return unwrapped(tensor)


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor below all transforms of torch.func."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def repeats(array: npt.NDArray[Any]) -> bool:
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
