"""The acoustic operator against deepwave and the plain-torch twin: shots/s, after checking that the records agree.

Run ``python bench/bench_acoustic.py`` for the table in RESULTS.md, or ``pytest bench/bench_acoustic.py`` for
pytest-benchmark.

The model is 100 x 100 cells of 10 m, 1000 steps of 1 ms, order 4, float32. Ours runs with its default CPML(14) and
with CPML(20), deepwave with 20 cells and the same vmax, at which its layer reflects more than our 14 cells in the four
surveys of docs/layer.rst. deepwave records one sample later with the opposite sign, so its source is -w[n + 1]; its
Courant limit is raised to 0.7, which keeps it at one internal step per sample: its default takes two.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import seisfast as sf

try:
    import deepwave
except ImportError:
    deepwave = None

SHOTS = 8


@dataclass
class Case:
    """One model and survey on a device, and the callables that are compared."""

    survey: sf.Survey
    velocity: Tensor

    def ours(self, velocity: Tensor) -> Tensor:
        """Record `[shots, time, receivers]` by seisfast."""
        return sf.simulate(velocity, self.survey)

    def twin(self, velocity: Tensor) -> Tensor:
        """The same by the plain-torch twin."""
        return sf.reference.simulate(velocity, self.survey)

    def deepwave(self, velocity: Tensor) -> Tensor:
        """The same by deepwave, sign and sample shift undone."""
        survey, device = self.survey, velocity.device
        wavelet = survey.wavelet.to(device, velocity.dtype)
        shifted = -torch.cat([wavelet[1:], wavelet.new_zeros(1)]).expand(survey.shots, 1, -1).contiguous()
        receivers = survey.receivers.expand(survey.shots, -1, -1).to(device).long()
        return deepwave.scalar(
            velocity, list(survey.spacing), survey.dt, source_amplitudes=shifted,
            source_locations=survey.sources.to(device).long(), receiver_locations=receivers,
            accuracy=survey.order, pml_width=20, pml_freq=15.0, max_vel=4500.0,
            courant_number=0.7,
        )[-1].transpose(1, 2)  # fmt: skip


def case(device: str = "cpu", shots: int = SHOTS, nt: int = 1000, width: int = 14) -> Case:
    """Three layers under a survey of `shots` shots."""
    survey = sf.Survey.seisinv(shots=shots, nt=nt, boundary=sf.CPML(width))
    velocity = torch.full((100, 100), 1800.0)
    velocity[30:], velocity[60:] = 2500.0, 3400.0
    return Case(survey, velocity.to(device))


def gradient(forward: Callable[[Tensor], Tensor], velocity: Tensor) -> Tensor:
    """Forward and gradient of half the squared record."""
    leaf = velocity.detach().clone().requires_grad_()
    data = forward(leaf)
    data.backward(data.detach())
    assert leaf.grad is not None
    return leaf.grad


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Best of several runs after one that does not count."""
    run()
    best = float("inf")
    for _ in range(repeats):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def relative(a: Tensor, b: Tensor) -> float:
    """Relative L2 difference."""
    return float((a - b).norm() / b.norm())


def check(c: Case) -> dict[str, float]:
    """Relative differences of records and gradients to ours, asserted before anything is timed."""
    small = case(str(c.velocity.device), shots=1, nt=300)
    with torch.no_grad():
        found = {"twin's records": relative(small.twin(small.velocity), small.ours(small.velocity))}
    found["twin's gradient"] = relative(gradient(small.twin, small.velocity), gradient(small.ours, small.velocity))
    assert max(found.values()) < 5e-5, found
    if deepwave is not None:
        with torch.no_grad():
            found["deepwave's records"] = relative(c.deepwave(c.velocity), c.ours(c.velocity))
        found["deepwave's gradient"] = relative(gradient(c.deepwave, c.velocity), gradient(c.ours, c.velocity))
        assert found["deepwave's records"] < 1e-3, found  # the layers differ
        assert found["deepwave's gradient"] < 1e-2, found
    return found


def table(device: str, threads: int, shots: int, repeats: int) -> list[str]:
    """Rows of a Markdown table: what runs, where, shots/s forward and with the gradient."""
    if device == "cpu":
        torch.set_num_threads(threads)
        where = f"{threads} thread{'s' * (threads > 1)}"
    else:
        where = torch.cuda.get_device_name()
    thin, wide, single = case(device, shots), case(device, shots, width=20), case(device, 1)
    contenders = [("seisfast, CPML(14)", thin, thin.ours, repeats), ("seisfast, CPML(20)", wide, wide.ours, repeats)]
    if deepwave is not None:
        contenders.append(("deepwave, 20 cells", thin, thin.deepwave, repeats))
    contenders.append(("plain-torch twin, CPML(14), one shot", single, single.twin, 1))
    rows = ["relative L2 to seisfast: " + ", ".join(f"{k} {v:.1e}" for k, v in check(thin).items())]
    rows += ["", "| what | where | forward, shots/s | forward + gradient, shots/s |", "|---|---|---|---|"]
    for name, c, forward, times in contenders:
        with torch.no_grad():
            one = seconds(lambda forward=forward, c=c: forward(c.velocity), times)
        both = seconds(lambda forward=forward, c=c: gradient(forward, c.velocity), times)
        rows.append(f"| {name} | {where} | {c.survey.shots / one:.3g} | {c.survey.shots / both:.3g} |")
    return rows


@pytest.mark.parametrize("engine", ["ours", "deepwave"])
@pytest.mark.parametrize("direction", ["forward", "gradient"])
def test_shots(benchmark: Any, threads: int, engine: str, direction: str) -> None:  # noqa: ANN401
    """Eight shots by pytest-benchmark; see `table` for the figures that count."""
    if engine == "deepwave" and deepwave is None:
        pytest.skip("deepwave is not installed")
    c = case()
    forward = getattr(c, engine)
    run = (lambda: forward(c.velocity)) if direction == "forward" else (lambda: gradient(forward, c.velocity))
    result = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    expected = c.ours(c.velocity) if direction == "forward" else gradient(c.ours, c.velocity)
    assert relative(result, expected) < 1e-2


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shots", type=int, default=SHOTS)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for threads in args.threads if args.device == "cpu" else [1]:
        print("\n".join(table(args.device, threads, args.shots, args.repeats)), flush=True)
        print()


if __name__ == "__main__":
    main()
