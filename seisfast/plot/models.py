"""Velocity models: one map, truth beside predictions, and profiles as from wells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from seisfast.plot.axes import Array, Spacing, as_array, cell_size, colour_map, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from seisfast.survey import Survey

# Marker of positions, then size, colour and edge over a model, and over a wave, where they are larger.
MARKS = {
    "receivers": ("v", (10.0, "white", "black"), (14.0, "white", "black")),
    "sources": ("*", (45.0, "crimson", "black"), (130.0, "black", "white")),
}


def velocity(
    model: npt.ArrayLike | torch.Tensor,
    *,
    spacing: Spacing = None,
    survey: Survey | None = None,
    ax: Axes | None = None,
    cmap: str | Colormap = "viridis",
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    colorbar: bool = True,
) -> Axes:
    """A velocity model, depth down.

    Args:
        model: `[nz, nx]` in m/s (leading axes of length one are dropped).
        spacing: metres between cells, one number or (dz, dx); left out, it is the survey's, else the axes
            count cells.
        survey: draws its sources (stars) and receivers (triangles).
        ax: where to draw; a new figure when left out.
        cmap: a matplotlib colour map or its name.
        limits: (lowest, highest) velocity of the colours, m/s.
        title: text above the map.
        colorbar: whether to add one.

    Raises:
        TypeError: another kind of survey or colour map.
        ValueError: a model that is not one finite map, a spacing that is not positive, or an unknown colour map.
    """
    values = as_array("model", model, 2, "[nz, nx]")
    dz, dx, unit = cell_size(spacing, survey)
    colours = colour_map(cmap)
    nz, nx = values.shape
    if ax is None:
        height = min(max(4.2 * nz * dz / (nx * dx), 1.5), 7.0)
        ax = new_axes((4.2 + 1.4 * colorbar + 0.8, height + 0.9))
    extent = (-0.5 * dx, (nx - 0.5) * dx, (nz - 0.5) * dz, -0.5 * dz)
    low, high = limits if limits is not None else (values.min(), values.max())
    image = ax.imshow(values, extent=extent, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="equal")
    ax.set(xlabel=f"Distance ({unit})", ylabel=f"Depth ({unit})")
    if title is not None:
        ax.set_title(title)
    if survey is not None:
        draw_positions(ax, survey, (dz, dx))
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="Velocity (m/s)")
    return ax


def draw_positions(ax: Axes, survey: Survey, spacing: tuple[float, float], shot: int | None = None) -> None:
    """Sources (stars) and receivers (triangles) over the last image of these axes, those of one shot larger."""
    left, right, bottom, top = ax.images[-1].get_extent()
    for name, (marker, of_all, of_one) in MARKS.items():
        size, colour, edge = of_all if shot is None else of_one
        places = _places(survey, name, shot)
        z, x = (places * spacing).T
        ax.scatter(x, z, s=size, marker=marker, c=colour, edgecolors=edge, linewidths=0.4 if shot is None else 0.6)
    ax.set(xlim=(left, right), ylim=(bottom, top))


def _places(survey: Survey, name: str, shot: int | None) -> Array:
    """(iz, ix) of the sources or the receivers, those that take part, each once, `[positions, 2]`."""
    places, mask = survey.positions(name), survey.receiver_mask
    if shot is not None:
        places = places[min(shot, len(places) - 1)]
        if name == "receivers" and mask is not None:
            places = places[mask[shot].numpy()]
    flat = places.reshape(-1, 2)
    once: Array = np.unique(flat[~np.isnan(flat[:, 0])], axis=0)
    return once


def comparison(
    truth: npt.ArrayLike | torch.Tensor,
    predictions: Mapping[str, npt.ArrayLike | torch.Tensor],
    *,
    spacing: Spacing = None,
    cmap: str | Colormap = "viridis",
    limits: tuple[float, float] | None = None,
    error_cmap: str | Colormap = "RdBu_r",
    error_limit: float | None = None,
    title: str | None = None,
) -> Figure:
    """True model, predictions and errors; one colour scale for all models, one for all errors.

    Args:
        truth: `[nz, nx]`, m/s.
        predictions: name -> `[nz, nx]`, m/s.
        spacing: metres between cells, one number or (dz, dx); left out, the axes count cells.
        cmap: colour map of the models, a matplotlib one or its name.
        limits: (lowest, highest) velocity of the colours; left out, those of the true model.
        error_cmap: likewise of the errors, white at zero.
        error_limit: error at both ends of its colours, m/s; left out, the largest one.
        title: text above the figure.

    Raises:
        TypeError: another kind of colour map.
        ValueError: no prediction, maps of different shapes, or an unknown colour map.
    """
    from matplotlib import pyplot

    true, predicted = _pair(truth, predictions)
    cmap, error_cmap = colour_map(cmap), colour_map(error_cmap, "error_cmap")
    limits = limits or (float(true.min()), float(true.max()))
    errors = {name: values - true for name, values in predicted.items()}
    largest = error_limit or max(float(np.abs(error).max()) for error in errors.values()) or 1.0

    rows, columns = (1, 3) if len(predicted) == 1 else (2, 1 + len(predicted))
    dz, dx, _ = cell_size(spacing)
    ratio = true.shape[0] * dz / (true.shape[1] * dx)
    width = 2.7 if ratio > 0.7 else 3.4
    height = min(max(width * ratio, 0.9), 5.0)
    figure, grid = pyplot.subplots(
        rows,
        columns,
        figsize=(
            columns * (width + 0.15) + (2.2 if rows == 1 else 0.8),
            rows * (height + 0.7) + 0.3 * (title is not None),
        ),
        layout="constrained",
        squeeze=False,
    )
    velocity(true, spacing=spacing, ax=grid[0, 0], cmap=cmap, limits=limits, title="True", colorbar=False)
    below = grid[0, 2:] if rows == 1 else grid[1, 1:]
    for k, (name, values) in enumerate(predicted.items()):
        model_ax, error_ax = grid[0, 1 + k], below[k]
        velocity(values, spacing=spacing, ax=model_ax, cmap=cmap, limits=limits, title=name, colorbar=False)
        velocity(
            errors[name],
            spacing=spacing,
            ax=error_ax,
            cmap=error_cmap,
            limits=(-largest, largest),
            title=f"Error, mean {np.abs(errors[name]).mean():.0f} m/s",
            colorbar=False,
        )
    for ax in grid.flat:
        ax.label_outer()
    bars = (
        (grid[0, 0], grid[0, : 1 + len(predicted)], "Velocity (m/s)"),
        (below[0], below, "Predicted - true (m/s)"),
    )
    if rows == 1:
        for source, places, label in bars:
            figure.colorbar(source.images[0], ax=places, label=label, shrink=0.85)
    else:
        grid[0, 0].set_xlabel(grid[1, 1].get_xlabel())
        grid[1, 1].set_ylabel(grid[0, 0].get_ylabel())
        grid[0, 0].tick_params(labelbottom=True)
        grid[1, 1].tick_params(labelleft=True)
        grid[1, 0].axis("off")  # the free corner holds both colour bars
        for (source, _, label), bottom in zip(bars, (0.66, 0.24), strict=True):
            place = grid[1, 0].inset_axes((0.02, bottom, 0.96, 0.07))
            figure.colorbar(source.images[0], cax=place, orientation="horizontal", label=label)
    if title is not None:
        figure.suptitle(title)
    return figure


def profiles(
    truth: npt.ArrayLike | torch.Tensor,
    predictions: Mapping[str, npt.ArrayLike | torch.Tensor],
    *,
    spacing: Spacing = None,
    columns: Sequence[int] | None = None,
    title: str | None = None,
) -> Figure:
    """Vertical profiles as from wells: velocity across, depth down, the true model in black.

    Args:
        truth: `[nz, nx]`, m/s.
        predictions: name -> `[nz, nx]`, m/s.
        spacing: metres between cells, one number or (dz, dx); left out, the axes count cells.
        columns: columns (ix) of the wells; left out, four evenly spaced ones.
        title: text above the figure.

    Raises:
        ValueError: no prediction, maps of different shapes, or a column outside the model.
    """
    from matplotlib import pyplot

    true, predicted = _pair(truth, predictions)
    nz, nx = true.shape
    wells = [(k + 1) * nx // 5 for k in range(4)] if columns is None else [int(ix) for ix in columns]
    for ix in wells:
        if not 0 <= ix < nx:
            raise ValueError(f"columns must lie inside the model (0 to {nx - 1}), got {ix}")
    dz, dx, unit = cell_size(spacing)
    depth = np.arange(nz) * dz
    figure, grid = pyplot.subplots(
        1, len(wells), figsize=(2.3 * len(wells) + 0.6, 4.2), layout="constrained", sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for ax, ix in zip(grid[0], wells, strict=True):
        ax.plot(true[:, ix], depth, color="black", linewidth=1.8, label="True")
        for name, values in predicted.items():
            ax.plot(values[:, ix], depth, linewidth=1.3, label=name)
        ax.set(title=f"x = {ix * dx:g} {unit}", xlabel="Velocity (m/s)")
        ax.grid(alpha=0.3)
    grid[0, 0].set_ylabel(f"Depth ({unit})")
    grid[0, 0].set_ylim(depth[-1] if nz > 1 else 0.5, depth[0] if nz > 1 else -0.5)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1 + len(predicted))
    if title is not None:
        figure.suptitle(title)
    return figure


def _pair(
    truth: npt.ArrayLike | torch.Tensor, predictions: Mapping[str, npt.ArrayLike | torch.Tensor]
) -> tuple[Array, dict[str, Array]]:
    true = as_array("truth", truth, 2, "[nz, nx]")
    if not predictions:
        raise ValueError("predictions must name at least one model, got none")
    maps = {name: as_array(f"predictions[{name!r}]", values, 2, "[nz, nx]") for name, values in predictions.items()}
    for name, values in maps.items():
        if values.shape != true.shape:
            raise ValueError(
                f"predictions[{name!r}] must have the true model's shape {list(true.shape)}, got {list(values.shape)}"
            )
    return true, maps
