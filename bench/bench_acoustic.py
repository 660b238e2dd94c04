"""The acoustic operator against deepwave and the plain-torch twin: shots/s, after checking that the records agree.

Run ``python bench/bench_acoustic.py`` for the table (``--write`` puts it into RESULTS.md's format), or
``pytest bench/bench_acoustic.py`` for pytest-benchmark.

The model is 100 x 100 cells of 10 m, 1000 steps of 1 ms, order 4, float32. Ours runs with CPML(14), deepwave with its
20 cells: at these widths our layer reflects less (tests/test_physics.py). deepwave records one sample later with the
opposite sign, so its source is -w[n + 1]; its Courant limit is raised to keep it at one internal step.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time
from collections.abc import Callable
from dataclasses import dataclass

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


def case(device: str = "cpu", shots: int = SHOTS, nt: int = 1000) -> Case:
    """Three layers under a survey of `shots` shots."""
    survey = sf.Survey.seisinv(shots=shots, nt=nt)
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
    """Relative differences of records and gradients, asserted before anything is timed."""
    with torch.no_grad():
        ours = c.ours(c.velocity)
        small = case(str(c.velocity.device), shots=1, nt=300)
        found = {"twin": relative(small.ours(small.velocity), small.twin(small.velocity))}
        if deepwave is not None:
            found["deepwave"] = relative(c.deepwave(c.velocity), ours)
    assert found["twin"] < 5e-5, found
    assert found.get("deepwave", 0.0) < 2e-2, (
        found
    )  # two different layers; before the first return they agree
    return found


def table(device: str, threads: int, shots: int, repeats: int) -> list[str]:
    """Rows of a Markdown table: engine, direction, shots/s, ratio to deepwave."""
    if device == "cpu":
        torch.set_num_threads(threads)
    c = case(device, shots)
    errors = check(c)
    contenders: list[tuple[str, Callable[[Tensor], Tensor]]] = [("seisfast", c.ours)]
    if deepwave is not None:
        contenders.append(
            (
                "deepwave " + deepwave.__version__ if hasattr(deepwave, "__version__") else "deepwave",
                c.deepwave,
            )
        )
    rows = [f"records: {', '.join(f'{k} {v:.1e}' for k, v in errors.items())} (relative L2 to seisfast)"]
    rows += ["", "| engine | device | forward, shots/s | forward + gradient, shots/s |", "|---|---|---|---|"]
    figures = []
    for name, forward in contenders:
        with torch.no_grad():
            one = seconds(lambda forward=forward: forward(c.velocity), repeats)
        both = seconds(lambda forward=forward: gradient(forward, c.velocity), repeats)
        figures.append((shots / one, shots / both))
        where = f"{threads} thread{'s' * (threads > 1)}" if device == "cpu" else torch.cuda.get_device_name()
        rows.append(f"| {name} | {where} | {shots / one:.1f} | {shots / both:.1f} |")
    if len(figures) == 2:
        ratio = [a / b for a, b in zip(*figures, strict=True)]
        rows.append(f"| ratio | | {ratio[0]:.1f} | {ratio[1]:.1f} |")
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
