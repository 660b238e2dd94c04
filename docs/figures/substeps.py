"""Draws the picture of substeps of docs/propagator.

python docs/figures/substeps.py              into docs/_static/propagator/, as SVG
python docs/figures/substeps.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from saving import save

import seisfast as sf

DT, NT, FINEST = 4e-3, 125, 64


def substeps() -> Figure:
    velocity = torch.full((60, 80), 2000.0, dtype=torch.float64)
    velocity[30:] = 3000.0
    survey = sf.Survey(
        spacing=10.0, dt=DT, nt=NT, sources=[(5, 20)], receivers=[(5, 60)],
        wavelet=sf.wavelets.ricker(15.0, DT, NT), boundary=sf.CPML(20),
    )  # fmt: skip
    runs = {m: sf.simulate(velocity, survey, substeps=m)[0, :, 0] for m in (3, 4, 6, 8, 12, 16, FINEST)}
    limit = runs.pop(FINEST)
    steps = sf.simulate(velocity, survey.refined(16))[0, :, 0]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), width_ratios=(2, 1), layout="constrained")
    inner = (torch.arange(len(steps)) + 1) * DT / 16 - 16 * DT
    left.plot(inner * 1e3, steps, color="#5b6673", linewidth=1, label="inner steps, 0.25 ms")
    left.plot((torch.arange(NT) + 1) * DT * 1e3, runs[16], "o", color="#c8553d", markersize=3.5, label="record, 4 ms")
    left.axvspan(-16 * DT * 1e3, 0, color="#e8eaed")
    left.axvspan(NT * DT * 1e3, (NT + 16) * DT * 1e3, color="#e8eaed", label="run beyond the survey")
    left.set(xlabel="time (ms)", ylabel="pressure", title="A record of 4 ms samples, 16 substeps")
    left.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.14, 1))

    errors = [float((data - limit).norm() / limit.norm()) for data in runs.values()]
    right.loglog(list(runs), errors, "o-", color="#c8553d", markersize=4)
    right.loglog([3, 16], [errors[0], errors[0] * (3 / 16) ** 2], "--", color="#5b6673", linewidth=1, label="slope 2")
    right.set_xticks(list(runs), list(map(str, runs)))
    right.minorticks_off()
    right.set(xlabel="substeps", title=f"Relative L2 difference to {FINEST}")
    right.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    save({"substeps": substeps}, "propagator")
