"""Draws the pictures of Style, Salt, SeisInv2 and Crops in docs/geology.md, as geology.py draws the others.

python docs/figures/geology_fields.py              into docs/_static/geology/, as PNG
python docs/figures/geology_fields.py FOLDER png   somewhere else

Crops are cut from Marmousi-II of the test data (folder SEISFAST_DATA, ../shared/data if not set).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from geology import draw
from saving import save

from seisfast.geology import Crops, Geology, Salt, SeisInv2, Style

DATA = Path(os.environ.get("SEISFAST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def marmousi(**options: object) -> Crops:
    """Parts of Marmousi-II."""
    large = np.fromfile(DATA / "marmousi2/vp_true_500x174.bin", "<f4").reshape(500, 174).T
    return Crops(model=large, velocity=(1500, 4800), **options)


FAMILIES: dict[str, dict[str, Geology]] = {
    "style": {"A": Style(version="A"), "B": Style(version="B")},
    "salt": {"a": Salt(), "b": Salt(kind="simulated", velocity=(2000, 4500))},
    "seisinv2": {"a": SeisInv2(layers=(4,)), "b": SeisInv2(layers=(9,))},
    "crops": {"a": marmousi(), "b": marmousi(scale=(0.5, 2.4))},
}

if __name__ == "__main__":
    save({name: lambda rows=rows: draw(rows) for name, rows in FAMILIES.items()}, "geology", "png")
