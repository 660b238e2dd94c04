"""`seisfast plot wavefield`: simulates a shot and draws its wavefield, moving or as some of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from seisfast.cli.files import load_models, pick
from seisfast.cli.surveys import found_survey, one_shot, simulation_device

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

MOVING = (".gif", ".mp4")
FRAMES = 50  # about as many when --every is left out
FASTEST = 50.0  # frames per second that viewers of .gif files show


def draw(options: Namespace) -> Figure | FuncAnimation:
    """The animation of --output, or its still picture."""
    import torch

    from seisfast import plot
    from seisfast.propagator import simulate
    from seisfast.snapshots import Every

    moving = _check(options)
    model = pick("--velocity", load_models("--velocity", options.velocity), options.index or 0, 2)
    survey = found_survey(options.survey, (model.shape[0], model.shape[1]))
    if survey is None:
        raise ValueError("--survey is needed: seisinv, openfwi, a .json file or a data set folder")
    shot = options.shot or 0
    if not 0 <= shot < survey.shots:
        raise ValueError(f"--shot must lie between 0 and {survey.shots - 1}, got {shot}")
    every = max(1, survey.nt // FRAMES) if options.every is None else options.every
    if not 1 <= every < survey.nt:
        raise ValueError(f"--every must lie between 1 and {survey.nt - 1} (of {survey.nt} samples), got {every}")
    velocity = model.to(simulation_device(options.device), torch.float32)
    _, fields = simulate(velocity, one_shot(survey, shot), snapshots=Every(every))
    look: dict[str, Any] = {
        "velocity": model, "survey": survey, "shot": shot, "every": every, "title": options.title,
        "perc": 98.0 if options.perc is None else options.perc, "cmap": options.cmap or "RdBu_r",
    }  # fmt: skip
    return plot.wavefield(fields, fps=_fps(options), **look) if moving else plot.snapshots(fields, **look)


def save(animation: FuncAnimation, options: Namespace) -> None:
    """Writes the animation."""
    from seisfast.data.progress import model_bar

    writer, dpi = ("pillow", 100) if Path(options.output).suffix == ".gif" else ("ffmpeg", 150)
    with model_bar("drawing", len(list(animation.new_frame_seq())), unit="frames") as moved:
        animation.save(options.output, writer=writer, dpi=dpi, progress_callback=lambda k, n: moved(1))


def _fps(options: Namespace) -> float:
    return 12.5 if options.fps is None else float(options.fps)


def _check(options: Namespace) -> bool:
    """Whether the picture moves, once the options that need no file are found to be right."""
    import matplotlib
    from matplotlib.animation import writers

    if options.velocity is None:
        raise ValueError("--velocity is needed: the .npy file of the model")
    moving = Path(options.output).suffix in MOVING
    if not moving and options.fps is not None:
        raise ValueError(f"--fps belongs to {' and '.join(MOVING)}, --output is {options.output}")
    if not 0 < _fps(options) <= FASTEST:
        raise ValueError(f"--fps must lie in (0, {FASTEST:g}], got {options.fps}")
    if options.perc is not None and not 0 < options.perc <= 100:
        raise ValueError(f"--perc must lie in (0, 100], got {options.perc}")
    if options.cmap is not None and options.cmap not in matplotlib.colormaps:
        raise ValueError(f"--cmap: matplotlib has no colour map {options.cmap!r}")
    if Path(options.output).suffix == ".mp4" and not writers.is_available("ffmpeg"):
        raise ValueError("--output: .mp4 needs the program ffmpeg, which is not on the path; .gif needs nothing")
    return moving
