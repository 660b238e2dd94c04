"""Draws the pictures of docs/geology.md: eight models of every family, all in the same colours.

python docs/figures/geology.py              into docs/_static/geology/, as PNG
python docs/figures/geology.py FOLDER png   somewhere else
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from saving import save

from seisfast.geology import CurveFault, CurveVel, FlatFault, FlatVel, Geology, SeisInv

FAMILIES: dict[str, dict[str, Geology]] = {
    "seisinv": {"": SeisInv()},
    "flatvel": {"A": FlatVel(version="A"), "B": FlatVel(version="B")},
    "curvevel": {"A": CurveVel(version="A"), "B": CurveVel(version="B")},
    "flatfault": {"A": FlatFault(version="A"), "B": FlatFault(version="B")},
    "curvefault": {"A": CurveFault(version="A"), "B": CurveFault(version="B")},
}
"""For every picture, its rows: a label and a family, of which models 0 to 7 of seed 0 are drawn."""

COUNT = 8
LIMITS = (1500.0, 4500.0)


def draw(rows: dict[str, Geology]) -> Figure:
    """A row of models for every label, and one scale of colours."""
    figure, grid = plt.subplots(
        len(rows), COUNT, figsize=(10, 0.5 + 1.22 * len(rows)), layout="constrained", squeeze=False
    )
    for (label, family), line in zip(rows.items(), grid, strict=True):
        line[0].set_ylabel(label, rotation=0, labelpad=10, va="center", fontsize=12)
        for model, axes in zip(family(range(COUNT)), line, strict=True):
            image = axes.imshow(model, cmap="turbo", vmin=LIMITS[0], vmax=LIMITS[1], interpolation="nearest")
            axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=grid, location="bottom", aspect=60, label="Velocity (m/s)")
    return figure


if __name__ == "__main__":
    save({name: lambda rows=rows: draw(rows) for name, rows in FAMILIES.items()}, "geology", "png")
