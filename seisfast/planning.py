"""The scheme of a call of `simulate`, planned before any work is done: what is kept, groups of shots, memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seisfast.boundaries import Sponge
from seisfast.ops.acoustic import Scheme, jobs_at_once, kept_bytes
from seisfast.ops.derivatives import needs_gradient
from seisfast.resampling import inner_step, inner_steps
from seisfast.snapshots import Every
from seisfast.storage import Storage
from seisfast.survey import Survey
from seisfast.wavelets import BAND


def survey_scheme(survey: Survey, *, gradient: bool) -> Scheme:
    """The scheme of a survey that keeps nothing; with the slowest velocity's derivative where a gradient wants it."""
    return Scheme(
        spacing=survey.spacing, dt=survey.dt, order=survey.order, padding=survey.padding,
        sponge=isinstance(survey.boundary, Sponge), free_surface=survey.free_surface,
        vmin_gradient=survey.vmin_gradient and gradient, receivers_repeat=survey.receivers_repeat,
        keep="nothing", every=1, segment=segment_length(survey.nt), half=False,
    )  # fmt: skip


def planned_scheme(
    velocity: Tensor, survey: Survey, storage: Storage, engine: str = "auto", traces: int = 0,
    snapshots: Every[Any] | None = None, substeps: int = 1, gradient: bool | None = None,
) -> Scheme:  # fmt: skip
    """The scheme of a call, with the storage decided and found to fit beside the results.

    Args:
        velocity: `[models, nz, nx]`.
        survey: in inner steps.
        storage: what the caller asked for.
        engine: likewise, on CUDA.
        traces: of a shot, in inner steps, that are in memory at a time.
        snapshots: what the caller asked for.
        substeps: inner steps per sample.
        gradient: whether to keep what it needs; None: where autograd asks for it.

    Raises:
        ValueError: ``Storage(every=...)`` beyond the Nyquist interval.
        MemoryError: results and what is kept exceed the memory.
    """
    wanted = torch.is_grad_enabled() and needs_gradient(velocity) if gradient is None else gradient
    _check_interval(storage, survey)
    on_cpu, jobs = velocity.device.type == "cpu", velocity.shape[0] * survey.shots
    bare = replace(survey_scheme(survey, gradient=wanted), engine="auto" if on_cpu else engine)
    if snapshots is not None:
        samples = (survey.nt - inner_steps(0, substeps)) // substeps
        bare = replace(
            bare, snapshots=snapshots.count(samples), first_snapshot=inner_step(0, substeps),
            snapshot=min(snapshots.samples * substeps, survey.nt),
        )  # fmt: skip

    def keeping(keep: str) -> Scheme:
        if keep != "all":
            return replace(bare, keep=keep)
        return replace(bare, keep=keep, every=min(storage.every, survey.nt), half=storage.dtype is not None)

    def kept(keep: str) -> int:
        shape = (velocity.shape[1], velocity.shape[2])
        return kept_bytes(keeping(keep), velocity.shape[0], survey.shots, shape, survey.nt, velocity.dtype)

    free = free_memory(velocity.device)
    if not wanted:
        keep = "nothing"
    elif storage.mode != "auto":
        keep = storage.mode
    elif storage.lossy:
        keep = "all"
    else:
        budget = storage.memory or (32 * 2**20 if on_cpu else free // 4)
        keep = "all" if kept("all") <= budget else "checkpoint"

    size = torch.finfo(velocity.dtype).bits // 8
    shot_fields = bare.snapshots * velocity.shape[1] * velocity.shape[2] * size
    work = max(1, storage.memory - kept(keep)) if storage.memory else free // 2
    at_once = 0
    if snapshots is not None and snapshots.callback is not None:  # half of it for the fields of a group of shots
        work = work and max(1, work // 2)
        at_once = jobs_at_once(work, min(jobs, torch.get_num_threads()) if on_cpu else jobs, shot_fields)
    if not torch.compiler.is_compiling():
        results = jobs * survey.nt * traces * size + (at_once or jobs) * shot_fields
        _check_memory(velocity, survey, storage, keep, kept, free, results)
    return replace(keeping(keep), memory=0 if on_cpu else max(1, work), at_once=at_once)


def check_refinable(velocity: Tensor, survey: Survey, substeps: int) -> None:
    """Whether wavelet and records of so many inner steps fit in memory, before they are made.

    Raises:
        MemoryError: they do not.
    """
    if substeps == 1 or torch.compiler.is_compiling():
        return
    records = velocity.shape[0] * survey.shots * survey.receivers_per_shot * torch.finfo(velocity.dtype).bits // 8
    needed = inner_steps(survey.nt, substeps) * (records + survey.wavelet.numel() // survey.nt * 8)
    free = free_memory(velocity.device)
    if free and needed > free:
        raise MemoryError(
            f"substeps must leave room for wavelet and records in inner steps, {_gib(needed)}; {velocity.device} has "
            f"{_gib(free)}, got {substeps}"
        )


def _check_interval(storage: Storage, survey: Survey) -> None:
    if storage.every == 1 or survey.peak_frequency == 0:
        return
    most = max(1, int(0.5 / (BAND * survey.peak_frequency * survey.dt)))
    if storage.every > most:
        raise ValueError(
            f"Storage every must not exceed {most} steps (Nyquist interval of {BAND} times the peak frequency "
            f"{survey.peak_frequency:.3g} Hz), got {storage.every}"
        )


def _check_memory(
    velocity: Tensor, survey: Survey, storage: Storage, keep: str, kept: Callable[[str], int], free: int, results: int,
) -> None:  # fmt: skip
    """Whether so many bytes of results and what is kept for the gradient fit, before any work is done."""
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
    if free and results + needed > free:
        raise MemoryError(
            f"{jobs} shots on a grid of {grid} need {_gib(results)} for the results and {_gib(needed)} for the "
            f"gradient; {velocity.device} has {_gib(free)}: use {advice}"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"


def segment_length(nt: int) -> int:
    """Steps between checkpoints: a state is about three fields, a recomputed step one, so sqrt(3 nt) is smallest."""
    return max(1, round(math.sqrt(3 * nt)))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def free_memory(device: torch.device) -> int:
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
