"""`seisfast plot wavefield`: simulates a shot and draws its wavefield, moving or as some of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jsonargparse import Namespace

from seisfast import plot
from seisfast.arguments import item
from seisfast.cli.files import pick
from seisfast.cli.parser import given, needed
from seisfast.cli.surveys import models_and_survey, simulation_device
from seisfast.propagator import simulate
from seisfast.snapshots import Every
from seisfast.survey import Survey

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

MOVING = (".gif", ".mp4")
FRAMES = 50  # about as many when --every is left out
FASTEST = 50.0  # frames per second that viewers of .gif files show


def draw(options: Namespace) -> Figure | FuncAnimation:
    """The animation of --output, or its still picture."""
    moving = _check(options)
    models, found = models_and_survey(options)
    survey = needed("--survey", found, "seisinv, openfwi, a .json file or a data set folder")
    index = options.index or 0
    model = pick("--velocity", models, index, 2)
    survey = _of_model(survey, index, 1 if models.dim() == 2 else len(models))
    shot = survey.shot(item("--shot", options.shot or 0, survey.shots))
    every = max(1, survey.nt // FRAMES) if options.every is None else options.every
    longest = max(1, survey.nt - 1)
    if not 1 <= every <= longest:
        raise ValueError(f"--every must lie between 1 and {longest} (of {survey.nt} samples), got {every}")
    velocity = model.to(simulation_device(options.device), torch.float32)
    _, fields = simulate(velocity, shot, snapshots=Every(every), **given(options, "substeps"))
    picture = plot.wavefield if moving else plot.snapshots
    look = given(options, "perc", "cmap", "fps", "title")
    return picture(fields, velocity=model, survey=shot, every=every, **look)


def _of_model(survey: Survey, index: int, count: int) -> Survey:
    """The survey with the wavelets of one of `count` models, where each model has its own."""
    wavelet = survey.wavelet
    if wavelet.dim() < 4 or len(wavelet) == 1:
        return survey
    if len(wavelet) != count:
        raise ValueError(f"--survey must hold wavelets of as many models as --velocity, {count}, got {len(wavelet)}")
    return Survey.from_dict({**survey.to_dict(), "wavelet": wavelet[index]})


def save(animation: FuncAnimation, options: Namespace) -> None:
    """Writes the animation."""
    from seisfast.data.progress import model_bar

    writer, dpi = ("pillow", 100) if Path(options.output).suffix == ".gif" else ("ffmpeg", 150)
    with model_bar("drawing", len(list(animation.new_frame_seq())), unit="frames") as moved:
        animation.save(options.output, writer=writer, dpi=dpi, progress_callback=lambda k, n: moved(1))


def _check(options: Namespace) -> bool:
    """Whether the picture moves, once the options that need no file are found to be right."""
    from matplotlib.animation import writers

    needed("--velocity", options.velocity, "the .npy file of the model")
    moving = Path(options.output).suffix in MOVING
    if not moving and options.fps is not None:
        raise ValueError(f"--fps belongs to {' and '.join(MOVING)}, --output is {options.output}")
    if options.fps is not None and not 0 < options.fps <= FASTEST:
        raise ValueError(f"--fps must lie in (0, {FASTEST:g}], got {options.fps}")
    if Path(options.output).suffix == ".mp4" and not writers.is_available("ffmpeg"):
        raise ValueError("--output: .mp4 needs the program ffmpeg, which is not on the path; .gif needs nothing")
    return moving
