"""The geometry of a SEG-Y file whose headers do not have it, from a JSON file or a dict."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seisfast.arguments import Array, positive, whole

FORMAT = (
    '{"shots": [[x, z], ...], "receivers": [[x, z], ...] or one such list for each shot, "dt": seconds, '
    '"traces_per_shot": n, "origin": [x, z]}, positions in metres, z downwards'
)
_KEYS = {"shots", "receivers", "dt", "traces_per_shot", "origin"}


@dataclass(frozen=True)
class Geometry:
    """What is said about a file; None where nothing is.

    Attributes:
        shots: one (x, z) for each shot, `[shots, 2]`, m.
        receivers: (x, z) of the traces of every shot, one `[receivers, 2]`, or one for each shot, m.
        dt: interval of the samples, s.
        traces_per_shot: traces of every shot, which follow each other in the file.
        origin: (x, z) that becomes (0, 0), m.
    """

    shots: Array | None = None
    receivers: list[Array] | None = None
    dt: float | None = None
    traces_per_shot: int | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def read(cls, given: str | os.PathLike[str] | dict[str, Any] | None) -> Geometry:
        """From a dict, or a file that holds it as JSON; nothing is said by None.

        Raises:
            FileNotFoundError: no such file.
            TypeError: neither a dict nor a path, or a number that is none.
            ValueError: a file that is not JSON, unknown keys, or values of another form.
        """
        if given is not None and not isinstance(given, (dict, str, os.PathLike)):
            raise TypeError(f"geometry must be a dict or a JSON file, {FORMAT}, got {given!r}")
        values = {} if given is None else given if isinstance(given, dict) else _loaded(Path(given))
        unknown = sorted(set(values) - _KEYS)
        if unknown:
            raise ValueError(f"geometry has the unknown keys {unknown}; it is {FORMAT}")
        shots, receivers = values.get("shots"), values.get("receivers")
        dt, count = values.get("dt"), values.get("traces_per_shot")
        origin = _points("origin", [values.get("origin", (0.0, 0.0))])[0]
        return cls(
            shots=None if shots is None else _points("shots", shots),
            receivers=None if receivers is None else _sets(receivers),
            dt=None if dt is None else positive("geometry: dt", dt),
            traces_per_shot=None if count is None else whole("geometry: traces_per_shot", count),
            origin=(float(origin[0]), float(origin[1])),
        )

    def counts(self, traces: int) -> list[int] | None:
        """Traces of each shot, which follow each other; None where the headers must say.

        Raises:
            ValueError: numbers of shots, receivers and traces that do not fit each other or the file's `traces`.
        """
        shots = None if self.shots is None else len(self.shots)
        sets = [] if self.receivers is None else [len(points) for points in self.receivers]
        each = self.traces_per_shot
        if len(sets) > 1:
            counts = sets
        elif each or sets or shots:
            size = each or (sets[0] if sets else max(traces // (shots or 1), 1))
            counts = [size] * (traces // size)
        else:
            return None
        if sum(counts) != traces or (shots or len(counts)) != len(counts):
            said = [f"{shots} shots"] if shots else []
            said += [f"{' + '.join(map(str, sets))} receivers"] if sets else []
            said += [f"{each} traces per shot"] if each else []
            raise ValueError(f"geometry must fit the {traces} traces of the file, got {', '.join(said)}")
        if each and sets and set(sets) != {each}:
            raise ValueError(f"geometry: traces_per_shot must be the number of receivers, {sets[0]}, got {each}")
        return counts


def _loaded(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"geometry: there is no file {file}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"geometry: {file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"geometry: {file} must hold an object, {FORMAT}")
    return content


def _sets(receivers: Any) -> list[Array]:  # noqa: ANN401 - what JSON holds
    """One set of points, or several."""
    first = receivers[0] if isinstance(receivers, (list, tuple, np.ndarray)) and len(receivers) else None
    if isinstance(first, (list, tuple, np.ndarray)) and len(first) and np.ndim(first[0]) == 1:
        return [_points(f"receivers[{shot}]", points) for shot, points in enumerate(receivers)]
    return [_points("receivers", receivers)]


def _points(name: str, given: Any) -> Array:  # noqa: ANN401
    try:
        points = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[0] == 0 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"geometry: {name} must be finite positions [x, z] in metres; the geometry is {FORMAT}")
    return points
