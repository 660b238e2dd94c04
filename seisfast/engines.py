"""Which engine a run gets: what was asked for, what a device offers, and how a grid is cut into blocks."""

from __future__ import annotations

from typing import Any

import torch

from seisfast import _native
from seisfast.boundaries import CPML, Boundary, Sponge
from seisfast.ops.acoustic import CUDA_ENGINES, describe_run, dtype_name
from seisfast.planning import survey_scheme
from seisfast.positions import KINDS
from seisfast.survey import Survey

ENGINES = (*CUDA_ENGINES, "cpu")
# What chips offer: bytes of shared memory of a block, blocks of a cluster (CUDA C++ Programming Guide, table of compute
# capabilities), and multiprocessors (of the H100 SXM and H200, the A100, the RTX 4090).
CHIPS = {
    "H100, H200 (sm_90)": {"shared": 227 * 1024, "cluster": 16, "processors": 132},
    "A100 (sm_80)": {"shared": 163 * 1024, "cluster": 1, "processors": 108},
    "RTX 30, RTX 40 (sm_86, sm_89)": {"shared": 99 * 1024, "cluster": 1, "processors": 128},
}


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
    scheme = survey_scheme(survey, gradient=adjoint)
    per_shot, heard = (survey.cells(name, shape, torch.device("cpu"), dtype)[0].shape[1] for name in KINDS)
    numbers = describe_run(scheme, shape, 1, survey.shots, per_shot, heard, survey.nt)
    return _native.acoustic_plan(numbers, dtype_name(dtype), "adjoint" if adjoint else "forward", engine, chip)


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
