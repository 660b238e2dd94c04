"""SEG-Y files for the tests, byte by byte as the standard has them: neither we nor segyio write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOUR_BYTES = {1, 5, 9, 13, 17, 21, 25, 37, 41, 45, 49, 53, 57, 61, 65, 73, 77, 81, 85}  # words of a trace header


def segy_file(
    path: Path,
    traces: npt.NDArray[Any],
    headers: Sequence[dict[int, int]],
    *,
    order: str = ">",
    code: int = 5,
    interval: int = 1000,
    words: dict[int, int] | None = None,
) -> Path:
    """A file of traces `[traces, time]`, already of the kind of `code`, and header words by their first byte."""
    binary = bytearray(400)
    for byte, value in {3217: interval, 3221: traces.shape[1], 3225: code, **(words or {})}.items():
        struct.pack_into(f"{order}h", binary, byte - 3201, value)
    parts = [b"\x40" * 3200, bytes(binary)]
    for trace, header in zip(traces, headers, strict=True):
        begin = bytearray(240)
        for byte, value in header.items():
            struct.pack_into(f"{order}{'i' if byte in FOUR_BYTES else 'h'}", begin, byte - 1, value)
        parts += [bytes(begin), trace.astype(trace.dtype.newbyteorder(order)).tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def line(shots: Sequence[int], receivers: Sequence[int]) -> list[dict[int, int]]:
    """Headers of shots at these x into receivers at these, whole metres, 10 m deep."""
    return [
        {9: shot + 1, 29: 1, 41: -10, 49: 10, 73: x, 81: group} for shot, x in enumerate(shots) for group in receivers
    ]


def noise(traces: int, nt: int = 30, seed: int = 0) -> npt.NDArray[np.float32]:
    """Normal deviates `[traces, time]`."""
    return np.random.default_rng(seed).normal(size=(traces, nt)).astype(np.float32)
