"""Draws the pictures of Style, Salt, SeisInv2 and Crops in docs/geology.md, as geology.py draws the others.

python docs/figures/geology_fields.py              into docs/_static/geology/, as PNG
python docs/figures/geology_fields.py FOLDER png   somewhere else
"""

from __future__ import annotations

from geology import draw
from saving import save

from seisfast.geology import Crops, Geology, Salt, SeisInv2, Style


def crops(**options: object) -> Crops:
    """Parts of a large faulted model."""
    large = SeisInv2(shape=(180, 900), kinds=("faults",), layers=(11,), velocity=(1500, 4500))([1])[0]
    return Crops(model=large, velocity=(1500, 4500), **options)


FAMILIES: dict[str, dict[str, Geology]] = {
    "style": {"A": Style(version="A"), "B": Style(version="B")},
    "salt": {"a": Salt(), "b": Salt(kind="simulated", velocity=(2000, 4500))},
    "seisinv2": {"a": SeisInv2(layers=(4,)), "b": SeisInv2(layers=(9,))},
    "crops": {"a": crops(), "b": crops(scale=(0.5, 2.4))},
}

if __name__ == "__main__":
    save({name: lambda rows=rows: draw(rows) for name, rows in FAMILIES.items()}, "geology", "png")
