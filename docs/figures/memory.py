"""Draws what a gradient keeps and what it costs, by storage, for docs/propagator.

python docs/figures/memory.py              into docs/_static/propagator/, as SVG
python docs/figures/memory.py FOLDER png   somewhere else, as PNG
python docs/figures/memory.py time         measures the page's ratios anew and draws nothing; OMP_NUM_THREADS=1
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from saving import save
from torch import Tensor

import seisfast as sf
from seisfast.ops.acoustic import kept_bytes
from seisfast.planning import planned_scheme

SHAPE = (100, 100)
LENGTHS = (250, 500, 1000, 2000, 4000)
# Storage, colour, and the processor time of forward and backward together over that of a forward run alone: one thread
# of an Intel Xeon (AVX-512), float32, 1000 steps, 2026-11-22, the better of two runs of `measure`.
STORAGES = {
    "all": (sf.Storage("all"), "#1d2530", 7.0),
    "float16": (sf.Storage(dtype=torch.float16), "#d9822b", 5.9),
    "every=4": (sf.Storage(every=4), "#1f5fa8", 3.5),
    "every=4, float16": (sf.Storage(every=4, dtype=torch.float16), "#7a4fa3", 3.2),
    "checkpoint": (sf.Storage("checkpoint"), "#c8553d", 3.8),
}


def bytes_kept(storage: sf.Storage, nt: int) -> int:
    survey = sf.Survey.seisinv(nt=nt)
    velocity = torch.full((1, *SHAPE), 2500.0, requires_grad=True)
    scheme = planned_scheme(velocity, survey, storage)
    return kept_bytes(scheme, 1, survey.shots, SHAPE, nt, velocity.dtype)


def measure() -> None:
    """Prints processor times over that of a forward run: of the storages, and of other runs of fewer shots."""
    start = torch.linspace(1500, 4000, SHAPE[0])[:, None].repeat(1, SHAPE[1])
    direction = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    all_shots, survey = sf.Survey.seisinv(), sf.Survey.seisinv(shots=8)

    def misfit(velocity: Tensor, shots: sf.Survey = survey, storage: sf.Storage | None = None) -> Tensor:
        return sf.simulate(velocity, shots, storage=storage).square().sum()

    def changed(**changes: object) -> sf.Survey:
        return sf.Survey.from_dict({**survey.to_dict(), **changes})

    wide = changed(boundary={**survey.to_dict()["boundary"], "width": 20})
    runs: dict[str, Callable[[], object]] = {"forward": lambda: sf.simulate(start, all_shots)}
    for name, (storage, *_) in STORAGES.items():
        runs[name] = lambda storage=storage: misfit(start.clone().requires_grad_(), all_shots, storage).backward()
    fewer: dict[str, Callable[[], object]] = {"forward, 8 shots": lambda: sf.simulate(start, survey)}
    for order in (2, 6, 8):
        other = changed(order=order)
        fewer[f"order {order}"] = lambda other=other: sf.simulate(start, other)
    fewer |= {
        "20 cells": lambda: sf.simulate(start, wide),
        "float64": lambda: sf.simulate(start.double(), survey),
        "snapshots": lambda: sf.simulate(start, survey, snapshots=sf.Every(20)),
        "Born": lambda: sf.Born(start, survey)(direction),
        "gradient": lambda: misfit(start.clone().requires_grad_()).backward(),
        "Hessian": lambda: torch.func.jvp(torch.func.grad(misfit), (start,), (direction,)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in (runs, fewer):
            best = dict.fromkeys(group, math.inf)
            for name, run in [*group.items()] * 6:
                begin = time.process_time()
                run()
                best[name] = min(best[name], time.process_time() - begin)
            forward = next(iter(best.values()))
            for name, seconds in best.items():
                print(f"{name}: {seconds:.3f} s, {seconds / forward:.2f}")


def memory() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), width_ratios=(4, 3), layout="constrained")
    for name, (storage, colour, ratio) in STORAGES.items():
        kept = [bytes_kept(storage, nt) / 2**20 for nt in LENGTHS]
        left.loglog(LENGTHS, kept, "o-", color=colour, markersize=4, linewidth=1.4, label=name)
        right.barh(name, ratio, color=colour, height=0.6)
        right.text(ratio + 0.15, name, f"{ratio:.1f}", va="center", fontsize=9)
    data = [sf.Survey.seisinv().shots * nt * 32 * 4 / 2**20 for nt in LENGTHS]
    left.loglog(LENGTHS, data, ":", color="#5b6673", linewidth=1.2, label="the records")
    left.set_xticks(LENGTHS, list(map(str, LENGTHS)))
    left.minorticks_off()
    left.set(xlabel="time steps", ylabel="MiB", title="Kept between forward and backward", ylim=(0.5, 3e4))
    left.grid(color="#e9ebee")
    left.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper left")
    right.set(title="Time, forward alone = 1", xlim=(0, 1.15 * max(ratio for *_, ratio in STORAGES.values())))
    right.tick_params(left=False)
    right.invert_yaxis()
    right.axvline(1, color="#1d2530", linewidth=0.8)
    return figure


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["time"] else save({"memory": memory}, "propagator")
