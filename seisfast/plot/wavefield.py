"""Wavefields over the model that they run through: an animation, or some of its frames side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from seisfast.arguments import positive, whole
from seisfast.plot.axes import Array, as_array, cell_size, clip

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from seisfast.survey import Survey

GREYS = 0.05, 0.45  # of the slowest and the fastest velocity, 0 is white
FAINT = 0.7  # the wave's opacity is its amplitude over the clip to this power
HUE = 0.3  # of a diverging colour map, up to 0.5, that the wave's colours take from each end
PANELS = 6


def wavefield(
    fields: npt.ArrayLike | torch.Tensor,
    *,
    velocity: npt.ArrayLike | torch.Tensor,
    survey: Survey | None = None,
    shot: int = 0,
    every: int = 1,
    perc: float = 98.0,
    cmap: str = "RdBu_r",
    fps: float = 12.5,
    title: str | None = None,
) -> FuncAnimation:
    """An animation of the wavefields of a shot over the velocity model in grey.

    Every frame has the same colours, symmetric about zero; where the wave is weak the model shows through.
    ``animation.save("wave.gif")`` writes a file.

    Args:
        fields: `[snapshots, nz, nx]` of one shot, as `simulate` gives them (leading axes of length one are dropped).
        velocity: `[nz, nx]` in m/s.
        survey: gives metres and milliseconds, and the source (star) and receivers (triangles) of the shot.
        shot: which of the survey's shots this is.
        every: samples from one wavefield to the next, k of ``Every(k)``.
        perc: the colours end at this percentile of the absolute amplitude of all frames.
        cmap: name of a matplotlib colour map with its middle at zero.
        fps: frames per second.
        title: text above the model, left of the time.

    Raises:
        TypeError: a shot, `every` or `fps` that is no number.
        ValueError: fields or a velocity that are not finite or do not fit each other or the survey, a shot that is not
            there, `every` below 1, perc outside (0, 100], or fps that is not positive.
    """
    from matplotlib import pyplot
    from matplotlib.animation import FuncAnimation

    interval = 1e3 / positive("fps", fps)
    scene = _scene(fields, velocity, survey, shot, every, perc, cmap)
    width, height = scene.size(4.6, 7.0, 6.5)
    figure, ax = pyplot.subplots(figsize=(width + 2.0, height + 0.9), layout="compressed")
    image = scene.draw(ax, 0)
    figure.colorbar(ax.images[0], ax=ax, label="Velocity (m/s)", aspect=5 * height, pad=0.03)
    if title is not None:
        ax.set_title(title, loc="left")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not in every frame

    def show(k: int) -> tuple[Any, ...]:
        image.set_data(scene.fields[k])
        return (image, ax.set_title(scene.time(k), loc="right"))

    return FuncAnimation(figure, show, frames=len(scene.fields), interval=interval, init_func=lambda: show(0))


def snapshots(
    fields: npt.ArrayLike | torch.Tensor,
    *,
    velocity: npt.ArrayLike | torch.Tensor,
    survey: Survey | None = None,
    shot: int = 0,
    every: int = 1,
    perc: float = 98.0,
    cmap: str = "RdBu_r",
    title: str | None = None,
) -> Figure:
    """Up to six frames of `wavefield`, evenly spaced in time until the wave has left the model.

    Args:
        fields: as for `wavefield`, like all others.
        velocity: `[nz, nx]` in m/s.
        survey: gives metres and milliseconds, and the source and receivers of the shot.
        shot: which of the survey's shots this is.
        every: samples from one wavefield to the next.
        perc: the colours end at this percentile of the absolute amplitude of all wavefields.
        cmap: name of a matplotlib colour map with its middle at zero.
        title: text above the figure.

    Raises:
        TypeError, ValueError: as `wavefield`.
    """
    from matplotlib import pyplot

    scene = _scene(fields, velocity, survey, shot, every, perc, cmap)
    shown = scene.frames(PANELS)
    width, height = scene.size(2.9, 4.2, 4.0)
    columns = min(len(shown), 3 if width < 3.0 else 2)
    rows = -(-len(shown) // columns)
    size = columns * (width + 0.15) + 1.4, rows * (height + 0.35) + 0.5 + 0.3 * (title is not None)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for ax, k in zip(grid.flat, shown, strict=False):
        scene.draw(ax, k)
        ax.label_outer()
    for ax in grid.flat[len(shown) :]:
        ax.set_visible(False)
    figure.colorbar(grid[0, 0].images[0], ax=grid, label="Velocity (m/s)", shrink=0.85, pad=0.02)
    if title is not None:
        figure.suptitle(title)
    return figure


@dataclass(frozen=True)
class _Scene:
    """The wavefields of a shot, checked, and how one of them is drawn."""

    fields: Array
    velocity: Array
    survey: Survey | None
    shot: int
    every: int
    limit: float
    cmap: str

    def size(self, narrow: float, wide: float, highest: float) -> tuple[float, float]:
        """Width, larger for a flat model, and height in inches of a panel with the proportions of the ground."""
        dz, dx, _ = cell_size(None if self.survey is None else self.survey.spacing)
        ratio = self.velocity.shape[0] * dz / (self.velocity.shape[1] * dx)
        width = narrow if ratio > 0.6 else wide
        return width, min(max(width * ratio, 0.9), highest)

    def time(self, k: int) -> str:
        """When frame k is."""
        sample = k * self.every
        return f"sample {sample}" if self.survey is None else f"{1e3 * sample * self.survey.dt:g} ms"

    def frames(self, count: int) -> list[int]:
        """So many frames at most, evenly spaced up to the last one that shows a wave."""
        last = np.flatnonzero(np.abs(self.fields).max((1, 2)) >= 0.5 * self.limit)
        ends = int(last[-1]) if len(last) else len(self.fields) - 1
        return sorted(range(ends, 0, -max(1, ends // count))[:count]) or [0]

    def draw(self, ax: Axes, k: int) -> AxesImage:
        """Frame k over the model, with the time above; returns the image of the wave."""
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap

        nz, nx = self.velocity.shape
        dz, dx, unit = cell_size(None if self.survey is None else self.survey.spacing)
        extent = (-0.5 * dx, (nx - 0.5) * dx, (nz - 0.5) * dz, -0.5 * dz)
        greys = ListedColormap(colormaps["gray_r"](np.linspace(*GREYS, 256)))
        low, high = float(self.velocity.min()), float(self.velocity.max())
        if low == high:
            low, high = 0.95 * low, 1.05 * high
        ax.imshow(
            self.velocity, extent=extent, cmap=greys, vmin=low, vmax=high, aspect="equal", interpolation="nearest"
        )
        strong = np.linspace(-1.0, 1.0, 512)
        colours = colormaps[self.cmap](0.5 + np.sign(strong) * (0.5 - HUE + HUE * np.abs(strong)))
        colours[:, 3] = np.abs(strong) ** FAINT
        image = ax.imshow(
            self.fields[k], extent=extent, cmap=ListedColormap(colours), vmin=-self.limit, vmax=self.limit,
            aspect="equal", interpolation="bilinear",
        )  # fmt: skip
        ax.set(xlabel=f"Distance ({unit})", ylabel=f"Depth ({unit})")
        ax.set_title(self.time(k), loc="right")
        if self.survey is not None:
            for name, marker, size, colour, edge in (
                ("receivers", "v", 14.0, "white", "black"),
                ("sources", "*", 130.0, "black", "white"),
            ):
                iz, ix = self.places(self.survey, name).T
                ax.scatter(ix * dx, iz * dz, s=size, marker=marker, c=colour, edgecolors=edge, linewidths=0.6)
            ax.set(xlim=extent[:2], ylim=extent[2:])
        return image

    def places(self, survey: Survey, name: str) -> Array:
        """(iz, ix) of the sources or the receivers of the shot."""
        places, mask = survey.positions(name), survey.receiver_mask
        own: Array = places[min(self.shot, len(places) - 1)]
        if name == "receivers" and mask is not None:
            own = own[mask[self.shot].numpy()]
        return own


def _scene(
    fields: npt.ArrayLike | torch.Tensor, velocity: npt.ArrayLike | torch.Tensor, survey: Survey | None, shot: int,
    every: int, perc: float, cmap: str,
) -> _Scene:  # fmt: skip
    import matplotlib

    values = as_array("fields", fields, 3, "[snapshots, nz, nx]")
    model = as_array("velocity", velocity, 2, "[nz, nx]")
    if values.shape[1:] != model.shape:
        raise ValueError(f"fields must have the velocity's {list(model.shape)} cells, got {list(values.shape[1:])}")
    every, shot = whole("every", every), whole("shot", shot, 0)
    if survey is not None:
        survey.check_shape(model.shape)
        if shot >= survey.shots:
            raise ValueError(f"shot must lie between 0 and {survey.shots - 1}, got {shot}")
        if (len(values) - 1) * every >= survey.nt:
            raise ValueError(
                f"fields must be of the survey's {survey.nt} samples, got {len(values)} wavefields, one every {every}"
            )
    if cmap not in matplotlib.colormaps:
        raise ValueError(f"cmap must be a colour map of matplotlib, got {cmap!r}")
    return _Scene(values, model, survey, shot, every, clip(values, perc), cmap)
