"""Endless training data: how fast models and records are made, and what a network that trains on them pays for it.

``python bench/bench_data.py --device cuda`` on a GPU; ``--small`` takes the demo's survey and network, for a CPU. Three
tables, medians of rounds that follow each other, so that a machine that others use disturbs all rows alike:

- what is made: the geology of every family that needs no file, the records of SeisInv's survey (20 shots) and of
  OpenFWI's (5 shots, the sponge of 120 cells), both from models that lie on the device;
- training: steps on batches that lie on the device, and steps of an epoch of `SimulatedDataset` through the `Feed` of
  `fit`, its first window and its thread included. The overhead is what a step takes beyond the step alone and its
  share of a simulation, geology included, that runs alone (time between CUDA events). It is negative where the device
  does both at a time. On a CPU it is also given in processor time, which others on the machine disturb less. At most
  5 % is asked;
- whole sets: all 12,000 models of SeisInv with their records, and OpenFWI's maps, made and dropped. A CPU makes a
  sample, and what the whole would take follows from it.

Before anything is timed, the first batch of the Feed must be what `simulate` makes of its models on the CPU.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from bench_training import first_line, make_step
from torch import Tensor

import seisfast as sf
from seisfast import geology, networks
from seisfast.data import SimulatedDataset
from seisfast.geology import CurveFault, Geology, SeisInv
from seisfast.geology.base import uniforms
from seisfast.normalization import Normalization
from seisfast.training import TrainingConfig
from seisfast.training.feed import Feed
from seisfast.training.graph import WARM_UP
from seisfast.training.memory import freed_memory_kept
from seisfast.training.precision import float32_products, resolve_precision
from seisfast.training.step import TrainingStep

TOLERANCE = 5e-5  # relative L2 difference of records, float32
ALLOWED = 0.05  # overhead that is asked for
SEISINV, SEISINV_SECONDS = 12_000, 10.0
OPENFWI, OPENFWI_RATE = 470_000, 2500.0


@dataclass(frozen=True)
class Size:
    """What is simulated, and the network that is trained on it."""

    name: str
    geology: Geology
    survey: sf.Survey
    options: dict[str, Any]
    batch: dict[str, int]  # by kind of device


def demo_survey() -> sf.Survey:
    """That of examples/demo.py."""
    return sf.Survey.seisinv(shape=(64, 64), spacing=15.0, dt=2e-3, nt=500, shots=5, receivers=16, frequency=11.0)


def sizes(small: bool) -> Size:
    """The paper's size, or the demo's."""
    if small:
        demo = {"width": 0.25, "time_stride": 5}
        return Size("the demo's survey", SeisInv(shape=(64, 64)), demo_survey(), demo, {"cpu": 8, "cuda": 8})
    return Size("SeisInv's survey", SeisInv(), sf.Survey.seisinv(), {}, {"cpu": 2, "cuda": 12})


class Seconds(NamedTuple):
    """Time by the clock, and that of all processors."""

    clock: float
    processor: float


@dataclass
class Bench:
    """Measures and keeps what is worth printing."""

    size: Size
    device: torch.device
    batch: int
    rounds: int
    steps: int
    deadline: float
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: int = 0

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def note(self, text: str, failure: bool = False) -> None:
        """Keep a line for the end, and show it now."""
        self.notes.append(text)
        self.failures += failure
        print(text, file=sys.stderr, flush=True)

    def row(self, *cells: object) -> None:
        """Keep a line of a table, and show it now."""
        text = "| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"
        self.lines.append(text)
        print(text, file=sys.stderr, flush=True)

    def heading(self, *cells: str) -> None:
        """Begin a table."""
        self.lines += ["", f"| {' | '.join(cells)} |", "|" + "---|" * len(cells)]

    def part(self, measure: Callable[[], None]) -> None:
        """Run one table's measurements, if there is time; whatever it raises, the others still run."""
        name = (measure.__doc__ or "").rstrip(".")
        if time.monotonic() > self.deadline:
            self.note(f"{name}: not measured, no time left", failure=True)
            return
        try:
            measure()
        except Exception as error:
            self.note(f"{name}: {type(error).__name__}: {first_line(error)}", failure=True)

    def wait(self) -> None:
        """Until the device has finished."""
        if self.gpu:
            torch.cuda.synchronize()

    def clock(self, work: Callable[[], object], times: int = 1) -> Seconds:
        """What one time of the work takes, to the end on the device."""
        self.wait()
        begin, used = time.perf_counter(), time.process_time()
        work()
        self.wait()
        return Seconds((time.perf_counter() - begin) / times, (time.process_time() - used) / times)

    def median(self, work: Callable[[], object]) -> float:
        """Seconds, the median of the rounds, after a first call that nobody times."""
        work()
        return statistics.median(self.clock(work).clock for _ in range(self.rounds))

    # -- what is made --------------------------------------------------------------------------------------------------

    def made(self) -> None:
        """Geology and records."""
        count = 12_000
        seconds = self.median(lambda: uniforms(range(count), 1, 29))
        self.note(f"random numbers of {count} models of SeisInv, on the host: {seconds:.3g} s")
        self.heading("what is made", "models at a time", "models/s", "shots/s")
        for name in geology.NAMES:
            self.family(name, count if self.gpu else 256)
        self.records(self.size.name, self.size.geology, self.size.survey, 240 if self.gpu else self.batch)
        self.records("OpenFWI's survey", CurveFault(), sf.Survey.openfwi(), 128 if self.gpu else 2)

    def family(self, name: str, models: int) -> None:
        """One row, unless the family must be told what to make."""
        try:
            family = geology.build(name)
        except (TypeError, ValueError, FileNotFoundError) as error:
            self.note(f"geology {name} is not timed: {first_line(error)}")
            return
        seconds = self.median(lambda: family(range(models), 1, device=self.device))
        self.row(f"geology {name}, {family.shape[0]} x {family.shape[1]}", models, models / seconds, "")

    def records(self, name: str, family: Geology, survey: sf.Survey, models: int) -> None:
        """One row: records of models that lie on the device."""
        velocity = family(range(models), 1, device=self.device)
        seconds = self.median(lambda: sf.simulate(velocity, survey))
        self.row(f"records, {name}, {survey.shots} shots", models, models / seconds, models * survey.shots / seconds)

    # -- training ------------------------------------------------------------------------------------------------------

    def training(self) -> None:
        """Training on endless data."""
        precision = resolve_precision("auto" if self.gpu else "float32", self.device)
        with freed_memory_kept(self.device), float32_products(precision, self.device):
            self.steps_of(precision)

    def dataset(self, batches: int, repeats: int = 1) -> SimulatedDataset:
        """So many batches are simulated in an epoch."""
        return SimulatedDataset(
            self.size.geology, self.size.survey, batches * self.batch, batch_size=self.batch, device=self.device,
            repeats=repeats,
        )  # fmt: skip

    def feed(self, repeats: int) -> Feed:
        """As `fit` makes it; an epoch has the steps of a round."""
        config = TrainingConfig(batch_size=self.batch, device=str(self.device))
        return Feed(self.dataset(max(1, self.steps // repeats), repeats), config, self.device, "train")

    def steps_of(self, precision: str) -> None:
        """The rows of the table of training."""
        feeds = {repeats: self.feed(repeats) for repeats in (1, 4)}
        with closing(feeds[1].epoch(0)) as batches:
            held = [batch for batch, _ in zip(batches, range(4), strict=False)]
        self.check(*held[0])
        step = self.step(held[0][0], precision)
        run(step, (held[k % len(held)] for k in range(WARM_UP + 2)))
        for feed in feeds.values():
            run(step, feed.epoch(0))
        rounds = [self.round(step, held, feeds) for _ in range(self.rounds)]
        kinds = ("overhead",) if self.gpu else ("overhead", "overhead, processor time")
        self.heading(
            f"training, batch {self.batch}, {precision}", "ms per step", "samples/s", "step and simulation alone, ms",
            *kinds,
        )  # fmt: skip
        middle = {name: statistics.median(found[name].clock for found in rounds) for name in rounds[0]}
        self.row("on the device", 1e3 * middle["step"], self.batch / middle["step"], "", *[""] * len(kinds))
        for repeats in feeds:
            name = f"repeats {repeats}"
            alone = 1e3 * (middle["step"] + middle["simulation"] / repeats)
            over = [
                f"{statistics.median(overhead(found, repeats)[k] for found in rounds):.1%}" for k in range(len(kinds))
            ]
            self.row(f"SimulatedDataset, {name}", 1e3 * middle[name], self.batch / middle[name], alone, *over)
        self.note(f"overhead: at most {ALLOWED:.0%} is asked")
        self.note(f"a batch simulated alone, geology included: {1e3 * middle['simulation']:.4g} ms")

    def round(
        self, step: TrainingStep, held: list[tuple[Tensor, Tensor]], feeds: dict[int, Feed]
    ) -> dict[str, Seconds]:
        """Seconds of a step on held batches, of a simulation, and of a step of each feed."""
        again = (held[k % len(held)] for k in range(self.steps))
        found = {"step": self.clock(lambda: run(step, again), self.steps), "simulation": self.simulation()}
        for repeats, feed in feeds.items():
            found[f"repeats {repeats}"] = self.clock(lambda f=feed: run(step, f.epoch(1)), feed.batches)
        return found

    def simulation(self) -> Seconds:
        """Seconds of one batch, geology included, the mean of several made alone.

        Of a GPU its kernels and copies count, without the gaps in which the host prepares them.
        """
        source = self.dataset(max(2, self.steps // 4))
        batches = source.batches()
        if not self.gpu:
            return self.clock(lambda: drop(batches), len(source))
        next(batches)
        kinds = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=kinds) as watched:
            drop(batches)
            self.wait()
        busy = 1e-6 * sum(event.self_device_time_total for event in watched.key_averages()) / (len(source) - 1)
        return Seconds(busy, busy)

    def step(self, records: Tensor, precision: str) -> TrainingStep:
        """The step that `fit` would make."""
        low, high = self.size.geology.velocity
        units = Normalization.for_records(records.cpu(), velocity_range=(low, high))
        torch.manual_seed(0)
        network = networks.build("seisinvnet", **self.dataset(1).geometry, **self.size.options).to(self.device).train()
        return make_step(network, precision, self.gpu, self.batch, units)

    def check(self, records: Tensor, velocity: Tensor) -> None:
        """A batch against its simulation on the CPU."""
        expected = sf.simulate(velocity.cpu()[:, 0], self.size.survey)
        found = float((records.cpu() - expected).norm() / expected.norm())
        self.note(f"relative L2 difference of a batch from its records on the CPU: {found:.1e}")
        assert found < TOLERANCE, f"{found:.1e}"

    # -- whole sets ----------------------------------------------------------------------------------------------------

    def sets(self) -> None:
        """Whole data sets."""
        self.heading("made and dropped, geology included", "models", "seconds", "models/s", "all of them", "goal")
        goal = f"{SEISINV_SECONDS:g} s" if self.gpu and self.size.survey.shots == 20 else ""
        models, at_once = (SEISINV, 250) if self.gpu else (6 * self.batch, self.batch)
        self.whole(self.size.name, self.size.geology, self.size.survey, models, at_once, SEISINV, goal)
        models, at_once = (4096, 128) if self.gpu else (4, 2)
        goal = f"{OPENFWI_RATE:g} models/s" if self.gpu else ""
        self.whole("OpenFWI's survey", CurveFault(), sf.Survey.openfwi(), models, at_once, OPENFWI, goal)

    def whole(
        self, name: str, family: Geology, survey: sf.Survey, models: int, at_once: int, total: int, goal: str
    ) -> None:  # fmt: skip
        """One row: so many models, some at once, and what the total would take."""
        data = SimulatedDataset(family, survey, models, batch_size=at_once, device=self.device)
        next(iter(data))
        seconds = statistics.median(self.clock(lambda: drop(data)).clock for _ in range(1 if self.gpu else self.rounds))
        everything = f"{total}: {seconds / models * total:.4g} s"
        self.row(f"{name}, {survey.shots} shots", models, seconds, models / seconds, everything, goal)


def overhead(found: dict[str, Seconds], repeats: int) -> list[float]:
    """What a step on simulated data takes beyond its parts alone, relative to them: by the clock, and by processors."""
    alone = [step + simulation / repeats for step, simulation in zip(found["step"], found["simulation"], strict=True)]
    return [whole / parts - 1 for whole, parts in zip(found[f"repeats {repeats}"], alone, strict=True)]


def run(step: TrainingStep, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Steps to the end of the batches."""
    for number, (records, velocity) in enumerate(batches):
        step(records, velocity, number)
        del records, velocity
    step.finish()


def drop(batches: Iterable[object]) -> None:
    """Make all batches."""
    for batch in batches:
        del batch


def main() -> int:
    """Print the tables, and 1 if anything disagreed or broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="models per step (default: 12 on a GPU, 2 on a CPU, small: 8)")
    parser.add_argument("--small", action="store_true", help="the demo's survey and a narrow network, for a trial")
    parser.add_argument("--threads", type=int, default=2, help="on the CPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of a round of training (default: 96 on a GPU, 32 on a CPU)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no table after this long")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    gpu, size = args.device == "cuda", sizes(args.small)
    where = torch.cuda.get_device_name() if gpu else f"CPU, {args.threads} threads"
    print(
        f"{where}; seisfast {sf.__version__}, torch {torch.__version__}; {size.name}, medians of {args.rounds} rounds"
    )
    bench = Bench(
        size, torch.device(args.device), args.batch or size.batch[args.device], args.rounds,
        args.steps or (96 if gpu else 32), time.monotonic() + args.seconds,
    )  # fmt: skip
    for part in (bench.made, bench.sets, bench.training):
        bench.part(part)
    print("\n".join(bench.lines), end="\n\n")
    print("\n".join(f"- {note}" for note in bench.notes), flush=True)
    return int(bench.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
