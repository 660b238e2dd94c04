"""The acoustic operator as torch sees it: `seisfast::acoustic_forward` and its exact transpose `acoustic_backward`.

`acoustic_born` and `acoustic_curvature` are the derivatives of the two along tangents.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seisfast import _native
from seisfast.stencil import first_weights, second_weights

KEEP = {"nothing": 0, "all": 1, "checkpoint": 2}
CUDA_ENGINES = ("auto", "plain", "resident", "cluster", "tiled")
BLOCK = 16  # rows are padded to whole blocks, as in csrc/acoustic/params.h


@dataclass(frozen=True)
class Scheme:
    """Everything about a run that is not a tensor; its parts are the operators' list arguments."""

    spacing: tuple[float, float]
    dt: float
    order: int
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    sponge: bool
    free_surface: bool
    vmin_gradient: bool
    receivers_repeat: bool
    keep: str  # a key of KEEP
    every: int
    segment: int
    half: bool
    engine: str = "auto"  # one of CUDA_ENGINES; a CPU has one engine
    memory: int = 0  # bytes of work memory on CUDA: shots run in groups that fit; 0: all at once
    snapshots: int = 0  # fields that a shot puts out: after step first_snapshot and every `snapshot` steps later
    first_snapshot: int = 0
    snapshot: int = 1
    at_once: int = 0  # shots of a call of the operators, where a callback sees their fields; 0: all

    def arguments(self) -> tuple[list[float], list[int], list[int]]:
        """(scheme, layout, storage) lists of the operators' schema."""
        flags = (self.sponge, self.free_surface, self.vmin_gradient, self.receivers_repeat)
        return (
            [*self.spacing, self.dt],
            [self.order, *self.padding, *(int(flag) for flag in flags)],
            [
                KEEP[self.keep], self.every, self.segment, int(self.half), CUDA_ENGINES.index(self.engine), self.memory,
                self.snapshots, self.first_snapshot, self.snapshot,
            ],
        )  # fmt: skip


def kept_bytes(scheme: Scheme, models: int, shots: int, shape: tuple[int, int], nt: int, dtype: torch.dtype) -> int:
    """Bytes that a forward run leaves for its adjoint under this scheme."""
    size = torch.finfo(dtype).bits // 8
    kept, scales, checkpoints = _storage_shapes(scheme, models * shots, shape, nt)
    return _product(kept) * (2 if scheme.half else size) + (_product(scales) + _product(checkpoints)) * size


def _storage_shapes(
    scheme: Scheme, jobs: int, shape: tuple[int, int], nt: int
) -> tuple[list[int], list[int], list[int]]:
    top, bottom, left, right = scheme.padding
    nz_p, nx_p = shape[0] + top + bottom, shape[1] + left + right
    row = -(-nx_p // BLOCK) * BLOCK
    cells, channels = nz_p * row, 2 if scheme.vmin_gradient else 1
    kept, scales, checkpoints = [0], [0], [0]
    if scheme.keep == "all":
        steps = -(-nt // scheme.every)
        kept = [jobs, steps, channels, cells]
        if scheme.half:
            scales = [jobs, steps, channels]
    elif scheme.keep == "checkpoint":
        layers = 0 if scheme.sponge else 2 * (nz_p * (left + right) + row * (top + bottom))
        checkpoints = [jobs, -(-nt // scheme.segment), -(-(2 * cells + layers) // 4) * 4]
    return kept, scales, checkpoints


def _product(shape: list[int]) -> int:
    result = 1
    for n in shape:
        result *= n
    return result


def _scheme(scheme: list[float], layout: list[int], storage: list[int]) -> Scheme:
    names = {value: key for key, value in KEEP.items()}
    return Scheme(
        (scheme[0], scheme[1]), scheme[2], layout[0], (layout[1], layout[2], layout[3], layout[4]),
        bool(layout[5]), bool(layout[6]), bool(layout[7]), bool(layout[8]),
        names[storage[0]], storage[1], storage[2], bool(storage[3]), CUDA_ENGINES[storage[4]], *storage[5:9],
    )  # fmt: skip


# -- the operators -----------------------------------------------------------------------------------------------

_LISTS = "float[] scheme, int[] layout, int[] storage"
_library = torch.library.Library("seisfast", "DEF")
_library.define(
    "acoustic_forward(Tensor velocity, Tensor wavelet, Tensor sources, Tensor receivers, Tensor profile, "
    f"{_LISTS}) -> (Tensor data, Tensor kept, Tensor scales, Tensor checkpoints, Tensor fields)"
)
_library.define(
    "acoustic_backward(Tensor grad_data, Tensor velocity, Tensor wavelet, Tensor sources, Tensor receivers, "
    f"Tensor profile, Tensor kept, Tensor scales, Tensor checkpoints, {_LISTS}) "
    "-> (Tensor grad_velocity, Tensor grad_wavelet)"
)
_library.define(
    "acoustic_born(Tensor velocity, Tensor velocity_t, Tensor wavelet, Tensor wavelet_t, Tensor sources, "
    f"Tensor receivers, Tensor profile, {_LISTS}) -> Tensor data_t"
)
_library.define(
    "acoustic_curvature(Tensor grad_data, Tensor grad_data_t, Tensor velocity, Tensor velocity_t, Tensor wavelet, "
    f"Tensor wavelet_t, Tensor sources, Tensor receivers, Tensor profile, {_LISTS}) "
    "-> (Tensor grad_velocity_t, Tensor grad_wavelet_t)"
)


def _outputs(velocity: Tensor, wavelet: Tensor, receivers: Tensor, scheme: Scheme) -> tuple[Tensor, ...]:
    models, nz, nx = velocity.shape
    shots, nt = wavelet.shape[1], wavelet.shape[3]
    kept, scales, checkpoints = _storage_shapes(scheme, models * shots, (nz, nx), nt)
    fields = [models, shots, scheme.snapshots, nz, nx] if scheme.snapshots else [0]
    return (
        velocity.new_empty((models, shots, nt, receivers.shape[1])),
        velocity.new_empty(kept, dtype=torch.float16 if scheme.half else velocity.dtype),
        velocity.new_empty(scales),
        velocity.new_empty(checkpoints),
        velocity.new_empty(fields),
    )


@torch.library.register_fake("seisfast::acoustic_forward", lib=_library)
def _forward_fake(
    velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
    scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, ...]:  # fmt: skip
    return _outputs(velocity, wavelet, receivers, _scheme(scheme, layout, storage))


@torch.library.register_fake("seisfast::acoustic_backward", lib=_library)
def _backward_fake(
    grad_data: Tensor, velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
    kept: Tensor, scales: Tensor, checkpoints: Tensor,
    scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return velocity.new_empty(velocity.shape), velocity.new_empty(wavelet.shape)


@torch.library.impl("seisfast::acoustic_forward", ("cpu", "cuda"), lib=_library)
def _forward(
    velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
    scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, ...]:  # fmt: skip
    plan = _scheme(scheme, layout, storage)
    outputs = _outputs(velocity, wavelet, receivers, plan)
    data, kept, scales, checkpoints, fields = outputs
    _run(
        plan, velocity, wavelet, sources, receivers, profile, task="forward",
        data=data, kept=kept, scales=scales, checkpoints=checkpoints, fields=fields,
    )  # fmt: skip
    return outputs


@torch.library.impl("seisfast::acoustic_backward", ("cpu", "cuda"), lib=_library)
def _backward(
    grad_data: Tensor, velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
    kept: Tensor, scales: Tensor, checkpoints: Tensor,
    scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    plan = _scheme(scheme, layout, storage)
    models, nz, nx = velocity.shape
    shots = wavelet.shape[1]
    grad_velocity = velocity.new_empty((models, shots, nz, nx))
    grad_wavelet = velocity.new_empty(wavelet.shape)
    grad_slowest = velocity.new_empty((models, shots) if plan.vmin_gradient else 0)
    _run(
        plan, velocity, wavelet, sources, receivers, profile, task="adjoint",
        grad_data=grad_data.contiguous(), kept=kept, scales=scales, checkpoints=checkpoints,
        grad_velocity=grad_velocity, grad_wavelet=grad_wavelet, grad_slowest=grad_slowest,
    )  # fmt: skip
    if plan.keep == "nothing":  # only the wavelet's gradient was asked for
        return torch.zeros_like(velocity), grad_wavelet
    total = grad_velocity.sum(1)
    if plan.vmin_gradient:
        ties = velocity == velocity.amin((1, 2), keepdim=True)
        share = grad_slowest.sum(1)[:, None, None] / ties.sum((1, 2), keepdim=True)
        total = torch.where(ties, total + share, total)
    return total, grad_wavelet


@torch.library.register_fake("seisfast::acoustic_born", lib=_library)
def _born_fake(
    velocity: Tensor, velocity_t: Tensor, wavelet: Tensor, wavelet_t: Tensor, sources: Tensor, receivers: Tensor,
    profile: Tensor, scheme: list[float], layout: list[int], storage: list[int],
) -> Tensor:  # fmt: skip
    return velocity.new_empty((*wavelet.shape[:2], wavelet.shape[3], receivers.shape[1]))


@torch.library.register_fake("seisfast::acoustic_curvature", lib=_library)
def _curvature_fake(
    grad_data: Tensor, grad_data_t: Tensor, velocity: Tensor, velocity_t: Tensor, wavelet: Tensor, wavelet_t: Tensor,
    sources: Tensor, receivers: Tensor, profile: Tensor, scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return velocity.new_empty(velocity.shape), velocity.new_empty(wavelet.shape)


@torch.library.impl("seisfast::acoustic_born", ("cpu", "cuda"), lib=_library)
def _born(
    velocity: Tensor, velocity_t: Tensor, wavelet: Tensor, wavelet_t: Tensor, sources: Tensor, receivers: Tensor,
    profile: Tensor, scheme: list[float], layout: list[int], storage: list[int],
) -> Tensor:  # fmt: skip
    data = velocity.new_empty((*wavelet.shape[:2], wavelet.shape[3], receivers.shape[1]))
    _run(
        _scheme(scheme, layout, storage), velocity, wavelet, sources, receivers, profile, task="born",
        velocity_t=velocity_t.contiguous(), wavelet_t=wavelet_t.contiguous(), data=data,
    )  # fmt: skip
    return data


@torch.library.impl("seisfast::acoustic_curvature", ("cpu", "cuda"), lib=_library)
def _curvature(
    grad_data: Tensor, grad_data_t: Tensor, velocity: Tensor, velocity_t: Tensor, wavelet: Tensor, wavelet_t: Tensor,
    sources: Tensor, receivers: Tensor, profile: Tensor, scheme: list[float], layout: list[int], storage: list[int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    models, nz, nx = velocity.shape
    grad_velocity = velocity.new_empty((models, wavelet.shape[1], nz, nx))
    grad_wavelet = velocity.new_empty(wavelet.shape)
    _run(
        _scheme(scheme, layout, storage), velocity, wavelet, sources, receivers, profile, task="curvature",
        velocity_t=velocity_t.contiguous(), wavelet_t=wavelet_t.contiguous(),
        grad_data=grad_data.contiguous(), grad_data_t=grad_data_t.contiguous(),
        grad_velocity=grad_velocity, grad_wavelet=grad_wavelet,
    )  # fmt: skip
    return grad_velocity.sum(1), grad_wavelet


def _run(
    plan: Scheme, velocity: Tensor, wavelet: Tensor, sources: Tensor, receivers: Tensor, profile: Tensor,
    *, task: str, **arrays: Tensor,
) -> None:  # fmt: skip
    """Hand the addresses to the extension. Every array in `arrays` is contiguous; others are made so here."""
    velocity, profile = velocity.contiguous(), profile.contiguous()
    sources, receivers = sources.contiguous(), receivers.contiguous()
    if wavelet.stride(3) != 1:
        wavelet = wavelet.contiguous()
    slowest = velocity.amin((1, 2)) if plan.sponge else velocity.new_empty(0)
    models, nz, nx = velocity.shape
    shots, per_shot, nt = wavelet.shape[1:]
    step_model, step_shot, step_source = (
        0 if n == 1 else s for n, s in zip(wavelet.shape[:3], wavelet.stride()[:3], strict=True)
    )
    params = describe_run(plan, (nz, nx), models, shots, per_shot, receivers.shape[1], nt) | {
        "cuda": velocity.device.type == "cuda",
        "velocity": velocity.data_ptr(), "slowest": slowest.data_ptr(), "profile": profile.data_ptr(),
        "wavelet": wavelet.data_ptr(),
        "wavelet_model": step_model, "wavelet_shot": step_shot, "wavelet_source": step_source,
        "sources": sources.data_ptr(), "receiver_cells": receivers.data_ptr(),
        "receiver_shot": 0 if receivers.shape[0] == 1 else 2 * receivers.shape[1],
        **{name: array.data_ptr() for name, array in arrays.items()},
    }  # fmt: skip
    dtype = dtype_name(velocity.dtype)
    if velocity.device.type == "cpu":
        _native.acoustic_run(params, dtype, task, torch.get_num_threads(), 0)
        return
    with torch.cuda.device(velocity.device):
        found = _native.acoustic_plan(params, dtype, task, plan.engine)
        warn_of_fallback(plan.engine, found, velocity.dtype)
        jobs, per_job = models * shots, int(found["workspace"])
        group = jobs_at_once(plan.memory, jobs, per_job * velocity.element_size())
        workspace = velocity.new_empty(group * per_job)
        params |= {"workspace": workspace.data_ptr(), "tiling": found["tiling"]}
        stream = torch.cuda.current_stream(velocity.device).cuda_stream
        for first in range(0, jobs, group):
            if found["engine"] == "plain":
                workspace.zero_()
            params |= {"first": first, "count": min(group, jobs - first)}
            _native.acoustic_run(params, dtype, task, 1, stream)


def describe_run(
    plan: Scheme, shape: tuple[int, int], models: int, shots: int, per_shot: int, receivers: int, nt: int
) -> dict[str, Any]:
    """What the extension must know of a run but for its arrays, whose addresses are zero."""
    top, bottom, left, right = plan.padding
    first, second = first_weights(plan.order), second_weights(plan.order)
    dz, dx = plan.spacing
    addresses = (
        "velocity", "slowest", "profile", "wavelet", "wavelet_model", "wavelet_shot", "wavelet_source", "sources",
        "receiver_cells", "receiver_shot", "data", "kept", "scales", "checkpoints", "grad_data", "grad_velocity",
        "grad_wavelet", "grad_slowest", "velocity_t", "wavelet_t", "grad_data_t", "fields", "workspace",
    )  # fmt: skip
    return {
        "nz": shape[0], "nx": shape[1], "top": top, "bottom": bottom, "left": left, "right": right,
        "order": plan.order, "models": models, "shots": shots, "first": 0, "count": models * shots,
        "per_shot": per_shot, "receivers": receivers, "nt": nt, "dt": plan.dt,
        "sponge": plan.sponge, "free_surface": plan.free_surface, "vmin_gradient": plan.vmin_gradient,
        "receivers_repeat": plan.receivers_repeat,
        "d1z": [d / dz for d in first], "d1x": [d / dx for d in first],
        "d2z": [c / dz**2 for c in second], "d2x": [c / dx**2 for c in second],
        "keep": KEEP[plan.keep], "every": plan.every, "segment": plan.segment, "half": plan.half,
        "snapshots": plan.snapshots, "first_snapshot": plan.first_snapshot, "snapshot": plan.snapshot,
        **dict.fromkeys(addresses, 0),
    }  # fmt: skip


def dtype_name(dtype: torch.dtype) -> str:
    """The extension's name of a dtype: "float32" or "float64"."""
    return str(dtype).removeprefix("torch.")


def jobs_at_once(memory: int, jobs: int, job_bytes: int) -> int:
    """How many shots run together so that their work memory stays within `memory` bytes (0: no limit); at least one."""
    return jobs if memory == 0 or job_bytes == 0 else max(1, min(jobs, memory // job_bytes))


_warned: set[str] = set()


def warn_of_fallback(wanted: str, found: dict[str, Any], dtype: torch.dtype) -> None:
    """One warning per reason when an engine that was asked for, or any fast one in float32, does not fit."""
    if found["engine"] != "plain" or not found["reason"] or (wanted == "auto" and dtype == torch.float64):
        return
    if found["reason"] not in _warned:
        _warned.add(found["reason"])
        warnings.warn(f"simulate runs on the plain engine, the slowest on CUDA: {found['reason']}", stacklevel=2)


# -- gradients on the operators themselves, for torch.compile and opcheck -----------------------------------------


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    velocity, wavelet, sources, receivers, profile, *ctx.lists = inputs
    ctx.save_for_backward(velocity, wavelet, sources, receivers, profile, *output[1:4])


def _differentiate(ctx: Any, grad_data: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    grads = torch.ops.seisfast.acoustic_backward(grad_data, *ctx.saved_tensors, *ctx.lists)
    return (*grads, *(None,) * 6)


def _refuse(ctx: Any, *_: Tensor) -> tuple[None, ...]:  # noqa: ANN401
    raise RuntimeError(
        "seisfast::acoustic_backward is not differentiable inside torch.compile; "
        "take second derivatives through an eager seisfast.simulate"
    )


torch.library.register_autograd("seisfast::acoustic_forward", _differentiate, setup_context=_setup, lib=_library)
torch.library.register_autograd("seisfast::acoustic_backward", _refuse, lib=_library)
