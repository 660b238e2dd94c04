"""One figure about a set of velocity models, or several sets for comparison: examples, depth, histogram, interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seisfast.plot.axes import cell_size, colour_map
from seisfast.plot.models import velocity
from seisfast.statistics import Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

Cell = tuple[float, float, str]
COLUMNS = 8  # examples in a row


def dataset(
    statistics: Statistics | Mapping[str, Statistics],
    *,
    cmap: str | Colormap = "viridis",
    title: str | None = None,
) -> Figure:
    """Examples of the models, velocity against depth, histogram, and where the interfaces lie.

    The examples of all sets share one colour scale; a set without examples, as one that was saved, has no row of them.
    Velocity against depth is the mean of each row, with a band of one standard deviation to both sides and, dotted, the
    slowest and fastest velocity. The histogram is a density, so sets of other sizes and bins compare. The interface
    maps show the share of the models with an interface at each cell, each map in its own scale.

    The axes are in metres when the spacing of every set is known.

    Args:
        statistics: of one set, or name -> statistics of several.
        cmap: a matplotlib colour map or its name.
        title: text above the figure.

    Raises:
        TypeError: something else than statistics, or another kind of colour map.
        ValueError: no set, or an unknown colour map.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, arXiv 1901.07733, for the velocity against
        depth and the map of interfaces.
    """
    from matplotlib import pyplot

    sets = _named(statistics)
    colours = colour_map(cmap)
    metres = all(one.spacing is not None for one in sets.values())
    cells = {name: cell_size(one.spacing if metres else None) for name, one in sets.items()}
    shown = {name: one for name, one in sets.items() if len(one.examples)}
    width = max(12.0, 7.0 + 2.7 * len(sets))
    heights = [0.45 + _row_height(one, cells[name], width) for name, one in shown.items()]
    figure = pyplot.figure(
        figsize=(width, sum(heights) + 0.5 * bool(heights) + 3.9 + 0.3 * (title is not None)), layout="constrained"
    )
    below: Figure | SubFigure = figure
    if shown:
        parts: Any = figure.subfigures(2, 1, height_ratios=(sum(heights) + 0.5, 3.9))
        above, below = parts
        _examples(above, shown, cells, colours, heights)
    grid = below.subplots(1, 2 + len(sets), width_ratios=(1.1, 1.3, *(1.0 for _ in sets)))
    _depths(grid[0], sets, cells)
    _histogram(grid[1], sets)
    for ax, (name, one) in zip(grid[2:], sets.items(), strict=True):
        _interfaces(ax, one, cells[name], colours, name if len(sets) > 1 else "")
    if title is not None:
        figure.suptitle(title)
    return figure


def _named(statistics: Statistics | Mapping[str, Statistics]) -> dict[str, Statistics]:
    if not isinstance(statistics, (Statistics, Mapping)):
        raise TypeError(f"statistics must be a Statistics or name -> Statistics, got {type(statistics).__name__}")
    sets = {"": statistics} if isinstance(statistics, Statistics) else dict(statistics)
    if not sets:
        raise ValueError("statistics must hold at least one set, got none")
    for name, one in sets.items():
        if not isinstance(one, Statistics):
            raise TypeError(f"statistics[{name!r}] must be a Statistics, got {type(one).__name__}")
    return sets


def _row_height(one: Statistics, cell: Cell, width: float) -> float:
    """Inches that a row of examples wants."""
    ratio = one.shape[0] * cell[0] / (one.shape[1] * cell[1])
    return min(max((width - 2.0) / COLUMNS * ratio, 0.5), 2.5)


def _examples(
    figure: SubFigure, sets: Mapping[str, Statistics], cells: Mapping[str, Cell], cmap: Colormap, heights: list[float]
) -> None:
    """A row of models for each set, all in one colour scale; depth and distance beside the first of a row."""
    limits = (
        min(float(one.examples.min()) for one in sets.values()),
        max(float(one.examples.max()) for one in sets.values()),
    )
    columns = max(COLUMNS, *(len(one.examples) for one in sets.values()))
    grid = figure.subplots(len(sets), columns, squeeze=False, height_ratios=heights)
    for k, (row, (name, one)) in enumerate(zip(grid, sets.items(), strict=True)):
        dz, dx, unit = cells[name]
        for ax in row[len(one.examples) :]:
            ax.axis("off")
        for ax, model in zip(row, one.examples, strict=False):
            spacing = (dz, dx) if unit == "m" else None
            velocity(model, spacing=spacing, ax=ax, cmap=cmap, limits=limits, colorbar=False)
            if ax is not row[0]:
                ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        if k < len(sets) - 1:
            row[0].set_xlabel("")
        models = f"{one.models} model{'s' * (one.models != 1)}"
        row[0].set_title(f"{name}, {models}" if name else models, loc="left", fontsize="medium")
    figure.colorbar(grid[0, 0].images[0], ax=grid, label="Velocity (m/s)", pad=0.01)


def _depths(ax: Axes, sets: Mapping[str, Statistics], cells: Mapping[str, Cell]) -> None:
    """Mean, band and extremes of every set, in the colours that the histogram's legend names."""
    for k, (name, one) in enumerate(sets.items()):
        depth = [iz * cells[name][0] for iz in range(one.shape[0])]
        mean, deviation = one.depth_mean.numpy(), one.depth_deviation.numpy()
        colour, marker = f"C{k}", "o" if len(depth) == 1 else None
        ax.fill_betweenx(depth, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0)
        for extreme in (one.depth_smallest, one.depth_largest):
            ax.plot(extreme.numpy(), depth, color=colour, linewidth=0.9, linestyle=":", marker=marker)
        ax.plot(mean, depth, color=colour, marker=marker)
    deepest = max((one.shape[0] - 0.5) * cells[name][0] for name, one in sets.items())
    unit = next(iter(cells.values()))[2]
    ax.set(xlabel="Velocity (m/s)", ylabel=f"Depth ({unit})", ylim=(deepest, -0.5 * min(c[0] for c in cells.values())))
    ax.set_title("Velocity against depth", fontsize="medium")
    ax.text(
        0.5, -0.2, "line: mean   band: ± standard deviation   dots: extremes", transform=ax.transAxes, ha="center",
        fontsize="x-small",
    )  # fmt: skip
    ax.grid(alpha=0.3)


def _histogram(ax: Axes, sets: Mapping[str, Statistics]) -> None:
    for k, (name, one) in enumerate(sets.items()):
        edges, counts = one.edges.numpy(), one.counts.numpy()
        percent = 1e4 * counts / counts.sum() / (edges[1:] - edges[:-1])
        ax.stairs(percent, edges, color=f"C{k}", fill=True, alpha=0.2)
        ax.stairs(percent, edges, color=f"C{k}", label=name)
    ax.set(xlabel="Velocity (m/s)", ylabel="Cells (% per 100 m/s)")
    ax.set_title("Histogram", fontsize="medium")
    ax.grid(alpha=0.3)
    if len(sets) > 1:
        ax.legend(fontsize="small")


def _interfaces(ax: Axes, one: Statistics, cell: Cell, cmap: Colormap, name: str) -> None:
    """The share of the models in percent, with a colour bar of its own."""
    percent = 100.0 * one.interfaces
    spacing = (cell[0], cell[1]) if cell[2] == "m" else None
    limits = (0.0, float(percent.max()) or 1.0)
    velocity(percent, spacing=spacing, ax=ax, cmap=cmap, limits=limits, colorbar=False)
    ax.set_title(f"Interfaces: steps > {one.step:g} m/s" + (f"\n{name}" if name else ""), fontsize="medium")
    ax.set_anchor("N")
    bar = ax.inset_axes((1.04, 0.0, 0.06, 1.0))
    ax.figure.colorbar(ax.images[0], cax=bar, label="Models (%)")
