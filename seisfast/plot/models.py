"""Velocity models: one map, truth beside predictions, and profiles as from wells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from seisfast.plot.axes import Array, Spacing, as_array, cell_size, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seisfast.survey import Survey


def velocity(
    model: npt.ArrayLike | torch.Tensor,
    *,
    spacing: Spacing = None,
    survey: Survey | None = None,
    ax: Axes | None = None,
    cmap: str = "viridis",
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
        cmap: name of a matplotlib colour map.
        limits: (lowest, highest) velocity of the colours, m/s.
        title: text above the map.
        colorbar: whether to add one.

    Raises:
        ValueError: a model that is not one finite map.
    """
    values = as_array("model", model, 2, "[nz, nx]")
    dz, dx, unit = cell_size(spacing if spacing is not None or survey is None else survey.spacing)
    nz, nx = values.shape
    if ax is None:
        height = min(max(4.2 * nz * dz / (nx * dx), 1.5), 7.0)
        ax = new_axes((4.2 + 1.4 * colorbar + 0.8, height + 0.9))
    extent = (-0.5 * dx, (nx - 0.5) * dx, (nz - 0.5) * dz, -0.5 * dz)
    low, high = limits if limits is not None else (values.min(), values.max())
    image = ax.imshow(values, extent=extent, cmap=cmap, vmin=low, vmax=high, interpolation="nearest", aspect="equal")
    ax.set(xlabel=f"Distance ({unit})", ylabel=f"Depth ({unit})")
    if title is not None:
        ax.set_title(title)
    if survey is not None:
        for name, marker, size, colour in (("receivers", "v", 10.0, "white"), ("sources", "*", 45.0, "crimson")):
            iz, ix = np.unique(survey.positions(name).reshape(-1, 2), axis=0).T
            ax.scatter(ix * dx, iz * dz, s=size, marker=marker, c=colour, edgecolors="black", linewidths=0.4)
        ax.set(xlim=extent[:2], ylim=extent[2:])
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="Velocity (m/s)")
    return ax


def comparison(
    truth: npt.ArrayLike | torch.Tensor,
    predictions: Mapping[str, npt.ArrayLike | torch.Tensor],
    *,
    spacing: Spacing = None,
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    error_cmap: str = "RdBu_r",
    error_limit: float | None = None,
    title: str | None = None,
) -> Figure:
    """True model, predictions and errors; one colour scale for all models, one for all errors.

    Args:
        truth: `[nz, nx]`, m/s.
        predictions: name -> `[nz, nx]`, m/s.
        spacing: metres between cells, one number or (dz, dx); left out, the axes count cells.
        cmap: colour map of the models.
        limits: (lowest, highest) velocity of the colours; left out, those of the true model.
        error_cmap: colour map of the errors, white at zero.
        error_limit: error at both ends of its colours, m/s; left out, the largest one.
        title: text above the figure.

    Raises:
        ValueError: no prediction, or maps of different shapes.
    """
    from matplotlib import pyplot

    true, predicted = _pair(truth, predictions)
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
