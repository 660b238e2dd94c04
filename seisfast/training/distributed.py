"""Processes that train one network together, as torchrun starts them: who they are, and how they meet."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seisfast.training.config import resolve_device

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Processes:
    """The processes of one run. A single one has no group, and no call of this class then does anything.

    Every method but `together` is a meeting: all processes must come to it, in the same order.

    Attributes:
        rank: number of this process, from 0; the first one writes and prints.
        size: number of processes.
        group: torch's group for tensors on the device of the run: NCCL for a GPU, gloo for a CPU.
        control: a gloo group for what the processes tell each other, which no GPU waits for.
    """

    rank: int = 0
    size: int = 1
    group: Any = None
    control: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes of tensors on the device, in place; on CUDA nothing waits for it."""
        if self.size > 1:
            dist.all_reduce(values, group=self.group)
        return values

    def add(self, *numbers: float) -> list[float]:
        """The sums of plain numbers over the processes, in float64."""
        if self.size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(values, group=self.control)
        return values.tolist()

    def gather(self, item: _Item) -> list[_Item]:
        """What each process gives, by rank."""
        if self.size == 1:
            return [item]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, item, group=self.control)
        return found

    def share(self, item: _Item) -> _Item:
        """The first process's item, whatever the others give."""
        if self.size == 1:
            return item
        items = [item]
        dist.broadcast_object_list(items, group=self.control, src=0)
        return items[0]

    @contextmanager
    def together(self, doing: str) -> Iterator[None]:
        """Work inside without a meeting; when it fails in one process, it fails in all.

        Args:
            doing: what, for the message: "while it ...".

        Raises:
            RuntimeError: where the work went well, but not in another process, with its rank and error.
        """
        if self.size == 1:
            yield
            return
        error = None
        try:
            yield
        except Exception as caught:  # whatever it is, the others must learn of it
            error = caught
        if self.add(float(error is not None)) == [0.0]:
            return
        found = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        rank, text = next((rank, text) for rank, text in enumerate(found) if text is not None)
        raise RuntimeError(f"the process of rank {rank} failed while it {doing}: {text}")


@contextmanager
def joined(name: str) -> Iterator[tuple[Processes, torch.device]]:
    """The processes of this run, and this one's device.

    A group of torch.distributed that is there is used and left as it is. Else the environment of torchrun decides:
    with a WORLD_SIZE above 1 a group is made, and closed at the end. Neither: one process, and nothing happens.

    Args:
        name: of the device, as `resolve_device` takes it; a GPU without a number is that of LOCAL_RANK.

    Raises:
        RuntimeError: another process ended, or the connection to it was lost.
        ValueError: an environment that is not complete, or a device that is one for all processes or is not there.
    """
    device = own_device(resolve_device(name))
    size = _size()
    if size == 1:
        yield Processes(), device
        return
    if device.type == "cuda":
        if name not in ("auto", "cuda"):
            raise ValueError(f'device must be "auto", "cuda" or "cpu" for several processes, got {name!r}')
        torch.cuda.set_device(device)
    given = _given()
    if not given:
        _start(device, size)
    control = dist.new_group(backend="gloo")
    group = control if device.type == "cpu" else dist.group.WORLD
    try:
        with warnings.catch_warnings():  # kernels of our own give gradients in row-major order, which costs a copy
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield Processes(dist.get_rank(), size, group, control), device
    except BaseException as error:
        if not given and device.type == "cpu":  # NCCL could wait here for processes that never come
            dist.destroy_process_group()
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise RuntimeError(
                "another process of this run ended, or the connection to it was lost: it says why itself, unless it "
                "was killed; the run can go on from its last.pt"
            ) from error
        raise
    dist.destroy_process_group(None if not given else control)


def launched() -> int:
    """How many processes torchrun has started; 1 without it."""
    return _number("WORLD_SIZE", 1)


def first_launched() -> bool:
    """Whether this is the only process, or torchrun's first one: the one that prints."""
    return _number("RANK", 0) == 0


def own_device(device: torch.device) -> torch.device:
    """The device, with the number of this process's GPU when there are several processes and it has none.

    Raises:
        ValueError: there are fewer GPUs than processes on this machine.
    """
    if _size() == 1 or device.type != "cuda" or device.index is not None:
        return device
    index = _number("LOCAL_RANK", torch.cuda.current_device())
    if index >= torch.cuda.device_count():
        raise ValueError(
            f'device "cuda" needs a GPU for each process of a machine: LOCAL_RANK is {index}, '
            f"torch sees {torch.cuda.device_count()}"
        )
    return torch.device("cuda", index)


def parallel(network: nn.Module, processes: Processes) -> nn.Module:
    """The network with gradients that are means over the processes, made while they are computed.

    Buffers stay each process's own. Parameters that a batch leaves without a gradient, as SeisInvNet's side heads,
    take a search in every step; no other network has any.
    """
    from torch.nn.parallel import DistributedDataParallel

    options = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers"  # of older versions
    choices: dict[str, Any] = {name: False, "find_unused_parameters": bool(getattr(network, "side_heads", False))}
    return DistributedDataParallel(network, process_group=processes.group, **choices)


def _start(device: torch.device, size: int) -> None:
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be set beside WORLD_SIZE={size}, as torchrun does")
    if _number("RANK", 0) >= size:
        raise ValueError(f"RANK must be below WORLD_SIZE={size}, got {os.environ['RANK']}")
    if not dist.is_available():
        raise RuntimeError("this build of torch cannot train in several processes (torch.distributed is missing)")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def _given() -> bool:
    return dist.is_available() and dist.is_initialized()


def _size() -> int:
    return dist.get_world_size() if _given() else _number("WORLD_SIZE", 1)


def _number(variable: str, default: int) -> int:
    """A whole number of the environment.

    Raises:
        ValueError: it is something else.
    """
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise ValueError(f"the environment's {variable} must be a whole number, as torchrun sets it, got {text!r}")
    return int(text)
