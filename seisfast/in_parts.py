"""Records of more models and shots than fit in memory: simulated part by part, the same as in one call."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from seisfast.arguments import whole
from seisfast.planning import free_memory
from seisfast.propagator import Run, prepare
from seisfast.survey import Survey

CPU_BYTES, CUDA_BYTES = 64 * 2**20, 2**30  # of records made at a time
CPU_SHOTS = 8  # for each thread, at a time: few enough to see progress, so many that the last ones seldom wait

Part = tuple[slice, slice, Tensor]


def simulate_in_parts(
    velocity: Tensor,
    survey: Survey,
    *,
    engine: str = "auto",
    substeps: int | str = 1,
    at_once: int | None = None,
) -> Iterator[Part]:
    """What `seisfast.simulate` returns, in parts of whole models or, for many shots, of some shots of one model.

    All arguments are checked before this returns, and what depends on all models, such as ``substeps="auto"``, is that
    of one call. So are the records, to the bit for positions on cells without substeps; else matrix products of other
    sizes may round otherwise. Parts follow each other as they lie in memory: written one behind the other they are the
    records `[models, shots, time, receivers]`.

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, on the CPU or a CUDA device.
        survey: the acquisition.
        engine: see `seisfast.simulate`.
        substeps: likewise.
        at_once: shots of a part; left out, on a CPU 8 for each thread, fewer where they make more than 64 MiB of
            records, and on CUDA as many as make 1 GiB or an eighth of the free memory.

    Returns:
        An iterator over (models, shots, records `[models, shots, time, receivers]`), the records without gradient.

    Raises:
        TypeError, ValueError, MemoryError: as `seisfast.simulate`; an `at_once` below 1.
        FloatingPointError: at the part whose record is not finite.
    """
    most = None if at_once is None else whole("at_once", at_once)
    run = prepare(velocity, survey, None, engine, substeps, gradient=False, in_parts=True)
    return _parts(run, most or _shots_at_once(run))


def _parts(run: Run, at_once: int) -> Iterator[Part]:
    models, shots = run.inputs[1].shape[:2]
    many, some = max(1, at_once // shots), min(at_once, shots)
    for m in range(0, models, many):
        for s in range(0, shots, some):
            place = slice(m, min(m + many, models)), slice(s, min(s + some, shots))
            with torch.no_grad():
                records = run.part(*place)
            yield *place, records


def _shots_at_once(run: Run) -> int:
    velocity, _, _, receivers, _ = run.inputs
    traces = receivers.shape[1] + (0 if run.weights is None else run.weights.shape[1])
    of_shot = run.survey.nt * traces * torch.finfo(velocity.dtype).bits // 8
    if velocity.device.type == "cpu":
        threads = torch.get_num_threads()
        return max(threads, min(CPU_SHOTS * threads, CPU_BYTES // of_shot))
    free: int = free_memory(velocity.device)
    return max(1, min(CUDA_BYTES, free // 8) // of_shot)
