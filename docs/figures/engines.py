"""Draws the pictures of docs/engines.md.

python docs/figures/engines.py              into docs/_static/engines/, as SVG
python docs/figures/engines.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from saving import save

# One colour for one thing in all pictures.
DEVICE = "#d5d8dc"
SHARED = "#a9cdf0"
REGISTERS = "#f7bf7f"
LAYER = "#b6dfb0"
HALO = "#d3b9ee"
WRONG = "#f4a79d"
INK = "#1d2530"
LINE = "#5b6673"
WHAT = {
    DEVICE: "device memory",
    SHARED: "shared memory",
    REGISTERS: "registers",
    LAYER: "absorbing layer",
    HALO: "copies of a neighbour's cells",
    WRONG: "no longer right",
}


def canvas(width: float, height: float, title: str, *colours: str) -> tuple[Figure, Axes]:
    """A figure of `width` x `height` units of 0.1 inch, y downwards, with a title and a legend of what is used."""
    figure = plt.figure(figsize=(width / 10, height / 10), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    axes.text(2, 3, title, fontsize=12, fontweight="bold", color=INK, va="center")
    handles = [Patch(facecolor=c, edgecolor=LINE, linewidth=0.6, label=WHAT[c]) for c in colours]
    axes.legend(
        handles=handles, loc="lower center", ncols=len(handles), fontsize=8.5, frameon=False, labelcolor=INK,
        handlelength=1.4, columnspacing=2, borderaxespad=0.2,
    )  # fmt: skip
    return figure, axes


def cells(
    axes: Axes, x: float, y: float, width: float, height: float, colour: str = "none", edge: str = LINE,
    line: float = 0.8, **style: object,
) -> None:  # fmt: skip
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=edge, linewidth=line, **style))


def box(
    axes: Axes, x: float, y: float, width: float, height: float, colour: str, text: str = "", size: float = 8.5
) -> None:
    shape = FancyBboxPatch(
        (x + 0.5, y + 0.5), width - 1, height - 1, boxstyle="round,pad=0.5,rounding_size=0.8", facecolor=colour,
        edgecolor=LINE, linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(shape)
    note(axes, x + width / 2, y + height / 2, text, size, ha="center")


def note(axes: Axes, x: float, y: float, text: str, size: float = 8.5, **style: object) -> None:
    axes.text(x, y, text, **{"fontsize": size, "color": INK, "va": "center", "linespacing": 1.25, **style})


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = INK,
    bend: float = 0,
    width: float = 1.1,
) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": width, "color": colour, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **style))


def barrier(axes: Axes, x: float, y0: float, y1: float) -> None:
    axes.plot([x, x], [y0, y1], color=INK, linewidth=2.2, solid_capstyle="butt")


def plain() -> Figure:
    figure, axes = canvas(100, 62, "plain: one launch per phase, every field in device memory", DEVICE, REGISTERS)
    cells(axes, 2, 25, 96, 13, DEVICE)
    note(axes, 4, 27.1, "device memory", weight="bold")
    fields = [
        (3.5, 19, "u[n-1], u[n]\nψ and ζ of the layers"),
        (24, 13, "v, wavelet"),
        (38.5, 15, "record and\nits residual"),
        (55, 15, "kept L[n]\n(or states)"),
        (71.5, 26, "μ[n+1], μ[n+2], m and p of the\nlayers, sums of the gradient"),
    ]
    for x, width, name in fields:
        box(axes, x, 29.2, width, 7.8, "white", name, 8)

    forward = [
        ("ψ", "a thread per cell\nof the layers"),
        ("advance", "a thread per cell:\nL[n], ζ, u[n+1]"),
        ("inject", "a thread per shot:\npulses"),
        ("record", "a thread per\nreceiver"),
    ]
    adjoint = [
        ("residual", "a thread per\nreceiver"),
        ("source", "a thread per\nsource"),
        ("image", "a thread per cell:\nΣ L μ, and m"),
        ("p", "a thread per cell\nof the layers"),
        ("retreat", "a thread per cell:\nμ[n]"),
    ]
    for phases, y, name in ((forward, 9, "forward,\nstep n"), (adjoint, 44, "adjoint,\nstep n")):
        note(axes, 2, y + 4.5, name, weight="bold")
        pitch = 86 / len(phases)
        for k, (phase, text) in enumerate(phases):
            x = 12 + k * pitch
            box(axes, x, y, pitch - 3, 9, REGISTERS)
            note(axes, x + (pitch - 3) / 2, y + 2.4, phase, 9, ha="center", weight="bold")
            note(axes, x + (pitch - 3) / 2, y + 6.1, text, 8, ha="center")
            barrier(axes, x + pitch - 1.5, y - 0.5, y + 9.5)
            middle, top, bottom = x + (pitch - 3) / 2, y + 9.3, 24.8
            if y > 30:
                top, bottom = y - 0.3, 38.2
            arrow(axes, (middle - 1.5, bottom), (middle - 1.5, top))
            arrow(axes, (middle + 1.5, top), (middle + 1.5, bottom))
    note(axes, 12, 56.0, "Thick line: the end of a launch, the only barrier. Then the next step does the same again.")
    return figure


def resident() -> Figure:
    figure, axes = canvas(
        104, 75, "resident: one block holds one shot for all its steps", REGISTERS, SHARED, DEVICE, LAYER
    )
    # The padded grid: 128 x 128 cells on 44 x 44 units.
    x0, y0, size = 3.0, 10.0, 44.0
    unit = size / 128
    note(axes, x0, 7.7, "the padded grid, 128 x 128 cells: 8 bands x 32 groups = 256 threads")
    cells(axes, x0, y0, size, size, LAYER)
    cells(axes, x0 + 14 * unit, y0 + 14 * unit, 100 * unit, 100 * unit, "white", LAYER)
    for k in range(1, 32):
        axes.plot([x0 + 4 * k * unit] * 2, [y0, y0 + size], color=LINE, linewidth=0.25)
    for k in range(1, 8):
        axes.plot([x0, x0 + size], [y0 + 16 * k * unit] * 2, color=LINE, linewidth=0.8)
    cells(axes, x0, y0, size, size, line=1.2)
    for x, y, width, height in ((0, 0, 128, 16), (0, 112, 128, 16), (0, 0, 16, 128), (112, 0, 16, 128)):
        cells(
            axes, x0 + x * unit, y0 + y * unit, width * unit, height * unit, edge="#2f7d32", line=1.0,
            linestyle=(0, (4, 2)),
        )  # fmt: skip
    cells(axes, x0 + 48 * unit, y0 + 48 * unit, 4 * unit, 16 * unit, REGISTERS, INK, 1.4)
    cells(axes, x0 + 80 * unit, y0, 1.6 * unit, 16 * unit, REGISTERS, INK, 1.0)
    cells(axes, x0, y0 + 91 * unit, 16 * unit, 1.6 * unit, REGISTERS, INK, 1.0)
    on_white = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.92}}
    note(axes, x0 + 54 * unit, y0 + 56 * unit, "cells of one thread:\n16 rows x 4 columns", 8, **on_white)
    note(axes, x0 + 81 * unit, y0 + 22 * unit, "a z line: 16 cells", 8, ha="center", **on_white)
    note(axes, x0 + 18 * unit, y0 + 92 * unit, "an x line: 16 cells", 8, **on_white)
    note(axes, x0, y0 + size + 2, "dashed: the strips, 14 cells of layer and 2 of the stencil's reach", 8)

    # What the block holds.
    left = 53.0
    note(axes, left, 7.7, "what the block holds (forward, float32, order 4)")
    box(axes, left, 9.7, 48, 12.3, REGISTERS)
    note(axes, left + 2, 12.0, "registers of a thread", weight="bold")
    note(axes, left + 2, 17.2, "(v dt)² of its 64 cells\nψ and ζ of one z line\nψ and ζ of one x line")
    note(axes, left + 46, 17.2, "for the\nwhole run", ha="right")
    cells(axes, left, 25, 48, 20.3, SHARED)
    note(axes, left + 2, 27, "shared memory", weight="bold")
    note(axes, left + 46, 27, "bytes", ha="right")
    box(axes, left + 1.5, 28.7, 22, 8, "white", "image of u[n]\n69,728")
    box(axes, left + 24.5, 28.7, 22, 8, "white", "image of u[n-1], then u[n+1]\n69,728", 8)
    box(axes, left + 1.5, 37.4, 15, 7, "white", "what z lines add\n16,384", 8)
    box(axes, left + 17, 37.4, 15, 7, "white", "what x lines add\n18,432", 8)
    box(axes, left + 32.5, 37.4, 14, 7, "white", "a and b\n640", 8)
    arrow(axes, (left + 12, 21.7), (left + 12, 25.1))
    arrow(axes, (left + 16, 25.1), (left + 16, 21.7))
    note(axes, left + 18, 23.5, "in every step", 8)
    cells(axes, left, 48.6, 48, 5.4, DEVICE)
    note(axes, left + 24, 51.3, "device memory: v once; a pulse and a record in every step", 8, ha="center")
    arrow(axes, (left + 12, 48.6), (left + 12, 45.5))
    arrow(axes, (left + 16, 45.5), (left + 16, 48.6))

    # Its steps.
    note(axes, 3, 61.7, "forward", weight="bold")
    box(axes, 13, 59.5, 13.5, 4.4, "white", "record u[n]", 8)
    box(axes, 27, 59.5, 27, 4.4, "white", "lines: from u[n]", 8)
    barrier(axes, 55.5, 58.9, 64.5)
    box(axes, 57, 59.5, 43, 4.4, "white", "advance: u[n+1]", 8)
    barrier(axes, 101.5, 58.9, 64.5)
    note(axes, 3, 67.7, "adjoint", weight="bold")
    box(axes, 13, 65.5, 15, 4.4, "white", "add residual", 8)
    barrier(axes, 29.5, 64.9, 70.5)
    box(axes, 31, 65.5, 23, 4.4, "white", "lines transposed: from μ[n+1]", 8)
    barrier(axes, 55.5, 64.9, 70.5)
    box(axes, 57, 65.5, 43, 4.4, "white", "gradient += L[n] μ[n+1];  advance: μ[n]", 8)
    barrier(axes, 101.5, 64.9, 70.5)
    return figure


def cluster() -> Figure:
    figure, axes = canvas(
        104, 62, "cluster: slabs of one shot, edge rows written into the neighbour's memory", SHARED, HALO, LAYER
    )
    # 228 x 228 cells, 4 blocks of 57 rows.
    x0, y0, size = 3.0, 10.0, 34.0
    unit = size / 228
    note(axes, x0, 7.7, "a grid of 228 x 228 cells: 4 blocks")
    cells(axes, x0, y0, size, size, LAYER)
    cells(axes, x0 + 14 * unit, y0 + 14 * unit, 200 * unit, 200 * unit, SHARED, "none")
    for k in range(4):
        cells(axes, x0, y0 + 57 * k * unit, size, 57 * unit, edge=INK, line=1.4)
        note(axes, x0 + size / 2, y0 + (57 * k + 28.5) * unit, f"block {k}: 57 rows", ha="center")
    note(
        axes, x0, y0 + size + 3,
        "block 0 computes the layer on top, block 3 the one\nbelow, each block its part of those at the sides", 8,
    )  # fmt: skip

    # Two images, and what they exchange.
    left, width, row = 47.0, 30.0, 2.0
    note(axes, left, 7.7, "u[n+1] where two of them meet (order 4: the stencil reaches 2 rows)")
    upper, lower = 10.0, 31.0
    for top, edge_rows in ((upper, (7, 8)), (lower, (0, 1))):
        for k in range(9):
            colour = HALO if k in edge_rows else SHARED
            cells(axes, left, top + k * row, width, row, colour, "white", 0.7)
        cells(axes, left, top, width, 9 * row, edge=INK, line=1.2)
    labels = [
        (upper + 2.5 * row, "block 1: its own rows", SHARED),
        (upper + 6 * row, "its last 2 rows", SHARED),
        (upper + 8 * row, "edge rows: copies from block 2", HALO),
        (lower + 1 * row, "edge rows: copies from block 1", HALO),
        (lower + 3 * row, "its first 2 rows", SHARED),
        (lower + 6.5 * row, "block 2: its own rows", SHARED),
    ]
    for y, text, colour in labels:
        on_colour = {"bbox": {"facecolor": colour, "edgecolor": "none", "pad": 1.5}}
        note(axes, left + width / 2, y, text, 8, ha="center", **on_colour)
    for y in (upper + 5 * row, lower + 4 * row):
        axes.plot([left, left + width], [y, y], color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    edge = left + width
    arrow(axes, (edge + 0.3, upper + 6 * row), (edge + 0.3, lower + 1 * row), bend=-0.55)
    arrow(axes, (left - 0.3, lower + 3 * row), (left - 0.3, upper + 8 * row), bend=-0.55)
    note(
        axes, edge + 6.5, 27.5, "while it advances,\neach block writes\nits outer rows into\nthe other's shared\nmemory"
    )

    note(axes, 3, 55.2, "a step", weight="bold")
    box(axes, 11, 53, 14, 4.4, "white", "record u[n]", 8)
    box(axes, 26, 53, 18, 4.4, "white", "lines: from u[n]", 8)
    barrier(axes, 45.5, 52.4, 58)
    note(axes, 45.5, 51.1, "of a block", 8, ha="center")
    box(axes, 47, 53, 45, 4.4, "white", "advance: u[n+1], edge rows of the neighbours", 8)
    barrier(axes, 93.5, 52.4, 58)
    note(axes, 93.5, 51.1, "of the cluster", 8, ha="center")
    return figure


def tiled() -> Figure:
    figure, axes = canvas(
        104, 62, "tiled: overlapped tiles, several steps per launch", SHARED, HALO, WRONG, LAYER, DEVICE
    )
    # Plan view: 3 x 3 tiles of 128 with a halo of 12, 104 cells from tile to tile.
    x0, y0, size = 3.0, 10.0, 38.0
    unit = size / 336
    note(axes, x0, 7.7, "for example 336 x 336 cells in 3 x 3 tiles of 128 x 128")
    cells(axes, x0, y0, size, size, LAYER)
    cells(axes, x0 + 14 * unit, y0 + 14 * unit, 308 * unit, 308 * unit, "white", "none")
    cells(axes, x0 + 104 * unit, y0 + 104 * unit, 128 * unit, 128 * unit, HALO, "none")
    cells(axes, x0 + 116 * unit, y0 + 116 * unit, 104 * unit, 104 * unit, SHARED, "none")
    for i in range(3):
        for k in range(3):
            cells(axes, x0 + 104 * k * unit, y0 + 104 * i * unit, 128 * unit, 128 * unit, line=0.8)
    for cut in (116, 220):
        style = {"color": INK, "linewidth": 0.9, "linestyle": (0, (3, 2))}
        axes.plot([x0 + cut * unit] * 2, [y0, y0 + size], **style)
        axes.plot([x0, x0 + size], [y0 + cut * unit] * 2, **style)
    cells(axes, x0 + 104 * unit, y0 + 104 * unit, 128 * unit, 128 * unit, edge=INK, line=1.8)
    note(axes, x0 + 168 * unit, y0 + 168 * unit, "owned:\n104 x 104", ha="center")
    note(
        axes, x0, y0 + size + 3.2,
        "dashed: who owns what. The halo is 12 cells, reach 2 x 6\n"
        "steps, on the sides that are not an edge of the grid", 8,
    )  # fmt: skip

    # Section: columns of one tile over the steps of a launch. 128 columns on 48 units.
    left, top, height = 52.0, 12.5, 3.7
    scale = 48 / 128
    note(axes, left - 5.5, 7.7, "the middle tile in one launch: its 128 columns over six steps")
    for n in range(7):
        y = top + n * height
        lost = 2 * n
        cells(axes, left, y, 128 * scale, height, WRONG, "none")
        cells(axes, left + lost * scale, y, (128 - 2 * lost) * scale, height, HALO, "none")
        cells(axes, left + 12 * scale, y, 104 * scale, height, SHARED, "none")
        cells(axes, left, y, 128 * scale, height, edge="white", line=0.8)
        note(axes, left - 0.8, y + height / 2, f"u[n+{n}]" if n else "u[n]", 8, ha="right")
    cells(axes, left, top, 128 * scale, 7 * height, line=1.2)
    for side in (12, 116):
        axes.plot([left + side * scale] * 2, [top - 1.2, top + 7 * height + 1.2], color=INK, linewidth=1.0)
    for middle, name in ((64, "owned"), (6, "halo"), (122, "halo")):
        note(axes, left + middle * scale, top - 1.4, name, ha="center")
    text = (
        "what is wrong for want of neighbours grows\nby the reach, 2 cells per step, and has not\n"
        "met an owned cell after six"
    )
    on_colour = {"bbox": {"facecolor": SHARED, "edgecolor": "none", "pad": 2}}
    note(axes, left + 64 * scale, top + 3.5 * height, text, ha="center", **on_colour)

    # Device memory between the launches.
    note(axes, left - 5.5, 43.4, "device memory between the launches: two slots for the state")
    for x, name in ((left - 5.5, "slot A: u[n], u[n-1], ψ, ζ"), (left + 24, "slot B: u[n+6], u[n+5], ψ, ζ")):
        cells(axes, x, 45.5, 24, 6, DEVICE)
        note(axes, x + 12, 48.5, name, 8, ha="center")
    arrow(axes, (left + 18.8, 47.4), (left + 23.7, 47.4))
    arrow(axes, (left + 23.7, 49.8), (left + 18.8, 49.8))
    note(axes, left - 5.5, 54.6, "A tile reads all its cells from one slot and writes those it owns to the other.", 8)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {"plain": plain, "resident": resident, "cluster": cluster, "tiled": tiled}


if __name__ == "__main__":
    save(PICTURES, "engines")
