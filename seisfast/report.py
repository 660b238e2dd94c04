"""One self-contained HTML page about an evaluation: table, pictures, loss curves and settings."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from seisfast.evaluation import COLUMNS, MEAN_MODEL, PROFILE, Evaluation, format_metric
from seisfast.files import replace_file
from seisfast.training.config import to_yaml
from seisfast.training.log import LOG_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { --ink: #1f2933; --soft: #5f6c7b; --line: #d9dfe5; --best: #e3f1ea; --accent: #14695a; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 70rem; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0.5rem 0 0.25rem; font-size: 1.8rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 0.75rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.25rem; }
p { margin: 0.4rem 0; max-width: 48rem; }
.soft, figcaption { color: var(--soft); font-size: 0.92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 40rem; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.45rem 0.55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid
var(--line); } thead th { border-bottom: 2px solid var(--ink); font-size: 0.9rem; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 8rem; }
td.best { background: var(--best); color: var(--accent); font-weight: 600; }
tr.reference td { color: var(--soft); }
tr.reference td.best { color: var(--accent); }
figure { margin: 1.25rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: 0.4rem; max-width: 48rem; }
details { margin: 0.6rem 0; border: 1px solid var(--line); border-radius: 6px; padding: 0.5rem 0.8rem; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; margin: 0.6rem 0 0.2rem; font-size: 0.85rem; line-height: 1.45; }
@media (max-width: 44rem) {
  body { padding: 1rem 0.9rem 3rem; }
  h1 { font-size: 1.45rem; }
  figure img.wide { max-width: none; width: 44rem; }
}
"""


def write(
    evaluation: Evaluation,
    path: str | PathLike[str],
    *,
    title: str = "Seismic inversion with a trained network",
    introduction: str = "",
    examples: int = 3,
    cmap: str = "viridis",
    perc: float = 98.0,
    figures: str | PathLike[str] | None = None,
) -> Path:
    """Writes the report.

    The examples are spread over the test models ordered by the first network's error, so that good, typical
    and bad predictions are all on the page.

    Args:
        evaluation: from `seisfast.evaluation.evaluate`.
        path: the HTML file; its folder is made when missing.
        title: heading of the page.
        introduction: a paragraph below it, plain text.
        examples: how many test models to show.
        cmap: colour map of the velocity models.
        perc: clip of the shot gathers, percentile of the absolute amplitude.
        figures: a folder that gets the pictures as .png files too.

    Returns:
        The path of the page.

    Raises:
        ValueError: examples below 1, or no network in the evaluation.
    """
    if examples < 1:
        raise ValueError(f"examples must be at least 1, got {examples}")
    if not evaluation.predictors:
        raise ValueError("evaluation must hold at least one network, got none")
    sections = [_heading(title, introduction, evaluation), _table(evaluation)]
    heading = ""
    for picture in _pictures(evaluation, examples, cmap, perc):
        if picture.section != heading:
            heading = picture.section
            sections.append(f"<h2>{escape(heading)}</h2>")
        sections.append(_embed(picture, None if figures is None else Path(figures)))
    sections.append(_settings(evaluation))
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, page.encode())
    return file


def example_indices(evaluation: Evaluation, examples: int) -> list[int]:
    """Test models evenly spread over the order from the best to the worst prediction of the first network."""
    first = next(iter(evaluation.predictors))
    error = (evaluation.predictions[first] - evaluation.truth).abs().mean((1, 2))
    order = error.argsort(stable=True)
    count = min(examples, len(order))
    places = torch.linspace(0.05, 0.95, count) if count > 1 else torch.tensor([0.5])
    return list(dict.fromkeys(int(order[round(float(p) * (len(order) - 1))]) for p in places))


def _heading(title: str, introduction: str, evaluation: Evaluation) -> str:
    lines = [f"<h1>{escape(title)}</h1>"]
    if introduction:
        lines.append(f"<p>{escape(introduction)}</p>")
    survey = evaluation.survey
    if survey is not None:
        lines.append(
            f'<p class="soft">{len(evaluation.truth)} test models of {evaluation.truth.shape[1]} x '
            f"{evaluation.truth.shape[2]} cells ({survey.spacing[0]:g} m x {survey.spacing[1]:g} m); "
            f"{survey.shots} shots, {survey.receivers_per_shot} receivers, {survey.nt} samples of "
            f"{survey.dt * 1e3:g} ms, wavelet of {survey.peak_frequency:.0f} Hz.</p>"
        )
    return "\n".join(lines)


def _table(evaluation: Evaluation) -> str:
    best = {
        column: (max if COLUMNS[column][2] else min)(row[column] for row in evaluation.rows.values())
        for column in evaluation.columns
    }
    head = "".join(
        f'<th scope="col">{COLUMNS[c][0]} {"&uarr;" if COLUMNS[c][2] else "&darr;"}</th>' for c in evaluation.columns
    )
    body = []
    for name, row in evaluation.rows.items():
        cells = "".join(
            f"<td{' class=best' if row[c] == best[c] else ''}>{format_metric(c, row[c])}</td>"
            for c in evaluation.columns
        )
        kind = ' class="reference"' if name in (MEAN_MODEL, PROFILE) else ""
        body.append(f"<tr{kind}><td>{escape(name)}</td>{cells}</tr>")
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in evaluation.notes)
    return (
        '<h2>Metrics on the test models</h2>\n<div class="scroll"><table><thead><tr><th scope="col"></th>'
        f"{head}"
        f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>\n"
        '<p class="soft">&darr; smaller is better, &uarr; larger is better; the best of a column is marked. '
        f"Rows in grey need no network.</p>{notes}"
    )


class _Picture(NamedTuple):
    section: str
    stem: str
    caption: str
    figure: Figure
    wide: bool = True


def _pictures(evaluation: Evaluation, examples: int, cmap: str, perc: float) -> Iterator[_Picture]:
    from seisfast import plot

    survey, truth = evaluation.survey, evaluation.truth
    spacing = None if survey is None else survey.spacing
    limits = (float(truth.min()), float(truth.max()))
    chosen = example_indices(evaluation, examples)
    errors = [(evaluation.predictions[name] - truth)[chosen].abs().max() for name in evaluation.predictors]
    largest = float(max(errors))
    for index in chosen:
        maps = {name: evaluation.predictions[name][index] for name in evaluation.predictors}
        yield _Picture(
            "True and predicted velocity",
            f"velocity_{index}",
            f"Test model {index}. All models here share one colour scale, all errors another.",
            plot.comparison(truth[index], maps, spacing=spacing, cmap=cmap, limits=limits, error_limit=largest),
        )
    typical = chosen[len(chosen) // 2]
    maps = {name: maps[typical] for name, maps in evaluation.predictions.items() if name != MEAN_MODEL}
    yield _Picture(
        "Vertical profiles",
        f"profiles_{typical}",
        f"Velocity down four columns of test model {typical}.",
        plot.profiles(truth[typical], maps, spacing=spacing),
    )
    yield _Picture(
        "Shot gathers",
        f"gathers_{typical}",
        f"Records of test model {typical}, clipped at the {perc:g}th percentile of the absolute amplitude.",
        plot.gathers(evaluation.dataset[typical][0], survey=survey, perc=perc),
    )
    runs = {name: predictor.path.parent for name, predictor in evaluation.predictors.items()}
    logs = {name: run for name, run in runs.items() if (run / LOG_NAME).is_file()}
    if logs:
        timed = any(evaluation.predictors[name].config["minutes"] is not None for name in logs)
        figure = plot.losses(logs, against="minutes" if timed else "epoch").get_figure(root=True)
        if figure is not None:
            caption = "Loss on training and validation models; dots mark the states that were kept."
            yield _Picture("Training", "losses", caption, figure, wide=False)


def _settings(evaluation: Evaluation) -> str:
    import seisfast

    parts = ["<h2>Settings</h2>"]
    for name, predictor in evaluation.predictors.items():
        parameters = sum(p.numel() for p in predictor.network.parameters())
        text = to_yaml(predictor.config)
        parts.append(
            f"<details><summary>{escape(name)}: {predictor.epoch} epochs, {parameters:,} parameters</summary>"
            f"<pre>{escape(text)}</pre></details>"
        )
    parts.append(f'<p class="soft">seisfast {escape(seisfast.__version__)}, torch {escape(torch.__version__)}</p>')
    return "\n".join(parts)


def _embed(picture: _Picture, folder: Path | None) -> str:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    picture.figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(picture.figure)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / f"{picture.stem}.png", buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode()
    kind = ' class="wide"' if picture.wide else ""
    caption = escape(picture.caption)
    return (
        f'<figure><div class="scroll"><img{kind} alt="{caption}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
