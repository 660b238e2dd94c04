"""The report: one file that needs nothing else, with every number and picture in it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_run import parts, stored_and_runs

from seisfast.evaluation import Evaluation, evaluate
from seisfast.prediction import load
from seisfast.report import example_indices, write


@pytest.fixture(scope="module", autouse=True)
def _no_window() -> None:
    import matplotlib

    matplotlib.use("Agg")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = stored_and_runs(tmp_path_factory.mktemp("runs"))
    train, _, test = parts(folder / "data")
    runs = {"SeisInvNet <narrow>": "seisinvnet", "ConvBaseline": "convbaseline"}
    networks = {name: load(folder / "runs" / run, device="cpu") for name, run in runs.items()}
    return evaluate(networks, test, training=train, misfit=1)


class Tags(HTMLParser):
    """Open tags of a page, checked to be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_one_page_with_everything(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write(
        evaluation, tmp_path / "new" / "report.html", title="A <test>", introduction="5 > 3", examples=2,
        figures=tmp_path / "figures",
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "<h1>A &lt;test&gt;</h1>" in text
    assert "5 &gt; 3" in text
    assert "SeisInvNet &lt;narrow&gt;" in text
    assert "<narrow>" not in text
    for row in evaluation.rows.values():
        assert f">{row['mae']:.4f}<" in text
        assert f">{row['misfit']:.4f}<" in text
    assert "width: 0.05" in text, "the settings of the runs are there"
    images = [attributes["src"] or "" for tag, attributes in tags.seen if tag == "img"]
    assert len(images) == 2 + 1 + 1 + 1
    for source in images:
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert re.findall(r'(?:src|href)="(?!data:)', text) == [], "nothing is loaded from elsewhere"
    assert "@import" not in text
    assert len(list((tmp_path / "figures").glob("*.png"))) == len(images)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "figures"}


def test_the_best_of_each_column_is_marked(evaluation: Evaluation, tmp_path: Path) -> None:
    text = write(evaluation, tmp_path / "report.html", examples=1).read_text(encoding="utf-8")
    lowest = min(row["mae"] for row in evaluation.rows.values())
    highest = max(row["ssim"] for row in evaluation.rows.values())
    assert f"<td class=best>{lowest:.4f}</td>" in text
    assert f"<td class=best>{highest:.4f}</td>" in text


def test_figures_are_closed(evaluation: Evaluation, tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    write(evaluation, tmp_path / "report.html", examples=1)
    assert pyplot.get_fignums() == before


def test_examples_go_from_good_to_bad(evaluation: Evaluation) -> None:
    chosen = example_indices(evaluation, 9)
    assert sorted(chosen) == list(range(len(evaluation.truth)))
    first = next(iter(evaluation.predictors))
    error = (evaluation.predictions[first] - evaluation.truth).abs().mean((1, 2))
    assert error[chosen].tolist() == sorted(error.tolist())


def test_what_is_refused(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="examples must be at least 1, got 0"):
        write(evaluation, tmp_path / "report.html", examples=0)
    with pytest.raises(ValueError, match=r"perc must lie in \(0, 100\]"):
        write(evaluation, tmp_path / "report.html", examples=1, perc=0.0)
    assert not (tmp_path / "report.html").exists()
