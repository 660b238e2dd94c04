"""Where the time of a training step of SeisInvNet goes, before and after: its parts, forward and backward.

``python bench/bench_parts.py`` on a CPU, ``--device cuda`` on a GPU; ``--picture FILE`` draws the table. "Before" is
the plain-torch twin. The clock is read within the step wherever one part ends and the next begins, so that the parts
add up to it; the fastest of several steps counts. Predictions are compared first. On a GPU the host sends the whole
step before it begins: the figures are the device's, as in a CUDA graph.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from seisfast import losses, networks
from seisfast.training.precision import float32_products

SHOTS, RECEIVERS, SAMPLES, SHAPE = 20, 32, 1000, (100, 100)
TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}  # relative, of the prediction
QUEUE_CYCLES = 200_000_000  # about 0.1 s of a GPU
COLOURS = {"neighbourhood": "#d1495b", "global encoder": "#30638e", "generator": "#edae49", "decoder": "#00798c",
           "loss": "#8d96a3", "clip and Adam": "#c5cad3", "other": "#dfe2e7"}  # fmt: skip


class Step:
    """A training step of one network, with a mark on the clock wherever a part begins."""

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
        self.records = torch.randn((batch, SHOTS, SAMPLES, RECEIVERS), generator=generator).to(device)
        self.velocity = torch.rand((batch, 1, *SHAPE), generator=generator).to(device)
        self.marks: list[tuple[str, float | torch.cuda.Event]] = []
        encoder = self.network.encoder
        for name, module in {
            "global encoder": encoder.glob,
            "neighbourhood": encoder.neig,
            "generator": self.network.generator,
            "decoder": self.network.decoder,
        }.items():
            self._watch(name, module)

    def _watch(self, name: str, module: torch.nn.Module) -> None:
        """Mark the beginning of a module's forward and of its backward pass."""

        def end(_: torch.nn.Module, __: object, output: Tensor | tuple[Tensor, object]) -> None:
            # A tensor's hook runs before the node that made it: when this module's backward pass begins.
            first = output if isinstance(output, Tensor) else output[0]
            first.register_hook(lambda _: self._mark(name))

        module.register_forward_pre_hook(lambda *_: self._mark(name))
        module.register_forward_hook(end)

    def _mark(self, name: str) -> None:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((name, event))
        else:
            self.marks.append((name, time.perf_counter()))

    def run(self) -> Tensor:
        """One step; returns the prediction."""
        torch.manual_seed(1)  # of dropout
        self.marks.clear()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda._sleep(QUEUE_CYCLES)  # the device waits until the host has sent the whole step
        self._mark("other")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            prediction: Tensor = self.network(self.records)
        self._mark("loss")
        loss = self.loss(prediction.float(), self.velocity)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._mark("clip and Adam")
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self._mark("end")
        return prediction.detach()

    def seconds(self) -> dict[str, float]:
        """Of every part in the last step, forward and backward."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        found = dict.fromkeys(COLOURS, 0.0)
        for (name, begin), (_, end) in pairwise(self.marks):
            if isinstance(begin, float) and isinstance(end, float):
                found[name] += end - begin
            elif isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
                found[name] += 1e-3 * begin.elapsed_time(end)
        return found


def measure(precisions: list[str], batch: int, device: torch.device, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of every part in the fastest step: {"before, float32": {"neighbourhood": ...}}."""
    found: dict[str, dict[str, float]] = {}
    for precision in precisions:
        with float32_products(precision, device):
            steps = {when: Step(when == "after", precision, batch, device) for when in ("before", "after")}
            exact, ours = (step.run().double() for step in steps.values())
            error = float((ours - exact).norm() / exact.norm())
            assert error < TOLERANCE[precision], f"the prediction differs by {error:.1e} in {precision}"
            print(f"{precision}: predictions agree to {error:.1e}", file=sys.stderr, flush=True)
            for _ in range(repeats):  # one after the other, so that a noisy machine disturbs both
                for when, step in steps.items():
                    step.run()
                    taken, row = step.seconds(), f"{when}, {precision}"
                    print(f"{row}: {sum(taken.values()):.4g} s", file=sys.stderr, flush=True)
                    if sum(taken.values()) < sum(found.get(row, {"": float("inf")}).values()):
                        found[row] = taken
    return {row: found[row] for precision in precisions for row in (f"before, {precision}", f"after, {precision}")}


def table(found: dict[str, dict[str, float]]) -> str:
    """Milliseconds in Markdown."""
    lines = [f"| ms, forward + backward | {' | '.join(COLOURS)} | whole step |", "|---|" + "---|" * (len(COLOURS) + 1)]
    for what, row in found.items():
        lines.append(f"| {what} | {' | '.join(f'{1e3 * s:.4g}' for s in (*row.values(), sum(row.values())))} |")
    return "\n".join(lines)


def read_table(text: str) -> dict[str, dict[str, float]]:
    """The seconds in a printed table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    head, rest = rows[0], rows[2:]
    assert head[1:-1] == list(COLOURS), f"no table of the parts: {head}"
    return {row[0]: {name: 1e-3 * float(cell) for name, cell in zip(COLOURS, row[1:], strict=False)} for row in rest}


def picture(found: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """A bar per row of the table, cut into the parts."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "seisfast"
    from matplotlib import pyplot

    longest = max(sum(row.values()) for row in found.values())
    unit, scale = ("s", 1.0) if longest > 1 else ("ms", 1e3)
    figure, axes = pyplot.subplots(figsize=(8.4, 0.62 * len(found) + 2.1), layout="constrained")
    for y, row in enumerate(found.values()):
        left = 0.0
        for name, colour in COLOURS.items():
            taken = scale * row[name]
            axes.barh(y, taken, left=left, color=colour, height=0.66, label=name if y == 0 else None)
            if row[name] > 0.055 * longest:
                axes.text(left + taken / 2, y, f"{taken:.1f}", ha="center", va="center", color="white", size=9)
            left += taken
        axes.text(left, y, f"  {left:.1f} {unit}", va="center", size=9.5, weight="bold")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel=f"time in the step, forward and backward, {unit}", title=title)
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=4, frameon=False, loc="outside lower center", fontsize=9)
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
    parser.add_argument(
        "--read", type=Path, help="measure nothing: draw what an earlier run has printed into this file"
    )
    args = parser.parse_args()
    if args.read is not None and args.picture is None:
        parser.error("--read needs --picture")
    if args.read is not None:
        text = args.read.read_text()
        picture(read_table(text), next(line for line in text.splitlines() if "; batch " in line), args.picture)
        return 0
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads"
    title = f"Training step of SeisInvNet on {where}, torch {torch.__version__}; batch {args.batch}"
    print(title)
    found = measure(args.precision, args.batch, device, args.repeats)
    print(table(found))
    if args.picture is not None:
        picture(found, title, args.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
