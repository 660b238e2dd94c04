"""Draw a model, shot gathers, a wavefield, a data set's statistics, loss curves, or a SeisInvNet's feature maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from seisfast import plot, simulate
from seisfast.cli import plot_dataset, plot_wavefield
from seisfast.cli.files import draw_without_window, figure_of, load_models, load_records, pick, split_range
from seisfast.cli.geologies import add_geology_arguments
from seisfast.cli.parser import default_of, given, needed
from seisfast.cli.segy import add_geometry_argument, axes_of, check_segy_options, is_segy, load_gathers
from seisfast.cli.surveys import SUBSTEPS, models_and_survey, steps_per_sample, survey_of_records
from seisfast.plot.axes import colour_map, percentile

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from seisfast.data import StoredDataset
    from seisfast.survey import Survey

DESCRIPTION = (
    "Draw one picture: a velocity model (--velocity), the model beside predictions of it and their errors "
    "(with --predicted), vertical profiles (with --predicted and --profiles), shot gathers (--records), or "
    "the loss curves of runs (--runs). 'seisfast plot features --checkpoint RUN --data FOLDER' draws the mean feature "
    "map of each receiver group of a trained SeisInvNet and prints where in the model it is active. 'seisfast plot "
    "wavefield --velocity MODEL --survey SURVEY' simulates a shot and draws its wavefield over the model: an animation "
    "(.gif, .mp4), or up to six of its frames (.png, .pdf, .svg). 'seisfast plot dataset' draws examples of the models "
    "of --data, --velocity or --geology, their velocities against depth, the histogram and where the interfaces lie, "
    "for one set or for several together, and prints a table."
)

FEATURE_MODELS = 100
INPUTS = ("velocity", "records", "runs")
STILL = (".png", ".pdf", ".svg")
OWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "features": ("feature maps", ("checkpoint", "data", "split", "count")),
    "wavefield": ("wavefield", ("shot", "every", "substeps", "fps")),
    "dataset": ("data set", ("data", "split", "count", *plot_dataset.OWN)),
}
# Words, what they take, and the options of other pictures, with no default, that they do not.
REFUSED = {
    "features": ("--checkpoint and --data", (*INPUTS, "predicted", "profiles", "index", "shots", "spacing", "survey",
                                             "perc")),
    "wavefield": ("--velocity and --survey", ("records", "runs", "predicted", "profiles", "shots", "spacing")),
    "dataset": ("--data, --velocity and --geology", ("records", "runs", "predicted", "profiles", "index", "shots",
                                                     "survey", "perc")),
}  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument(
        "what",
        type=str,
        choices=["features", "wavefield", "dataset"],
        nargs="?",
        default=None,
        metavar="features|wavefield|dataset",
        help="feature maps of the --checkpoint for records of --data, by receiver group; wavefield of a shot over the "
        "--velocity model; statistics of the models of a data set",
    )
    parser.add_argument(
        "--output", type=str | None, default=None, help="picture to write: .png, .pdf or .svg; wavefield: .gif or .mp4"
    )
    parser.add_argument(
        "--velocity",
        type=str,
        nargs="+",
        default=None,
        help=".npy file of models, m/s; dataset: one set of several files",
    )
    parser.add_argument("--predicted", type=str, nargs="+", default=None, help=".npy files of predictions")
    parser.add_argument("--profiles", action="store_true", help="vertical profiles instead of maps")
    parser.add_argument("--records", type=str | None, default=None, help=".npy or SEG-Y file of records")
    add_geometry_argument(parser)
    parser.add_argument("--runs", type=str, nargs="+", default=None, help="run folders")
    parser.add_argument("--index", type=int | None, default=None, help="which model of a batch; 0 when left out")
    parser.add_argument("--shots", type=int, nargs="+", default=None, help="which shots")
    parser.add_argument("--spacing", type=float | None, default=None, help="metres between cells")
    parser.add_argument(
        "--survey",
        type=str | None,
        default=None,
        help="seisinv, openfwi, a .json file or a data set folder: axes in metres",
    )
    parser.add_argument("--cmap", type=str | None, default=None, help="colour map: viridis, jet, gray, seismic, ...")
    parser.add_argument(
        "--perc",
        type=float | None,
        default=None,
        help=f"gathers, wavefield: clip at this percentile of |amplitude|; {default_of(plot.gathers, 'perc')}",
    )
    parser.add_argument("--shot", type=int | None, default=None, help="wavefield: which shot; 0 when left out")
    parser.add_argument(
        "--every",
        type=int | None,
        default=None,
        help="wavefield: samples from frame to frame; when left out, as many as make some 50 frames",
    )
    parser.add_argument(
        "--substeps",
        type=steps_per_sample,
        default=None,
        help=f"wavefield: {SUBSTEPS}; {default_of(simulate, 'substeps')}",
    )
    parser.add_argument(
        "--fps",
        type=float | None,
        default=None,
        help=f"wavefield: frames per second; {default_of(plot.wavefield, 'fps')}",
    )
    parser.add_argument("--title", type=str | None, default=None, help="text above the picture")
    parser.add_argument(
        "--checkpoint", type=str | None, default=None, help="features: run folder, or a checkpoint file"
    )
    parser.add_argument(
        "--data",
        type=str,
        nargs="+",
        default=None,
        help="features: folder of records and models, or .npy file of records; dataset: folders, a set each, or .json "
        "files that --statistics wrote",
    )
    parser.add_argument(
        "--split",
        type=Literal["test", "validation", "train", "all"] | None,
        default=None,
        help="features, dataset: part of the folder, as in evaluate; test when left out, for dataset all",
    )
    parser.add_argument(
        "--count",
        type=int | None,
        default=None,
        help=f"features, dataset: so many models, the first ones; when left out up to {FEATURE_MODELS}, for dataset "
        f"all; with --geology the number of its models, {plot_dataset.GENERATED} when left out",
    )
    parser.add_argument("--batch_size", type=int, default=16, help="features: models that pass the network at a time")
    parser.add_argument("--device", type=str, default="auto", help="features, wavefield: auto, cpu or cuda")
    add_geology_arguments(parser, "data set (plot dataset)")
    plot_dataset.add_arguments(parser)


def run(options: Namespace) -> None:
    """Draws and writes the picture."""
    chosen = [name for name in INPUTS if options[name] is not None]
    _check_belonging(options)
    if options.what is not None:
        chosen = [options.what]
    elif len(chosen) != 1:
        raise ValueError(
            "give one of --velocity, --records and --runs, or a word first: features, wavefield or dataset"
        )
    draw = {
        "velocity": _velocity, "records": _records, "runs": _runs, "features": _features,
        "wavefield": plot_wavefield.draw, "dataset": plot_dataset.draw,
    }[chosen[0]]  # fmt: skip
    output = Path(needed("--output", options.output, "the picture to write"))
    suffixes = (*plot_wavefield.MOVING, *STILL) if options.what == "wavefield" else STILL
    if output.suffix not in suffixes:
        raise ValueError(
            f"--output: the name must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}, got {options.output}"
        )
    draw_without_window()
    from matplotlib.figure import Figure

    if options.perc is not None:
        percentile(options.perc, "--perc")
    if options.cmap is not None:
        colour_map(options.cmap, "--cmap")
    drawn = draw(options)
    output.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(drawn, Figure):
        drawn.savefig(output, dpi=150)
    else:
        plot_wavefield.save(drawn, options)
    print(output)


def _check_belonging(options: Namespace) -> None:
    """Whether every option that is given belongs to the picture, and names one thing where it must."""
    own = OWN[options.what][1] if options.what is not None else ()
    for word, (picture, names) in OWN.items():
        for name in names:
            if name not in own and _is_given(options[name]):
                raise ValueError(f"--{name} belongs to the {picture}: seisfast plot {word} --{name} ...")
    if options.what is not None:
        takes, names = REFUSED[options.what]
        for name in names:
            if _is_given(options[name]):
                raise ValueError(f"plot {options.what} takes {takes}, not --{name}")
    if options.what != "dataset":
        for name in ("velocity", "data"):
            options[name] = _one(f"--{name}", options[name])
    check_segy_options(options, options.records or "no --records", "geometry")
    if options.predicted is not None and options.velocity is None:
        raise ValueError("--predicted needs --velocity, the true model")
    if options.profiles and options.predicted is None:
        raise ValueError("--profiles needs --predicted")


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != {}


def _one(option: str, values: list[str] | None) -> str | None:
    """The only value of an option of which a data set may have several."""
    if values is not None and len(values) > 1:
        raise ValueError(f"{option} must name one file or folder, unless for plot dataset, got {len(values)}")
    return None if values is None else values[0]


def _check_features(options: Namespace) -> None:
    needed("--checkpoint", options.checkpoint, "a run folder or a checkpoint file")
    needed("--data", options.data, "a folder, or a .npy file of records")
    for name in ("count", "batch_size"):
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"--{name} must be at least 1, got {options[name]}")


def _velocity(options: Namespace) -> Figure:
    models, survey = models_and_survey(options)
    model = pick("--velocity", models, options.index or 0, 2)
    spacing = survey.spacing if options.spacing is None and survey is not None else options.spacing
    look = given(options, "cmap", "title")
    if options.predicted is None:
        return figure_of(plot.velocity(model, spacing=spacing, survey=survey, **look))
    predicted = {
        Path(path).stem: pick("--predicted", load_models("--predicted", path), options.index or 0, 2)
        for path in options.predicted
    }
    if options.profiles:
        return plot.profiles(model, predicted, spacing=spacing, title=options.title)
    return plot.comparison(model, predicted, spacing=spacing, **look)


def _records(options: Namespace) -> Figure:
    if is_segy(options.records):
        one, survey = _segy_records(options)
    else:
        one = pick("--records", load_records("--records", options.records), options.index or 0, 3)
        survey = survey_of_records(options.survey, one.shape[-1])
    return plot.gathers(one, survey=survey, **given(options, "shots", "perc", "cmap", "title"))


def _segy_records(options: Namespace) -> tuple[Tensor, Survey | None]:
    """Records of a SEG-Y file and the survey of their axes: their own, or --survey, onto which they are resampled."""
    if options.index is not None:
        raise ValueError(f"--index belongs to a batch, and {options.records} is one record")
    gathers = load_gathers("--records", options.records, options.geometry)
    survey = survey_of_records(options.survey, gathers.records.shape[-1])
    return (gathers.records, axes_of(gathers)) if survey is None else (gathers.onto(survey), survey)


def _runs(options: Namespace) -> Figure:
    names = [Path(run).name or run for run in options.runs]
    labels = names if len(set(names)) == len(names) else options.runs
    ax = plot.losses(dict(zip(labels, options.runs, strict=True)))
    if options.title is not None:
        ax.set_title(options.title)
    return figure_of(ax)


def _features(options: Namespace) -> Figure:
    from seisfast import prediction, sensitivity

    _check_features(options)
    predictor = prediction.load(options.checkpoint, device=options.device)
    sensitivity.network_with_maps(predictor)
    result = sensitivity.measure(predictor, _feature_records(options), batch_size=options.batch_size, progress=True)
    print(result.table())
    return plot.features(result, **given(options, "cmap", "title"))


def _feature_records(options: Namespace) -> StoredDataset | Tensor:
    """The first --count records of --data: of a part of a folder, or of a .npy file."""
    if Path(options.data).is_dir():
        from seisfast import data

        split = options.split or "test"
        chosen = split_range(options.data, split)
        place = options.data if split == "all" else f"the {split} part of {options.data}"
        return data.StoredDataset(options.data, chosen[: _count(options, len(chosen), place)])
    if options.split is not None:
        raise ValueError("--split belongs to --data that is a folder")
    records = load_records("--data", options.data)
    records = records if records.dim() == 4 else records[None]
    return records[: _count(options, len(records), options.data)]


def _count(options: Namespace, available: int, place: str) -> int:
    count = min(FEATURE_MODELS, available) if options.count is None else int(options.count)
    if count > available:
        raise ValueError(f"--count must be at most the {available} models of {place}, got {count}")
    return count
