"""More than one machine: a Dask cluster, and the shots of a survey divided among its workers.

`seisfast.data.write(..., scheduler=...)` stores datasets the same way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from seisfast.arguments import whole
from seisfast.engines import has_cuda_engine
from seisfast.propagator import simulate as simulate_here
from seisfast.survey import Survey

if TYPE_CHECKING:
    from distributed import Client

ATTEMPTS = 5
"""Times a piece of work is given out again whose workers died."""

Misfit = Callable[[Tensor, Tensor], Tensor]


@contextlib.contextmanager
def connected(scheduler: str | Client) -> Iterator[Client]:
    """A client of a Dask cluster, closed at the end if it was made here.

    Args:
        scheduler: A `distributed.Client`, which is left open; the address of a scheduler (`tcp://host:8786`); the path
            of a scheduler file; "local" for worker processes on this machine, one for every GPU or CPU core, or
            "local:4" for four of them.

    Raises:
        ImportError: When distributed is not installed.
        TypeError: When it is something else.
        ValueError: When the text is none of these.
        OSError: When no scheduler answers there.
    """
    distributed = _distributed()
    if isinstance(scheduler, distributed.Client):
        yield scheduler
        return
    if not isinstance(scheduler, str):
        raise TypeError(f"scheduler must be a text or a distributed.Client, got {type(scheduler).__name__}")
    with contextlib.ExitStack() as stack:
        name, _, count = scheduler.partition(":")
        if name == "local":
            workers = _local_workers(scheduler, count)
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            )
            stack.enter_context(cluster)
            place = cluster.scheduler_address
        elif Path(scheduler).is_file():
            client = stack.enter_context(distributed.Client(scheduler_file=scheduler, timeout=30))
            yield client
            return
        elif "://" in scheduler:
            place = scheduler
        else:
            raise ValueError(
                'scheduler must be "local", "local:4", an address like tcp://host:8786 or the path of a scheduler '
                f"file that is there, got {scheduler!r}"
            )
        yield stack.enter_context(distributed.Client(place, timeout=30))


def simulate(
    velocity: Tensor, survey: Survey, client: Client, *, parts: int | None = None, substeps: int | str = 1
) -> Tensor:
    """`seisfast.simulate` with its shots divided among the workers of a cluster; differentiable by the velocity.

    The gradient is computed by the workers as well: each simulates its shots again and applies the transpose. So any
    misfit of the records works, and nothing but records and velocities travels. What a worker that dies was doing is
    done by another one. Records do not depend on `parts`; a gradient is the sum over the parts in their order, the same
    for any number of workers.

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, on the CPU.
        survey: The acquisition; no part of it may require grad.
        client: Of the cluster; `connected` makes one.
        parts: In how many groups the shots are given out; one for every worker when None.
        substeps: See `seisfast.simulate`.

    Returns:
        Records as `seisfast.simulate` returns them.

    Raises:
        TypeError: When an argument has the wrong type.
        ValueError: When the survey and the velocity do not fit each other, the survey requires grad, or the velocity is
            not on the CPU.
        RuntimeError: When the workers of a group died again and again.
    """
    groups = _groups(velocity, survey, client, parts)
    # torch does not type Function.apply.
    return cast(Tensor, _Simulated.apply(velocity, survey, client, groups, substeps))  # type: ignore[no-untyped-call]


def gradient(
    velocity: Tensor,
    survey: Survey,
    observed: Tensor,
    client: Client,
    *,
    misfit: Misfit | None = None,
    parts: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Misfit of simulated and observed records and its gradient by the velocity, shots divided among workers.

    One pass: each worker simulates its shots once and applies the transpose to its own residual, and only misfit and
    gradient come back. `misfit` must be a sum over shots.

    Args:
        velocity: m/s, `[nz, nx]`, on the CPU.
        survey: The acquisition.
        observed: Records `[shots, time, receivers]`.
        client: Of the cluster; `connected` makes one.
        misfit: Of simulated and observed records of some shots, a scalar tensor; half the sum of squares when None. It
            is sent to the workers, so it must be a function that pickles.
        parts: In how many groups the shots are given out; one for every worker when None.

    Returns:
        The misfit, a scalar, and its gradient `[nz, nx]`, sums over the parts in their order.

    Raises:
        TypeError, ValueError, RuntimeError: See `simulate`; observed records of another shape.
    """
    groups = _groups(velocity, survey, client, parts)
    wanted = (survey.shots, survey.nt, survey.receivers_per_shot)
    if velocity.dim() != 2:
        raise ValueError(f"velocity must be [nz, nx], got shape {tuple(velocity.shape)}")
    if tuple(observed.shape) != wanted:
        raise ValueError(f"observed must be [shots, time, receivers] = {wanted}, got {tuple(observed.shape)}")
    plain = velocity.detach()
    found = run(
        client,
        _misfit_of_shots,
        [(plain, survey.subset(group), observed[list(group)], misfit or _half_of_squares) for group in groups],
    )
    return _sum([part[0] for part in found]), _sum([part[1] for part in found])


def run(client: Client, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Results of a function for many arguments, in their order.

    Raises:
        RuntimeError: When the workers of one call died again and again.
    """
    results: dict[int, Any] = dict(as_completed(client, work, arguments))
    return [results[number] for number in range(len(arguments))]


def as_completed(
    client: Client, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Numbers and results of a function for many arguments, as they come; what was not fetched is cancelled.

    A call whose worker dies is done by another one. When that has killed as many workers as the scheduler allows, it is
    given out again, up to `ATTEMPTS` times.

    Raises:
        RuntimeError: When the workers of one call died again and again.
        ConnectionError: When the scheduler is gone.
        Exception: What a call raises.
    """
    distributed = _distributed()
    futures: dict[Any, int] = {}
    attempts = [0] * len(arguments)

    def submit(number: int) -> Any:  # noqa: ANN401 - a Future
        with warnings.catch_warnings():  # a large model is large
            warnings.filterwarnings("ignore", message="Sending large graph")
            future = client.submit(work, *arguments[number], pure=False, priority=-number)
        futures[future] = number
        return future

    _wait_for_workers(client)
    try:
        coming = distributed.as_completed([submit(number) for number in range(len(arguments))])
        for future in coming:
            number = futures.pop(future)
            if future.status in ("cancelled", "lost"):
                raise ConnectionError("the connection to the scheduler was lost; what is finished is kept")
            error = future.exception() if future.status == "error" else None
            if isinstance(error, distributed.KilledWorker):
                attempts[number] += 1
                if attempts[number] >= ATTEMPTS:
                    raise RuntimeError(
                        f"part {number} was given out {ATTEMPTS} times and its workers died each time: {error}"
                    ) from error
                coming.add(submit(number))
                continue
            yield number, future.result()
    finally:
        client.cancel(list(futures))  # type: ignore[no-untyped-call]


def _wait_for_workers(client: Client) -> None:
    """Until there is one: a cluster may only just be starting, but nobody should wonder what is waited for."""
    while not client.scheduler_info(n_workers=-1)["workers"]:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            print(f"no worker at {client.scheduler.address} yet, waiting", file=sys.stderr, flush=True)  # type: ignore[union-attr]


def worker_device(device: str) -> torch.device:
    """The device of a worker: "auto" is a GPU where it sees one.

    Workers of a local cluster take turns at the GPUs by their numbers; others see the GPU that their job has.
    """
    if device != "auto":
        return torch.device(device)
    count = torch.cuda.device_count() if has_cuda_engine() else 0
    if count == 0:
        return torch.device("cpu")
    return torch.device("cuda", _worker_number() % count)


def _worker_number() -> int:
    """Number of the worker that this process is, when it has one: those of a local cluster do."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return 0
    try:
        name = distributed.get_worker().name
    except ValueError:  # not a worker
        return 0
    return name if isinstance(name, int) else 0


class _Simulated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        velocity: Tensor,
        survey: Survey,
        client: Client,
        groups: list[range],
        substeps: int | str,
    ) -> Tensor:
        ctx.save_for_backward(velocity)
        ctx.surveys, ctx.client, ctx.groups, ctx.substeps = (
            [survey.subset(group) for group in groups], client, groups, substeps
        )  # fmt: skip
        plain = velocity.detach()
        return torch.cat(run(client, _records_of_shots, [(plain, part, substeps) for part in ctx.surveys]), dim=-3)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        (velocity,) = ctx.saved_tensors
        shares = torch.split(adjoint, [len(group) for group in ctx.groups], dim=-3)
        arguments = [
            (velocity.detach(), part, share.contiguous(), ctx.substeps)
            for part, share in zip(ctx.surveys, shares, strict=True)
        ]
        return _sum(run(ctx.client, _transpose_of_shots, arguments)), None, None, None, None


def _records_of_shots(velocity: Tensor, survey: Survey, substeps: int | str) -> Tensor:
    with torch.no_grad():
        return simulate_here(velocity.to(worker_device("auto")), survey, substeps=substeps).cpu()


def _transpose_of_shots(velocity: Tensor, survey: Survey, adjoint: Tensor, substeps: int | str) -> Tensor:
    device = worker_device("auto")
    model = velocity.to(device).requires_grad_()
    records = simulate_here(model, survey, substeps=substeps)
    return torch.autograd.grad(records, model, adjoint.to(device))[0].cpu()


def _misfit_of_shots(velocity: Tensor, survey: Survey, observed: Tensor, misfit: Misfit) -> tuple[Tensor, Tensor]:
    device = worker_device("auto")
    model = velocity.to(device).requires_grad_()
    value = misfit(simulate_here(model, survey), observed.to(device))
    if value.dim() != 0:
        raise ValueError(f"misfit must return a scalar, got shape {tuple(value.shape)}")
    return value.detach().cpu(), torch.autograd.grad(value, model)[0].cpu()


def _half_of_squares(simulated: Tensor, observed: Tensor) -> Tensor:
    return 0.5 * (simulated - observed).square().sum()


def _sum(parts: list[Tensor]) -> Tensor:
    """Sum in order, in float64, rounded once."""
    total = parts[0].double()
    for part in parts[1:]:
        total = total + part
    return total.to(parts[0].dtype)


def _groups(velocity: Tensor, survey: Survey, client: Client, parts: int | None) -> list[range]:
    """Neighbouring shots that are given out together, after checking what is to be done with them."""
    if not isinstance(velocity, Tensor):
        raise TypeError(f"velocity must be a tensor, got {type(velocity).__name__}")
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")
    if velocity.device.type != "cpu":
        raise ValueError(f"velocity must be on the CPU, from where it is sent to the workers, got {velocity.device}")
    if survey.wavelet.requires_grad or survey.sources.requires_grad or survey.receivers.requires_grad:
        raise ValueError("survey must not require grad: on a cluster only the velocity has a gradient")
    survey.check_shape((int(velocity.shape[-2]), int(velocity.shape[-1])))
    if parts is None:
        parts = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    parts = min(whole("parts", parts), survey.shots)
    ends = [survey.shots * (number + 1) // parts for number in range(parts)]
    return [range(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


def _local_workers(scheduler: str, count: str) -> int:
    if not count and scheduler == "local":
        gpus = torch.cuda.device_count() if has_cuda_engine() else 0
        return gpus or len(os.sched_getaffinity(0))
    if not count.isdigit() or int(count) < 1:
        raise ValueError(f'scheduler must be "local" or "local:4", four processes on this machine, got {scheduler!r}')
    return int(count)


def _distributed() -> Any:  # noqa: ANN401 - distributed is optional
    try:
        import distributed
    except ImportError as error:
        raise ImportError("a cluster needs Dask: pip install 'seisfast[dask]'") from error
    return distributed
