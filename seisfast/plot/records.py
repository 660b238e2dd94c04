"""Shot gathers: receivers across, time down, one symmetric clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from seisfast.arguments import item
from seisfast.plot.axes import as_array, check_survey, clip, colour_map, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from seisfast.survey import Survey


def gather(
    record: npt.ArrayLike | torch.Tensor,
    *,
    survey: Survey | None = None,
    shot: int = 0,
    perc: float = 98.0,
    limit: float | None = None,
    cmap: str | Colormap = "gray",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """One shot gather: receivers across, time down, colours symmetric about zero.

    Args:
        record: `[time, receivers]` (leading axes of length one are dropped).
        survey: gives seconds and metres; left out, the axes count samples and receivers.
        shot: which of the survey's shots this is (receivers may differ from shot to shot).
        perc: the colours end at this percentile of the absolute amplitude.
        limit: the colours end at this amplitude instead.
        cmap: a matplotlib colour map or its name.
        ax: where to draw; a new figure when left out.
        title: text above the gather.

    Raises:
        TypeError: another kind of survey or colour map, or a perc that is no number.
        ValueError: a record that is not one finite gather or does not fit the survey, perc outside (0, 100], or an
            unknown colour map.
    """
    check_survey(survey)
    values, colours = as_array("record", record, 2, "[time, receivers]"), colour_map(cmap)
    if survey is not None and values.shape != (survey.nt, survey.receivers_per_shot):
        raise ValueError(
            f"record must have the survey's [time, receivers] = [{survey.nt}, {survey.receivers_per_shot}], "
            f"got {list(values.shape)}"
        )
    limit = clip(values, perc) if limit is None else limit
    ax = new_axes((4.0, 5.0)) if ax is None else ax
    dt, time_unit = (1.0, "sample") if survey is None else (survey.dt, "s")
    first, step, unit = _receiver_axis(survey, shot)
    nt, count = values.shape
    extent = (first - 0.5 * step, first + (count - 0.5) * step, (nt - 0.5) * dt, -0.5 * dt)
    ax.imshow(values, extent=extent, cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set(xlabel=f"Receiver ({unit})", ylabel=f"Time ({time_unit})")
    if title is not None:
        ax.set_title(title)
    return ax


def gathers(
    records: npt.ArrayLike | torch.Tensor,
    *,
    survey: Survey | None = None,
    shots: Sequence[int] | None = None,
    perc: float = 98.0,
    cmap: str | Colormap = "gray",
    title: str | None = None,
) -> Figure:
    """Several shot gathers side by side with one clip.

    Args:
        records: `[shots, time, receivers]` (leading axes of length one are dropped).
        survey: gives seconds and metres.
        shots: which ones; left out, up to five spread over the line.
        perc: the colours end at this percentile of the absolute amplitude of the gathers shown.
        cmap: a matplotlib colour map or its name.
        title: text above the figure.

    Raises:
        TypeError: as `gather`, or a shot that is no integer.
        ValueError: as `gather`, or a shot that is not there.
    """
    from matplotlib import pyplot

    check_survey(survey)
    cmap = colour_map(cmap)
    values = as_array("records", records, 3, "[shots, time, receivers]")
    count = values.shape[0]
    if shots is None:
        shots = sorted({round(k) for k in np.linspace(0, count - 1, min(5, count))})
    if len(shots) == 0:
        raise ValueError("shots must name at least one shot, got none")
    for shot in shots:
        item("shots", shot, count)
    limit = clip(values[list(shots)], perc)
    figure, grid = pyplot.subplots(
        1, len(shots), figsize=(2.2 * len(shots) + 0.8, 4.4), layout="constrained", sharey=True, squeeze=False
    )
    for ax, shot in zip(grid[0], shots, strict=True):
        label = f"Shot {shot}"
        if survey is not None:
            label = f"Source at {survey.positions('sources')[shot, 0, 1] * survey.spacing[1]:g} m"
        gather(values[shot], survey=survey, shot=shot, limit=limit, cmap=cmap, ax=ax, title=label)
        ax.label_outer()
    if title is not None:
        figure.suptitle(title)
    return figure


def _receiver_axis(survey: Survey | None, shot: int) -> tuple[float, float, str]:
    """First position, step and unit of the receivers; metres where they are even within a cell."""
    if survey is None:
        return 0.0, 1.0, "number"
    cells = survey.positions("receivers")[min(shot, len(survey.receivers) - 1), :, 1]
    if len(cells) < 2 or np.isnan(cells).any():
        return 0.0, 1.0, "number"
    even = np.linspace(cells[0], cells[-1], len(cells))
    if cells[-1] <= cells[0] or np.abs(cells - even).max() > 1.0:
        return 0.0, 1.0, "number"
    dx = survey.spacing[1]
    return float(cells[0]) * dx, float(even[1] - even[0]) * dx, "m"
