"""Draws the tests of the gradient for docs/propagator: Taylor's remainders, and finite differences next to it.

python docs/figures/gradient.py              into docs/_static/propagator/, as SVG
python docs/figures/gradient.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from saving import save
from torch import Tensor

import seisfast as sf

SHAPE, DT, NT = (50, 60), 1e-3, 600
SURVEY = sf.Survey(
    shape=SHAPE, spacing=10.0, dt=DT, nt=NT, sources=[(2, 8), (2, 50)], receivers=[(2, ix) for ix in range(0, 60, 4)],
    wavelet=sf.wavelets.ricker(15.0, DT, NT),
)  # fmt: skip


def models() -> tuple[Tensor, Tensor, Tensor]:
    """A starting model, one with two bodies whose records are observed, and a direction of 1 m/s, partly towards it."""
    start = torch.linspace(1800, 3000, SHAPE[0], dtype=torch.float64)[:, None].repeat(1, SHAPE[1])
    true = start.clone()
    true[20:30, 12:26] += 200
    true[30:38, 34:50] -= 150
    noise = torch.randn(1, 1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.avg_pool2d(noise, 7, 1, 3)[0, 0]
    direction = smooth / smooth.abs().max() + (true - start) / 200
    return start, true, direction / direction.abs().max()


def gradient() -> Figure:
    start, true, direction = models()
    observed = sf.simulate(true, SURVEY)

    def misfit(velocity: Tensor) -> Tensor:
        return 0.5 * (sf.simulate(velocity, SURVEY) - observed.to(velocity.dtype)).square().sum()

    def half(velocity: Tensor, h: float) -> float:
        with torch.no_grad():
            return float(misfit(velocity + h * direction.to(velocity.dtype)))

    slope, curvature = torch.func.jvp(torch.func.grad(misfit), (start,), (direction,))
    first, second = float((slope * direction).sum()), float((curvature * direction).sum())
    data, scattered = sf.simulate(start, SURVEY), sf.Born(start, SURVEY)(direction)
    at_start = half(start, 0.0)
    forward = float(((data - observed) * scattered).sum())  # the same slope without the adjoint

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
    steps = np.geomspace(1e-2, 5, 10)
    left_over: dict[str, list[float]] = {"0": [], "1": [], "2": [], "born": []}
    for h in steps:
        change = half(start, h) - at_start
        left_over["0"].append(abs(change) / at_start)
        left_over["1"].append(abs(change - h * first) / at_start)
        left_over["2"].append(abs(change - h * first - h * h / 2 * second) / at_start)
        moved = sf.simulate(start + h * direction, SURVEY)
        left_over["born"].append(float((moved - data - h * scattered).norm() / data.norm()))
    styles = {
        "0": ("J(v + h p) - J(v): slope 1", "o-", "#8a8f98"),
        "1": ("… - h gᵀp, the gradient: 2", "o-", "#d9822b"),
        "2": ("… - ½ h² pᵀH p, the Hessian: 3", "o-", "#1f5fa8"),
        "born": ("d(v + h p) - d(v) - h Born p, the record: 2", "s--", "#3b8f4a"),
    }
    for name, (label, style, colour) in styles.items():
        left.loglog(steps, left_over[name], style, color=colour, markersize=4, linewidth=1.2, label=label)
        rates = np.diff(np.log(left_over[name])) / np.diff(np.log(steps))
        print(label, "slopes", " ".join(f"{r:.3f}" for r in rates))
    left.set(xlabel="h, largest change of the velocity (m/s)", ylabel="what is left, relative", title="Taylor's test")
    left.set_ylim(1e-15, 1)
    left.legend(frameon=False, fontsize=8.5, loc="lower right")

    steps = np.geomspace(1e-5, 100, 29)
    for dtype, colour in ((torch.float32, "#c8553d"), (torch.float64, "#1f5fa8")):
        velocity = start.to(dtype)
        backward = float((torch.func.grad(misfit)(velocity).double() * direction).sum())
        wrong = abs(backward - forward) / abs(forward)
        errors = [abs((half(velocity, h) - half(velocity, -h)) / (2 * h) - forward) / abs(forward) for h in steps]
        name = str(dtype).removeprefix("torch.")
        right.loglog(steps, errors, "o-", color=colour, markersize=3.5, linewidth=1, label=f"finite difference, {name}")
        right.axhline(wrong, color=colour, linestyle="--", linewidth=1, label=f"backward, {name}")
        print(name, f"best finite difference {min(errors):.1e}, backward {wrong:.1e}")
    right.set(xlabel="h (m/s)", title="Relative error of the slope along p", ylim=(1e-16, 30))
    right.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 0.09))
    for axes in (left, right):
        axes.grid(color="#e9ebee")
        axes.minorticks_off()
    return figure


if __name__ == "__main__":
    save({"gradient": gradient}, "propagator")
