"""Memory of freed tensors, kept for the next ones while a network trains on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch

# Of glibc's mallopt(3); the thresholds are the largest that it chooses by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULTS = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20))


@contextlib.contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """While entered, freed memory stays with the process, for the next tensors.

    By default glibc gives every large tensor back to the system, and the next one gets pages that the system clears
    first, one by one: for the maps of the full-size SeisInvNet a third of a training step. Afterwards all that is
    free goes back. On other devices, and with other C libraries, nothing is done.

    Args:
        device: Where the network trains.
    """
    libc = ctypes.CDLL(None)
    if device.type != "cpu" or not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for option, value in _DEFAULTS:
            libc.mallopt(option, value)
        libc.malloc_trim(0)
