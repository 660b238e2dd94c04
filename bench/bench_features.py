"""The fused feature operators next to their plain-torch twins, eager and compiled, after checking that all agree.

``python bench/bench_features.py`` measures on the CPU, ``--device cuda`` on a GPU (``bash bench/gpu.sh`` builds first).

Sizes are those of SeisInvNet at 20 shots x 32 receivers x 1000 samples: the embedding of all gathers, the feature
generator with its five layers, and batch norm with ReLU on the global encoder's largest map. "forward + backward" makes
the gradients that training needs: of weights, and of inputs that themselves have weights before them (not of records).

Rows compare the same call in the same precision. bf16 is autocast over float32 parameters, on both sides. On a GPU a
call is captured in a CUDA graph, so that nobody waits for Python, and the cache is overwritten between runs; a row that
says "events" could not be captured. GFLOP/s counts the multiplications and additions of the layers once, without what a
backward pass computes again; GB/s the least traffic: every map read or written once per direction.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

import seisfast as sf
from seisfast import _native, features
from seisfast.features import TraceLayer
from seisfast.reference import features as twins
from seisfast.training.precision import float32_products

SHOTS, RECEIVERS, SAMPLES = 20, 32, 1000
CHANNELS = 4  # of the neighbourhood network
CONTEXT, WIDTHS, MAP_SHAPE = 128, (1024, 512, 256, 256), (16, 16)  # of the feature generator
LARGEST_MAP = (64, RECEIVERS, 250)  # of the global encoder, per gather
# Relative L2 difference to the twin in float64: of outputs, and of gradients, which differ where ReLUs of values near
# zero do. Where rounding alone passes a limit, ours is no further off than 1.5 times the twin in the same precision.
LIMITS = {"float32": (1e-5, 1e-2), "tf32": (1e-3, 5e-2), "bf16": (1e-2, 2e-1)}

Run = Callable[..., Tensor]


def noise(*shape: int, seed: int, device: str) -> Tensor:
    """Normal deviates."""
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def relative(a: Tensor, b: Tensor) -> float:
    """Relative L2 difference."""
    return float((a.double() - b.double()).norm() / b.double().norm())


# -- the cases ---------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """An operator on data: what it takes, and how much a call of it must do."""

    title: str
    operator: str  # its name in seisfast.features and in seisfast.reference.features
    inputs: list[Tensor]  # in the type that the layers before leave; float32 where these are records
    parameters: list[Tensor]
    call: Callable[[Run, list[Tensor], list[Tensor]], Tensor]
    of_inputs: bool  # whether training needs their gradients
    work: tuple[float, float]  # of forward, and of forward + backward: FLOP or bytes
    unit: str
    slices: int = 1  # parts of the inputs in which the float64 twin fits in memory
    precisions: tuple[str, ...] = ("float32", "tf32", "bf16")

    def leaves(self, precision: str, training: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Inputs and parameters as a call of the network has them in a precision."""
        inputs, of_inputs = self.inputs, self.of_inputs
        if precision == "bf16" and of_inputs:  # a convolution's or an encoder's output under autocast
            inputs = [t.to(torch.bfloat16) for t in inputs]
        given = [t.detach().clone(memory_format=torch.preserve_format) for t in inputs]
        parameters = [t.detach().clone().requires_grad_(training) for t in self.parameters]
        return [t.requires_grad_(training and of_inputs) for t in given], parameters

    def expected(self) -> Tensor:
        """The twin's result in float64."""
        run, parameters = getattr(twins, self.operator), [t.double() for t in self.parameters]
        parts = zip(*(t.chunk(self.slices) for t in self.inputs), strict=True)
        with torch.no_grad():
            return torch.cat([self.call(run, [t.double() for t in part], parameters).float() for part in parts])


def embedding_case(device: str, batch: int) -> Case:
    """Every gather's neighbourhood network; records have no gradient."""
    gathers, c = batch * SHOTS, CHANNELS
    shapes = ((c, 1, 5, 5), (c, c, 5, 5), (1, c, 5, 5))
    weights = [noise(*s, seed=k, device=device) / (25 * s[1]) ** 0.5 for k, s in enumerate(shapes)]
    biases = [0.3 * noise(s[0], seed=5 + k, device=device) for k, s in enumerate(shapes)]
    values = 50.0 * gathers * RECEIVERS * SAMPLES
    return Case(
        f"trace_embedding, {gathers} gathers of {RECEIVERS} x {SAMPLES}", "trace_embedding",
        [noise(gathers, RECEIVERS, SAMPLES, seed=9, device=device)], [*weights, *biases],
        lambda run, inputs, parameters: run(*inputs, parameters[:3], parameters[3:]), False,
        (values * c * (c + 2), values * (3 * c * (c + 1) + 2 * c)), "GFLOP/s", slices=batch,
    )  # fmt: skip


def mlp_case(device: str, batch: int) -> Case:
    """The feature generator of every trace, in training."""
    inputs = CONTEXT + SHOTS + RECEIVERS + SAMPLES
    sizes = [inputs, *WIDTHS, MAP_SHAPE[0] * MAP_SHAPE[1]]
    traces, parameters = SHOTS * RECEIVERS, []
    for k, (wide, narrow) in enumerate(pairwise(sizes)):
        parameters += [
            noise(narrow, wide, seed=10 * k, device=device) / wide**0.5,
            0.3 * noise(narrow, seed=10 * k + 1, device=device),
            1 + 0.3 * noise(traces, seed=10 * k + 2, device=device),
            0.3 * noise(traces, seed=10 * k + 3, device=device),
        ]
    products = SAMPLES * WIDTHS[0] + CONTEXT * WIDTHS[0] / RECEIVERS + sum(a * b for a, b in pairwise(sizes[1:]))
    flop = 2.0 * batch * traces * products

    def call(run: Run, given: list[Tensor], parameters: list[Tensor]) -> Tensor:
        layers = [TraceLayer(*parameters[k : k + 4]) for k in range(0, len(parameters), 4)]
        return run(*given, layers, MAP_SHAPE, training=True)

    context, embedded = (
        noise(*shape, seed=90 + k, device=device)
        for k, shape in enumerate(((batch, SHOTS, CONTEXT), (batch, SHOTS, RECEIVERS, SAMPLES)))
    )
    title = f"trace_mlp, {batch} x {SHOTS} x {RECEIVERS} traces of {SAMPLES}"
    return Case(title, "trace_mlp", [context, embedded], parameters, call, True, (flop, 3 * flop), "GFLOP/s")


def norm_case(device: str, batch: int, channels_last: bool) -> Case:
    """Batch norm and ReLU on the global encoder's largest map, in training."""
    channels, rows, columns = LARGEST_MAP
    x = noise(batch * SHOTS, channels, rows, columns, seed=1, device=device)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    parameters = [1 + 0.3 * noise(channels, seed=2, device=device), 0.3 * noise(channels, seed=3, device=device)]
    layout = "channels last" if channels_last else "channels first"
    return Case(
        f"norm_relu, {batch * SHOTS} x {channels} x {rows} x {columns}, {layout}", "norm_relu", [x], parameters,
        lambda run, inputs, parameters: run(*inputs, None, None, *parameters, training=True), True,
        (2.0 * x.numel(), 5.0 * x.numel()), "GB/s", precisions=("float32", "bf16"),
    )  # fmt: skip


def cases(device: str, batch: int) -> Iterator[Case]:
    """One after the other, so that only one is in memory."""
    yield embedding_case(device, batch)
    yield mlp_case(device, batch)
    for channels_last in (True, False):
        yield norm_case(device, batch, channels_last)


# -- measuring ---------------------------------------------------------------------------------------------------------


def captured(step: Callable[[], object]) -> Callable[[], object] | None:
    """The step as a CUDA graph, or None where it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            results = step()
    except RuntimeError as error:
        print(f"not captured: {first_line(error)}", file=sys.stderr)
        torch.cuda.synchronize()
        return None

    def replay() -> object:
        graph.replay()
        return results  # in memory for as long as the graph

    return replay


class Clock:
    """Times a step: on a GPU by events around a graph's replay, the cache overwritten before every run."""

    def __init__(self, device: str, repeats: int) -> None:
        self.device, self.repeats = device, repeats
        size = 0
        if device == "cuda":
            size = 2 * torch.cuda.get_device_properties(0).L2_cache_size
        self.flush = torch.empty(max(size, 1) // 4 + 1, device=device)

    def milliseconds(self, step: Callable[[], object]) -> tuple[list[float], str]:
        """Of several runs after some that do not count, and how they were timed."""
        if self.device != "cuda":
            step()
            found = []
            for _ in range(self.repeats):
                started = time.perf_counter()
                step()
                found.append(1e3 * (time.perf_counter() - started))
            return found, ""
        replay = captured(step)
        run = replay or step
        for _ in range(2):
            run()
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(self.repeats)]
        for begin, end in events:
            self.flush.zero_()
            begin.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in events], "" if replay else "events"


@dataclass
class Row:
    """One measured row."""

    case: Case
    precision: str
    training: bool
    who: str
    times: list[float]
    how: str
    peak: int  # bytes beside inputs and parameters, 0 where nobody counts

    @property
    def place(self) -> tuple[str, str, bool]:
        """What rows that are compared have in common."""
        return self.case.title, self.precision, self.training

    @property
    def best(self) -> float:
        """Milliseconds."""
        return min(self.times)


@dataclass
class Bench:
    """Checks and measures cases, and keeps what is worth printing."""

    device: str
    repeats: int
    deadline: float
    compiled: bool
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: int = 0

    def note(self, text: str, failure: bool = False) -> None:
        """Keep a line for the end, and show it now."""
        self.notes.append(text)
        self.failures += failure
        print(text, file=sys.stderr, flush=True)

    def forget(self) -> None:
        """Give memory back."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def step(self, case: Case, run: Run, precision: str, training: bool) -> Callable[[], list[Tensor]]:
        """A call on inputs of its own: the result and, in training, the gradients."""
        inputs, parameters = case.leaves(precision, training)
        wanted = [t for t in (*inputs, *parameters) if t.requires_grad]
        weights: list[Tensor] = []

        def step() -> list[Tensor]:
            with (
                torch.set_grad_enabled(training),
                torch.autocast(self.device, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False),
            ):
                out = case.call(run, inputs, parameters)
            if not training:
                return [out]
            if not weights:
                weights.append(noise(*out.shape, seed=77, device=self.device).to(out.dtype))
            return [out.detach(), *torch.autograd.grad(out, wanted, weights[0])]

        return step

    def agrees(self, case: Case, precision: str) -> bool:
        """Compare ours with the twin in float64, and the twin in the same precision beside it."""
        ours, twin = getattr(features, case.operator), getattr(twins, case.operator)
        try:
            with float32_products("float32", torch.device(self.device)):
                expected = case.expected()
                # torch's batch norm on a CPU loses digits with channels last.
                plain = replace(case, inputs=[t.contiguous() for t in case.inputs])
                slopes = self.step(plain, twin, "float32", True)()[1:]
            errors = []
            with float32_products(precision, torch.device(self.device)):
                for run in (ours, twin):
                    out, *grads = self.step(case, run, precision, True)()
                    of_slopes = max(relative(a, b) for a, b in zip(grads, slopes, strict=True) if a.numel() > 8)
                    errors.append((relative(out, expected), of_slopes))
                    self.forget()
            (ours_out, ours_slope), (twins_out, twins_slope) = errors
            text = f"outputs {ours_out:.1e} (twin {twins_out:.1e}), gradients {ours_slope:.1e} ({twins_slope:.1e})"
            limits = LIMITS[precision]
            good = all(error <= max(limit, 1.5 * twins_) for limit, error, twins_ in zip(limits, *errors, strict=True))
            self.note(f"{case.title}, {precision}: {text}{'' if good else ': TOO FAR OFF'}", failure=not good)
        except Exception as error:  # whatever one raises, the others are still measured
            lost = f"{type(error).__name__}: {first_line(error)}"
            self.note(f"{case.title}, {precision}: check failed, {lost}", failure=True)
            return False
        finally:
            self.forget()
        return good

    def measure(self, case: Case) -> None:
        """All precisions and directions of a case."""
        clock = Clock(self.device, self.repeats)
        for precision in case.precisions:
            if precision == "tf32" and self.device != "cuda":
                continue
            if time.monotonic() > self.deadline:
                self.note(f"{case.title}, {precision}: not timed, no time left", failure=True)
                continue
            if not self.agrees(case, precision):
                continue
            for training in (False, True):
                self.contest(case, precision, training, clock)

    def contest(self, case: Case, precision: str, training: bool, clock: Clock) -> None:
        """Ours and its peers in one direction."""
        twin = getattr(twins, case.operator)
        contenders = {"seisfast": getattr(features, case.operator), "eager": twin}
        if self.compiled:
            contenders["torch.compile"] = twin
        for who, run in contenders.items():
            if time.monotonic() > self.deadline:
                self.note(f"{case.title}, {precision}: {who} not timed, no time left", failure=True)
                continue
            try:
                if who == "torch.compile":
                    torch._dynamo.reset()
                    run = torch.compile(twin)
                with float32_products(precision, torch.device(self.device)):
                    step = self.step(case, run, precision, training)
                    step()
                    self.forget()
                    before = torch.cuda.memory_allocated() if self.device == "cuda" else 0
                    step()
                    peak = torch.cuda.max_memory_allocated() - before if self.device == "cuda" else 0
                    times, how = clock.milliseconds(step)
                row = Row(case, precision, training, who, times, how, peak)
                self.rows.append(row)
                print(f"{case.title}, {precision}, {who}: {row.best:.3g} ms", file=sys.stderr, flush=True)
            except Exception as error:
                lost = f"{type(error).__name__}: {first_line(error)}"
                self.note(f"{case.title}, {precision}: {who} not timed, {lost}", failure=who == "seisfast")
            self.forget()

    def table(self) -> list[str]:
        """All rows in Markdown; ratios are of best times, above 1 where ours is faster."""
        lines = [
            "| case | precision | what | ms, best | median | eager / this | compile / this | rate | peak MiB |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            same = [
                r for r in self.rows if (r.case, r.precision, r.training) == (row.case, row.precision, row.training)
            ]
            beside = {r.who: r.best for r in same}
            ratios = [f"{beside[who] / row.best:.3g}" if who in beside else "" for who in ("eager", "torch.compile")]
            work = row.case.work[row.training]
            if row.case.unit == "GB/s":
                work *= 2 if row.precision == "bf16" else 4
            what = f"{row.who}, {'forward + backward' if row.training else 'forward'}{', ' * bool(row.how)}{row.how}"
            cells = [
                row.case.title, row.precision, what, f"{row.best:.4g}", f"{statistics.median(row.times):.4g}", *ratios,
                f"{work / row.best / 1e6:.4g} {row.case.unit}", f"{row.peak / 2**20:.4g}" if row.peak else "",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        return lines


def first_line(error: BaseException) -> str:
    """The start of an error's message."""
    return (str(error).splitlines() or [""])[0][:160]


def main() -> int:
    """Print the table, and 1 if anything disagreed or broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=12, help="models")
    parser.add_argument("--threads", type=int, default=None, help="on the CPU (default: torch's)")
    parser.add_argument("--repeats", type=int, default=None, help="runs of a row (default 20 on a GPU, 3 on a CPU)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start nothing new after this long")
    parser.add_argument("--compile", action="store_true", help="time torch.compile on a CPU, too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    on_gpu = args.device == "cuda"
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch._dynamo.config.cache_size_limit = 64
    repeats = args.repeats or (20 if on_gpu else 3)
    where = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    level = f"CUDA {torch.version.cuda}" if on_gpu else _native.build_info()["vector_level"]
    heading = (
        f"{where}, {level}; seisfast {sf.__version__}, torch {torch.__version__}, batch {args.batch}, "
        f"{repeats} runs of a row, load {os.getloadavg()[0]:.1f}"
    )
    print(heading, flush=True)
    bench = Bench(args.device, repeats, time.monotonic() + args.seconds, on_gpu or args.compile)
    for case in cases(args.device, args.batch):
        bench.measure(case)
        bench.forget()
    print("relative L2 to the twin in float64 (gradients: to the float32 twin) before anything was timed, and notes:")
    print("\n".join(f"- {note}" for note in bench.notes), end="\n\n")
    print("\n".join(bench.table()), flush=True)
    return int(bench.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
