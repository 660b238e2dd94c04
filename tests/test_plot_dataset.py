"""The figure of a data set: what each panel shows, several sets together, small and saved sets, and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from small_data import GEOLOGY

from seisfast import plot
from seisfast.statistics import Statistics, measure

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOUND = measure(GEOLOGY(range(12)), examples=8)
WIDE = measure(np.random.default_rng(0).uniform(1600.0, 4700.0, (3, 8, 30)), spacing=25.0, bin_width=400.0)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def panels(figure: Figure) -> dict[str, Axes]:
    """Axes by their title, wherever it stands."""
    found = figure.findobj(Axes)
    named: dict[str, Axes] = {}
    for ax in found:
        title = ax.get_title() or ax.get_title(loc="left")  # type: ignore[attr-defined]
        if title:
            named[title] = ax  # type: ignore[assignment]
    return named


def test_one_set() -> None:
    figure = plot.dataset(FOUND, title="A set", cmap="magma")
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "A set"
    shown = panels(figure)
    assert list(shown) == ["12 models", "Velocity against depth", "Histogram", "Interfaces: steps > 20 m/s"]
    maps = [ax for ax in figure.findobj(Axes) if ax.images and ax not in shown.values()]  # type: ignore[attr-defined]
    assert len(maps) == 7, "the other examples"
    for ax in (shown["12 models"], *maps):
        assert ax.images[0].get_clim() == (FOUND.examples.min(), FOUND.examples.max())  # type: ignore[attr-defined]
        assert ax.images[0].get_cmap().name == "magma"  # type: ignore[attr-defined]

    depth = shown["Velocity against depth"]
    slow, fast, mean = (line.get_xdata() for line in depth.lines)
    for drawn, expected in ((slow, FOUND.depth_smallest), (fast, FOUND.depth_largest), (mean, FOUND.depth_mean)):
        np.testing.assert_array_equal(drawn, expected)
    (band,) = depth.collections
    low, high = band.get_paths()[0].vertices[:, 0].min(), band.get_paths()[0].vertices[:, 0].max()
    assert low == pytest.approx(float((FOUND.depth_mean - FOUND.depth_deviation).min()))
    assert high == pytest.approx(float((FOUND.depth_mean + FOUND.depth_deviation).max()))
    assert depth.get_ylim() == (19.5, -0.5)
    assert (depth.get_xlabel(), depth.get_ylabel()) == ("Velocity (m/s)", "Depth (cells)")

    steps = shown["Histogram"].patches[-1].get_data()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(steps.edges, FOUND.edges)
    assert float((steps.values * np.diff(steps.edges)).sum()) == pytest.approx(1e4), "100 % in all"
    interfaces = shown["Interfaces: steps > 20 m/s"].images[0]
    np.testing.assert_allclose(interfaces.get_array(), 100 * FOUND.interfaces)
    assert interfaces.get_clim() == (0.0, 100 * float(FOUND.interfaces.max()))


def test_several_sets_share_colours_and_axes() -> None:
    shown = panels(plot.dataset({"small": FOUND, "wide": WIDE}))
    assert "small, 12 models" in shown
    assert "wide, 3 models" in shown
    both = {shown[name].images[0].get_clim() for name in ("small, 12 models", "wide, 3 models")}
    assert both == {(float(FOUND.examples.min()), float(WIDE.examples.max()))}
    assert shown["Velocity against depth"].get_ylabel() == "Depth (cells)", "one set does not know its metres"
    legend = shown["Histogram"].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["small", "wide"]
    steps = [patch.get_data() for patch in shown["Histogram"].patches[1::2]]  # type: ignore[attr-defined]
    totals = [float((one.values * np.diff(one.edges)).sum()) for one in steps]
    assert totals == pytest.approx([1e4, 1e4]), "a density, whatever the bins"
    assert "Interfaces: steps > 20 m/s\nwide" in shown


def test_metres_where_all_sets_know_them() -> None:
    shown = panels(plot.dataset({"a": WIDE, "b": measure(GEOLOGY(range(3)), spacing=(5.0, 10.0))}))
    depth = shown["Velocity against depth"]
    assert depth.get_ylabel() == "Depth (m)"
    assert depth.get_ylim() == (187.5, -2.5)
    assert shown["b, 3 models"].images[0].get_extent() == [-5.0, 235.0, 97.5, -2.5]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 5), (1, 9, 1)])
def test_edge_sizes_are_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    figure = plot.dataset(measure(np.full(shape, 2000.0)))
    assert f"{shape[0]} model{'s' * (shape[0] > 1)}" in panels(figure)
    figure.savefig(tmp_path / "a.png", dpi=30)


def test_a_saved_set_has_no_examples(tmp_path: Path) -> None:
    saved = Statistics.load(FOUND.save(tmp_path / "a.json"))
    assert len(panels(plot.dataset(saved))) == 3
    shown = panels(plot.dataset({"saved": saved, "measured": WIDE}))
    assert "measured, 3 models" in shown
    assert "saved, 12 models" not in shown


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"statistics": {}}, ValueError, "at least one set"),
        ({"statistics": GEOLOGY}, TypeError, "a Statistics or name -> Statistics, got SeisInv"),
        ({"statistics": {"a": FOUND, "b": 3}}, TypeError, r"statistics\['b'\] must be a Statistics, got int"),
        ({"statistics": FOUND, "cmap": "nosuch"}, ValueError, "no colour map 'nosuch'"),
    ],
)
def test_refusals(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        plot.dataset(**arguments)
    assert pyplot.get_fignums() == []
