"""The arithmetic of a run: autocast or not, and which of CUDA's matrix units float32 products may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PRECISIONS = ("auto", "float32", "tf32", "bf16")


def resolve_precision(name: str, device: torch.device) -> str:
    """One of `PRECISIONS` on a device, with "auto" decided.

    Raises:
        ValueError: "tf32" or "bf16" on a device without it.
    """
    if name == "auto":
        return "bf16" if device.type == "cuda" and _has_bf16(device) else "float32"
    if name == "bf16" and device.type == "cuda" and not _has_bf16(device):
        raise ValueError(f'precision "bf16" needs a GPU with bfloat16 units, got {torch.cuda.get_device_name(device)}')
    if name == "tf32":
        if device.type != "cuda":
            raise ValueError(
                f'precision "tf32" is arithmetic of NVIDIA GPUs, got device {str(device)!r}: '
                'choose "float32", or device "cuda"'
            )
        if torch.cuda.get_device_capability(device) < (8, 0):
            raise ValueError(
                f'precision "tf32" needs a GPU of compute capability 8.0, got {torch.cuda.get_device_name(device)}'
            )
    return name


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


@contextmanager
def float32_products(precision: str, device: torch.device) -> Iterator[None]:
    """Inside, float32 products and convolutions on CUDA are exact, or TF32 when that is the precision.

    torch allows TF32 in cuDNN by default. With bf16 the little that stays float32 is exact too. Nothing changes for a
    CPU. The settings are the process's; those from before come back at the end.

    Args:
        precision: "float32", "tf32" or "bf16".
        device: where the run is.
    """
    if device.type != "cuda":
        yield
        return
    before = _settings()
    try:
        # The older settings, because torch refuses to read them after only the newer ones were changed.
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        yield
    finally:
        _restore(before)


def _settings() -> dict[str, Any]:
    """Both generations of torch's settings; an older one that cannot be read is left out."""
    found: dict[str, Any] = {"newer": [(place, place.fp32_precision) for place in _newer_places()]}
    for name, read in (
        ("matmul", torch.get_float32_matmul_precision),
        ("cudnn", lambda: torch.backends.cudnn.allow_tf32),
    ):
        try:
            found[name] = read()
        except RuntimeError:  # someone changed the newer settings only
            continue
    return found


def _restore(settings: dict[str, Any]) -> None:
    if "matmul" in settings:
        torch.set_float32_matmul_precision(settings["matmul"])
    if "cudnn" in settings:
        torch.backends.cudnn.allow_tf32 = settings["cudnn"]
    for place, value in settings["newer"]:
        place.fp32_precision = value


def _newer_places() -> list[Any]:
    """Objects with torch's newer setting, `fp32_precision` (2.9 on)."""
    backends: Any = torch.backends
    places = [backends.cuda.matmul]
    for group in (backends.cudnn, getattr(backends, "mkldnn", None)):
        places += [getattr(group, name, None) for name in ("matmul", "conv", "rnn")]
    return [place for place in places if place is not None and hasattr(place, "fp32_precision")]
