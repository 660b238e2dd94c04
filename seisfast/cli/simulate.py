"""Simulate records: a whole data set of random models, or one model file."""

from __future__ import annotations

from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from seisfast.cli import simulate_file
from seisfast.cli.geologies import add_geology_arguments, make_geology
from seisfast.cli.parser import needed
from seisfast.cli.surveys import SUBSTEPS, add_survey_arguments, make_survey, simulation_device, steps_per_sample
from seisfast.data.writer import PER_FILE
from seisfast.engines import ENGINES

DESCRIPTION = (
    "Simulate acoustic records. With --geology: makes random velocity models and their records, in OpenFWI's layout or "
    "as a Zarr group, into a folder that 'seisfast train --data' reads; a stopped simulation goes on when the same "
    "command is given again, --check verifies it, --dry-run says what it will take. With --velocity: simulates the "
    "models of one .npy file, and with --compare prints how far the result is from other records."
)


OF_SETS: dict[str, Any] = {
    "geology_options": {}, "count": 1200, "seed": 0, "per_file": None, "layout": "npy", "half": False, "batch": None,
    "scheduler": None, "dry_run": False,
}  # fmt: skip
"""Options that only data sets take, and their defaults."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_argument(
        "--output", type=str | None, default=None, help="folder of the data set, or .npy file of the records"
    )
    parser.add_argument("--device", type=str, default="auto", help="auto (a GPU when there is one), cpu or cuda")
    add_geology_arguments(parser, "data set (--geology)")
    group = parser.add_argument_group("data set size")
    group.add_argument("--count", type=int, default=1200, help="number of models")
    group.add_argument("--seed", type=int, default=0, help="another seed gives other models")
    group.add_argument(
        "--per_file",
        type=int | None,
        default=None,
        help=f"models in one shard; when left out {PER_FILE['npy']}, in Zarr {PER_FILE['zarr']}",
    )
    group.add_argument(
        "--layout",
        type=Literal["npy", "zarr"],
        default="npy",
        help="npy: OpenFWI's pairs of files; zarr: a Zarr 3 group, sharded and compressed",
    )
    group.add_argument("--half", action="store_true", help="records in half precision; the error is printed")
    group.add_argument(
        "--batch", type=int | None, default=None, help="models simulated at a time; when left out 20, on a GPU 128"
    )
    group.add_argument(
        "--scheduler",
        type=str | None,
        default=None,
        help="Dask cluster whose workers simulate: local, local:4, tcp://host:8786 or the path of a scheduler file",
    )
    group.add_argument(
        "--dry_run", "--dry-run", action="store_true", help="only print how many bytes and how long it would take"
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="only compare the files in --output with what was written",
    )
    one = parser.add_argument_group("one file (--velocity)")
    one.add_argument(
        "--velocity", type=str | None, default=None, help=".npy file of models in m/s, [nz, nx] or a batch"
    )
    one.add_argument("--compare", type=str | None, default=None, help=".npy file of records to compare with")
    one.add_argument("--dtype", type=Literal["float32", "float64"], default="float32", help="precision of the run")
    one.add_argument("--substeps", type=steps_per_sample, default=1, help=SUBSTEPS)
    one.add_argument("--engine", type=str, default="auto", help=f"one of {', '.join(ENGINES)}")
    add_survey_arguments(parser)


def run(options: Namespace) -> None:
    """Simulates what the options ask for, or checks what is there."""
    if options.check:
        _check(options)
        return
    if (options.geology is None) == (options.velocity is None):
        raise ValueError("give either --geology (makes a data set) or --velocity (simulates one file)")
    if options.velocity is None:
        _data_set(options)
        return
    for name, value in OF_SETS.items():
        if options[name] != value:
            raise ValueError(f"--{name} belongs to --geology, not to --velocity")
    simulate_file.run(options)


def _check(options: Namespace) -> None:
    from seisfast import data

    folder = needed("--output", options.output, "the folder of the data set to check")
    wrong = data.verify(folder)
    if wrong:
        raise ValueError(
            f"{'; '.join(wrong[:5])}{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}. The command that made "
            f"{folder}, given again, makes what is missing or changed, and nothing else"
        )
    print(f"{folder}: all files are as they were written")


def _data_set(options: Namespace) -> None:
    from seisfast import data

    output = needed("--output", options.output, "the folder of the data set")
    if options.compare is not None:
        raise ValueError("--compare belongs to --velocity, not to --geology")
    if options.substeps != 1:
        raise ValueError(
            "--substeps belongs to --velocity, not to --geology: give the survey of a data set a smaller dt, "
            f"got {options.substeps}"
        )
    if options.engine != "auto":
        raise ValueError(f"--engine belongs to --velocity, not to --geology, got {options.engine}")
    geology = make_geology(options)
    survey = make_survey(options, geology.shape)
    on_workers = options.scheduler is not None
    settings: dict[str, Any] = {
        "seed": options.seed,
        "per_file": options.per_file,
        "batch": options.batch,
        "layout": options.layout,
        "dtype": "float16" if options.half else "float32",
        "device": options.device if on_workers else simulation_device(options.device),
    }
    if options.dry_run:
        print(_told(data.estimate(geology, survey, output, options.count, **settings), output, options))
        return
    folder = data.write(geology, survey, output, options.count, scheduler=options.scheduler, **settings)
    print(f"{folder}: {options.count} models of {geology.label} with records of {survey}")
    error = data.StoredDataset(folder).error
    if error is not None:
        print(f"half precision: relative L2 error of a record at most {error:.2g}")


def _told(found: Any, output: str, options: Namespace) -> str:  # noqa: ANN401 - a data.Estimate
    """What a dry run prints."""
    from seisfast.data.estimate import size, spent

    compressed = ", compressed like the models of the probe" if options.layout == "zarr" else ""
    threads = f" with {found.threads} threads" if found.threads > 1 else ""
    workers = "" if options.scheduler is None else ", not on the workers"
    lines = [
        f"{output}: {found.count} models in {found.shards} shards, {found.ready} of them ready",
        f"{size(found.bytes)} in all, {size(found.bytes / found.count)} per model{compressed}; {size(found.free)} free",
        f"{spent(found.seconds)} for the rest at {found.rate:.3g} models/s on {found.device}{threads}{workers}, "
        "and the disk's time",
    ]
    return "\n".join(lines)
