"""The options for SEG-Y files, and the records that they make of one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from seisfast.cli.parser import given
from seisfast.data import Gathers, read_segy
from seisfast.survey import Survey

SUFFIXES = (".sgy", ".segy")


def add_segy_arguments(parser: ArgumentParser) -> None:
    """Adds --geometry, and how traces are matched with a survey."""
    group: Any = parser.add_argument_group("SEG-Y records (.sgy, .segy)")
    add_geometry_argument(group)
    group.add_argument(
        "--tolerance",
        type=float | None,
        default=None,
        help="metres that a source or trace may be off the survey; half a cell when left out",
    )
    group.add_argument(
        "--traces",
        type=str | None,
        choices=["nearest", "linear"],
        default=None,
        help="trace for a receiver of the survey: the nearest one, or one interpolated between two; nearest when left "
        "out",
    )


def add_geometry_argument(parser: ArgumentParser) -> None:
    """Adds --geometry."""
    parser.add_argument(
        "--geometry",
        type=str | None,
        default=None,
        help=".json file of what the headers of a SEG-Y file do not say: shots, receivers, dt, traces_per_shot, origin",
    )


def is_segy(path: str) -> bool:
    """Whether the name is that of a SEG-Y file."""
    return Path(path).suffix.lower() in SUFFIXES


def check_segy_options(options: Namespace, path: str, *names: str) -> None:
    """Refuses what belongs to a SEG-Y file where there is none.

    Raises:
        ValueError: an option that is given.
    """
    for name in names:
        if options[name] is not None and not is_segy(path):
            raise ValueError(f"--{name} belongs to SEG-Y files ({', '.join(SUFFIXES)}), got {path}")


def load_gathers(option: str, path: str, geometry: str | None) -> Gathers:
    """The gathers of a SEG-Y file.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `read_segy`, with the option.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{option}: there is no file {path}")
    return read_segy(path, geometry=geometry)


def records_of(gathers: Gathers, survey: Survey | None, options: Namespace) -> Tensor:
    """Records `[shots, time, receivers]`: as a survey would have them, else as they are, with a word on missing traces.

    Raises:
        ValueError: as `Gathers.onto`.
    """
    if survey is not None:
        return gathers.onto(survey, **given(options, "tolerance", "traces"))
    for name in ("tolerance", "traces"):
        if options[name] is not None:
            raise ValueError(f"--{name} says how traces are matched with a survey, and there is none")
    missing = int((~gathers.mask).sum())
    if missing:
        warnings.warn(
            f"{missing} of {gathers.mask.size} traces are missing and zero, and the traces of a shot are counted, not "
            "placed; --survey places them",
            stacklevel=2,
        )
    return gathers.records


def axes_of(gathers: Gathers) -> Survey | None:
    """A survey that gives a picture of gathers its axes; none where time begins later than 0.

    Its cells are half as wide as receivers are apart, so that receivers this even count as even.
    """
    if gathers.start != 0:
        return None
    nt = gathers.records.shape[1]
    line = np.where(gathers.mask, gathers.receivers[..., 0], np.nan)[gathers.mask.any(1)]
    cell = float((np.nanmax(line, 1) - np.nanmin(line, 1)).max()) / (2 * line.shape[1]) or 1.0
    return Survey(
        spacing=cell,
        dt=gathers.dt,
        nt=nt,
        sources=gathers.sources[:, ::-1] / cell,
        receivers=gathers.receivers[..., ::-1] / cell,
        wavelet=torch.zeros(nt),
        receiver_mask=None if gathers.mask.all() else gathers.mask,
    )
