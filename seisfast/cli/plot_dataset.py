"""`seisfast plot dataset`: measures the models of one or several sets, prints a table and draws the statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from seisfast import plot, statistics
from seisfast.arguments import spacings
from seisfast.cli.files import split_range
from seisfast.cli.geologies import make_geology
from seisfast.cli.parser import default_of, given
from seisfast.data import StoredDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seisfast.statistics import Statistics

OWN = ("geology", "geology_options", "seed", "step", "bin_width", "with_records", "statistics")
GENERATED = 1000  # models of a --geology without a --count


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options that only this picture has."""
    group = parser.add_argument_group("statistics (plot dataset)")
    group.add_argument("--seed", type=int | None, default=None, help="of the models of --geology; 0 when left out")
    group.add_argument(
        "--step",
        type=float | None,
        default=None,
        help=f"smallest step of an interface, m/s; {default_of(statistics.measure, 'step')}",
    )
    group.add_argument(
        "--bin_width",
        type=float | None,
        default=None,
        help=f"of the histogram, m/s; {default_of(statistics.measure, 'bin_width')}",
    )
    group.add_argument("--with_records", action="store_true", help="read the records of the folders, too: all of them")
    group.add_argument("--statistics", type=str | None, default=None, help=".json file for the numbers of the set")


def draw(options: Namespace) -> Figure:
    """The figure of all sets; prints their table and writes their numbers where they are asked for."""
    _check(options)
    sets = _unique(list(_measured(options)))
    print(statistics.table(sets))
    if options.statistics is not None:
        print(next(iter(sets.values())).save(options.statistics))
    return plot.dataset(sets, **given(options, "cmap", "title"))


def _check(options: Namespace) -> None:
    """Whether the options fit each other, before anything is measured."""
    data = options.data or []
    for path in data:
        if data.count(path) > 1:
            raise ValueError(f"--data names {path} twice")
    sets = len(data) + (options.velocity is not None) + (options.geology is not None)
    if sets == 0:
        raise ValueError(
            "give --data (folders), --velocity (.npy files), --geology (random models), or several of them"
        )
    folders = [path for path in data if not _is_saved(path)]
    for name in ("split", "with_records"):
        if options[name] and not folders:
            raise ValueError(f"--{name} belongs to --data that is a folder")
    for name in ("seed", "geology_options"):
        if options[name] not in (None, {}) and options.geology is None:
            raise ValueError(f"--{name} belongs to --geology")
    if sets == len(data) and not folders:
        for name in ("count", "step", "bin_width"):
            if options[name] is not None:
                raise ValueError(f"--{name} belongs to models, --data names statistics that were measured before")
    if options.spacing is not None:
        spacings(options.spacing)
    if options.statistics is not None and Path(options.statistics).suffix != ".json":
        raise ValueError(f"--statistics: the name must end in .json, got {options.statistics}")
    if options.statistics is not None and sets > 1:
        raise ValueError(f"--statistics writes the numbers of one set, got {sets} sets")


def _measured(options: Namespace) -> Iterator[tuple[str, str, Statistics]]:
    """Short name, long name and statistics of each set, in the order data, velocity, geology.

    The count is that of the geology where there is one: other sets are seldom as large.
    """
    how = {**given(options, "step", "bin_width"), "progress": True}
    if options.geology is None:
        how["count"] = options.count
    for path in options.data or []:
        if _is_saved(path):
            yield Path(path).stem, path, _in_metres(statistics.Statistics.load(path), options)
        else:
            models = StoredDataset(path, split_range(path, options.split or "all"))
            found = statistics.measure(models, records=options.with_records, **how)
            yield Path(path).resolve().name, path, _in_metres(found, options)
    if options.velocity is not None:
        first = Path(options.velocity[0])
        name = first.stem if len(options.velocity) == 1 else first.resolve().parent.name
        yield name, str(first), _in_metres(statistics.measure(options.velocity, **how), options)
    if options.geology is not None:
        family = make_geology(options)
        count = GENERATED if options.count is None else options.count
        found = statistics.measure(family, count=count, seed=options.seed or 0, **how)
        yield family.label, f"{family.label} (generated)", _in_metres(found, options)


def _in_metres(found: Statistics, options: Namespace) -> Statistics:
    """The statistics with the --spacing where their own is not known."""
    if found.spacing is not None or options.spacing is None:
        return found
    return dataclasses.replace(found, spacing=(options.spacing, options.spacing))


def _unique(sets: list[tuple[str, str, Statistics]]) -> dict[str, Statistics]:
    """Statistics by short name, or by long name where two sets have the same short one."""
    names = [short for short, _, _ in sets]
    return {short if names.count(short) == 1 else long: found for short, long, found in sets}


def _is_saved(path: str) -> bool:
    return Path(path).suffix == ".json" and not Path(path).is_dir()
