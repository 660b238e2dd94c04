"""Benchmark set-up: equal threads for both sides, no spinning threads, the machine's state on the first line."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before any OpenMP runtime starts

import platform
from pathlib import Path

import pytest
import torch

import seisfast as sf
from seisfast import _native


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Makes `pytest bench` find the benchmarks, whose files are not called test_*."""
    if file_path.name.startswith("bench_") and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def pytest_report_header() -> str:
    """Versions, vector level, load: what a figure needs beside it."""
    info = _native.build_info()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"seisfast {sf.__version__} ({info['vector_level']}, CUDA {info['cuda']}), torch {torch.__version__}, "
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {gpu}, load {os.getloadavg()[0]:.1f}"
    )


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    """Threads of both sides."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
