"""SEG-Y files of shot gathers, read through segyio.

Source: SEG technical standards committee, SEG-Y revisions 0 (1975), 1 (2002) and 2.0 (2017), for the headers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from seisfast.arguments import Array, Flags
from seisfast.data.gathers import Gathers
from seisfast.data.geometry import Geometry
from seisfast.data.segy_headers import DEAD, WORDS, Numbers, first_time, positions, sample_interval, split

BEGIN = 3600  # bytes of the text and binary headers
TRACE_HEADER = 240
_BYTE_ORDERS: tuple[Literal["big", "little"], ...] = ("big", "little")
WIDTHS = {1: 4, 2: 4, 3: 2, 5: 4, 6: 8, 8: 1}  # bytes of a sample, by its format code: those that are read


def read_segy(
    path: str | os.PathLike[str], *, geometry: str | os.PathLike[str] | dict[str, Any] | None = None
) -> Gathers:
    """Shot gathers from a SEG-Y file.

    Traces of one shot have one FieldRecord; where that is the same in the whole file, one EnergySourcePoint; where
    that is as well, one source position. Positions are SourceX and GroupX with the coordinate scalar; depths are
    SourceDepth less SourceSurfaceElevation, and minus ReceiverGroupElevation, with the scalar of elevations. Feet
    become metres. Dead and auxiliary traces (identification codes 2 to 8) keep their places and are masked. Either byte
    order is recognised.

    Args:
        path: the file.
        geometry: what the headers do not say or say wrongly, as a dict or a JSON file: ``{"shots": [[x, z], ...],
            "receivers": [[x, z], ...] or one such list for each shot, "dt": seconds, "traces_per_shot": n, "origin":
            [x, z]}``, any of them. Shots then follow each other in the file; `origin` is the position that becomes
            (0, 0).

    Raises:
        FileNotFoundError: no such file.
        ImportError: segyio is missing.
        TypeError: a geometry that is neither a dict nor a path, or with a number that is none.
        ValueError: a file that is no SEG-Y or truncated, samples of a kind that is not read or not finite, no sample
            interval or several, no positions, positions that are no metres along x, or a geometry that does not fit.
    """
    described = Geometry.read(geometry)
    file = Path(path)
    order, revision, texts = _checked(file)
    with _opened(file, order, stray=bool(texts) and not revision) as opened:
        words = {name: np.array(opened.attributes(byte)[:], dtype=np.int64) for name, byte in WORDS.items()}
        interval, feet = int(opened.bin[3217]), int(opened.bin[3255]) == 2
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
            traces = opened.trace.raw[:].astype(np.float32, copy=False)
    if not revision:
        words["time_scalar"][:] = 0
    dt = sample_interval(file, words, interval) if described.dt is None else described.dt
    varying = np.setdiff1d(words["samples"] & 0xFFFF, [0, traces.shape[1] & 0xFFFF])
    if len(varying):
        raise ValueError(f"{file} must have {traces.shape[1]} samples in every trace, got one of {varying[0]}")
    if not np.isfinite(traces).all():
        wrong = int(np.argmin(np.isfinite(traces).all(1)))
        raise ValueError(f"{file} must hold finite samples, got NaN or infinity in trace {wrong}")
    live = ~np.isin(words["code"], DEAD)
    if not live.any():
        raise ValueError(f"{file} has no live trace: all TraceIdentificationCodes are 2 to 8, dead or auxiliary")
    counts = described.counts(len(traces))
    shots = split(words) if counts is None else np.split(np.arange(len(traces)), np.cumsum(counts)[:-1])
    sources, receivers = positions(file, words, described, shots, live, feet)
    return _gathers(traces, shots, live, sources, receivers, dt, first_time(file, words, live), described.origin)


def segyio_module() -> ModuleType:
    """segyio, or an error that says how to have it."""
    try:
        import segyio
    except ImportError as error:
        raise ImportError("SEG-Y files need segyio: pip install 'seisfast[io]'") from error
    module: ModuleType = segyio
    return module


def _checked(file: Path) -> tuple[str, int, int]:
    """Byte order, revision and the word at byte 3505 of a file that is a SEG-Y file of whole traces.

    Bytes 3501, 3505 and 215 of a trace have a meaning since revision 1 alone; before it they may hold anything.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    with file.open("rb") as opened:
        begin = opened.read(BEGIN)
    if len(begin) < BEGIN:
        raise ValueError(f"{file} is not a SEG-Y file, or truncated: it has {len(begin)} bytes, its headers {BEGIN}")
    codes = {order: int.from_bytes(begin[3224:3226], order) for order in _BYTE_ORDERS}
    order = next((order for order in _BYTE_ORDERS if 1 <= codes[order] <= 16), None)
    if order is None:
        raise ValueError(f"{file} is not a SEG-Y file: its sample format (byte 3225) is {codes['big']}, not 1 to 16")
    if codes[order] not in WIDTHS:
        raise ValueError(f"{file} has samples of format {codes[order]} (byte 3225), not one of {[*WIDTHS]}")
    samples = int.from_bytes(begin[3220:3222], order)
    revision = max(begin[3500:3502])  # two bytes, which some write the other way round
    texts = int.from_bytes(begin[3504:3506], order, signed=True)
    extended = texts if revision else 0
    if samples == 0:
        raise ValueError(f"{file} must say how many samples a trace has (byte 3221), got 0")
    if extended < 0:
        raise ValueError(f"{file} has a variable number of text headers (byte 3505), which is not read")
    length = TRACE_HEADER + samples * WIDTHS[codes[order]]
    whole, rest = divmod(max(file.stat().st_size - BEGIN - 3200 * extended, 0), length)
    if whole == 0 or rest:
        raise ValueError(
            f"{file} is truncated, or its traces are not of {samples} samples (byte 3221): it has {whole} traces of "
            f"{length} bytes and {rest} bytes more"
        )
    return order, revision, texts


@contextlib.contextmanager
def _opened(file: Path, order: str, *, stray: bool) -> Iterator[Any]:
    """The file in segyio, which takes byte 3505 for a number of text headers: a copy without where that is `stray`."""
    module = segyio_module()
    with contextlib.ExitStack() as stack:
        path = file
        if stray:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "copy.sgy"
            shutil.copyfile(file, path)
            with path.open("rb+") as copy:
                copy.seek(3504)
                copy.write(bytes(2))
        try:
            opened = module.open(str(path), strict=False, ignore_geometry=True, endian=order)
        except (RuntimeError, OSError, ValueError, LookupError) as error:
            raise ValueError(f"{file} is not a SEG-Y file that segyio reads: {error}") from error
        yield stack.enter_context(opened)


def _gathers(
    traces: npt.NDArray[np.float32],
    shots: list[Numbers],
    live: Flags,
    sources: Array,
    receivers: list[Array],
    dt: float,
    start: float,
    origin: tuple[float, float],
) -> Gathers:
    """Traces by shot, padded to the longest one."""
    count = max(map(len, shots))
    records = np.zeros((len(shots), traces.shape[1], count), np.float32)
    places = np.full((len(shots), count, 2), np.nan)
    mask = np.zeros((len(shots), count), bool)
    for k, numbers in enumerate(shots):
        records[k, :, : len(numbers)] = traces[numbers].T
        places[k, : len(numbers)] = receivers[k]
        mask[k, : len(numbers)] = live[numbers]
    return Gathers(torch.from_numpy(records), dt, sources - np.array(origin), places - np.array(origin), mask, start)
