"""The whole training step of SeisInvNet next to its plain-torch twin, eager and compiled: one table, after a check.

``python bench/bench_training.py --device cuda`` on a GPU; on a CPU a few steps of a small batch. A step is what
`seisfast.training.fit` does with a batch that is on the device: forward, loss (mean squared error and SSIM in three
windows), backward, clipping, Adam. Every row gets the same data, loss, fused Adam, late reading and float32 settings;
only the network (`fused`) and who launches it (torch, torch.compile, one CUDA graph) differ; on a CPU both also run
with the memory of freed tensors kept, which is what `fit` does and a plain loop does not.

Before anything is timed, both networks with equal weights must give the same loss and gradient (relative L2 norm over
all weights): the fused network may be at most twice as far from the twin in float64 as the twin in that precision is,
and TOLERANCE more. The gradient's is wide because a rounding that takes a ReLU's input over zero switches a term: the
twin itself is up to 1e-2 from float64. On a CPU the fused network in float64, which has no such excuse, must agree to
1e-10.

``--learning 300`` trains both networks instead, from equal weights on equal batches of simulated records, with three
seeds: how far the smoothed losses part, and the metrics on validation models.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gc
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import seisfast as sf
from seisfast import losses, metrics, networks
from seisfast.geology import SeisInv
from seisfast.normalization import Normalization
from seisfast.training.graph import WARM_UP
from seisfast.training.memory import freed_memory_kept
from seisfast.training.precision import float32_products, resolve_precision
from seisfast.training.step import TrainingStep

TOLERANCE = {"loss": 1e-5, "gradient": 2e-2}
GOAL_MS = 8.0  # batch 12 on an H200, any precision
WINDOW = 25  # steps over which a learning curve is averaged
SEEDS = (0, 1, 2)
VELOCITY = (1500.0, 4000.0)


@dataclass(frozen=True)
class Size:
    """A survey's geometry and the network's width."""

    shots: int = 20
    receivers: int = 32
    samples: int = 1000
    shape: tuple[int, int] = (100, 100)
    width: float = 1.0

    def network(self, fused: bool, device: torch.device, seed: int = 0, **options: Any) -> networks.Network:  # noqa: ANN401
        """A network in training mode; equal seeds give equal weights."""
        torch.manual_seed(seed)
        g = {"shots": self.shots, "receivers": self.receivers, "samples": self.samples, "shape": self.shape}
        return networks.build("seisinvnet", **g, width=self.width, fused=fused, **options).to(device).train()

    def batch(self, models: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Noise of the right kind."""
        generator = torch.Generator(device).manual_seed(5)
        kind: dict[str, Any] = {"generator": generator, "device": device}
        records = 2 * torch.rand(models, self.shots, self.samples, self.receivers, **kind) - 1
        low, high = VELOCITY
        return records, low + (high - low) * torch.rand(models, 1, *self.shape, **kind)


WHOLE = Size()
SMALL = Size(shots=4, receivers=8, samples=120, shape=(40, 40), width=0.25)
UNITS = Normalization(data_range=(-1.0, 1.0), velocity_range=VELOCITY)


@dataclass(frozen=True)
class Contender:
    """What one row of the table runs."""

    name: str
    fused: bool
    graph: bool = False
    mode: str = ""  # of torch.compile
    kept: bool = False  # freed memory, as `fit` does it on a CPU

    @property
    def peer(self) -> bool:
        """Whether it is not ours."""
        return not self.fused

    def step(self, size: Size, device: torch.device, precision: str, batch: int, seed: int = 0) -> TrainingStep:
        """The step that is timed."""
        step = make_step(size.network(self.fused, device, seed), precision, self.graph, batch)
        if self.mode:
            step.objective = torch.compile(step.objective, mode=self.mode)  # type: ignore[method-assign]
        return step


def make_step(
    network: networks.Network, precision: str, graph: bool, batch: int, units: Normalization = UNITS
) -> TrainingStep:
    """The step of `fit` with the paper's loss."""
    return TrainingStep(
        network, units, losses.build("l2_ssim"), lr=5e-5, clip=1.0, mixed=precision == "bf16", graph=graph,
        batch_size=batch,
    )  # fmt: skip


def contenders(device: torch.device, compiled: list[str]) -> list[Contender]:
    """The rows of a batch size and precision."""
    ours, on_cpu = [Contender("seisfast, fused", True)], device.type == "cpu"
    if on_cpu:
        ours.insert(0, Contender("seisfast, fused, memory kept", True, kept=True))
    else:
        ours.insert(0, Contender("seisfast, fused, CUDA graph", True, graph=True))
    peers = [Contender("plain twin, eager", False)]
    if on_cpu:
        peers.append(Contender("plain twin, eager, memory kept", False, kept=True))
    else:
        peers.append(Contender("plain twin, CUDA graph", False, graph=True))
    peers += [Contender(f"plain twin, torch.compile, {mode}", False, mode=mode) for mode in compiled]
    return ours + peers


# -- the check ---------------------------------------------------------------------------------------------------------


def slope(size: Size, fused: bool, precision: str, batch: tuple[Tensor, Tensor]) -> tuple[float, Tensor]:
    """Loss and gradient of the starting weights, dropout off, float64 on the CPU."""
    device = batch[0].device
    network = size.network(fused, device, drop_rate=0.0)
    step = make_step(network, precision, False, 0)
    if precision == "float64":
        network.double()
        batch = batch[0].double(), batch[1].double()
        step.predict = lambda records: network(UNITS.encode_records(records))  # type: ignore[method-assign]
    with float32_products(precision, device):
        loss = step.objective(*batch)
        loss.backward()
    parts = [p.grad.double().cpu().flatten() for p in network.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(parts)


def check(size: Size, precision: str, device: torch.device, models: int) -> dict[str, float]:
    """How far the fused network and the twin are from the twin in float64, asserted."""
    batch = size.batch(models, device)
    exact = slope(size, False, "float64", batch)

    def distance(found: tuple[float, Tensor]) -> dict[str, float]:
        return {
            "loss": abs(found[0] - exact[0]) / (1 + abs(exact[0])),  # the loss may be near zero
            "gradient": float((found[1] - exact[1]).norm() / exact[1].norm()),
        }

    report = {}
    if device.type == "cpu":
        report = {f"fused float64 {what}": v for what, v in distance(slope(size, True, "float64", batch)).items()}
        assert max(report.values()) < 1e-10, report
    ours, theirs = (distance(slope(size, fused, precision, batch)) for fused in (True, False))
    for what, found in ours.items():
        limit = 2 * theirs[what] + TOLERANCE[what]
        assert found <= limit, f"{what} is {found:.1e} from the float64 twin, more than {limit:.1e}"
    report |= {f"fused {what}": value for what, value in ours.items()}
    return report | {f"twin {what}": value for what, value in theirs.items()}


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """One measured row."""

    contender: Contender
    batch: int
    precision: str
    seconds: list[float]  # of a step
    peak: int  # bytes, 0 where nobody counts

    @property
    def ms(self) -> float:
        """Milliseconds of a step, best repeat."""
        return 1e3 * min(self.seconds)


class PeakMemory:
    """The most bytes held at a time since this was made, on a CPU beyond those held before; 0 where nobody tells."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.before = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError, IndexError):  # other systems than Linux
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak, proc_pid_clear_refs(5)
            self.before = self._high_water()

    @staticmethod
    def _high_water() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def peak(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return self._high_water() - self.before if self.before else 0


@dataclass
class Bench:
    """Measures and keeps what is worth printing."""

    size: Size
    device: torch.device
    repeats: int
    steps: int
    deadline: float
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: int = 0

    def note(self, text: str, failure: bool = False) -> None:
        """Keep a line for the end, and show it now."""
        self.notes.append(text)
        self.failures += failure
        print(text, file=sys.stderr, flush=True)

    def forget(self) -> None:
        """Give memory back before the next contender."""
        gc.collect()
        torch.compiler.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        with contextlib.suppress(AttributeError):  # other libraries than glibc
            ctypes.CDLL(None).malloc_trim(0)

    def task(self, batch: int, precision: str, compiled: list[str], checked: int) -> None:
        """Check, then time every contender that there is time for."""
        title = f"batch {batch}, {precision}"
        try:
            found = check(self.size, precision, self.device, checked)
            self.note(f"{title}: from the float64 twin: " + ", ".join(f"{k} {v:.1e}" for k, v in found.items()))
        except Exception as error:  # whatever one raises, the others are still measured
            self.note(f"{title}: check failed, {type(error).__name__}: {first_line(error)}", failure=True)
            return
        finally:
            self.forget()
        for contender in contenders(self.device, compiled):
            if time.monotonic() > self.deadline:
                self.note(f"{title}: {contender.name} not timed, no time left", failure=not contender.peer)
                continue
            try:
                row = self.measure(contender, batch, precision)
                self.rows.append(row)
                print(f"{title}: {contender.name}: {row.ms:.4g} ms", file=sys.stderr, flush=True)
            except (MemoryError, torch.OutOfMemoryError) as error:
                self.note(f"{title}: {contender.name} not timed, out of memory: {first_line(error)}")
            except Exception as error:
                lost = f"{type(error).__name__}: {first_line(error)}"
                self.note(f"{title}: {contender.name} not timed, {lost}", failure=not contender.peer)
            self.forget()

    def measure(self, contender: Contender, batch: int, precision: str) -> Row:
        """Time the steps of a contender after those that warm up, compile and capture."""
        memory = PeakMemory(self.device)
        data = self.size.batch(batch, self.device)
        kept = freed_memory_kept(self.device) if contender.kept else contextlib.nullcontext()
        with kept, float32_products(precision, self.device):
            step = contender.step(self.size, self.device, precision, batch)
            for _ in range(WARM_UP + 2 if self.device.type == "cuda" else 2):
                step(*data)
            step.finish()
            if contender.graph and not step.captured:
                raise RuntimeError("the step was not captured")
            seconds = [self.seconds(step, data) for _ in range(self.repeats)]
        return Row(contender, batch, precision, seconds, memory.peak())

    def seconds(self, step: TrainingStep, data: tuple[Tensor, Tensor]) -> float:
        """Seconds of one step, mean of several that follow each other."""
        if self.device.type == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            start.record()
            for _ in range(self.steps):
                step(*data)
            end.record()
            step.finish()
            end.synchronize()
            return start.elapsed_time(end) / 1e3 / self.steps
        begin = time.perf_counter()
        for _ in range(self.steps):
            step(*data)
        return (time.perf_counter() - begin) / self.steps

    def table(self) -> list[str]:
        """All rows in Markdown."""
        lines = [
            "| batch | precision | what | ms, best | median | samples/s | peak GiB | x eager | x best peer | goal |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            beside = [r for r in self.rows if (r.batch, r.precision) == (row.batch, row.precision) and r.contender.peer]
            eager = [r.ms for r in beside if r.contender.name == "plain twin, eager"]
            ratios = [f"{r / row.ms:.3g}" if r else "" for r in (min(eager, default=0), best_ms(beside))]
            if row.contender.peer:
                ratios[1] = ""
            goal = ""
            if row.batch == 12 and self.device.type == "cuda" and self.size == WHOLE and not row.contender.peer:
                goal = f"{GOAL_MS / row.ms:.0%} of {GOAL_MS:g} ms"
            speed = f"{row.ms:.4g} | {1e3 * statistics.median(row.seconds):.4g} | {row.batch / row.ms * 1e3:.4g}"
            peak = f"{row.peak / 2**30:.3g}" if row.peak else ""
            cells = [str(row.batch), row.precision, row.contender.name, speed, peak, *ratios, goal]
            lines.append(f"| {' | '.join(cells)} |")
        return lines


def best_ms(rows: list[Row]) -> float:
    """The fastest of some rows, 0 of none."""
    return min((row.ms for row in rows), default=0.0)


def first_line(error: BaseException) -> str:
    """The start of an error's message."""
    return (str(error).splitlines() or [""])[0][:160]


# -- learning ----------------------------------------------------------------------------------------------------------


def simulated(size: Size, device: torch.device, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Records and velocities of layered models under a survey of the size's geometry, on the device."""
    survey = sf.Survey.seisinv(shape=size.shape, shots=size.shots, nt=size.samples, receivers=size.receivers)
    velocity = SeisInv(shape=size.shape)(range(count), seed).to(device)
    with torch.no_grad():
        records = torch.cat([sf.simulate(part, survey) for part in torch.split(velocity, 8)])
    return records, velocity[:, None]


def learning_curve(
    size: Size, fused: bool, seed: int, steps: int, batch: int, precision: str,
    data: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor],
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """The loss of every step, and the metrics of held-out models after the last."""
    records, velocity = data
    device = records.device
    units = Normalization.for_records(records, velocity_range=VELOCITY)
    with float32_products(precision, device):
        step = make_step(size.network(fused, device, seed), precision, device.type == "cuda", batch, units)
        generator = torch.Generator().manual_seed(seed)
        found = []
        torch.manual_seed(seed)  # dropout
        for k in range(steps):
            step.learning_rate = 5e-4 * (1 - k / steps) ** 0.9
            chosen = torch.randperm(len(records), generator=generator)[:batch].to(device)
            found += step(records[chosen], velocity[chosen], number=k)
        found += step.finish()
        step.network.eval()
        with torch.inference_mode():
            maps = torch.cat([step.predict(part) for part in torch.split(held[0], batch)])
    low, high = VELOCITY
    values = metrics.evaluate(low + (high - low) * maps.cpu(), held[1].cpu(), velocity_range=VELOCITY, edges=False)
    return torch.tensor([result.loss for result in found], dtype=torch.float64), values


def learning(size: Size, device: torch.device, steps: int, batch: int, precision: str, models: int) -> list[str]:
    """Both networks side by side for every seed, in Markdown."""
    data, held = simulated(size, device, models, 1), simulated(size, device, max(8, models // 6), 2)
    lines = [
        f"{steps} steps of batch {batch} on {models} simulated models, {precision}; deviation: largest difference of "
        f"the losses averaged over {min(WINDOW, steps)} steps, relative to the twin's loss above its least value, -1.",
        "",
        "| seed | deviation | last loss, fused | twin | MAE (m/s), fused | twin | SSIM, fused | twin |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed in SEEDS:
        runs = [learning_curve(size, fused, seed, steps, batch, precision, data, held) for fused in (True, False)]
        ours, theirs = (1 + curve.unfold(0, min(WINDOW, steps), 1).mean(-1) for curve, _ in runs)
        cells = [str(seed), f"{float(((ours - theirs).abs() / theirs).max()):.2%}"]
        cells += [f"{float(curve[-1]) - 1:.4f}" for curve in (ours, theirs)]
        cells += [f"{values['mae_ms']:.1f}" for _, values in runs] + [f"{values['ssim']:.4f}" for _, values in runs]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> int:
    """Print the table, and 1 if anything disagreed or broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, nargs="+", help="default: 12 64 256 on a GPU, 2 on a CPU")
    parser.add_argument(
        "--precision", nargs="+", choices=["float32", "tf32", "bf16"], help="default: all on a GPU, float32 on a CPU"
    )
    parser.add_argument("--small", action="store_true", help="a tiny network, for a trial")
    parser.add_argument(
        "--compile", nargs="*", choices=["default", "reduce-overhead", "max-autotune"],
        help="modes of torch.compile for the twin (a GPU: default; a CPU: none, or default when given without a mode)",
    )  # fmt: skip
    parser.add_argument("--learning", type=int, default=0, metavar="STEPS", help="train both networks instead")
    parser.add_argument("--models", type=int, default=240, help="simulated models to learn from")
    parser.add_argument("--threads", type=int, default=2, help="on the CPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, help="in a repeat (default: 10 on a GPU, 3 on a CPU)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start nothing new after this long")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    device, size, gpu = torch.device(args.device), SMALL if args.small else WHOLE, args.device == "cuda"
    batches = args.batch or ([12, 64, 256] if gpu else [2])
    precisions = [
        resolve_precision(name, device)
        for name in args.precision or (["float32", "tf32", "bf16"] if gpu else ["float32"])
    ]
    compiled = (["default"] if gpu else []) if args.compile is None else args.compile or ["default"]
    where = torch.cuda.get_device_name() if gpu else f"CPU, {args.threads} threads"
    print(f"{where}; seisfast {sf.__version__}, torch {torch.__version__}; {size}")
    if args.learning:
        print("\n".join(learning(size, device, args.learning, batches[0], precisions[0], args.models)), flush=True)
        return 0
    steps = args.steps or (10 if gpu else 3)
    bench = Bench(size, device, args.repeats, steps, time.monotonic() + args.seconds)
    for batch in batches:
        for precision in precisions:
            bench.task(batch, precision, compiled, min(batch, 12))
    print("relative difference of loss and gradient before anything was timed, and what was not timed:")
    print("\n".join(f"- {note}" for note in bench.notes), end="\n\n")
    print("\n".join(bench.table()), flush=True)
    return int(bench.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
