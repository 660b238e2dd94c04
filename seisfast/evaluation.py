"""One table: trained networks beside the two references that need no network, on the same test models."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seisfast import metrics
from seisfast.data import StoredDataset
from seisfast.data.checks import check_finite
from seisfast.data.progress import model_bar
from seisfast.files import replace_file
from seisfast.prediction import Predictor, load
from seisfast.survey import Survey

Pairs = StoredDataset | Sequence[tuple[Tensor, Tensor]]

MEAN_MODEL = "mean model"
PROFILE = "best velocity-with-depth profile"

# column -> (heading, decimals, whether more is better)
COLUMNS: dict[str, tuple[str, int, bool]] = {
    "mae": ("MAE", 4, False),
    "mse": ("MSE", 5, False),
    "ssim": ("SSIM", 4, True),
    "msssim": ("MSSIM", 4, True),
    "soft_f": ("soft F", 4, True),
    "mae_ms": ("MAE (m/s)", 1, False),
    "rmse_ms": ("RMSE (m/s)", 1, False),
    "misfit": ("data misfit", 4, False),
}


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Attributes:
        rows: name -> metrics; networks first, then the references.
        truth: true velocities, m/s, `[models, nz, nx]`.
        predictions: name -> predicted velocities, the same shape.
        predictors: name -> network, without the references.
        dataset: the test data.
        preset: convention of the metrics.
        velocity_range: m/s that became 0 and 1.
        survey: the survey of the records, None when unknown.
        misfit_models: on how many of the models the data misfit is a mean.
        notes: what the numbers mean, a sentence each.
    """

    rows: dict[str, dict[str, float]]
    truth: Tensor
    predictions: dict[str, Tensor]
    predictors: dict[str, Predictor]
    dataset: Pairs
    preset: str
    velocity_range: tuple[float, float]
    survey: Survey | None = None
    misfit_models: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Columns that the rows hold, in the order of the table."""
        return [name for name in COLUMNS if any(name in row for row in self.rows.values())]

    def table(self) -> str:
        """The metrics as aligned text, with what they mean below."""
        head = ["", *(COLUMNS[name][0] for name in self.columns)]
        body = [
            [name, *(format_metric(column, row[column]) for column in self.columns)] for name, row in self.rows.items()
        ]
        widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True))])
            for line in [head, *body]
        ]
        return "\n".join([lines[0].rstrip(), "-" * len(lines[0]), *lines[1:], "", *self.notes])

    def save(self, folder: str | PathLike[str]) -> None:
        """Writes metrics.json, metrics.csv and table.txt."""
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        content = {
            "preset": self.preset,
            "velocity_range": list(self.velocity_range),
            "models": len(self.truth),
            "misfit_models": self.misfit_models,
            "rows": self.rows,
        }
        replace_file(where / "metrics.json", (json.dumps(content, indent=2) + "\n").encode())
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["name", *self.columns])
        writer.writerows([name, *(row[column] for column in self.columns)] for name, row in self.rows.items())
        replace_file(where / "metrics.csv", text.getvalue().encode())
        replace_file(where / "table.txt", (self.table() + "\n").encode())


def evaluate(
    networks: Mapping[str, Predictor | str | PathLike[str]],
    dataset: Pairs,
    *,
    training: Pairs | Tensor | None = None,
    preset: str = "seisinv",
    misfit: int = 0,
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Tests networks on models they have not seen, beside references made from the training models.

    The mean model is the mean of the training models, cell by cell. The best velocity-with-depth profile
    gives every depth the median of the training models there (all columns): among all predictions that
    change with depth only, it has the smallest mean absolute error on the training models.

    Args:
        networks: name -> predictor, run folder or checkpoint. All must have the same velocity range.
        dataset: test records and models: a `StoredDataset`, or a list of pairs of a record
            `[shots, time, receivers]` and a velocity `[1, nz, nx]` in m/s.
        training: the training data, or their velocities `[models, nz, nx]`, for the two references; left out, no
            references.
        preset: convention of the metrics, see `seisfast.metrics.evaluate`.
        misfit: simulates the records of so many predictions of each row, the first ones, and adds their
            relative L2 difference to the measured records; needs the survey. Predictions are limited to the
            velocity range.
        batch_size: models that pass through a network at a time.
        progress: show how far it is.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: no network, names of the references, networks or data that do not fit each other, data that are not
            finite, or a data misfit without a survey; always before a network runs.
    """
    if preset not in metrics.PRESETS:
        raise ValueError(f"preset must be one of {', '.join(metrics.PRESETS)}, got {preset!r}")
    predictors = {name: n if isinstance(n, Predictor) else load(n) for name, n in networks.items()}
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    velocity_range = _check(predictors, dataset, misfit, progress)
    known = None if training is None else _training_models(training, _geometry(dataset)["shape"])
    truth, predictions = _predict(predictors, dataset, batch_size, progress)
    notes = [
        f"{len(truth)} test models; MAE and MSE in {metrics.PRESETS[preset].error_unit} units "
        f"({velocity_range[0]:g} to {velocity_range[1]:g} m/s), convention {preset!r}."
    ]
    if known is not None:
        for name, reference in ((MEAN_MODEL, mean_model(known)), (PROFILE, depth_profile(known))):
            predictions[name] = reference.expand_as(truth)
        notes.append(
            f"References from {len(known)} training models: their mean cell by cell, and their median at "
            "each depth (no profile has a smaller mean absolute error on them)."
        )
    edges = metrics.edges_available()
    if not edges:
        notes.append('Soft F is left out: it needs scikit-image (pip install "seisfast[metrics]").')
    rows = {}
    with model_bar("metrics", len(predictions), shown=progress, unit="rows") as advance:
        for name, maps in predictions.items():
            rows[name] = metrics.evaluate(maps, truth, preset=preset, velocity_range=velocity_range, edges=edges)
            advance(1)
    survey = _survey(predictors, dataset)
    if misfit and survey is not None:
        count = min(misfit, len(truth))
        with model_bar("misfit", count * len(predictions), shown=progress) as advance:
            for name, maps in predictions.items():
                limited = maps[:count].clamp(*velocity_range)
                rows[name]["misfit"] = data_misfit(limited, dataset, survey, advance)
        notes.append(f"Data misfit: relative L2 difference of simulated and measured records, mean of {count} models.")
    return Evaluation(
        rows, truth, predictions, predictors, dataset, preset, velocity_range, survey,
        min(misfit, len(truth)), notes,
    )  # fmt: skip


def velocities(dataset: Pairs) -> Tensor:
    """All models of a data set, m/s, `[models, nz, nx]`."""
    if isinstance(dataset, StoredDataset):
        return torch.stack([dataset.velocity(k)[0] for k in range(len(dataset))])
    return torch.stack([velocity[0] for _, velocity in dataset])


def mean_model(velocity: Tensor) -> Tensor:
    """Mean of models `[models, nz, nx]`, cell by cell: the best single guess in the mean squared sense."""
    return _models(velocity).double().mean(0).float()


def depth_profile(velocity: Tensor) -> Tensor:
    """Median of models `[models, nz, nx]` at every depth, over models and columns, as a map `[nz, nx]`."""
    rows = _models(velocity).transpose(0, 1).flatten(1)
    return torch.stack([row.median() for row in rows])[:, None].expand(velocity.shape[1:]).contiguous()


def data_misfit(velocity: Tensor, dataset: Pairs, survey: Survey, advance: Callable[[int], object] = int) -> float:
    """Mean over models of the relative L2 difference between simulated and measured records.

    Args:
        velocity: predictions for the first models of the data set, m/s, `[models, nz, nx]`.
        dataset: gives the measured records.
        survey: their acquisition.
        advance: is told of every model simulated.
    """
    from seisfast.propagator import simulate

    errors = []
    for k in range(len(velocity)):
        errors.append(relative_error(simulate(velocity[k], survey), dataset[k][0])[0])
        advance(1)
    return sum(errors) / len(errors)


def relative_error(records: Tensor, reference: Tensor) -> tuple[float, int]:
    """Relative L2 difference ``|records - reference| / |reference|`` over the samples that are filled.

    The last sample of the released OpenFWI files is zero in every trace, because their generator never wrote
    it; it is left out then.

    Args:
        records: `[..., time, receivers]`.
        reference: the same shape.

    Returns:
        The difference, and how many samples of each trace it covers.

    Raises:
        ValueError: different shapes, or a reference that is zero everywhere.
    """
    if records.shape != reference.shape:
        raise ValueError(
            f"records must have the shape of reference, {list(reference.shape)}, got {list(records.shape)}"
        )
    count = filled_samples(reference)
    true = reference[..., :count, :].double()
    norm = float(torch.linalg.vector_norm(true))
    if norm == 0.0:
        raise ValueError("reference must not be zero everywhere")
    return float(torch.linalg.vector_norm(records[..., :count, :].double() - true)) / norm, count


def filled_samples(records: Tensor) -> int:
    """Samples per trace, less the last one when it is exactly zero in every trace of records that are not."""
    samples = records.shape[-2]
    last_is_empty = not bool(records[..., -1, :].any()) and bool(records.any())
    return samples - 1 if last_is_empty else samples


def format_metric(column: str, value: float) -> str:
    """A metric with the decimals of its column."""
    return f"{value:.{COLUMNS[column][1]}f}"


def _check(predictors: Mapping[str, Predictor], dataset: Pairs, misfit: int, progress: bool) -> tuple[float, float]:
    if not predictors:
        raise ValueError("networks must name at least one network, got none")
    if misfit < 0:
        raise ValueError(f"misfit must be a number of models, at least 0, got {misfit}")
    if misfit and _survey(predictors, dataset) is None:
        raise ValueError("misfit needs the survey of the records, but neither the data nor a checkpoint holds it")
    ranges = {name: p.normalization.velocity_range for name, p in predictors.items()}
    if len(set(ranges.values())) > 1:
        raise ValueError(f"networks must have the same velocity range to share a table, got {ranges}")
    geometry = _geometry(dataset)
    for name, predictor in predictors.items():
        if name in (MEAN_MODEL, PROFILE):
            raise ValueError(f"a network must not be named {name!r}, which is a reference")
        if predictor.geometry != geometry:
            raise ValueError(
                f"dataset must have the geometry that {name} was trained on, {predictor.geometry}, got {geometry}"
            )
    with model_bar("check", len(dataset), shown=progress) as advance:
        check_finite("dataset", dataset, advance)
    return next(iter(ranges.values()))


def _geometry(dataset: Pairs) -> dict[str, Any]:
    if isinstance(dataset, StoredDataset):
        return dataset.geometry
    if len(dataset) == 0:
        raise ValueError("dataset must hold at least one test model, got none")
    record, velocity = dataset[0]
    if record.dim() != 3 or velocity.dim() != 3 or velocity.shape[0] != 1:
        raise ValueError(
            "dataset must hold pairs of a record [shots, time, receivers] and a velocity [1, nz, nx], "
            f"got {list(record.shape)} and {list(velocity.shape)}"
        )
    for k, (other, model) in enumerate(dataset):
        if other.shape != record.shape or model.shape != velocity.shape:
            raise ValueError(
                f"dataset must hold pairs of one geometry, {list(record.shape)} and {list(velocity.shape)}, "
                f"got {list(other.shape)} and {list(model.shape)} in pair {k}"
            )
    shots, samples, receivers = record.shape
    return {"shots": shots, "receivers": receivers, "samples": samples, "shape": tuple(velocity.shape[1:])}


def _predict(
    predictors: Mapping[str, Predictor], dataset: Pairs, batch_size: int, progress: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    truth: list[Tensor] = []
    maps: dict[str, list[Tensor]] = {name: [] for name in predictors}
    with model_bar("predict", len(dataset), shown=progress) as advance:
        for start in range(0, len(dataset), batch_size):
            pairs = [dataset[k] for k in range(start, min(start + batch_size, len(dataset)))]
            records = torch.stack([record for record, _ in pairs])
            truth += [velocity[0] for _, velocity in pairs]
            for name, predictor in predictors.items():
                maps[name].append(predictor(records, batch_size=batch_size))
            advance(len(pairs))
    return torch.stack(truth), {name: torch.cat(parts) for name, parts in maps.items()}


def _survey(predictors: Mapping[str, Predictor], dataset: Pairs) -> Survey | None:
    own = dataset.survey if isinstance(dataset, StoredDataset) else None
    known = [own, *(predictor.survey for predictor in predictors.values())]
    return next((survey for survey in known if survey is not None), None)


def _training_models(training: Pairs | Tensor, shape: tuple[int, int]) -> Tensor:
    """The velocities of the training data, `[models, *shape]`; ValueError when they have another shape."""
    known = _models(training if isinstance(training, Tensor) else velocities(training))
    if tuple(known.shape[1:]) != tuple(shape):
        raise ValueError(f"training must hold models of {list(shape)} cells, got {list(known.shape[1:])}")
    return known


def _models(velocity: Tensor) -> Tensor:
    if velocity.dim() != 3 or velocity.shape[0] == 0:
        raise ValueError(f"velocity must be [models, nz, nx] with at least one model, got {list(velocity.shape)}")
    return velocity
