"""Draw a velocity model, shot gathers, or the loss curves of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from seisfast.cli.files import draw_without_window, figure_of, load_array, load_models, pick
from seisfast.cli.surveys import named_survey
from seisfast.survey import Survey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESCRIPTION = (
    "Draw one picture: a velocity model (--velocity), the model beside predictions of it and their errors "
    "(with --predicted), vertical profiles (with --predicted and --profiles), shot gathers (--records), or "
    "the loss curves of runs (--runs)."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--output", type=str | None, default=None, help="picture to write: .png, .pdf or .svg")
    parser.add_argument("--velocity", type=str | None, default=None, help=".npy file of models, m/s")
    parser.add_argument("--predicted", type=str, nargs="+", default=None, help=".npy files of predictions")
    parser.add_argument("--profiles", action="store_true", help="vertical profiles instead of maps")
    parser.add_argument("--records", type=str | None, default=None, help=".npy file of records")
    parser.add_argument("--runs", type=str, nargs="+", default=None, help="run folders")
    parser.add_argument("--index", type=int, default=0, help="which model of a batch")
    parser.add_argument("--shots", type=int, nargs="+", default=None, help="which shots")
    parser.add_argument("--spacing", type=float | None, default=None, help="metres between cells")
    parser.add_argument(
        "--survey",
        type=str | None,
        default=None,
        help="seisinv, openfwi, a .json file or a data set folder: axes in metres",
    )
    parser.add_argument("--cmap", type=str | None, default=None, help="colour map: viridis, jet, gray, seismic, ...")
    parser.add_argument("--perc", type=float, default=98.0, help="gathers: clip at this percentile of |amplitude|")
    parser.add_argument("--title", type=str | None, default=None, help="text above the picture")


def run(options: Namespace) -> None:
    """Draws and writes the picture."""
    chosen = [name for name in ("velocity", "records", "runs") if options[name] is not None]
    if len(chosen) != 1:
        raise ValueError("give one of --velocity, --records and --runs")
    if options.output is None:
        raise ValueError("--output is needed: the picture to write")
    if Path(options.output).suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--output: the name must end in .png, .pdf or .svg, got {options.output}")
    if options.predicted is not None and options.velocity is None:
        raise ValueError("--predicted needs --velocity, the true model")
    if options.profiles and options.predicted is None:
        raise ValueError("--profiles needs --predicted")
    draw_without_window()
    figure = {"velocity": _velocity, "records": _records, "runs": _runs}[chosen[0]](options)
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=150)
    print(options.output)


def _velocity(options: Namespace) -> Figure:
    from seisfast import plot

    model = pick("--velocity", load_models("--velocity", options.velocity), options.index, 2)
    survey = _survey(options, (model.shape[0], model.shape[1]))
    spacing = survey.spacing if options.spacing is None and survey is not None else options.spacing
    cmap = options.cmap or "viridis"
    if options.predicted is None:
        return figure_of(plot.velocity(model, spacing=spacing, survey=survey, cmap=cmap, title=options.title))
    predicted = {
        Path(path).stem: pick("--predicted", load_models("--predicted", path), options.index, 2)
        for path in options.predicted
    }
    if options.profiles:
        return plot.profiles(model, predicted, spacing=spacing, title=options.title)
    return plot.comparison(model, predicted, spacing=spacing, cmap=cmap, title=options.title)


def _records(options: Namespace) -> Figure:
    from seisfast import plot

    records = load_array("--records", options.records)
    if records.dim() not in (3, 4):
        raise ValueError(
            f"--records: {options.records} must hold [shots, time, receivers] or a batch of them, "
            f"got shape {list(records.shape)}"
        )
    one = pick("--records", records, options.index, 3)
    return plot.gathers(
        one,
        survey=_survey(options, (70, one.shape[-1]) if options.survey == "openfwi" else (100, 100)),
        shots=options.shots,
        perc=options.perc,
        cmap=options.cmap or "gray",
        title=options.title,
    )


def _runs(options: Namespace) -> Figure:
    from seisfast import plot

    names = [Path(run).name or run for run in options.runs]
    labels = names if len(set(names)) == len(names) else options.runs
    ax = plot.losses(dict(zip(labels, options.runs, strict=True)))
    if options.title is not None:
        ax.set_title(options.title)
    return figure_of(ax)


def _survey(options: Namespace, shape: tuple[int, int]) -> Survey | None:
    """The survey of --survey: a preset, a .json file, or that of a data set folder."""
    if options.survey is None:
        return None
    if not Path(options.survey).is_dir():
        return named_survey(options.survey, shape)
    from seisfast.data import StoredDataset

    survey = StoredDataset(options.survey).survey
    if survey is None:
        raise ValueError(f"--survey: {options.survey} does not say what survey it was made with")
    return survey
