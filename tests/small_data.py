"""A geology and a survey so small that a model takes a millisecond, for the tests of the datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisfast.boundaries import CPML
from seisfast.data import write
from seisfast.geology import SeisInv
from seisfast.survey import Survey
from seisfast.wavelets import ricker

SHAPE = (20, 24)
GEOLOGY = SeisInv(shape=SHAPE)


def small_survey(**changes: object) -> Survey:
    """Two shots of 40 samples into eight receivers, a millisecond to simulate."""
    settings: dict[str, object] = {
        "shape": SHAPE,
        "spacing": 10.0,
        "dt": 1e-3,
        "nt": 40,
        "sources": [(1, 5), (1, 18)],
        "receivers": [(1, ix) for ix in range(0, 24, 3)],
        "wavelet": ricker(15.0, 1e-3, 200)[53:93],
        "boundary": CPML(4),
    }
    return Survey(**{**settings, **changes})


SURVEY = small_survey()


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a dataset but the lock."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.suffix != ".lock" and path.name != ".lock"
    }


def write_stored(folder: Path) -> Path:
    """25 models in files of 10, 10 and 5."""
    return write(GEOLOGY, SURVEY, folder, 25, seed=4, per_file=10, batch=3, progress=False)


def folds() -> npt.NDArray[np.float32]:
    """Five layers in short, steep folds like CurveVel-B's, `[40, 400]`: smoother with its axes in the wrong order."""
    z, x = np.mgrid[:40, :400]
    layer = np.clip((z + 8.0 * np.sin(2.0 * np.pi * x / 20.0)) // 10.0, 0.0, 4.0)
    return (1500.0 + 500.0 * layer).astype(np.float32)
