"""`Every`: which wavefields `simulate` shows, beside the records or shot by shot to a callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from torch import Tensor

from seisfast.arguments import whole

Callback = Callable[[int, int, Tensor], object]
Shown = TypeVar("Shown", None, Callback)


@dataclass(frozen=True, init=False)
class Every(Generic[Shown]):
    """Which samples `simulate` shows the wavefield of: 0, k, 2 k, ...

    Args:
        samples: k.
        callback: called as ``callback(model, shot, fields)`` once per shot, the shots of the first model first, with
            that shot's fields `[snapshots, nz, nx]` on the velocity's device and in its dtype, without gradient;
            `simulate` then returns the records alone. Only the fields of a group of shots are in memory at a time: as
            many as a quarter of the free memory holds, or half of what ``Storage(memory=...)`` leaves, at least one,
            and on a CPU no more than torch has threads. Fields that the callback keeps hold their group in memory, a
            clone does not. What it raises ends the call.

    Raises:
        TypeError: a number that is not an integer, or a callback that cannot be called.
        ValueError: a number below 1.
    """

    samples: int
    callback: Shown

    @overload
    def __init__(self: Every[None], samples: int, callback: None = None) -> None: ...
    @overload
    def __init__(self: Every[Callback], samples: int, callback: Callback) -> None: ...
    def __init__(self, samples: int, callback: Callback | None = None) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"Every callback must be callable as callback(model, shot, fields), got {callback!r}")
        object.__setattr__(self, "samples", whole("Every samples", samples))
        object.__setattr__(self, "callback", callback)

    def count(self, nt: int) -> int:
        """Number of wavefields that this shows of `nt` samples."""
        return -(-nt // self.samples)
