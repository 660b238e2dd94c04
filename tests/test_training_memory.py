"""Freed memory stays with the process while a network trains on a CPU."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import write_stored
from small_run import parts, small_config

from seisfast.training import fit, loop

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")

# In a process of its own: a heap that other tests have used may hold a gap just large enough for a tensor, which is
# then taken whatever the settings are. The first tensors are not counted: an allocation aligned to 64 bytes may split
# crumbs off the space that the last one left, and only when glibc's cache of crumbs is full are they merged again.
PROCESS = """
import contextlib, resource, sys
from pathlib import Path
import torch
from seisfast.training.memory import freed_memory_kept

def tensors(count):
    for _ in range(count):
        torch.empty(64 << 20, dtype=torch.uint8).fill_(1)

def resident():
    return resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[1])

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

outside = resident()
with contextlib.suppress(KeyError), freed_memory_kept(torch.device(sys.argv[1])):
    tensors(20)
    before = faults()
    tensors(3)
    after = faults()
    within = resident()
    if sys.argv[2] == "error":
        raise KeyError
print((after - before) * resource.getpagesize() >> 20, within - outside >> 20, resident() - outside >> 20)
"""


def mebibytes(device: str, end: str = "") -> tuple[int, ...]:
    """What the system made for three tensors of 64 MiB one after the other, what is held then, and what is after."""
    command = [sys.executable, "-c", PROCESS, device, end]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(int(number) for number in done.stdout.split())


@on_glibc
@pytest.mark.parametrize("end", ["", "error"])
def test_the_next_tensor_takes_the_memory_of_the_last_one_and_it_goes_back(end: str) -> None:
    made, held, afterwards = mebibytes("cpu", end)
    assert made < 64 / 10
    assert held > 60
    assert afterwards < 32


@on_glibc
def test_nothing_is_kept_for_other_devices() -> None:
    made, held, _ = mebibytes("cuda")
    assert made > 3 * 60
    assert held < 32


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
