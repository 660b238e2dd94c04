"""Stored data sets: bytes per model, how fast each layout is written and read, and what a kill costs.

``python bench/bench_storage.py`` writes into a temporary folder (``--folder`` elsewhere: the figures are those of its
disk). Records are those of SeisInv, 20 shots x 1000 samples x 32 receivers; a few models are simulated and stored again
and again, so that the clock sees the disk and not the propagator. Every layout is read back and compared with what was
given. The kill is a SIGKILL to ``seisfast simulate`` in the middle of a shard; what counts is the time from the start
of the second command to the first model that it adds.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import seisfast as sf
from seisfast.data.manifest import Manifest
from seisfast.data.shards import WRITERS, Simulation, make_shard

MODELS = 10  # simulated ones
LAYOUTS = (("npy", "float32"), ("npy", "float16"), ("zarr", "float32"), ("zarr", "float16"))


class Ready(Simulation):
    """Models that are simulated already, the same few again and again."""

    @cached_property
    def made(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Records and velocities."""
        return next(super().batches(range(MODELS)))

    def velocity(self, models: range) -> npt.NDArray[np.float32]:
        """Velocities of the models."""
        return self.made[1][np.array(models) % MODELS]

    def batches(self, models: range) -> Generator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], None, None]:
        """Batches of the models."""
        for start in range(models.start, models.stop, MODELS):
            count = min(MODELS, models.stop - start)
            yield self.made[0][:count], self.made[1][:count]


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def layout_row(place: Path, origin: Ready, layout: str, dtype: str, count: int, repeats: int) -> str:
    """A line of the table: one layout written and read."""
    manifest = Manifest.plan(
        origin.geology,
        origin.survey,
        count,
        seed=0,
        per_file=count,
        layout=layout,
        dtype=dtype,  # type: ignore[arg-type]
    )
    writing, reading = [], []
    for repeat in range(repeats):
        folder = place / f"{layout}_{dtype}_{repeat}"
        folder.mkdir()
        manifest.save(folder)
        WRITERS[layout].prepare(folder, manifest)
        writing.append(seconds(lambda: manifest.shards.__setitem__(0, make_shard(folder, manifest, 0, origin))))  # noqa: B023
        manifest.save(folder)
        dataset = sf.data.StoredDataset(folder)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(repeat)).tolist()
        reading.append(seconds(lambda: [dataset.read(order[k : k + 12]) for k in range(0, count, 12)]))  # noqa: B023
    records, velocity = (torch.from_numpy(part) for part in next(origin.batches(range(MODELS))))
    read, model = dataset.read(range(MODELS))
    off = float(((read - records).flatten(1).norm(dim=1) / records.flatten(1).norm(dim=1)).max())
    stated = dataset.error
    if not torch.equal(model, velocity) or off > (0.0 if stated is None else stated):
        raise SystemExit(f"{layout} {dtype} gives other models than were stored: {off:g}")
    size = manifest.bytes / count / 1e6
    error = "none" if stated is None else f"{off:.1e}, stated {stated:.1e}"
    return (
        f"| {layout} {dtype} | {size:.2f} | {count / statistics.median(writing):.0f} | "
        f"{count / statistics.median(reading):.0f} | {error} |"
    )


def kill_rows(place: Path, layout: str) -> str:
    """A line of the table: a data set whose process is killed, and goes on."""
    folder = place / f"killed_{layout}"
    command = [sys.executable, "-m", "seisfast", "simulate", "--geology", "seisinv", "--survey", "seisinv", "--count"]
    command += ["120", "--per_file", "30", "--batch", "5", "--layout", layout, "--output", str(folder)]

    def stored() -> int:
        """Models on the disk."""
        partial = sum(max(0, path.stat().st_size - 128) // 40_000 for path in folder.glob("model*.npy.partial"))
        pattern = "model*.npy" if layout == "npy" else "velocity/c/*/0/0/0"
        return int(partial + 30 * len(list(folder.glob(pattern))))

    def until(goal: int, process: subprocess.Popen[bytes]) -> float:
        start = time.perf_counter()
        while stored() < goal:
            if process.poll() is not None:
                raise SystemExit(f"{layout}: the simulation ended before {goal} models")
            time.sleep(0.01)
        return time.perf_counter() - start

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(30, process)
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = stored()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    recovered = until(kept + 1, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return f"| {layout} | {kept} | {recovered:.1f} |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder when left out")
    parser.add_argument("--count", type=int, default=100, help="models in a shard")
    parser.add_argument("--repeats", type=int, default=3, help="medians are over so many runs")
    args = parser.parse_args()
    origin = Ready(sf.geology.SeisInv(), sf.Survey.seisinv(), seed=0, device="cpu", batch=MODELS)
    origin.made  # noqa: B018 - before the clock starts
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        print("| layout | MB per model | models/s written | models/s read, batches of 12 | relative L2 error |")
        print("|---|---|---|---|---|")
        for layout, dtype in LAYOUTS:
            print(layout_row(Path(name), origin, layout, dtype, args.count, args.repeats), flush=True)
        print("\n| layout | models on the disk when killed | s from the next start to the first new models |")
        print("|---|---|---|")
        for layout in ("npy", "zarr"):
            print(kill_rows(Path(name), layout), flush=True)


if __name__ == "__main__":
    main()
