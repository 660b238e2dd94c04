"""Draws eight models of Style, Salt, SeisInv2 and Crops each.

python docs/figures/geology_fields.py              into docs/_static/geology/, as PNG
python docs/figures/geology_fields.py FOLDER png   somewhere else

The large model of Crops is Marmousi-II from the test data (SEISFAST_DATA, ../shared/data if not set), else a model of
the family Salt.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from saving import save

from seisfast import geology

ROOT = Path(__file__).resolve().parents[2]
MARMOUSI = Path(os.environ.get("SEISFAST_DATA", ROOT.parent / "shared/data")) / "marmousi2/vp_true_500x174.bin"


def large_model() -> np.ndarray:
    """Something larger than a model, `[z, x]` in m/s."""
    if MARMOUSI.is_file():
        return np.fromfile(MARMOUSI, "<f4").reshape(500, 174).T
    return geology.Salt()([0])[0].numpy()


def drawn(rows: list[tuple[str, geology.Geology]], height: float) -> Figure:
    """Four models of each family in a row, named at its left."""
    figure, axes = plt.subplots(len(rows), 4, figsize=(8, height), squeeze=False, layout="constrained")
    for row, (name, family) in zip(axes, rows, strict=True):
        for axis, model in zip(row, family(range(4), seed=3), strict=True):
            image = axis.imshow(model, cmap="jet", vmin=1500, vmax=4500, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.colorbar(image, ax=axes, label="velocity (m/s)", shrink=0.8, pad=0.01)
    return figure


def style() -> Figure:
    return drawn([(f'version="{name}"', geology.Style(version=name)) for name in "AB"], 3.8)


def salt() -> Figure:
    simulated = geology.Salt(version="simulated", velocity=(2000, 4500))
    return drawn([('version="seg"', geology.Salt()), ('version="simulated"', simulated)], 2.8)


def seisinv2() -> Figure:
    return drawn([("4 layers", geology.SeisInv2(layers=(4,))), ("9 layers", geology.SeisInv2(layers=(9,)))], 3.8)


def crops() -> Figure:
    make = functools.partial(geology.Crops, model=large_model(), velocity=(1500, 4800))
    return drawn([("scale 1", make()), ("scale 0.5 to 2.4", make(scale=(0.5, 2.4)))], 3.8)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.argv += [str(ROOT / "docs/_static/geology"), "png"]
    save({"style": style, "salt": salt, "seisinv2": seisinv2, "crops": crops}, "geology")
