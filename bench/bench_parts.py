"""Where the time of a training step of SeisInvNet goes, before and after: its parts alone, forward and backward.

``python bench/bench_parts.py`` on a CPU, ``--device cuda`` on a GPU; ``--picture FILE`` draws the table. "Before" is
the plain-torch twin. Parts that are timed alone need not add up to the step, which is timed, too. Outputs of every part
are compared first.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import seisfast as sf
from seisfast import losses, networks
from seisfast.training.precision import float32_products

SHOTS, RECEIVERS, SAMPLES, SHAPE = 20, 32, 1000, (100, 100)
TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}  # relative, of a part's output
COLOURS = {"neighbourhood": "#d1495b", "global encoder": "#30638e", "generator": "#edae49", "decoder": "#00798c",
           "loss": "#8d96a3", "clip and Adam": "#c5cad3"}  # fmt: skip


class Parts:
    """The parts of one network's step, each a call that runs it forward and backward and returns its output."""

    def __init__(self, fused: bool, precision: str, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        network = networks.build(
            "seisinvnet", shots=SHOTS, receivers=RECEIVERS, samples=SAMPLES, shape=SHAPE, fused=fused
        )
        self.network = network.to(device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-6, fused=True)
        self.loss = losses.build("l2_ssim")
        self.device, self.mixed = device, precision == "bf16"
        generator = torch.Generator().manual_seed(1)

        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        self.records = noise(batch, SHOTS, SAMPLES, RECEIVERS)
        self.gathers = self.records.transpose(-1, -2).contiguous()
        self.context = noise(batch, SHOTS, 128).relu().requires_grad_()
        self.traces = noise(batch, SHOTS, RECEIVERS, SAMPLES).relu().requires_grad_()
        self.maps = noise(batch, SHOTS * RECEIVERS, *network.map_shape).relu().requires_grad_()
        self.velocity = torch.rand((batch, 1, *SHAPE), generator=generator).to(device)
        self.prediction = torch.rand((batch, 1, *SHAPE), generator=generator).to(device).requires_grad_()

    def all(self) -> dict[str, Callable[[], Tensor | None]]:
        """By name."""
        return {
            "neighbourhood": lambda: self._both_ways(lambda: self.network.encoder.neig(self.gathers)),
            "global encoder": lambda: self._both_ways(
                lambda: self.network.encoder.glob(self.gathers.flatten(0, 1)[:, None])
            ),
            "generator": lambda: self._both_ways(lambda: self.network.generator(self.context, self.traces)),
            "decoder": lambda: self._both_ways(lambda: self.network.decoder(self.maps)[0]),
            "loss": lambda: self._both_ways(lambda: self.loss(self.prediction, self.velocity)),
            "clip and Adam": self._update,
            "whole step": self._step,
        }

    def _both_ways(self, part: Callable[[], Tensor]) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            output = part()
        output.backward(torch.ones_like(output))
        return output.detach()

    def _update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()

    def _step(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            output = self.network(self.records)
        loss = self.loss(output.float(), self.velocity)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._update()


def seconds(calls: list[Callable[[], Tensor | None]], device: torch.device, repeats: int) -> list[float]:
    """Best of several runs of each, one after the other, so that a noisy machine disturbs all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats + 1):  # the first one warms up
        for k, call in enumerate(calls):
            if device.type == "cuda":
                torch.cuda.synchronize()
            begin = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            best[k] = min(best[k], time.perf_counter() - begin)
    return best


def measure(precisions: list[str], batch: int, device: torch.device, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of every part: {"before, float32": {"neighbourhood": ...}}."""
    found: dict[str, dict[str, float]] = {}
    for precision in precisions:
        with float32_products(precision, device):
            before, after = (Parts(fused, precision, batch, device).all() for fused in (False, True))
            for name in before:
                outputs = [run[name]() for run in (before, after)]
                if outputs[0] is not None and outputs[1] is not None:
                    exact, ours = (o.double() for o in outputs)
                    error = float((ours - exact).norm() / exact.norm())
                    assert error < TOLERANCE[precision], f"{name} differs by {error:.1e} in {precision}"
                best = seconds([before[name], after[name]], device, repeats)
                for when, taken in zip(("before", "after"), best, strict=True):
                    found.setdefault(f"{when}, {precision}", {})[name] = taken
                    print(f"{when}, {precision}: {name}: {taken:.4g} s", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """Milliseconds in Markdown."""
    names = list(next(iter(found.values())))
    lines = [f"| ms, forward + backward | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [f"| {what} | {' | '.join(f'{1e3 * row[n]:.4g}' for n in names)} |" for what, row in found.items()]
    return "\n".join(lines)


def picture(found: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """A bar per row of the table, cut into the parts."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "seisfast"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.4, 0.62 * len(found) + 1.9), layout="constrained")
    for y, row in enumerate(found.values()):
        left = 0.0
        for name, colour in COLOURS.items():
            axes.barh(y, row[name], left=left, color=colour, height=0.66, label=name if y == 0 else None)
            if row[name] > 0.055 * max(sum(r[n] for n in COLOURS) for r in found.values()):
                axes.text(left + row[name] / 2, y, f"{row[name]:.2g}", ha="center", va="center", color="white", size=9)
            left += row[name]
        axes.text(left, y, f"  {left:.2g} s", va="center", size=9.5, weight="bold")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel="seconds, forward and backward, every part alone", title=title)
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=6, frameon=False, loc="outside lower center", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    """Print the table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=list(TOLERANCE))
    parser.add_argument("--threads", type=int, default=2, help="on the CPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="draw the table into this file")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads"
    print(
        f"{where}; seisfast {sf.__version__}, torch {torch.__version__}; batch {args.batch} of "
        f"{SHOTS} x {RECEIVERS} x {SAMPLES}"
    )
    found = measure(args.precision, args.batch, device, args.repeats)
    print(table(found))
    if args.picture is not None:
        picture(found, f"Training step of SeisInvNet, batch {args.batch}, {where}", args.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
