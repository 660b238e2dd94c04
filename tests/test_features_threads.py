"""Threads of the CPU engines: torch's own, so that two sets do not fight for the cores; and after a fork."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Iterator

import pytest
import torch
from small_features import Kernels, kernels, noise
from torch import Tensor

from seisfast import _native, features


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_engines_run_on_the_threads_of_torch() -> None:
    """Or on their own where torch's are not to be seen."""
    visible = hasattr(ctypes.CDLL(None), "GOMP_parallel")
    assert _native.build_info()["threads"] == ("torch's OpenMP" if visible else "own")


def _in_a_child(queue: multiprocessing.Queue[tuple[str, bytes]], gathers: Tensor, k: Kernels) -> None:
    queue.put((_native.build_info()["threads"], features.trace_embedding(gathers, *k).numpy().tobytes()))


def test_a_forked_process_runs_on_threads_of_its_own() -> None:
    """OpenMP's do not survive a fork: a child that waited for them would wait for ever."""
    gathers, k = noise(8, 16, 400, dtype=torch.float32), kernels(dtype=torch.float32)
    expected = features.trace_embedding(gathers, *k).numpy().tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, gathers, k), daemon=True)
    child.start()
    assert queue.get(timeout=60) == ("own", expected)
    child.join()
