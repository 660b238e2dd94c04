"""`simulate`: records of a survey over velocity models, checked, routed to an engine, differentiable."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
from torch import Tensor

from seisfast import _native
from seisfast.arguments import FLOATS, rounded_down, whole
from seisfast.boundaries import CPML, Boundary, Sponge, faces_of
from seisfast.ops.acoustic import CUDA_ENGINES, Scheme, describe_run, dtype_name, kept_bytes
from seisfast.ops.derivatives import Simulate, is_transformed, needs_gradient
from seisfast.positions import KINDS, gather
from seisfast.reference.acoustic import expand_wavelet
from seisfast.resampling import REACH, downsampled
from seisfast.survey import Survey

ENGINES = (*CUDA_ENGINES, "cpu")
# What chips offer: bytes of shared memory of a block, blocks of a cluster (CUDA C++ Programming Guide, table of compute
# capabilities), and multiprocessors (of the H100 SXM and H200, the A100, the RTX 4090).
CHIPS = {
    "H100, H200 (sm_90)": {"shared": 227 * 1024, "cluster": 16, "processors": 132},
    "A100 (sm_80)": {"shared": 163 * 1024, "cluster": 1, "processors": 108},
    "RTX 30, RTX 40 (sm_86, sm_89)": {"shared": 99 * 1024, "cluster": 1, "processors": 128},
}
_BAND = 2.5  # a Ricker wavelet has little above this multiple of its peak frequency


@dataclass(frozen=True)
class Storage:
    """What the forward run keeps for the gradient.

    "all" keeps the Laplacian of every step, "checkpoint" keeps states and recomputes the steps between them, "auto"
    chooses between these two by the memory that it may use (a quarter of what is free on CUDA, 32 MiB on a CPU,
    where recomputing is as fast): their gradients are equal to the bit. Keeping only every
    k-th step or half precision is lossy and therefore asked for by name.

    Args:
        mode: "auto", "all" or "checkpoint".
        every: keep each k-th step, inner ones where there are substeps; k of them must stay below the Nyquist interval
            of 2.5 times the peak frequency.
        dtype: None, or ``torch.float16`` for kept steps in half precision, scaled per shot and step.
        memory: bytes that a call may take besides its records: for what it keeps, and on CUDA for its work, which then
            runs the shots in groups that fit. None: "auto" as above, work in half of what is free. The result does
            not depend on it.

    Raises:
        ValueError: an unknown mode or dtype, `every` or `memory` below 1, or a lossy setting with "checkpoint".
    """

    mode: str = "auto"
    every: int = 1
    dtype: torch.dtype | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "all", "checkpoint"):
            raise ValueError(f"Storage mode must be 'auto', 'all' or 'checkpoint', got {self.mode!r}")
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"Storage every must be an integer of at least 1, got {self.every!r}")
        if self.dtype not in (None, torch.float16):
            raise ValueError(f"Storage dtype must be None or torch.float16, got {self.dtype!r}")
        if self.memory is not None and (
            isinstance(self.memory, bool) or not isinstance(self.memory, int) or self.memory < 1
        ):
            raise ValueError(f"Storage memory must be None or a positive number of bytes, got {self.memory!r}")
        if self.mode == "checkpoint" and self.lossy:
            raise ValueError("Storage mode 'checkpoint' recomputes exactly; every and dtype need mode 'all'")

    @property
    def lossy(self) -> bool:
        """Whether the gradient differs from the exact one."""
        return self.every > 1 or self.dtype is not None


@dataclass(frozen=True)
class Every:
    """Which samples `simulate` shows the wavefield of: 0, k, 2 k, ...

    Args:
        samples: k.

    Raises:
        TypeError: a number that is not an integer.
        ValueError: one below 1.
    """

    samples: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", whole("Every samples", self.samples))

    def count(self, nt: int) -> int:
        """How many of so many samples these are."""
        return -(-nt // self.samples)


@overload
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: None = None,
) -> Tensor: ...  # fmt: skip
@overload
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: Every,
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: Every | None = None,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Record a survey over one or many velocity models with the 2-D constant-density acoustic wave equation.

    Second order in time, `survey.order` in space; the gradient with respect to the velocity, and to a wavelet or
    positions that require grad, is the exact transpose of the discrete scheme. Equivalent to
    `seisfast.reference.simulate`.

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, on the CPU or a CUDA device. float16 and bfloat16 are computed
            in float32, checks included.
        survey: the acquisition.
        storage: what to keep for the gradient, default `Storage()`.
        engine: "auto"; on CUDA also "plain", "resident", "cluster" or "tiled" (docs/engines), which fall back to
            "plain" with one warning where the grid does not fit them; on a CPU "cpu". All give equal results.
        substeps: steps per sample; above 1 the run takes steps of ``dt / substeps``, from 16 samples before the survey
            to 16 after it, the wavelet is resampled to them and the record from them, band-limited, and the gradient
            is that of the whole chain. "auto" is the smallest stable number for the fastest velocity of this call.
        snapshots: samples whose wavefields are returned as well, such as ``Every(20)``.

    Returns:
        Pressure `[shots, time, receivers]`, or `[models, shots, time, receivers]` for a batch of models, in the dtype
        of the velocity; of gradient receivers its derivative, per metre. With `snapshots` a pair: these records, and
        the pressure on the model's cells, `[shots, snapshots, nz, nx]` or `[models, shots, snapshots, nz, nx]`, without
        gradient: ``fields[s, i, iz, ix]`` is what a receiver there records in sample i k (with substeps, before the
        low-pass).

    Raises:
        TypeError: a velocity that is not a floating-point tensor, another kind of survey, storage or substeps.
        ValueError: a shape that is not the survey's, a velocity that is not finite and positive, a time step
            above the stability limit (with the largest stable one), an engine that does not run there, substeps below
            1, or "auto" where the velocity cannot be read.
        MemoryError: records and what the gradient keeps exceed the memory, with how much and what to change.
        FloatingPointError: a record that is not finite, or exceeds float16, naming the first such shot.

    Source: C-PML as `CPML`, sponge as `Sponge`; scheme and transpose in docs/propagator.
    """
    run = prepare(velocity, survey, storage, engine, substeps, snapshots)
    if torch.compiler.is_compiling():
        outputs = torch.ops.seisfast.acoustic_forward(*run.inputs, *run.scheme.arguments())
    else:
        outputs = Simulate.apply(*run.inputs, run.scheme, run.survey)  # type: ignore[no-untyped-call]
    records = run.records(outputs[0])
    return records if snapshots is None else (records, run.fields(outputs[-1], snapshots.count(survey.nt)))


@dataclass(frozen=True)
class Run:
    """A call of `simulate`, checked and ready for the operators.

    Args:
        velocity: as given.
        survey: at the inner time step.
        inputs: velocity `[models, nz, nx]`, wavelet, cells of sources and receivers, profile.
        scheme: everything about the run that is not a tensor.
        weights: of the receivers' cells, None where they are cells themselves.
        substeps: inner steps per sample.
        readable: whether results may be read back.
    """

    velocity: Tensor
    survey: Survey
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    scheme: Scheme
    weights: Tensor | None
    substeps: int
    readable: bool

    def records(self, data: Tensor) -> Tensor:
        """What the operators recorded on cells and inner steps, as the caller expects it."""
        data = data if self.weights is None else gather(data, self.weights)
        data = data if self.substeps == 1 else downsampled(data, self.substeps)
        records = (data if self.velocity.dim() == 3 else data[0]).to(self.velocity.dtype)
        return check(records) if self.readable else records

    def fields(self, shown: Tensor, count: int) -> Tensor:
        """The first so many wavefields of those that the operators put out, as the caller expects them."""
        fields = shown[:, :, :count].detach()
        return (fields if self.velocity.dim() == 3 else fields[0]).to(self.velocity.dtype)


def prepare(
    velocity: Tensor, survey: Survey, storage: Storage | None, engine: str, substeps: int | str,
    snapshots: Every | None = None,
) -> Run:  # fmt: skip
    """Check the arguments of `simulate`, which names what is raised, before any work is done."""
    if not isinstance(velocity, Tensor) or velocity.dtype not in FLOATS:
        found = velocity.dtype if isinstance(velocity, Tensor) else type(velocity).__name__
        raise TypeError(f"velocity must be a float16, bfloat16, float32 or float64 tensor, got {found}")
    if velocity.dim() not in (2, 3) or velocity.numel() == 0:
        raise ValueError(f"velocity must have shape [nz, nx] or [models, nz, nx], got {list(velocity.shape)}")
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")
    if not isinstance(storage, Storage | None):
        raise TypeError(f"storage must be a seisfast.Storage, got {storage!r}")
    if not isinstance(snapshots, Every | None):
        raise TypeError(f"snapshots must be None or a seisfast.Every, got {snapshots!r}")
    wanted = None if isinstance(substeps, str) and substeps == "auto" else whole('substeps, unless "auto",', substeps)
    survey.fix_shape((velocity.shape[-2], velocity.shape[-1]))
    choose_engine(engine, velocity.device)
    wavelet = survey.wavelet
    for name in ("wavelet", "sources", "receivers"):
        given = getattr(survey, name)
        if given.requires_grad and given.device != velocity.device:
            raise ValueError(f"{name} requires grad on {given.device}, but velocity is on {velocity.device}")
    models = 1 if velocity.dim() == 2 else velocity.shape[0]
    if wavelet.dim() == 4 and wavelet.shape[0] not in (1, models):
        raise ValueError(f"wavelet holds {wavelet.shape[0]} models, velocity holds {models}")
    batch = (velocity if velocity.dim() == 3 else velocity[None]).to(torch.promote_types(velocity.dtype, torch.float32))
    readable = _readable(velocity)
    steps = _check_values(batch.detach(), survey, wanted) if readable else wanted
    if steps is None:
        raise ValueError(
            "substeps must be a number inside torch.compile, CUDA-graph capture and torch.func.vmap, where the fastest "
            'velocity cannot be read (Survey.substeps finds the number), got "auto"'
        )
    survey = survey.refined(steps)
    shape = (batch.shape[1], batch.shape[2])
    sources, strengths = survey.cells("sources", shape, batch.device, batch.dtype)
    receivers, weights = survey.cells("receivers", shape, batch.device, batch.dtype)
    traces = receivers.shape[1] + (0 if weights is None else survey.receivers_per_shot)
    scheme = _plan(batch, survey, storage or Storage(), engine, traces, snapshots, steps)
    inputs = (
        batch,
        expand_wavelet(survey, batch, strengths),
        sources,
        receivers,
        survey.profile(shape, batch.dtype, batch.device),
    )
    return Run(velocity, survey, inputs, scheme, weights, steps, readable)


def check(data: Tensor) -> Tensor:
    """The records themselves when they are finite: for use after a captured or compiled `simulate`.

    Args:
        data: `[..., shots, time, receivers]`.

    Raises:
        FloatingPointError: a shot whose record is not finite.
    """
    total = data.detach().sum((-1, -2), dtype=torch.promote_types(data.dtype, torch.float32))
    bad = ~torch.isfinite(total)
    if bool(bad.any()):
        first = bad.nonzero()[0].tolist()
        where = f"shot {first[-1]}" + (f" of model {first[0]}" if len(first) > 1 else "")
        narrow = "it exceeds the 65504 that float16 holds, or " if data.dtype == torch.float16 else ""
        raise FloatingPointError(
            f"the record of {where} is not finite: {narrow}the wavefield diverged (is the wavelet finite and of sane "
            "amplitude, and the layer's vmax near the model's?)"
        )
    return data


def choose_engine(engine: str, device: torch.device) -> str:
    """The engine that was asked for, checked: "cpu" on a CPU; on CUDA "auto" stays, for it depends on the grid.

    Raises:
        ValueError: an unknown engine, or one that does not run there.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {ENGINES}, got {engine!r}")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"velocity must be on the CPU or a CUDA device, got {device}")
    if device.type == "cuda" and not has_cuda_engine():
        raise ValueError(
            f"velocity is on {device}, but this build of seisfast has no CUDA engine: move it to the CPU, or install "
            "nvcc and seisfast again"
        )
    here = ("auto", "cpu") if device.type == "cpu" else CUDA_ENGINES
    if engine not in here:
        raise ValueError(f"engine {engine!r} does not run on {device}; there it is one of {here}")
    return "cpu" if device.type == "cpu" else engine


def has_cuda_engine() -> bool:
    """Whether this build of seisfast can run on CUDA tensors."""
    return bool(_native.build_info()["cuda"])


def planned_engine(
    survey: Survey, shape: tuple[int, int], *, dtype: torch.dtype = torch.float32, adjoint: bool = False,
    engine: str = "auto", chip: dict[str, int] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The CUDA engine of a survey over models of this shape, and how it cuts the grid into blocks.

    Args:
        survey: the acquisition.
        shape: (nz, nx) of the models.
        dtype: of the velocity.
        adjoint: the engine of the gradient instead of the records'; with `Sponge(vmin_gradient=True)` both run there.
        engine: as in `simulate`.
        chip: a value of `CHIPS`, default the current CUDA device.

    Returns:
        `engine`, `reason` (why no faster one), `blocks` of a shot (z, x), `rows` and `columns` of a block, `steps` per
        launch, `shared` bytes of a block, `workspace` elements per shot where nothing is kept.

    Raises:
        ValueError: an engine that is not one of CUDA.
        RuntimeError: no `chip`, and no device or a build without CUDA.
    """
    sponge = isinstance(survey.boundary, Sponge)
    scheme = Scheme(
        spacing=survey.spacing, dt=survey.dt, order=survey.order, padding=survey.padding, sponge=sponge,
        free_surface=survey.free_surface,
        vmin_gradient=isinstance(survey.boundary, Sponge) and survey.boundary.vmin_gradient and adjoint,
        receivers_repeat=survey.receivers_repeat, keep="nothing", every=1, segment=1, half=False,
    )  # fmt: skip
    per_shot, heard = (survey.cells(name, shape, torch.device("cpu"), dtype)[0].shape[1] for name in KINDS)
    numbers = describe_run(scheme, shape, 1, survey.shots, per_shot, heard, survey.nt)
    return _native.acoustic_plan(numbers, dtype_name(dtype), adjoint, engine, chip)


def describe_engine(shape: tuple[int, int], boundary: Boundary | None = None, order: int = 4) -> str:
    """The engines that `simulate` would run for 1000 shots in float32 over models of this size.

    A line per kind of device and direction; CUDA engines are those of the current device, without one those of common
    chips.
    """
    layers: Boundary = CPML() if boundary is None else boundary
    survey = Survey(
        shape=shape, spacing=10.0, dt=1e-3, nt=1000, sources=[(min(1, shape[0] - 1), 0)] * 1000,
        receivers=[(min(1, shape[0] - 1), 0)], wavelet=[1.0] + [0.0] * 999, order=order, boundary=layers,
    )  # fmt: skip
    nz_p, nx_p = survey.padded_shape(shape)
    info = _native.build_info()
    kind = "sponge" if isinstance(layers, Sponge) else "C-PML"
    lines = [
        f"{shape[0]} x {shape[1]} cells with {kind} run on a grid of {nz_p} x {nx_p}, order {order}; 1000 shots",
        f"CPU tensors:  engine cpu ({info['vector_level']}, {torch.get_num_threads()} threads over shots)",
    ]
    if not info["cuda"]:
        lines.append("CUDA tensors: none, this build has no CUDA engines; one with them would choose")
    here = info["cuda"] and torch.cuda.is_available()
    chips: dict[str, dict[str, int] | None] = {torch.cuda.get_device_name(): None} if here else {**CHIPS}
    for name, chip in chips.items():
        for adjoint in (False, True):
            found = planned_engine(survey, shape, adjoint=adjoint, chip=chip)
            lines.append(f"CUDA tensors on {name}, {'gradient' if adjoint else 'records'}: {_describe_plan(found)}")
    return "\n".join(lines)


def _describe_plan(found: dict[str, Any]) -> str:
    blocks_z, blocks_x = found["blocks"]
    block = f"{found['rows']} x {found['columns']} cells, {found['shared'] / 1024:.0f} KB of shared memory"
    text = {
        "plain": "engine plain",
        "resident": f"engine resident, one block per shot: {block}",
        "cluster": f"engine cluster, {blocks_z} blocks per shot, each {block}",
        "tiled": f"engine tiled, {blocks_z} x {blocks_x} tiles, each {block}, {found['steps']} steps per launch",
    }[found["engine"]]
    return f"{text} ({found['reason']})" if found["reason"] else text


def _readable(velocity: Tensor) -> bool:
    """Whether values may be read back here: not while compiling, capturing a CUDA graph or under torch.func.vmap."""
    if torch.compiler.is_compiling() or is_transformed(velocity):
        return False
    return not (velocity.is_cuda and torch.cuda.is_current_stream_capturing())


def _check_values(velocity: Tensor, survey: Survey, substeps: int | None) -> int:
    """One reduction, one read: finite, positive, stable; dispersion and the layer's vmax are warnings.

    Returns the substeps, those that are needed where None were asked for.
    """
    low, high = torch.stack(torch.aminmax(velocity)).tolist()
    if not (low > 0 and high < float("inf")):
        wrong = ~(torch.isfinite(velocity) & (velocity > 0))
        m, iz, ix = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"velocity must be finite and positive, got {velocity[m, iz, ix].item()} at (model, iz, ix) = "
            f"({m}, {iz}, {ix})"
        )
    limit = survey.largest_dt(high, low)
    steps = substeps or survey.substeps(high, low)
    if survey.dt / steps > limit:
        raise ValueError(
            f"{'dt' if steps == 1 else 'dt / substeps'} must not exceed {rounded_down(limit):.6g} s for velocities up "
            f"to {high:g} m/s on a spacing of {survey.spacing[0]:g} x {survey.spacing[1]:g} m at order {survey.order} "
            f'(CFL), got {survey.dt / steps:g} s; substeps="auto" takes {survey.substeps(high, low)} steps per sample'
        )
    peak = survey.peak_frequency
    if peak > 0:
        points = low / (_BAND * peak * max(survey.spacing))
        if points < 3.5:
            warnings.warn(
                f"{points:.2g} points per shortest wavelength ({low:g} m/s at {_BAND * peak:.3g} Hz, spacing "
                f"{max(survey.spacing):g} m): the record will be dispersed; 3.5 or more are advised",
                stacklevel=3,
            )
    if not isinstance(survey.boundary, Sponge):
        faces = faces_of(survey.boundary)
        fastest = [f.vmax for f in (faces.top, faces.bottom, faces.left, faces.right) if isinstance(f, CPML)]
        if high * 3 > min(fastest) * 4:
            warnings.warn(
                f"the fastest velocity, {high:g} m/s, exceeds CPML vmax = {min(fastest):g} m/s by more than a "
                "third: the layer will reflect; set CPML(vmax=...)",
                stacklevel=3,
            )
    return steps


def _plan(
    velocity: Tensor, survey: Survey, storage: Storage, engine: str = "auto", traces: int = 0,
    snapshots: Every | None = None, substeps: int = 1,
) -> Scheme:  # fmt: skip
    """The scheme of this call, with the storage decided and found to fit beside traces and wavefields of each shot."""
    sponge = isinstance(survey.boundary, Sponge)
    wanted = torch.is_grad_enabled() and needs_gradient(velocity)
    if storage.every > 1 and survey.peak_frequency > 0:
        most = int(0.5 / (_BAND * survey.peak_frequency * survey.dt))
        if storage.every > max(most, 1):
            raise ValueError(
                f"Storage every must not exceed {max(most, 1)} steps (Nyquist interval of {_BAND} times the peak "
                f"frequency {survey.peak_frequency:.3g} Hz), got {storage.every}"
            )

    def scheme(keep: str) -> Scheme:
        return Scheme(
            spacing=survey.spacing, dt=survey.dt, order=survey.order, padding=survey.padding, sponge=sponge,
            free_surface=survey.free_surface,
            vmin_gradient=isinstance(survey.boundary, Sponge) and survey.boundary.vmin_gradient and wanted,
            receivers_repeat=survey.receivers_repeat, keep=keep,
            every=storage.every if keep == "all" else 1, segment=segment_length(survey.nt),
            half=storage.dtype is not None and keep == "all",
            engine="auto" if velocity.device.type == "cpu" else engine,
            snapshot=snapshots.samples * substeps if snapshots else 0,
            first_snapshot=0 if substeps == 1 else substeps * (1 + REACH) - 1,
        )  # fmt: skip

    def kept(keep: str) -> int:
        shape = (velocity.shape[1], velocity.shape[2])
        return kept_bytes(scheme(keep), velocity.shape[0], survey.shots, shape, survey.nt, velocity.dtype)

    memory = _free_memory(velocity.device)
    if not wanted:
        keep = "nothing"
    elif storage.mode != "auto":
        keep = storage.mode
    elif storage.lossy:
        keep = "all"
    else:
        budget = storage.memory or (32 * 2**20 if velocity.device.type == "cpu" else memory // 4)
        keep = "all" if kept("all") <= budget else "checkpoint"
    if not torch.compiler.is_compiling():
        shown = scheme(keep).snapshots(survey.nt) * velocity.shape[1] * velocity.shape[2]
        _check_memory(velocity, survey, storage, keep, kept, memory, survey.nt * traces + shown)
    if velocity.device.type == "cpu":
        return scheme(keep)
    return replace(scheme(keep), memory=max(1, storage.memory - kept(keep)) if storage.memory else memory // 2)


def _check_memory(
    velocity: Tensor, survey: Survey, storage: Storage, keep: str, kept: Callable[[str], int], memory: int,
    results: int,
) -> None:  # fmt: skip
    """Whether so many results of each shot and what is kept for the gradient fit, before any work is done."""
    size = torch.finfo(velocity.dtype).bits // 8
    records = velocity.shape[0] * survey.shots * results * size
    needed = kept(keep)
    advice = "fewer shots or models per call"
    if keep == "all":
        advice = f"Storage('checkpoint') ({_gib(kept('checkpoint'))}), a larger every, torch.float16, or {advice}"
    grid = " x ".join(map(str, survey.padded_shape((velocity.shape[1], velocity.shape[2]))))
    jobs = velocity.shape[0] * survey.shots
    if storage.memory is not None and needed > storage.memory:
        raise MemoryError(
            f"Storage memory must hold what the gradient of {jobs} shots on a grid of {grid} keeps, {_gib(needed)}, "
            f"got {_gib(storage.memory)}: use {advice}"
        )
    if memory and records + needed > memory:
        raise MemoryError(
            f"{jobs} shots on a grid of {grid} need {_gib(records)} for the results and {_gib(needed)} for the "
            f"gradient; {velocity.device} has {_gib(memory)}: use {advice}"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"


def segment_length(nt: int) -> int:
    """Steps between checkpoints: a state is about three fields, a recomputed step one, so sqrt(3 nt) is smallest."""
    return max(1, round(math.sqrt(3 * nt)))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _free_memory(device: torch.device) -> int:
    """Bytes that torch can still allocate on CUDA, all the memory of the machine on a CPU; 0 where nobody knows.

    On a CPU, where recomputed steps stay in the cache and kept ones go through main memory, "auto" keeps little anyway.
    """
    if device.type == "cuda":
        if torch.cuda.is_current_stream_capturing():  # the driver is not asked then
            return int(torch.cuda.get_device_properties(device).total_memory) - torch.cuda.memory_allocated(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
