"""Draws what each change of training data does to a gather, for docs/augmentation.

python docs/figures/augmentation.py              into docs/_static/augmentation/, as SVG
python docs/figures/augmentation.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saving import save

import seisfast as sf
from seisfast import plot
from seisfast.augmentation import Augmentation
from seisfast.normalization import automatic_gain

FULL = sf.Survey.openfwi()
SURVEY = sf.Survey.from_dict({**FULL.to_dict(), "nt": 700, "wavelet": FULL.wavelet[:700]})
MODEL = sf.geology.CurveFault()([7], seed=1)[:, None]
RECORDS = sf.simulate(MODEL[:, 0], SURVEY)
SHOT = 1
# The largest change of each kind, so that it is seen.
CHANGES = {
    "flip": Augmentation(flip=1.0),
    "wavelet = (90, 20)": Augmentation(wavelet=(90.0, 20.0)),
    "shift = (60, 60)": Augmentation(shift=(60.0, 60.0)),
    "gain = (9, 9)": Augmentation(gain=(9.0, 9.0)),
    "noise = (15, 15)": Augmentation(noise=(15.0, 15.0)),
    "noise_band = (5, 30)": Augmentation(noise=(15.0, 15.0), noise_band=(5.0, 30.0)),
    "missing = (0.3, 0.3)": Augmentation(missing=(0.3, 0.3)),
}


def changed(augmentation: Augmentation) -> torch.Tensor:
    """The gather of one shot after a change, as a model of an epoch draws it: one whose wavelet changes much."""
    return augmentation(RECORDS, MODEL, numbers=[294], seed=3, survey=SURVEY)[0][0, SHOT]


def panel(ax: Axes, record: torch.Tensor, limit: float, title: str) -> None:
    plot.gather(record, survey=SURVEY, shot=SHOT, limit=limit, ax=ax)
    ax.set_title(title, fontsize=8.5, family="monospace")
    ax.label_outer()


def changes() -> Figure:
    figure, grid = plt.subplots(2, 4, figsize=(6.8, 3.9), layout="constrained", sharex=True, sharey=True)
    limit = float(RECORDS[0, SHOT].abs().quantile(0.9))
    panel(grid[0, 0], RECORDS[0, SHOT], limit, "as simulated")
    for ax, (name, augmentation) in zip(grid.flat[1:], CHANGES.items(), strict=True):
        panel(ax, changed(augmentation), limit, name)
    return figure


def flip() -> Figure:
    """The middle shot of the mirrored model, and what is wrong with the mirrored record of the middle shot."""
    figure, axes = plt.subplots(1, 4, figsize=(8.4, 3.0), layout="constrained")
    records, model = CHANGES["flip"](RECORDS, MODEL, numbers=[294], seed=3, survey=SURVEY)
    limit = float(RECORDS[0, 2].abs().quantile(0.95))
    for ax, velocity, title in ((axes[0], MODEL, "model"), (axes[1], model, "mirrored")):
        plot.velocity(velocity[0, 0], spacing=10.0, ax=ax, colorbar=False)
        ax.set_title(title, fontsize=10)
    naive = RECORDS[0, 2].flip(-1)
    for ax, record, title in (
        (axes[2], records[0, 2], "its middle shot"),
        (axes[3], naive - records[0, 2], "error if mirrored"),
    ):
        plot.gather(record, survey=SURVEY, shot=2, limit=limit, ax=ax)
        ax.set_title(title, fontsize=10)
    axes[1].set(ylabel="")
    axes[3].set(ylabel="")
    error = float((naive - records[0, 2]).norm() / records[0, 2].norm())
    print(f"mirrored record of the middle shot: relative error {error:.3f}")
    return figure


def gain_control() -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(6.6, 3.0), layout="constrained", sharey=True)
    record = RECORDS[0, SHOT]
    panel(axes[0], record, float(record.abs().quantile(0.98)), "as simulated")
    for ax, window in ((axes[1], 250), (axes[2], 60)):
        gained = automatic_gain(record, window)
        panel(ax, gained, float(gained.abs().quantile(0.98)), f"agc = {window}")
    return figure


if __name__ == "__main__":
    save({"changes": changes, "flip": flip, "gain_control": gain_control}, "augmentation")
