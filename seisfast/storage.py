"""What the forward run keeps for the gradient, decided and found to fit before any work is done."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seisfast.boundaries import Sponge
from seisfast.ops.acoustic import Scheme, jobs_at_once, kept_bytes
from seisfast.ops.derivatives import needs_gradient
from seisfast.resampling import REACH
from seisfast.snapshots import Every
from seisfast.survey import Survey
from seisfast.wavelets import BAND


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
        memory: bytes that a call may take besides its records: for what it keeps, on CUDA for its work, which then runs
            the shots in groups that fit, and for the wavefields shown to a callback, which share with the work
            equally. None: "auto" as above, the others in half of what is free. The result does not depend on it.

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


def planned_scheme(
    velocity: Tensor, survey: Survey, storage: Storage, engine: str = "auto", traces: int = 0,
    snapshots: Every[Any] | None = None, substeps: int = 1,
) -> Scheme:  # fmt: skip
    """The scheme of this call, with the storage decided and found to fit beside traces and wavefields of each shot."""
    sponge = isinstance(survey.boundary, Sponge)
    wanted = torch.is_grad_enabled() and needs_gradient(velocity)
    if storage.every > 1 and survey.peak_frequency > 0:
        most = int(0.5 / (BAND * survey.peak_frequency * survey.dt))
        if storage.every > max(most, 1):
            raise ValueError(
                f"Storage every must not exceed {max(most, 1)} steps (Nyquist interval of {BAND} times the peak "
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

    memory = free_memory(velocity.device)
    if not wanted:
        keep = "nothing"
    elif storage.mode != "auto":
        keep = storage.mode
    elif storage.lossy:
        keep = "all"
    else:
        budget = storage.memory or (32 * 2**20 if velocity.device.type == "cpu" else memory // 4)
        keep = "all" if kept("all") <= budget else "checkpoint"
    size = torch.finfo(velocity.dtype).bits // 8
    jobs, on_cpu = velocity.shape[0] * survey.shots, velocity.device.type == "cpu"
    shown = scheme(keep).snapshots(survey.nt) * velocity.shape[1] * velocity.shape[2] * size
    work = max(1, storage.memory - kept(keep)) if storage.memory else memory // 2
    fields = at_once = 0
    if snapshots is not None and snapshots.callback is not None:
        fields = work and max(1, work // 2)
        at_once = jobs_at_once(fields, min(jobs, torch.get_num_threads()) if on_cpu else jobs, shown)
    if not torch.compiler.is_compiling():
        results = jobs * survey.nt * traces * size + (at_once or jobs) * shown
        _check_memory(velocity, survey, storage, keep, kept, memory, results)
    return replace(scheme(keep), memory=0 if on_cpu else max(1, work - fields), at_once=at_once)


def _check_memory(
    velocity: Tensor, survey: Survey, storage: Storage, keep: str, kept: Callable[[str], int], memory: int,
    results: int,
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
    if memory and results + needed > memory:
        raise MemoryError(
            f"{jobs} shots on a grid of {grid} need {_gib(results)} for the results and {_gib(needed)} for the "
            f"gradient; {velocity.device} has {_gib(memory)}: use {advice}"
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
