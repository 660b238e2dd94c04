"""Freed memory stays with the process while a network trains on a CPU."""

from __future__ import annotations

import platform
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import write_stored
from small_run import parts, small_config

from seisfast.training import fit, loop
from seisfast.training.memory import freed_memory_kept

PAGES = 16384  # of 4 KiB in 64 MiB

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")


def faults_of_large_tensors() -> int:
    """Pages that the system had to make for three tensors of 64 MiB that live one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.empty(PAGES * 4096, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


@on_glibc
def test_the_next_tensor_takes_the_memory_of_the_last_one() -> None:
    with freed_memory_kept(torch.device("cpu")):
        faults_of_large_tensors()
        assert faults_of_large_tensors() < PAGES / 10
        within = resident()
    assert resident() < within - PAGES * 4096 / 2  # and goes back


@on_glibc
def test_it_goes_back_after_an_error() -> None:
    before = resident()

    def broken() -> None:
        with freed_memory_kept(torch.device("cpu")):
            faults_of_large_tensors()
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert resident() < before + PAGES * 4096 / 2


@on_glibc
def test_nothing_is_kept_for_other_devices() -> None:
    with freed_memory_kept(torch.device("cuda")):
        before = resident()
        faults_of_large_tensors()
        assert resident() < before + PAGES * 4096 / 2


def test_training_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.device] = []
    kept = loop.freed_memory_kept

    def watched(device: torch.device) -> Any:  # noqa: ANN401
        seen.append(device)
        return kept(device)

    monkeypatch.setattr(loop, "freed_memory_kept", watched)
    train, validation, _ = parts(write_stored(tmp_path / "data"))
    fit(small_config(device="cpu", epochs=1), train, validation, tmp_path / "run", verbose=False)
    assert seen == [torch.device("cpu")]
