"""Draws the figure of positions between cells: error of the record against points per wavelength.

python docs/figures/positions.py              into docs/_static/positions/, as SVG
python docs/figures/positions.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from saving import save

import seisfast as sf

SHAPE, STEPS, DT, VELOCITY, SPACING = (70, 80), 700, 1e-3, 1500.0, 10.0
MODEL = torch.full(SHAPE, VELOCITY, dtype=torch.float64)
POINTS = (3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
DRAWS = 4


def record(
    sources: np.ndarray, receivers: np.ndarray, points: float, strengths: np.ndarray | None = None
) -> np.ndarray:
    """`[time, receivers]` of sources `[sources, 2]` fired together; `points` per wavelength at 2.5 peak frequencies."""
    frequency = VELOCITY / (SPACING * points * 2.5)
    each = torch.ones(len(sources)) if strengths is None else torch.from_numpy(strengths)
    survey = sf.Survey(
        shape=SHAPE, spacing=SPACING, dt=DT, nt=STEPS, sources=sources[None], receivers=receivers,
        wavelet=each[None, :, None] * sf.wavelets.ricker(frequency, DT, STEPS),
        boundary=sf.CPML(20, frequency=frequency),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # below 3.5 points the record is dispersed, on either grid
        return sf.simulate(MODEL, survey)[0].numpy()


def hicks(radius: int, b: float) -> Callable[[np.ndarray, np.ndarray, float], np.ndarray]:
    """The record with Hicks' own kernel, of order zero, put together from records of cells."""

    def taps(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low = np.floor(position).astype(int)
        cells = low[:, None] + np.arange(1 - radius, radius + 1)
        distance = position[:, None] - cells
        weight = np.sinc(distance) * np.i0(b * np.sqrt(1 - (distance / radius) ** 2)) / np.i0(b)
        grid = np.stack(np.meshgrid(*cells, indexing="ij"), -1).reshape(-1, 2)
        return grid, np.outer(*weight).ravel()

    def run(source: np.ndarray, receivers: np.ndarray, points: float) -> np.ndarray:
        fired, strengths = taps(source)
        heard = [taps(receiver) for receiver in receivers]
        data = record(fired, np.concatenate([cells for cells, _ in heard]), points, strengths)
        return np.einsum("trc,rc->tr", data.reshape(STEPS, len(receivers), -1), np.stack([w for _, w in heard]))

    return run


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "source in the nearest cell": lambda s, r, points: record(np.round(s)[None], r, points),
    "Hicks, radius 4": hicks(4, 6.31),
    "seisfast": lambda s, r, points: record(s[None], r, points),
    "Hicks, radius 8": hicks(8, 12.53),
}


def error() -> Figure:
    random = np.random.default_rng(0)
    worst: dict[str, list[float]] = {name: [] for name in METHODS}
    for points in POINTS:
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        for _ in range(DRAWS):
            shift = random.uniform(-0.5, 0.5, 2)
            source = random.integers((15, 15), (55, 65))
            receivers = random.integers((10, 10), (60, 70), (40, 2))
            receivers = receivers[np.hypot(*(receivers - source).T) > 10][:6]
            expected = record(source[None], receivers, points)  # the grid moved by the shift
            for name, run in METHODS.items():
                values = run(source + shift, receivers + shift, points)
                found[name].append(float(np.linalg.norm(values - expected) / np.linalg.norm(expected)))
        for name, errors in found.items():
            worst[name].append(max(errors))
            print(f"{points:4g} points, {name}: {max(errors):.1e}")
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    styles = ("s:", "^--", "o-", "v--")
    for (name, errors), style, colour in zip(
        worst.items(), styles, ("#8a8f98", "#d9822b", "#1f5fa8", "#3b8f4a"), strict=True
    ):
        axes.semilogy(POINTS, errors, style, label=name, color=colour, linewidth=2.2 if name == "seisfast" else 1.4)
    axes.axhline(1e-3, color="#1d2530", linewidth=0.8)
    axes.set(xlabel="Points per shortest wavelength (2.5 peak frequencies)", ylabel="Relative L2 error of the record")
    axes.grid(which="major", color="#e3e6ea")
    axes.legend(frameon=False, fontsize=9, loc="upper right", bbox_to_anchor=(1.0, 0.8))
    return figure


if __name__ == "__main__":
    save({"error": error}, "positions")
