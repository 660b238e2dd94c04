"""Saves the pictures that a script of this folder draws: the same bytes every time, text as text, which is small."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def save(pictures: dict[str, Callable[[], Figure]], page: str, kind: str = "svg") -> None:
    """Draw each picture into docs/_static/<page> as `kind`, or as the command line says: FOLDER, KIND."""
    given = dict(enumerate(sys.argv[1:]))
    folder = Path(given.get(0, Path(__file__).resolve().parents[1] / "_static" / page))
    kind = given.get(1, kind)
    folder.mkdir(parents=True, exist_ok=True)
    fonts = ["DejaVu Sans", "Verdana", "Helvetica", "Arial"]
    plt.rcParams.update({"svg.hashsalt": "seisfast", "svg.fonttype": "none", "font.sans-serif": fonts})
    metadata = {"Date": None, "Creator": None} if kind == "svg" else None
    for name, draw in pictures.items():
        figure = draw()
        figure.savefig(folder / f"{name}.{kind}", dpi=130, metadata=metadata)
        plt.close(figure)
