"""`seisfast plot dataset`: the sets that the options name, their table, numbers and picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_cli
from matplotlib.figure import Figure
from small_cli import ok, png
from small_data import GEOLOGY, write_stored

from seisfast import plot
from seisfast.statistics import Statistics, measure

quiet = small_cli.quiet
SMALL = ["--geology", "seisinv", "--geology_options.shape", "[20, 24]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 models with records in data/, and models as files."""
    made = tmp_path_factory.mktemp("sets")
    write_stored(made / "data")
    np.save(made / "models.npy", GEOLOGY(range(5), 1))
    np.save(made / "model.npy", GEOLOGY([5], 1)[0])
    return made


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The sets and options of the last figure, which is left empty."""
    seen: dict[str, Any] = {}

    def watched(sets: dict[str, Statistics], **options: Any) -> Figure:  # noqa: ANN401
        seen.clear()
        seen.update(options, sets=sets)
        return Figure()

    monkeypatch.setattr(plot, "dataset", watched)
    return seen


def test_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ok(capsys, "plot", "dataset", "--data", folder / "data", "--output", tmp_path / "one.png", "--statistics",
              tmp_path / "new" / "one.json", "--with_records")  # fmt: skip
    assert text.splitlines()[2].startswith("data      25  20 x 24")
    assert "data: records from -" in text
    assert text.endswith(f"{tmp_path / 'new' / 'one.json'}\n{tmp_path / 'one.png'}\n")
    assert png(tmp_path / "one.png")
    ok(capsys, "plot", "dataset", "--data", tmp_path / "new" / "one.json", "--velocity", folder / "models.npy", *SMALL,
       "--count", 4, "--title", "Three", "--cmap", "jet", "--output", tmp_path / "three.pdf")  # fmt: skip
    assert (tmp_path / "three.pdf").read_bytes().startswith(b"%PDF")


def test_the_sets_are_those_that_the_options_name(
    folder: Path, tmp_path: Path, drawn: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", tmp_path / "a.png"]

    def sets(*options: object) -> dict[str, Any]:
        ok(capsys, "plot", "dataset", *options, *out)
        return {name: found.to_dict() for name, found in drawn["sets"].items()}

    everything, part = GEOLOGY(range(25), 4), GEOLOGY(range(21, 23), 4)
    assert sets("--data", folder / "data") == {"data": measure(everything, spacing=10).to_dict()}
    assert sets("--data", folder / "data", "--split", "validation") == {"data": measure(part, spacing=10).to_dict()}
    assert sets("--data", folder / "data", "--count", 3) == {"data": measure(everything[:3], spacing=10).to_dict()}
    other = GEOLOGY(range(4), 7)
    assert sets(*SMALL, "--count", 4, "--seed", 7) == {"SeisInv": measure(other).to_dict()}
    finer = measure(GEOLOGY(range(4), 0), step=300, bin_width=7, spacing=5).to_dict()
    assert sets(*SMALL, "--count", 4, "--step", 300, "--bin_width", 7, "--spacing", 5, "--seed", 0) == {
        "SeisInv": finer
    }
    together = measure(GEOLOGY(range(6), 1)).to_dict()
    assert sets("--velocity", folder / "models.npy", folder / "model.npy") == {folder.name: together}
    both = sets("--velocity", folder / "models.npy", *SMALL, "--count", 7)
    assert {name: one["models"] for name, one in both.items()} == {"models": 5, "SeisInv": 7}
    assert set(drawn) == {"sets"}


def test_saved_statistics_compare_with_measured_ones(
    folder: Path, tmp_path: Path, drawn: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    saved = measure(GEOLOGY(range(5), 1)).save(tmp_path / "models.json")
    ok(capsys, "plot", "dataset", "--data", saved, folder / "data", "--velocity", folder / "models.npy", "--spacing", 2,
       "--title", "A", "--cmap", "jet", "--output", tmp_path / "a.png")  # fmt: skip
    assert list(drawn["sets"]) == [str(saved), "data", str(folder / "models.npy")], "equal names are told apart"
    first, stored, last = drawn["sets"].values()
    assert first.to_dict() == last.to_dict()
    assert (first.spacing, stored.spacing) == ((2.0, 2.0), (10.0, 10.0)), "a data set knows its own"
    assert (drawn["title"], drawn["cmap"]) == ("A", "jet")
    ok(capsys, "plot", "dataset", "--data", saved, "--output", tmp_path / "a.png")
    for option, value in (("--count", 3), ("--step", 3), ("--bin_width", 3)):
        assert small_cli.main(["plot", "dataset", "--data", str(saved), option, str(value), "--output", "a.png"]) == 2
        assert f"{option} belongs to models" in capsys.readouterr().err
