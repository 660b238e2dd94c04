"""SEG-Y files of shot gathers, written through segyio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seisfast.arguments import Array
from seisfast.data.gathers import Gathers
from seisfast.data.segy import segyio_module
from seisfast.survey import Survey

FORMATS = {"ibm": 1, "ieee": 5}
LONGEST = 32767  # the largest number of a header's two bytes
_SCALES = (1, 10, 100, 1000, 10_000)


def write_segy(
    path: str | os.PathLike[str],
    records: Gathers | Tensor | npt.ArrayLike,
    survey: Survey | None = None,
    *,
    format: str = "ieee",
    endian: str = "big",
) -> Path:
    """Write shot gathers as a SEG-Y file of revision 1.

    Positions become SourceX, GroupX, SourceDepth and ReceiverGroupElevation in whole units of 1 m to 0.1 mm, as fine as
    they need; a shot's number is FieldRecord and EnergySourcePoint, from 1. Masked traces are left out. `read_segy`
    gives back the same samples in "ieee"; "ibm" has 21 to 24 bits, a relative error of up to 9.5e-7.

    Args:
        path: the file; it is written under another name and renamed.
        records: `[shots, time, receivers]` with a survey, or `Gathers`.
        survey: gives dt and the positions, in cells times the spacing.
        format: "ieee" (code 5) or "ibm" (code 1).
        endian: "big", as the standard has it, or "little".

    Returns:
        The path.

    Raises:
        ImportError: segyio is missing.
        IsADirectoryError: a path that is a folder.
        TypeError: records that are not real numbers, or without a survey.
        ValueError: records that do not fit the survey or are not finite, a dt that is not a whole number of
            microseconds, more than 32767 samples or microseconds, or positions beyond the range of the headers.
    """
    if format not in FORMATS:
        raise ValueError(f'format must be "ieee" or "ibm", got {format!r}')
    if endian not in ("big", "little"):
        raise ValueError(f'endian must be "big" or "little", got {endian!r}')
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"path must be a file to write, got the folder {file}")
    if isinstance(records, Gathers):
        if survey is not None:
            raise TypeError("survey belongs to records in an array; Gathers have their positions")
        gathers = records
    elif survey is None:
        raise TypeError("records must be Gathers, or an array with survey=")
    else:
        gathers = Gathers.of(records, survey)
    interval = _whole_header("dt", gathers.dt, 1e6, "microseconds")
    delay = _whole_header("start", gathers.start, 1e3, "milliseconds")
    nt = gathers.records.shape[1]
    if nt > LONGEST:
        raise ValueError(f"records must have at most {LONGEST} samples in a SEG-Y file, got {nt}")
    headers = _headers(gathers, interval, delay)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        _write(beside, gathers, headers, FORMATS[format], endian)
        with beside.open("rb+") as written:
            written.seek(3500)
            written.write(b"\x01\x00")  # revision 1.0, a word in some versions of segyio and two bytes in others
            os.fsync(written.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def _whole_header(name: str, seconds: float, factor: float, unit: str) -> int:
    """A time as a whole number for a header word of two bytes."""
    value = seconds * factor
    if abs(value - round(value)) > 1e-6:
        raise ValueError(f"{name} must be a whole number of {unit} in a SEG-Y file, got {value:.10g}")
    if abs(round(value)) > LONGEST:
        raise ValueError(f"{name} must be at most {LONGEST} {unit} in a SEG-Y file, got {round(value)}")
    return round(value)


def _headers(gathers: Gathers, interval: int, delay: int) -> list[tuple[int, int, dict[int, int]]]:
    """Shot, place in the shot, and header words by their first byte, of every trace that is there."""
    shots, traces = np.nonzero(gathers.mask)
    fired, heard = gathers.sources[shots], gathers.receivers[shots, traces]
    (source_x, group_x), scalar = _integers("x", fired[:, 0], heard[:, 0])
    (depth, elevation), height_scalar = _integers("z", fired[:, 1], -heard[:, 1])
    offset = np.rint(heard[:, 0] - fired[:, 0]).astype(np.int64)
    fixed = {29: 1, 69: height_scalar, 71: scalar, 89: 1, 109: delay, 115: gathers.records.shape[1], 117: interval}
    return [
        (
            int(shot),
            int(trace),
            {
                1: k + 1, 5: k + 1, 9: int(shot) + 1, 13: int(trace) + 1, 17: int(shot) + 1, 37: int(offset[k]),
                41: int(elevation[k]), 49: int(depth[k]), 73: int(source_x[k]), 81: int(group_x[k]), **fixed,
            },
        )
        for k, (shot, trace) in enumerate(zip(shots, traces, strict=True))
    ]  # fmt: skip


def _integers(axis: str, *metres: Array) -> tuple[list[npt.NDArray[np.int64]], int]:
    """Positions as whole numbers, and the scalar that makes metres of them."""
    values = np.concatenate(metres)
    largest = float(np.abs(values).max())
    scales = [scale for scale in _SCALES if largest * scale < 2**31 - 1]
    if not scales:
        raise ValueError(f"positions must lie within 2e9 m along {axis} in a SEG-Y file, got {largest:g} m")
    exact = [scale for scale in scales if np.abs(values * scale - np.rint(values * scale)).max() < 1e-6 * scale]
    scale = exact[0] if exact else scales[-1]
    return [np.rint(part * scale).astype(np.int64) for part in metres], 1 if scale == 1 else -scale


def _write(
    file: Path, gathers: Gathers, headers: list[tuple[int, int, dict[int, int]]], code: int, endian: str
) -> None:
    segyio: Any = segyio_module()
    _, nt, count = gathers.records.shape
    spec = segyio.spec()
    spec.samples, spec.tracecount, spec.format, spec.endian = np.arange(nt), len(headers), code, endian
    records = gathers.records.numpy()
    interval = headers[0][2][117]
    with segyio.create(str(file), spec) as opened:
        opened.text[0] = segyio.tools.create_text_header(_text(gathers))
        opened.bin = {
            3213: min(count, LONGEST), 3217: interval, 3219: interval, 3221: nt, 3223: nt, 3225: code,
            3227: 1, 3229: 1, 3255: 1, 3503: 1,
        }  # fmt: skip
        for k, (shot, trace, words) in enumerate(headers):
            opened.header[k] = words
            # A copy, for segyio turns the samples into those of the file where they lie.
            opened.trace[k] = np.array(records[shot, :, trace])


def _text(gathers: Gathers) -> dict[int, str]:
    shots, nt, _ = gathers.records.shape
    return {
        1: "SHOT GATHERS, WRITTEN BY SEISFAST",
        2: f"{shots} SHOTS, {int(gathers.mask.sum())} TRACES OF {nt} SAMPLES",
        3: "POSITIONS IN METRES WITH SCALARS: SOURCEX BYTE 73, GROUPX BYTE 81,",
        4: "SOURCEDEPTH BYTE 49, RECEIVERGROUPELEVATION BYTE 41 (MINUS THE DEPTH)",
        5: "SHOTS BY FIELDRECORD BYTE 9",
        39: "SEG Y REV1",
        40: "END TEXTUAL HEADER",
    }
