"""The acoustic operator next to its peers: one table, after checking that all computed the same thing.

``python bench/bench_acoustic.py`` measures on the CPU, ``--device cuda`` on a GPU (``bash bench/gpu.sh`` builds first);
``pytest bench`` runs pytest-benchmark on the small case.

Rows compare the same physical model, survey, order 4, float32 and number of steps of 1 ms on cells of 10 m. Ours runs
with its default CPML(14) and with CPML(20), peers with 20 cells, at which deepwave's layer reflects less than our 14
cells and more than our 20. Gcell/s counts padded cells times steps, of the forward run alone also where the gradient
is timed. "of copy": 16 bytes per such cell update over the bandwidth of a plain copy in the same run; a kernel that
streams its fields through memory cannot pass 100 %.

deepwave's arguments are those of seisfast.conventions: one sample more than ours, and the largest stable Courant
number, which keeps it at one internal step per sample: its default takes two. SWEEP adds its source without the factor
(v dt)^2 of the equation, so its wavelet is multiplied by that; it runs on GPUs only, with its compiled core. Devito
runs the operator of its acoustic examples, forward, shot after shot; their damping is no perfectly matched layer, so
it is timed with 20 cells of it and compared with ours with 240.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gc
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import seisfast as sf
from seisfast.engines import planned_engine

try:
    import deepwave
except ImportError:
    deepwave = None
try:
    import devito
except ImportError:
    devito = None
try:
    from sweep.equations import Acoustic
    from sweep.propagator.torch import PropTorch
except ImportError:
    PropTorch = None

SHOTS = 8
PEER_CELLS = 20  # of a peer's layer
ENGINES = ("resident", "cluster", "tiled", "plain")
EXACT = sf.Storage()
EVERY_4TH = sf.Storage(every=4)


# -- a model, its survey, and who runs it ------------------------------------------------------------------------------


@dataclass
class Case:
    """Models and a survey on a device, and the callables that are compared: `[..., shots, time, receivers]` each."""

    survey: sf.Survey
    velocity: Tensor

    @property
    def shots(self) -> int:
        """Shots of a call, over all models."""
        return self.survey.shots * (self.velocity.shape[0] if self.velocity.dim() == 3 else 1)

    @property
    def shape(self) -> tuple[int, int]:
        """(nz, nx) of a model."""
        return self.velocity.shape[-2], self.velocity.shape[-1]

    @property
    def cells(self) -> int:
        """Padded cells of one shot."""
        nz, nx = self.survey.padded_shape(self.shape)
        return nz * nx

    @property
    def peer_cells(self) -> int:
        """The same for a peer."""
        return (self.shape[0] + 2 * PEER_CELLS) * (self.shape[1] + 2 * PEER_CELLS)

    def few(self, shots: int) -> Case:
        """The first shots of the first model."""
        s = self.survey
        survey = sf.Survey(
            shape=s.shape, spacing=s.spacing, dt=s.dt, nt=s.nt, sources=s.sources[:shots], receivers=s.receivers,
            wavelet=s.wavelet, order=s.order, boundary=s.boundary,
        )  # fmt: skip
        return Case(survey, self.velocity if self.velocity.dim() == 2 else self.velocity[0])

    def runs_on(self, engine: str, gradient: bool) -> bool:
        """Whether this CUDA engine takes the grid, in both directions where both are needed."""
        plans = [planned_engine(self.survey, self.shape, adjoint=a, engine=engine) for a in (False, gradient)]
        return all(plan["engine"] == engine for plan in plans)

    def planned(self, gradient: bool) -> str:
        """The engines that `engine="auto"` takes."""
        plans = [planned_engine(self.survey, self.shape, adjoint=a)["engine"] for a in (False, gradient)]
        return " and ".join(dict.fromkeys(plans))

    def ours(self, velocity: Tensor, storage: sf.Storage | None = None, engine: str = "auto") -> Tensor:
        """By seisfast."""
        return sf.simulate(velocity, self.survey, storage=storage, engine=engine)

    def twin(self, velocity: Tensor) -> Tensor:
        """By the plain-torch twin."""
        return sf.reference.simulate(velocity, self.survey)

    def deepwave(self, velocity: Tensor, interval: int = 1) -> Tensor:
        """By deepwave in our convention; its gradient stores every `interval`-th step."""
        arguments = sf.conventions.to_deepwave(velocity, self.survey)
        changes = {"pml_width": PEER_CELLS, "model_gradient_sampling_interval": interval}
        return sf.conventions.record_from_deepwave(deepwave.scalar(**arguments | changes)[-1])

    def devito(self, velocity: Tensor, cells: int = PEER_CELLS) -> Tensor:
        """By Devito in our convention, within so many cells of damping."""
        if cells not in self._devito:
            self._devito[cells] = DevitoScript(velocity, self.survey, cells)
        return self._devito[cells](velocity)

    @cached_property
    def _devito(self) -> dict[int, DevitoScript]:
        return {}

    def sweep(self, velocity: Tensor) -> Tensor:
        """By SWEEP with its default storage, amplitude of the source undone; all sources lie in one velocity."""
        propagator, wavelet, sources, receivers = self._sweep
        return propagator(wavelet, sources, receivers, models=[velocity])[..., 0]

    @cached_property
    def _sweep(self) -> tuple[Any, Tensor, Any, Any]:
        survey, device = self.survey, self.velocity.device
        iz, ix = survey.sources[:, 0].long().unbind(-1)
        speeds = self.velocity[iz.to(device), ix.to(device)]
        assert bool((speeds == speeds[0]).all())
        propagator = PropTorch(
            Acoustic(spatial_order=survey.order, device=device), shape=self.shape, dh=survey.spacing[0], dt=survey.dt,
            device=device, abcn=PEER_CELLS, impl="c" if device.type == "cuda" else "eager",
        )  # fmt: skip
        wavelet = survey.wavelet.to(device, torch.float32) * (float(speeds[0]) * survey.dt) ** 2
        sources = survey.sources[:, 0].flip(-1).numpy().astype("int64")  # (x, z)
        receivers = survey.receivers.expand(survey.shots, -1, -1).flip(-1).numpy().astype("int64")
        return propagator, wavelet, sources, receivers


class DevitoScript:
    """Devito's operator of a survey, made once.

    Source: the damping of `initialize_damp` in its examples (examples/seismic/model.py), which count in milliseconds.
    """

    def __init__(self, velocity: Tensor, survey: sf.Survey, cells: int) -> None:
        devito.configuration["log-level"] = "WARNING"
        devito.configuration["language"] = "openmp"
        self.survey, self.cells = survey, cells
        self.script = sf.conventions.to_devito(velocity, survey)
        vp, spacing, order = (self.script[name] for name in ("vp", "spacing", "space_order"))
        shape = tuple(n + 2 * cells for n in vp.shape)
        grid = devito.Grid(shape=shape, extent=tuple((n - 1) * h for n, h in zip(shape, spacing, strict=True)))
        self.u = devito.TimeFunction(name="u", grid=grid, time_order=2, space_order=order)
        self.m = devito.Function(name="m", grid=grid, space_order=order)
        damp = devito.Function(name="damp", grid=grid)
        for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
            i = np.arange(n)
            depth = np.maximum(1 - np.minimum(i, n - 1 - i) / cells + 1 / cells, 0) * (np.minimum(i, n - 1 - i) < cells)
            strength = 1.5e-3 * np.log(1e3) / cells * (depth - np.sin(2 * np.pi * depth) / (2 * np.pi)) / h
            damp.data[:] += np.expand_dims(strength, 1 - axis)
        count = {"src": len(self.script["src_coordinates"][0]), "rec": len(self.script["rec_coordinates"][0])}
        nt = self.script["src"].shape[1]
        self.points = {
            name: devito.SparseTimeFunction(name=name, grid=grid, npoint=n, nt=nt) for name, n in count.items()
        }
        dt = grid.stepping_dim.spacing
        step = devito.solve(self.m * self.u.dt2 - self.u.laplace + damp * self.u.dt, self.u.forward)
        src = self.points["src"]
        self.operator = devito.Operator(
            [
                devito.Eq(self.u.forward, step),
                src.inject(field=self.u.forward, expr=src * dt**2 / self.m),
                self.points["rec"].interpolate(expr=self.u),
            ]
        )

    def __call__(self, velocity: Tensor) -> Tensor:
        """The records of all shots."""
        vp = np.pad(velocity.numpy().T, self.cells, mode="edge")
        self.m.data[:] = 1.0 / vp**2
        records = []
        for shot in range(self.survey.shots):
            self.u.data[:] = 0.0
            for name, points in self.points.items():
                points.coordinates.data[:] = self.script[f"{name}_coordinates"][shot] + np.multiply(
                    self.cells, self.script["spacing"]
                )
                points.data[:] = self.script["src"][shot] if name == "src" else 0.0
            threads = torch.get_num_threads()
            self.operator.apply(dt=self.script["dt"], nthreads=threads, nthreads_nonaffine=threads)
            records.append(np.array(self.points["rec"].data))
        return sf.conventions.record_from_devito(np.stack(records))


def layers(shape: tuple[int, int]) -> Tensor:
    """Three layers; the sources lie in the first."""
    velocity = torch.full(shape, 1800.0)
    velocity[shape[0] * 3 // 10 :], velocity[shape[0] * 6 // 10 :] = 2500.0, 3400.0
    return velocity


def case(
    device: str = "cpu",
    shots: int = SHOTS,
    nt: int = 1000,
    width: int = 14,
    shape: tuple[int, int] = (100, 100),
    receivers: int = 32,
) -> Case:
    """Three layers under a survey of `shots` shots."""
    survey = sf.Survey.seisinv(shape=shape, shots=shots, nt=nt, receivers=receivers, boundary=sf.CPML(width))
    return Case(survey, layers(shape).to(device))


def openfwi(device: str, maps: int) -> Case:
    """OpenFWI's survey, exactly, over so many maps."""
    return Case(sf.Survey.openfwi(), layers((70, 70)).expand(maps, 70, 70).contiguous().to(device))


def gradient(forward: Callable[[Tensor], Tensor], velocity: Tensor) -> Tensor:
    """Forward and gradient of half the squared record."""
    leaf = velocity.detach().clone().requires_grad_()
    data = forward(leaf)
    data.backward(data.detach())
    assert leaf.grad is not None
    return leaf.grad


def relative(a: Tensor, b: Tensor) -> float:
    """Relative L2 difference."""
    return float((a - b).norm() / b.norm())


# -- measuring ---------------------------------------------------------------------------------------------------------


def timings(run: Callable[[int], object], repeats: int, device: str) -> list[float]:
    """Seconds of several runs after one that does not count; run i is told i, to take inputs of its own."""
    run(0)
    found = []
    for i in range(1, repeats + 1):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            start.record()
            run(i)
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            run(i)
            found.append(time.perf_counter() - begin)
    return found


def copy_bandwidth(device: str) -> float:
    """Bytes per second, read and written, of a copy far larger than any cache."""
    size = 2**29 if device == "cuda" else 2**26
    source = torch.rand(size, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * size / min(timings(lambda _: target.copy_(source), 10, device))


@dataclass
class Goal:
    """A figure to reach."""

    value: float
    unit: str  # "shots/s", "maps/s" (of five shots) or "Gcell/s"


@dataclass
class Contender:
    """What one row of the table runs."""

    name: str
    case: Case
    forward: Callable[[Tensor], Tensor]
    cells: int
    peer: str = ""  # its name
    repeats: int | None = None


@dataclass
class Task:
    """A case and direction: its contenders in the order of the rows."""

    title: str
    gradient: bool
    contenders: list[Contender]
    goal: Goal | None = None
    check: Callable[[], dict[str, float]] | None = None  # of ours: nothing is timed if it fails
    compare: Callable[[str], dict[str, float]] | None = None  # with a peer, which is not timed if it fails


@dataclass
class Row:
    """One measured row."""

    task: Task
    contender: Contender
    seconds: list[float]
    peak: int  # bytes, 0 where nobody counts

    @property
    def rate(self) -> float:
        """Shots per second, best run."""
        return self.contender.case.shots / min(self.seconds)

    @property
    def gcells(self) -> float:
        """Padded cells times steps, in 10^9 per second."""
        return self.rate * self.contender.cells * self.contender.case.survey.nt / 1e9

    def reached(self) -> str:
        """The goal and how much of it this row is."""
        goal = self.task.goal
        if goal is None or self.contender.peer:
            return ""
        value = {"shots/s": self.rate, "maps/s": self.rate / 5, "Gcell/s": self.gcells}[goal.unit]
        return f"{value / goal.value:.0%} of {goal.value:,.0f} {goal.unit}"


@dataclass
class Bench:
    """Measures tasks and keeps what is worth printing."""

    device: str
    repeats: int
    deadline: float = float("inf")
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: int = 0

    def note(self, text: str, failure: bool = False) -> None:
        """Keep a line for the end, and show it now."""
        self.notes.append(text)
        self.failures += failure
        print(text, file=sys.stderr, flush=True)

    def forget(self, case_: Case | None = None) -> None:
        """Give memory back before the next contender."""
        if case_ is not None:
            case_.__dict__.pop("_sweep", None)  # its propagator holds buffers
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def agrees(self, what: str, check: Callable[[], dict[str, float]]) -> bool:
        """Run a check, and note what it found."""
        try:
            found = ", ".join(f"{k} {v:.1e}" for k, v in check().items())
            self.note(f"{what}: {found}")
        except Exception as error:  # whatever one raises, the others are still measured
            self.note(f"{what}: check failed, {type(error).__name__}: {first_line(error)}", failure=True)
            return False
        finally:
            self.forget()
        return True

    def task(self, task: Task) -> None:
        """Check, then time every contender that there is time for."""
        if task.check is not None and not self.agrees(task.title, task.check):
            return
        refused = []
        for peer in dict.fromkeys(c.peer for c in task.contenders if c.peer):
            compare = task.compare
            if compare is not None and not self.agrees(task.title, lambda p=peer, f=compare: f(p)):
                refused.append(peer)
        for contender in task.contenders:
            if contender.peer in refused:
                continue
            if time.monotonic() > self.deadline:
                self.note(f"{task.title}: {contender.name} not timed, no time left", failure=True)
                continue
            try:
                row = self.measure(task, contender)
                self.rows.append(row)
                print(f"{task.title}: {contender.name}: {row.rate:.4g} shots/s", file=sys.stderr, flush=True)
            except (MemoryError, torch.OutOfMemoryError) as error:
                self.note(f"{task.title}: {contender.name} not timed, out of memory: {first_line(error)}")
            except Exception as error:
                lost = f"{type(error).__name__}: {first_line(error)}"
                self.note(f"{task.title}: {contender.name} not timed, {lost}", failure=not contender.peer)
            self.forget(contender.case)

    def measure(self, task: Task, contender: Contender) -> Row:
        """Time a contender on models that differ from run to run below the first layer."""
        base = contender.case.velocity
        deep = base.shape[-2] // 2
        models = [base.clone() for _ in range(2)]
        for k, model in enumerate(models):
            model[..., deep:, :] += 10.0 * (k + 1)
        self.forget()

        def forward(i: int) -> Tensor:
            with torch.no_grad():
                return contender.forward(models[i % 2])

        def both(i: int) -> Tensor:
            return gradient(contender.forward, models[i % 2])

        found = timings(both if task.gradient else forward, contender.repeats or self.repeats, self.device)
        return Row(task, contender, found, torch.cuda.max_memory_allocated() if self.device == "cuda" else 0)

    def table(self, bandwidth: float) -> list[str]:
        """All rows in Markdown."""
        lines = [
            "| case | what | shots/s, best | median | Gcell/s | of copy | peak GiB | x best peer | goal |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            peers = [r.rate for r in self.rows if r.task is row.task and r.contender.peer]
            beside = f"{row.rate / max(peers):.3g}" if peers and not row.contender.peer else ""
            median = row.contender.case.shots / statistics.median(row.seconds)
            peak = f"{row.peak / 2**30:.3g}" if row.peak else ""
            share = f"{16e9 * row.gcells / bandwidth:.0%}"
            speed = f"{row.rate:.4g} | {median:.4g} | {row.gcells:.3g} | {share}"
            lines.append(f"| {row.task.title} | {row.contender.name} | {speed} | {peak} | {beside} | {row.reached()} |")
        return lines


def first_line(error: BaseException) -> str:
    """The start of an error's message."""
    return (str(error).splitlines() or [""])[0][:160]


# -- the tasks ---------------------------------------------------------------------------------------------------------


def check_twin(device: str, case_: Case | None = None) -> dict[str, float]:
    """Relative differences of the twin's record and gradient to ours on one shot, asserted."""
    small = case_ or case(device, shots=1, nt=300)
    with torch.no_grad():
        found = {"twin's records": relative(small.twin(small.velocity), small.ours(small.velocity))}
    if case_ is None:
        found["twin's gradient"] = relative(gradient(small.twin, small.velocity), gradient(small.ours, small.velocity))
    assert max(found.values()) < 5e-5, found
    return found


def check_engines(c: Case, with_gradient: bool) -> dict[str, float]:
    """That every CUDA engine's record, and gradient, is plain's to the bit."""
    runs = {e: c.runs_on(e, with_gradient) for e in ENGINES}
    with torch.no_grad():
        expected = c.ours(c.velocity, engine="plain")
        for engine in (e for e in ENGINES if runs[e]):
            assert torch.equal(c.ours(c.velocity, engine=engine), expected), f"the records of {engine} are not plain's"
    if with_gradient:
        few = c.few(4)
        slope = gradient(lambda v: few.ours(v, engine="plain"), few.velocity)
        for engine in (e for e in ENGINES if runs[e]):
            ours = gradient(lambda v, engine=engine: few.ours(v, engine=engine), few.velocity)
            assert torch.equal(ours, slope), f"the gradient of {engine} is not plain's"
    return {"engines against plain": 0.0}


def compare(c: Case, peer: str, with_gradient: bool, shots: int = 4) -> dict[str, float]:
    """Relative differences of a peer's records and gradient to ours, asserted; the layers differ."""
    few, found = c.few(shots), {}
    theirs = dict(peers(few))[peer]
    if peer == "Devito":
        theirs, with_gradient = lambda velocity: few.devito(velocity, 240), False
    with torch.no_grad():
        found[f"{peer}'s records"] = relative(theirs(few.velocity), few.ours(few.velocity))
    assert found[f"{peer}'s records"] < 1e-3, found
    if with_gradient:
        slopes = [gradient(run, few.velocity) for run in (theirs, few.ours)]
        if peer == "SWEEP":  # without what the velocity does at the sources, and in the layer's copies of edge cells
            slopes = [slope[few.shape[0] // 20 : -1, 1:-1] for slope in slopes]
        found[f"{peer}'s gradient"] = relative(*slopes)
        assert found[f"{peer}'s gradient"] < 1e-2, found
    return found


def peers(c: Case, with_gradient: bool = False) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Names and callables of the peers that can be imported and run there."""
    if deepwave is not None:
        yield "deepwave", c.deepwave
    if PropTorch is not None and c.velocity.is_cuda:
        yield "SWEEP", c.sweep
    if devito is not None and not c.velocity.is_cuda and not with_gradient:
        yield "Devito", c.devito


def others(c: Case, with_gradient: bool) -> Iterator[Contender]:
    """The same as contenders."""
    for name, forward in peers(c, with_gradient):
        yield Contender(f"{name}, {PEER_CELLS} cells", c, forward, c.peer_cells, peer=name)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Other processes that compete for the cores."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def cpu_tasks(threads: int, shots: int, busy: int) -> list[Task]:
    """Eight shots of 100 x 100, and one of 751 x 2301, forward and with the gradient."""
    thin, wide, single = case(shots=shots), case(shots=shots, width=20), case(shots=1)
    large = case(shots=1, nt=200, shape=(751, 2301), receivers=256)
    where = f"{threads} thread{'s' * (threads > 1)}" + f", {busy} busy loops" * (busy > 0)
    tasks = []
    for with_gradient, goal in ((False, 87.0), (True, 43.0)):
        contenders = [
            Contender("seisfast, CPML(14)", thin, thin.ours, thin.cells),
            Contender("seisfast, CPML(20)", wide, wide.ours, wide.cells),
            *others(thin, with_gradient),
            Contender("plain-torch twin, CPML(14), one shot", single, single.twin, single.cells, repeats=1),
        ]
        title = f"{'forward + gradient' if with_gradient else 'forward'}, {shots} shots of 100 x 100, {where}"
        target = Goal(goal, "shots/s") if threads == 1 else None
        task = Task(title, with_gradient, contenders, target)
        if not with_gradient:  # both directions at once
            task.check = lambda: check_twin("cpu")
            task.compare = lambda peer: compare(thin, peer, with_gradient=True, shots=shots)
        title = f"{'forward + gradient' if with_gradient else 'forward'}, 1 shot of 751 x 2301, nt 200, {where}"
        contenders = [
            Contender("seisfast, CPML(14)", large, large.ours, large.cells),
            *others(large, with_gradient),
        ]
        tasks += [task, Task(title, with_gradient, contenders)]
    return tasks


def gpu_task(
    title: str, goal: Goal | None, with_gradient: bool, make: Callable[[int], Case], storages: dict[str, sf.Storage]
) -> Task:
    """Every engine that runs, the default at CPML(20), and the peers; `make` gives the case at a layer's width."""
    thin, wide = make(14), make(20)
    contenders = []
    for label, storage in storages.items():
        for engine in (e for e in ENGINES if thin.runs_on(e, with_gradient)):
            forward = bound(thin, storage, engine)
            contenders.append(Contender(f"seisfast {engine}, CPML(14){label}", thin, forward, thin.cells))
        name = f"seisfast {wide.planned(with_gradient)}, CPML(20){label}"
        contenders.append(Contender(name, wide, bound(wide, storage, "auto"), wide.cells))
    for name, forward in peers(thin):
        chosen = {"": forward}
        if with_gradient and name == "deepwave":
            chosen = {", every 4th step": fourth_step(thin), ", every step": forward}
        for label, run in chosen.items():
            contenders.append(Contender(f"{name}, {PEER_CELLS} cells{label}", thin, run, thin.peer_cells, peer=name))

    return Task(
        title, with_gradient, contenders, goal,
        lambda: check_engines(thin, with_gradient),
        lambda peer: compare(thin, peer, with_gradient, min(4, thin.shots)),
    )  # fmt: skip


def bound(c: Case, storage: sf.Storage, engine: str) -> Callable[[Tensor], Tensor]:
    """Our forward run with this storage and engine."""
    return lambda velocity: c.ours(velocity, storage, engine)


def fourth_step(c: Case) -> Callable[[Tensor], Tensor]:
    """Deepwave that keeps every fourth step for its gradient."""
    return lambda velocity: c.deepwave(velocity, interval=4)


def gpu_tasks(scale: float = 1.0) -> Iterator[Task]:
    """The cases with goals, one after the other; `scale` shrinks the number of shots and models for a trial."""
    device = "cuda"
    kept = {
        ", every 4th step": EVERY_4TH,
        ", every step": sf.Storage("all"),
        ", checkpoints": sf.Storage("checkpoint"),
    }

    def some(n: int) -> int:
        return max(1, round(n * scale))

    yield gpu_task(
        f"forward, {some(1320)} shots of 100 x 100", Goal(48_000, "shots/s"), False,
        lambda width: case(device, some(1320), width=width), {"": EXACT},
    )  # fmt: skip
    yield gpu_task(
        f"forward + gradient, {some(660)} shots of 100 x 100", Goal(16_000, "shots/s"), True,
        lambda width: case(device, some(660), width=width), kept,
    )  # fmt: skip
    for with_gradient, maps in ((False, some(132)), (True, some(16))):
        exact = openfwi(device, maps)
        contenders = [
            Contender(f"seisfast {engine}{label}", exact, bound(exact, storage, engine), exact.cells)
            for label, storage in (kept if with_gradient else {"": EXACT}).items()
            for engine in ENGINES
            if exact.runs_on(engine, with_gradient)
        ]
        direction = "forward + gradient" if with_gradient else "forward"
        title = f"OpenFWI exact, {direction}, {maps} maps of 5 shots of 70 x 70"

        def checks(exact: Case = exact, with_gradient: bool = with_gradient) -> dict[str, float]:
            return check_engines(exact, with_gradient) | check_twin(device, exact.few(5))

        yield Task(title, with_gradient, contenders, None if with_gradient else Goal(2_500, "maps/s"), checks)
    for with_gradient, nt, goal in ((False, 1000, 350), (True, 500, 235)):
        yield gpu_task(
            f"{'forward + gradient' if with_gradient else 'forward'}, {some(20)} shots of 751 x 2301, nt {nt}",
            Goal(goal, "shots/s"), with_gradient,
            lambda width, nt=nt: case(device, some(20), nt, width, (751, 2301), 256),
            kept if with_gradient else {"": EXACT},
        )  # fmt: skip
    yield gpu_task(
        "forward, 1 shot of 8192 x 8192, nt 200", Goal(640, "Gcell/s"), False,
        lambda width: case(device, 1, 200, width, (8192, 8192), 1024), {"": EXACT},
    )  # fmt: skip


# -- pytest-benchmark --------------------------------------------------------------------------------------------------


def timed(benchmark: Any, c: Case, forward: Callable[[Tensor], Tensor], direction: str) -> None:  # noqa: ANN401
    """Three rounds, and that the result is ours."""

    def run() -> Tensor:
        result = forward(c.velocity) if direction == "forward" else gradient(forward, c.velocity)
        if result.is_cuda:
            torch.cuda.synchronize()
        return result

    result = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    expected = c.ours(c.velocity) if direction == "forward" else gradient(c.ours, c.velocity)
    assert relative(result, expected) < 1e-2


@pytest.mark.parametrize("engine", ["ours", "deepwave"])
@pytest.mark.parametrize("direction", ["forward", "gradient"])
def test_shots(benchmark: Any, threads: int, engine: str, direction: str) -> None:  # noqa: ANN401
    """Eight shots by pytest-benchmark; the table's figures are the ones that count."""
    if engine == "deepwave" and deepwave is None:
        pytest.skip("deepwave is not installed")
    c = case()
    timed(benchmark, c, getattr(c, engine), direction)


@pytest.mark.skipif(
    not (torch.cuda.is_available() and sf.engines.has_cuda_engine()),
    reason="needs a CUDA device and an extension built with CUDA",
)
@pytest.mark.parametrize("engine", [*ENGINES, "deepwave"])
@pytest.mark.parametrize("direction", ["forward", "gradient"])
def test_shots_on_a_gpu(benchmark: Any, engine: str, direction: str) -> None:  # noqa: ANN401
    """132 shots on each CUDA engine by pytest-benchmark."""
    c = case("cuda", 132)
    if engine == "deepwave":
        if deepwave is None:
            pytest.skip("deepwave is not installed")
        timed(benchmark, c, c.deepwave, direction)
    else:
        if not c.runs_on(engine, direction == "gradient"):
            pytest.skip(f"{engine} does not run this grid on this chip")
        timed(benchmark, c, bound(c, EXACT, engine), direction)


# -- the table ---------------------------------------------------------------------------------------------------------


def main() -> int:
    """Print the table, and 1 if anything disagreed or broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="on the CPU")
    parser.add_argument("--shots", type=int, default=SHOTS, help="on the CPU")
    parser.add_argument("--busy", type=int, default=0, help="other processes that compete for the cores of the CPU")
    parser.add_argument("--scale", type=float, default=1.0, help="of shots and models on a GPU, for a trial")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start nothing new after this long")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    bench = Bench(args.device, args.repeats, time.monotonic() + args.seconds)
    if args.device == "cpu":
        torch.set_num_threads(max(args.threads))
        bandwidth = copy_bandwidth("cpu")
        for threads in args.threads:
            torch.set_num_threads(threads)
            with busy_loops(args.busy):
                for task in cpu_tasks(threads, args.shots, args.busy):
                    bench.task(task)
        where = f"CPU, copy {bandwidth / 1e9:.3g} GB/s at {max(args.threads)} threads"
    else:
        bandwidth = copy_bandwidth("cuda")
        bench.forget()
        for task in gpu_tasks(args.scale):
            bench.task(task)
        where = f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.3g} TB/s"
    found = {"deepwave": deepwave, "SWEEP": PropTorch, "Devito": devito}
    missing = ", ".join(f"no {name}" for name, module in found.items() if module is None)
    print(f"{where}; seisfast {sf.__version__}, torch {torch.__version__}{', ' * bool(missing)}{missing}")
    print("relative L2 to seisfast before anything was timed, and what was not timed:")
    print("\n".join(f"- {note}" for note in bench.notes), end="\n\n")
    print("\n".join(bench.table(bandwidth)), flush=True)
    return int(bench.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
