"""Predict velocity from records with a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from seisfast import evaluation, metrics, plot, prediction, simulate
from seisfast.cli.files import (
    check_output,
    draw_without_window,
    figure_of,
    load_array,
    load_models,
    pick,
    save_array,
)
from seisfast.cli.parser import needed
from seisfast.cli.segy import add_segy_arguments, check_segy_options, is_segy, load_gathers, records_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seisfast.prediction import Predictor

DESCRIPTION = (
    "Predict velocity models from a .npy file of records, [shots, time, receivers] or a batch of them, "
    "with the geometry that the network was trained on, or from a SEG-Y file, which is resampled onto the survey of "
    "the training data. Writes the velocities in m/s as .npy and a picture beside it. With --truth it prints the "
    "errors, with --misfit how well the prediction explains the records."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_argument("--checkpoint", type=str | None, default=None, help="run folder, or a checkpoint file")
    parser.add_argument("--records", type=str | None, default=None, help=".npy or SEG-Y file of records")
    parser.add_argument("--output", type=str | None, default=None, help=".npy file for the velocities, m/s")
    parser.add_argument("--truth", type=str | None, default=None, help=".npy file of the true velocities, m/s")
    parser.add_argument("--misfit", action="store_true", help="simulate the prediction and compare with the records")
    parser.add_argument("--preset", type=str, default="seisinv", help="convention of the metrics for --truth")
    parser.add_argument("--index", type=int, default=0, help="which model of a batch the picture shows")
    parser.add_argument("--cmap", type=str, default="viridis", help="colour map, such as jet")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    add_segy_arguments(parser)


def run(options: Namespace) -> None:
    """Predicts, writes, and measures what can be measured."""
    needed("--checkpoint", options.checkpoint, "a run folder or a checkpoint file")
    needed("--records", options.records, "the .npy or SEG-Y file of the records")
    check_segy_options(options, options.records, "geometry", "tolerance", "traces")
    check_output(needed("--output", options.output, "the .npy file for the velocities"), ".npy")
    if options.preset not in metrics.PRESETS:
        raise ValueError(f"--preset must be one of {', '.join(metrics.PRESETS)}, got {options.preset!r}")
    predictor = prediction.load(options.checkpoint, device=options.device)
    records = predictor.check_records(_records(options, predictor))
    truth = None if options.truth is None else _truth(options.truth, records, predictor.geometry["shape"])
    if options.misfit and predictor.survey is None:
        raise ValueError("--misfit needs the survey, but the network was trained on data without one")
    pick("--records", records, options.index, 3)
    velocity = predictor(records, progress=True)
    file = save_array(options.output, velocity)
    print(f"{file}: {list(velocity.shape)}, {float(velocity.min()):.0f} to {float(velocity.max()):.0f} m/s")
    if truth is not None:
        limits = predictor.normalization.velocity_range
        values = metrics.evaluate(
            velocity, truth, preset=options.preset, velocity_range=limits, edges=metrics.edges_available()
        )
        print(", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    if predictor.survey is not None and options.misfit:
        limited = velocity.clamp(*predictor.normalization.velocity_range)
        error, _ = evaluation.relative_error(simulate(limited, predictor.survey), records)
        print(f"data misfit {error:.4f} (relative L2)")
    draw_without_window()
    picture = file.with_suffix(".png")
    _draw(options, predictor, velocity, truth).savefig(picture, dpi=150)
    print(picture)


def _records(options: Namespace, predictor: Predictor) -> Tensor:
    """The records, those of a SEG-Y file as the survey of the training data would have them."""
    if not is_segy(options.records):
        return load_array("--records", options.records)
    return records_of(load_gathers("--records", options.records, options.geometry), predictor.survey, options)


def _draw(options: Namespace, predictor: Predictor, velocity: Tensor, truth: Tensor | None) -> Figure:
    survey = predictor.survey
    spacing = None if survey is None else survey.spacing
    shown = pick("--records", velocity, options.index, 2)
    if truth is not None:
        true = pick("--truth", truth, options.index, 2)
        return plot.comparison(true, {predictor.name: shown}, spacing=spacing, cmap=options.cmap)
    return figure_of(plot.velocity(shown, survey=survey, cmap=options.cmap, title=predictor.name))


def _truth(path: str, records: Tensor, shape: tuple[int, int]) -> Tensor:
    truth = load_models("--truth", path)
    wanted = list(shape) if records.dim() == 3 else [len(records), *shape]
    if truth.dim() == 3 and records.dim() == 3 and len(truth) == 1:
        truth = truth[0]
    if list(truth.shape) != wanted:
        raise ValueError(f"--truth: the true models must be {wanted}, {path} has {list(truth.shape)}")
    return truth
