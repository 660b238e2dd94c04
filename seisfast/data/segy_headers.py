"""What the headers of a SEG-Y file say: its shots, positions in metres, and times.

Source: SEG technical standards committee, SEG-Y revision 1 (2002), for the words and their scalars.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisfast.arguments import Array, Flags
from seisfast.data.geometry import FORMAT, Geometry

DEAD = range(2, 9)  # trace identification codes: dead, dummy, time break, uphole, sweep, timing, water break
_FEET = 0.3048
WORDS = {  # of a trace header, by their first byte
    "record": 9, "point": 17, "code": 29, "group_elevation": 41, "source_elevation": 45, "source_depth": 49,
    "height_scalar": 69, "scalar": 71, "source_x": 73, "source_y": 77, "group_x": 81, "group_y": 85, "units": 89,
    "delay": 109, "samples": 115, "interval": 117, "time_scalar": 215,
}  # fmt: skip

Words = dict[str, npt.NDArray[np.int64]]
Numbers = npt.NDArray[np.int64]


def sample_interval(file: Path, words: Words, interval: int) -> float:
    """Seconds from sample to sample."""
    said = np.union1d(words["interval"] & 0xFFFF, [interval & 0xFFFF])
    said = said[said > 0]
    if len(said) == 0:
        raise ValueError(
            f"{file} says no sample interval (bytes 3217 of the file and 117 of the traces are 0); "
            'give a geometry with {"dt": seconds}'
        )
    if len(said) > 1:
        raise ValueError(
            f"{file} says several sample intervals (bytes 3217 of the file, 117 of the traces), {said[0]} and "
            f'{said[1]} microseconds; give a geometry with {{"dt": seconds}}'
        )
    return int(said[0]) / 1e6


def first_time(file: Path, words: Words, live: Flags) -> float:
    """Seconds of the first sample."""
    delays = np.unique(_scaled(words["delay"], words["time_scalar"])[live])
    if len(delays) > 1:
        raise ValueError(
            f"{file} must begin all traces at one time, got delays (byte 109) of {delays[0]:g} to {delays[-1]:g} ms"
        )
    return float(delays[0]) / 1e3


def split(words: Words) -> list[Numbers]:
    """Numbers of the traces of each shot, in the order of the file."""
    places = np.stack([words[name] for name in ("source_x", "source_y", "source_depth", "source_elevation")], -1)
    keys = (words["record"], words["point"], np.unique(places, axis=0, return_inverse=True)[1].reshape(-1))
    key = next((values for values in keys if np.ptp(values) > 0), keys[0])
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return [np.flatnonzero(group == k) for k in np.argsort(first)]


def positions(
    file: Path, words: Words, described: Geometry, shots: list[Numbers], live: Flags, feet: bool
) -> tuple[Array, list[Array]]:
    """(x, z) in metres of the shots `[shots, 2]`, and of the traces of each."""
    given = described.receivers
    if given is not None:
        given = given if len(given) > 1 else given * len(shots)
        if described.shots is not None:
            return described.shots, given
    unit = _FEET if feet else 1.0
    depth = _scaled(words["source_depth"] - words["source_elevation"], words["height_scalar"])
    fired = unit * np.stack([_scaled(words["source_x"], words["scalar"]), depth], -1)
    depth = _scaled(-words["group_elevation"], words["height_scalar"])
    heard = unit * np.stack([_scaled(words["group_x"], words["scalar"]), depth], -1)
    _check_headers(file, words, described, shots, live, fired, heard)
    receivers = [heard[traces] for traces in shots] if given is None else given
    if described.shots is not None:
        return described.shots, receivers
    taking = [_taking(traces, live) for traces in shots]
    for traces in taking:
        if np.ptp(fired[traces], axis=0).max() > 1e-6:
            raise ValueError(
                f"{file} has several sources in the shot with FieldRecord {words['record'][traces[0]]}; give a "
                'geometry with {"traces_per_shot": n}, or {"shots": [[x, z], ...]}'
            )
    return np.stack([fired[traces[0]] for traces in taking]), receivers


def _check_headers(
    file: Path, words: Words, described: Geometry, shots: list[Numbers], live: Flags, fired: Array, heard: Array
) -> None:
    """Refuse headers without positions, or with others than metres along x."""
    several = [numbers for numbers in shots if live[numbers].sum() > 1]
    together = bool(several) and all(np.ptp(heard[_taking(n, live)], axis=0).max() == 0 for n in several)
    silent = not heard.any() and not fired.any()
    missing = []
    apart = np.ptp(fired[live], axis=0).max() > 0 or words["source_x"][live].any()
    if described.shots is None and (silent or (len(shots) > 1 and not apart)):
        missing.append("of sources in SourceX and SourceDepth")
    if described.receivers is None and (together or silent):
        missing.append("of receivers in GroupX and ReceiverGroupElevation")
    if missing:
        raise ValueError(f"{file} has no positions {' and '.join(missing)}; give a geometry: {FORMAT}")
    angles = np.intersect1d(words["units"][live], [2, 3, 4])
    if len(angles):
        raise ValueError(
            f"{file} has positions in degrees or seconds of arc (byte 89 is {angles[0]}); give a geometry: {FORMAT}"
        )
    used = [("Source", "source", described.shots), ("Group", "group", described.receivers)]
    read = [(title, name) for title, name, given in used if given is None]
    across, along = (
        np.ptp([_scaled(words[f"{name}_{axis}"], words["scalar"])[live] for _, name in read]) for axis in "yx"
    )
    if across > 0.01 * along:
        said_y, said_x = (" and ".join(f"{title}{axis}" for title, _ in read) for axis in "YX")
        raise ValueError(
            f"{file} has a line that does not run along x: {said_y} differ by {across:g}, {said_x} by {along:g}; "
            f"give a geometry with the distance along the line as x: {FORMAT}"
        )


def _taking(traces: Numbers, live: Flags) -> Numbers:
    """The live ones of a shot's traces; all of them where none is."""
    return traces[live[traces]] if live[traces].any() else traces


def _scaled(words: npt.NDArray[np.int64], scalar: npt.NDArray[np.int64]) -> Array:
    """Header words times a positive scalar, or over the size of a negative one; zero means one."""
    size = np.where(scalar == 0, 1, np.abs(scalar)).astype(np.float64)
    return np.where(scalar < 0, words / size, words * size)
