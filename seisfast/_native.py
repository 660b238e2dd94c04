"""The only module that imports the compiled extension."""

from __future__ import annotations

from typing import Any

try:
    from seisfast import _C
except ImportError as error:  # a source tree that was not installed
    raise ImportError(
        "seisfast's compiled extension is missing or does not fit this Python; install it with "
        "'pip install .' (or 'pip install -e .') from the source tree"
    ) from error


def build_info() -> dict[str, Any]:
    """How the extension was built and runs here: `cuda`, `architectures`, `vector_level`, `threads`, `compiler`."""
    return dict(_C.build_info())


def acoustic_run(params: dict[str, Any], dtype: str, task: str, threads: int, stream: int) -> None:
    """Run all steps of all shots on the arrays whose addresses and sizes `params` holds (csrc/acoustic/params.h).

    Raises:
        ValueError: an order, interval or dtype that the kernels do not have.
        RuntimeError: CUDA asked for in a build without it, or a failed launch.
        MemoryError: no memory for the workspaces.
    """
    _C.acoustic_run(params=params, dtype=dtype, task=task, threads=threads, stream=stream)


def acoustic_plan(
    params: dict[str, Any], dtype: str, task: str, engine: str, chip: dict[str, int] | None = None
) -> dict[str, Any]:
    """The CUDA engine that a run gets on the current device, or on a `chip` of `engines.CHIPS`.

    "born" and "curvature" have only the plain one.

    Returns:
        `engine`, `reason` (why no faster one, or not the one asked for; "" for these two), `blocks` (z, x), `rows` and
        `columns` of a block, `steps` per launch, `shared` bytes of a block, `workspace` elements per job, and the
        `tiling` for `acoustic_run`.

    Raises:
        ValueError: an engine or a task that does not exist.
        RuntimeError: no `chip`, in a build without CUDA or without a device.
    """
    return dict(_C.acoustic_plan(params=params, dtype=dtype, task=task, engine=engine, chip=chip))


def embedding_run(
    params: dict[str, Any], dtype: str, adjoint: bool, plan: dict[str, int] | None, threads: int, stream: int
) -> None:
    """Run trace_embedding on the arrays whose addresses and sizes `params` holds (csrc/features/params.h).

    On CUDA `plan` is what `embedding_plan` returned for these `params`; None runs on the CPU.

    Raises:
        ValueError: a size below one, or a dtype that the kernels do not have.
        RuntimeError: CUDA asked for in a build without it, or a failed launch.
        MemoryError: no memory for the workspaces.
    """
    _C.embedding_run(params=params, dtype=dtype, adjoint=adjoint, plan=plan, threads=threads, stream=stream)


def embedding_plan(
    params: dict[str, Any], dtype: str, adjoint: bool, chip: dict[str, int] | None = None
) -> dict[str, int]:
    """How CUDA runs trace_embedding on the current device, or on a `chip` of `engines.CHIPS`.

    Returns:
        `blocks` of a cluster per gather (0: through device memory), `threads` and `shared` bytes of a block, `parts`
        (rows of the weights' gradient), `workspace` bytes.

    Raises:
        RuntimeError: no `chip`, in a build without CUDA or without a device.
    """
    return dict(_C.embedding_plan(params=params, dtype=dtype, adjoint=adjoint, chip=chip))


def norm_run(params: dict[str, Any], dtype: str, adjoint: bool, threads: int, stream: int) -> None:
    """Run batch norm and ReLU on the arrays whose addresses and sizes `params` holds (csrc/features/params.h).

    Raises:
        ValueError: a size below one, channels that are no multiple of receivers, or a dtype that the kernels lack.
        RuntimeError: CUDA asked for in a build without it, or a failed launch.
        MemoryError: no memory for the workspaces.
    """
    _C.norm_run(params=params, dtype=dtype, adjoint=adjoint, threads=threads, stream=stream)


def norm_workspace(params: dict[str, Any], dtype: str, adjoint: bool) -> int:
    """Numbers of the statistics' type that `norm_run` needs as workspace on CUDA."""
    return int(_C.norm_workspace(params=params, dtype=dtype, adjoint=adjoint))
