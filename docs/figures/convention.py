"""Draws when samples are injected and recorded, for docs/propagator.

python docs/figures/convention.py              into docs/_static/propagator/, as SVG
python docs/figures/convention.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saving import save

INK, WAVELET, FIELD, RECORD = "#1d2530", "#c8553d", "#1f5fa8", "#3b8f4a"


def box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    frame = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.3}
    axes.text(x, y, text, ha="center", va="center", fontsize=10, color=INK, bbox=frame, zorder=2)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style, zorder=1)


def convention() -> Figure:
    figure = plt.figure(figsize=(8.4, 2.9))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.05, 4.75), ylim=(-0.95, 2.55))
    axes.axis("off")
    for y, name, colour in ((2, "wavelet", WAVELET), (1, "field", FIELD), (0, "record", RECORD)):
        axes.text(-0.98, y, name, fontsize=10, fontweight="bold", color=colour, va="center")
    axes.annotate("", (4.65, -0.62), (-0.35, -0.62), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1})
    for n in range(5):
        time = "0" if n == 0 else "Δt" if n == 1 else f"{n} Δt"
        axes.plot([n, n], [-0.68, -0.56], color=INK, linewidth=1)
        axes.text(n, -0.84, time, ha="center", va="center", fontsize=9, color=INK)
        box(axes, n, 1, f"u[{n}]" if n else "u[0] = 0", FIELD)
        if n < 4:
            box(axes, n, 2, f"w[{n}]", WAVELET)
            arrow(axes, (n, 2), (n + 0.85, 1.15), WAVELET)
            arrow(axes, (n, 1), (n + 0.85, 1), FIELD)
        if n:
            box(axes, n, 0, f"d[{n - 1}]", RECORD)
            arrow(axes, (n, 1), (n, 0.19), RECORD)
    axes.text(0.56, 1.56, "times (v Δt)²", fontsize=9, color=WAVELET)
    axes.text(0.5, 0.82, "step 0", fontsize=9, color=FIELD, ha="center", va="top")
    axes.text(1.5, 0.82, "step 1", fontsize=9, color=FIELD, ha="center", va="top")
    axes.text(4.65, -0.47, "time", fontsize=9, color=INK, ha="right", va="bottom")
    return figure


if __name__ == "__main__":
    save({"convention": convention}, "propagator")
