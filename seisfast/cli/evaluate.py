"""Test trained networks: a table, figures and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from seisfast.cli.files import draw_without_window
from seisfast.cli.parser import needed

if TYPE_CHECKING:
    from seisfast.prediction import Predictor

DESCRIPTION = (
    "Test one or several networks on models they have not seen. Prints a table of five metrics in [0, 1] "
    "units and in m/s, beside two references that need no network: the mean of the training models, and "
    "the best model that changes with depth only. Writes metrics.json, metrics.csv, table.txt, the figures "
    "and report.html into the output folder."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_argument("--checkpoint", type=str, nargs="+", default=None, help="run folders, or checkpoint files")
    parser.add_argument("--data", type=str | None, default=None, help="folder of records and models")
    parser.add_argument(
        "--split",
        type=Literal["test", "validation", "train", "all"],
        default="test",
        help="part of the folder (it is split 10:1:1 into train, validation, test)",
    )
    parser.add_argument("--output", type=str | None, default=None, help="folder of the results")
    parser.add_argument("--preset", type=str, default="seisinv", help="convention of the metrics: seisinv or openfwi")
    parser.add_argument(
        "--misfit",
        type=int,
        default=0,
        help="simulate the predictions of so many models: adds the data misfit",
    )
    parser.add_argument("--examples", type=int, default=3, help="models shown in the report")
    parser.add_argument("--title", type=str, default="Seismic inversion with a trained network", help="of the report")
    parser.add_argument("--cmap", type=str, default="viridis", help="colour map of the models, such as jet")
    parser.add_argument("--perc", type=float, default=98.0, help="gathers: clip at this percentile of |amplitude|")
    parser.add_argument("--batch_size", type=int, default=16, help="models that pass a network at a time")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")


def run(options: Namespace) -> None:
    """Tests the networks and writes the results."""
    from seisfast import data, evaluation, geology, prediction, report

    needed("--checkpoint", options.checkpoint, "run folders or checkpoint files")
    needed("--data", options.data, "the folder of records and models")
    needed("--output", options.output, "the folder of the results")
    if options.examples < 1:
        raise ValueError(f"--examples must be at least 1, got {options.examples}")
    predictors = name_predictors([prediction.load(path, device=options.device) for path in options.checkpoint])
    whole = data.StoredDataset(options.data)
    if options.split == "all":
        part, train = whole, None
    else:
        parts = dict(zip(("train", "validation", "test"), geology.split(len(whole)), strict=True))
        part = data.StoredDataset(options.data, parts[options.split])
        train = data.StoredDataset(options.data, parts["train"])
    result = evaluation.evaluate(
        predictors,
        part,
        training=train,
        preset=options.preset,
        misfit=options.misfit,
        batch_size=options.batch_size,
        progress=True,
    )
    print(result.table())
    draw_without_window()
    folder = Path(options.output)
    result.save(folder)
    page = report.write(
        result,
        folder / "report.html",
        title=options.title,
        examples=options.examples,
        cmap=options.cmap,
        perc=options.perc,
        figures=folder / "figures",
    )
    print(page)


def name_predictors(predictors: list[Predictor]) -> dict[str, Predictor]:
    """Names for the table: the networks', with the run folder where two are the same kind.

    Raises:
        ValueError: the same checkpoint twice.
    """
    paths = [predictor.path.resolve() for predictor in predictors]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"--checkpoint names {path} twice")
    kinds = [predictor.name for predictor in predictors]
    named = {}
    for predictor in predictors:
        alone = kinds.count(predictor.name) == 1
        name = predictor.name if alone else f"{predictor.name} ({predictor.path.parent.name}/{predictor.path.stem})"
        if name in named:
            name = f"{predictor.name} ({predictor.path})"
        named[name] = predictor
    return named
