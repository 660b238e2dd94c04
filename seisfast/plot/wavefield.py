"""Wavefields over the model that they run through: an animation, or some of its frames as panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from seisfast.arguments import item, positive, whole
from seisfast.plot.axes import as_array, cell_size, check_survey, clip, colour_map
from seisfast.plot.models import draw_positions
from seisfast.plot.models import velocity as draw_velocity

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
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
    cmap: str | Colormap = "RdBu_r",
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
        perc: the colours end at this percentile of the absolute amplitude of all wavefields.
        cmap: a matplotlib colour map, or its name, with its middle at zero.
        fps: frames per second.
        title: text above the model, left of the time.

    Raises:
        TypeError: another kind of survey or colour map, or a shot, `every`, perc or fps that is no number.
        ValueError: fields or a velocity that are not finite or do not fit each other or the survey, a shot that is not
            there, `every` below 1, perc outside (0, 100], an unknown colour map, or fps that is not positive.
    """
    from matplotlib import pyplot
    from matplotlib.animation import FuncAnimation

    interval = 1e3 / positive("fps", fps)
    scene = _Scene(fields, velocity, survey, shot, every, perc, cmap)
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
    cmap: str | Colormap = "RdBu_r",
    title: str | None = None,
) -> Figure:
    """Up to six frames of `wavefield` in rows, evenly spaced up to the last one in which the wave is seen.

    A wave is seen where it reaches half the amplitude at which the colours end. The first frame shown comes one
    interval after the start; times are those of the nearest wavefields. The arguments are those of `wavefield`; the
    title stands above the figure.

    Raises:
        TypeError, ValueError: as `wavefield`, an unknown colour map among them.
    """
    from matplotlib import pyplot

    scene = _Scene(fields, velocity, survey, shot, every, perc, cmap)
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


class _Scene:
    """The wavefields of a shot, checked, and how one of them is drawn; arguments and errors as in `wavefield`."""

    def __init__(
        self, fields: npt.ArrayLike | torch.Tensor, velocity: npt.ArrayLike | torch.Tensor, survey: Survey | None,
        shot: int, every: int, perc: float, cmap: str | Colormap,
    ) -> None:  # fmt: skip
        check_survey(survey)
        self.fields = as_array("fields", fields, 3, "[snapshots, nz, nx]")
        self.velocity = as_array("velocity", velocity, 2, "[nz, nx]")
        count, *cells = self.fields.shape
        nz, nx = self.velocity.shape
        if cells != [nz, nx]:
            raise ValueError(f"fields must have the velocity's {[nz, nx]} cells, got {cells}")
        self.survey, self.every = survey, whole("every", every)
        self.shot = whole("shot", shot, 0) if survey is None else item("shot", shot, survey.shots)
        if survey is not None:
            survey.check_shape((nz, nx))
            if (count - 1) * every >= survey.nt:
                raise ValueError(
                    f"fields must be of the survey's {survey.nt} samples, got {count} wavefields, one every {every}"
                )
        self.cmap, self.limit = colour_map(cmap), clip(self.fields, perc)

    def size(self, narrow: float, wide: float, highest: float) -> tuple[float, float]:
        """Width, larger for a flat model, and height in inches of a panel with the proportions of the ground."""
        dz, dx, _ = cell_size(None, self.survey)
        ratio = self.velocity.shape[0] * dz / (self.velocity.shape[1] * dx)
        width = narrow if ratio > 0.6 else wide
        return width, min(max(width * ratio, 0.9), highest)

    def time(self, k: int) -> str:
        """When frame k is."""
        sample = k * self.every
        return f"sample {sample}" if self.survey is None else f"{1e3 * sample * self.survey.dt:g} ms"

    def frames(self, count: int) -> list[int]:
        """So many frames at most, evenly spaced from the first, which is left out, to the last one with a wave."""
        seen = np.flatnonzero(np.abs(self.fields).max((1, 2)) >= 0.5 * self.limit)
        last = int(seen[-1]) if len(seen) else len(self.fields) - 1
        count = min(count, last)
        return [(k * last + count // 2) // count for k in range(1, count + 1)] or [0]

    def draw(self, ax: Axes, k: int) -> AxesImage:
        """Frame k over the model, with the time above; returns the image of the wave."""
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap

        spacing = None if self.survey is None else self.survey.spacing
        greys = ListedColormap(colormaps["gray_r"](np.linspace(*GREYS, 256)))
        low, high = float(self.velocity.min()), float(self.velocity.max())
        limits = (low, high) if low < high else (0.95 * low, 1.05 * high)
        draw_velocity(self.velocity, spacing=spacing, ax=ax, cmap=greys, limits=limits, colorbar=False)
        strong = np.linspace(-1.0, 1.0, 512)
        colours = self.cmap(0.5 + np.sign(strong) * (0.5 - HUE + HUE * np.abs(strong)))
        colours[:, 3] = np.abs(strong) ** FAINT
        image = ax.imshow(
            self.fields[k], extent=ax.images[0].get_extent(), cmap=ListedColormap(colours), vmin=-self.limit,
            vmax=self.limit, aspect="equal", interpolation="bilinear",
        )  # fmt: skip
        ax.set_title(self.time(k), loc="right")
        if self.survey is not None:
            draw_positions(ax, self.survey, self.survey.spacing, self.shot)
        return image
