"""Feature maps of a SeisInvNet by receiver group, on the axes of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seisfast.plot.axes import Array, cell_size, colour_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from seisfast.sensitivity import Sensitivity


def features(sensitivity: Sensitivity, *, cmap: str | Colormap = "viridis", title: str | None = None) -> Figure:
    """Mean feature map of each receiver group, and below it the share of activation in each quarter of the model.

    The maps share one colour scale. They reach beyond the model, whose outline is drawn; triangles mark the
    receivers of the group. The axes are in metres when the survey is known.

    Args:
        sensitivity: result of `seisfast.sensitivity.measure`.
        cmap: a matplotlib colour map or its name.
        title: text above the figure.

    Raises:
        TypeError, ValueError: another kind of colour map, or an unknown one.
    """
    from matplotlib import pyplot

    from seisfast.sensitivity import GROUPS, quarter_weights

    dz, dx, unit = cell_size(None, sensitivity.survey)
    colours = colour_map(cmap)
    maps, shares = sensitivity.maps.numpy(), sensitivity.shares.numpy()
    nz, nx = sensitivity.shape
    inside = quarter_weights((maps.shape[1], maps.shape[2]), (nz, nx)).sum(0).numpy() > 0
    largest = float(maps[:, inside].max()) or 1.0
    height = min(max(2.35 * maps.shape[1] * dz / (maps.shape[2] * dx), 1.0), 5.0)
    figure, grid = pyplot.subplots(
        2,
        4,
        figsize=(11.0, height + 2.4 + 0.3 * (title is not None)),
        layout="constrained",
        sharex="col",
        sharey="row",
        height_ratios=(height, 1.1),
    )
    for k, name in enumerate(GROUPS):
        above, below = grid[:, k]
        _map(above, sensitivity, k, (dz, dx), colours, largest)
        above.set_title(f"{name.capitalize()}\n{sensitivity.receivers(k)}", fontsize="medium")
        _bars(below, shares[k], (np.arange(5) * nx / 4 - 0.5) * dx, k)
        below.set_xlabel(f"Distance ({unit})")
    grid[0, 0].set_ylabel(f"Depth ({unit})")
    grid[1, 0].set(ylabel="Share (%)", ylim=(0.0, 125.0 * max(float(shares.max()), 0.3)))
    figure.colorbar(grid[0, 0].images[-1], ax=grid[0, :], label="Mean activation", pad=0.015)
    if title is not None:
        figure.suptitle(title)
    return figure


def _map(
    ax: Axes, sensitivity: Sensitivity, group: int, size: tuple[float, float], cmap: Colormap, largest: float
) -> None:
    """One map, pale outside the model, with the outline and the quarters of the model and the group's receivers."""
    from matplotlib.patches import Rectangle

    from seisfast.sensitivity import CELL, margins

    values = sensitivity.maps[group].numpy()
    (dz, dx), (nz, nx) = size, sensitivity.shape
    top, left = margins((values.shape[0], values.shape[1]), sensitivity.shape)
    low_z, low_x = -top - 0.5, -left - 0.5
    extent = (
        low_x * dx,
        (low_x + CELL * values.shape[1]) * dx,
        (low_z + CELL * values.shape[0]) * dz,
        low_z * dz,
    )
    outline = Rectangle((-0.5 * dx, -0.5 * dz), nx * dx, nz * dz, fill=False, edgecolor="black", linewidth=1.4)
    ax.add_patch(outline)
    for alpha, clip in ((0.35, None), (1.0, outline)):
        image = ax.imshow(
            values,
            extent=extent,
            cmap=cmap,
            vmin=0.0,
            vmax=largest,
            alpha=alpha,
            interpolation="nearest",
            aspect="equal",
        )
        if clip is not None:
            image.set_clip_path(clip)
    for quarter in (1, 2, 3):
        across = (quarter * nx / 4 - 0.5) * dx
        ax.plot([across, across], [-0.5 * dz, (nz - 0.5) * dz], color="white", linewidth=0.8, linestyle=(0, (4, 4)))
    survey = sensitivity.survey
    if survey is not None:
        places = np.broadcast_to(survey.positions("receivers"), (*sensitivity.groups.shape, 2))
        iz, ix = np.unique(places[sensitivity.groups.numpy() == group], axis=0).T
        ax.scatter(ix * dx, iz * dz, s=26.0, marker="v", c="white", edgecolors="black", linewidths=0.6, zorder=3)
    ax.set(xlim=extent[:2], ylim=extent[2:])


def _bars(ax: Axes, shares: Array, edges: Array, group: int) -> None:
    """The share of each quarter as a bar as wide as the quarter; the group's own quarter in a stronger colour."""
    if not shares.any():
        ax.text(0.5, 0.5, "no activation", transform=ax.transAxes, ha="center", va="center", style="italic")
        return
    colours = ["tab:blue" if quarter == group else "lightsteelblue" for quarter in range(4)]
    ax.axhline(25.0, color="black", linewidth=0.8, linestyle=":", zorder=0.5)
    bars = ax.bar(edges[:-1], 100.0 * shares, np.diff(edges), align="edge", color=colours, edgecolor="white")
    paper = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 0.6}
    ax.bar_label(bars, labels=[f"{100 * share:.0f}" for share in shares], fontsize="small", padding=2.0, bbox=paper)
