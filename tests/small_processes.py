"""What each process does in the tests of training in several; as a program it is one of them.

Every scene is a function of the working folder and the rank. What it returns goes to `RANK.json` in the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_data import SHAPE, SURVEY
from small_run import endless, with_loss
from torch import Tensor, nn

from seisfast.data import SimulatedDataset, StoredDataset
from seisfast.geology import SeisInv
from seisfast.normalization import Normalization
from seisfast.training import TrainingConfig, fit, loop, norms
from seisfast.training.distributed import joined

ROOT = Path(__file__).resolve().parent.parent
SIZE = 2
BATCH = 7  # 4 + 3 models
RUNS: dict[str, dict[str, Any]] = {
    "frozen stored": {"network": "convbaseline", "network_options": {"width": 0.05}, "frozen_norms": True},
    "frozen simulated": {
        "network": "seisinvnet",
        "network_options": {"width": 0.1, "drop_rate": 0.0, "side_heads": True},
        "frozen_norms": True,
    },
    "sync": {"network": "convbaseline", "network_options": {"width": 0.05}, "sync_norms": True},
    "plain": {"network": "convbaseline", "network_options": {"width": 0.05}},
    "dropping": {"network": "seisinvnet", "network_options": {"width": 0.1}},
}

COMPARED = ("frozen stored", "frozen simulated", "sync", "plain")


def config_of(name: str, **changes: Any) -> TrainingConfig:  # noqa: ANN401
    """The configuration of a run whose batches are of 7, 7 and 5 models."""
    settings = {"loss": "l2", "epochs": 3, "batch_size": BATCH, "lr": 1e-3, **RUNS[name]}
    return TrainingConfig(**{**settings, **changes})


def data_of(name: str, folder: Path) -> tuple[StoredDataset, StoredDataset] | tuple[SimulatedDataset, SimulatedDataset]:
    """19 training models, and 8 for validation: the second process has none of the last one."""
    if name.endswith("simulated"):
        return endless(19, BATCH), endless(8, BATCH, seed=1)
    return StoredDataset(folder / "data", range(19)), StoredDataset(folder / "data", range(17, 25))


def start(scene: str, folder: Path, **environment: str) -> list[subprocess.Popen[str]]:
    """The processes of a scene, with the environment that torchrun would give them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(SIZE), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, __file__, scene, str(folder)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]


def finished(scene: str, folder: Path, **environment: str) -> list[dict[str, Any]]:
    """What the processes of a scene found, by rank; they must end well."""
    processes = start(scene, folder, **environment)
    ends = [process.communicate(timeout=60) for process in processes]
    for process, (_, errors) in zip(processes, ends, strict=True):
        assert process.returncode == 0, errors
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(SIZE)]
    return [{**one, "printed": out} for one, (out, _) in zip(found, ends, strict=True)]


def raised(work: Callable[[], object]) -> str:
    """Kind and message of what the work raises."""
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


# -- scenes ------------------------------------------------------------------------------------------------------------


def curves(folder: Path, rank: int) -> dict[str, Any]:
    """Whole runs in a group of the caller's, which is left as it is; then failures that all must notice."""
    torch.distributed.init_process_group("gloo")
    for name in COMPARED:
        fit(config_of(name), *data_of(name, folder), folder / "two" / name, verbose=name == "plain")
    found = {"statistics": statistics(), "models left": models_left(folder), "raised": failures(folder, rank)}
    return {**found, "group left": torch.distributed.is_initialized()}


def statistics() -> dict[str, float]:
    """Largest differences of a synced batch norm in two parts from torch's of the whole, in float64."""
    norm = nn.BatchNorm2d(3, momentum=0.3).double()
    generator = torch.Generator().manual_seed(5)
    whole = torch.randn(5, 3, 4, 6, generator=generator, dtype=torch.float64) * 3 + 100
    factors = torch.randn(5, 3, 4, 6, generator=generator, dtype=torch.float64)
    expected, found = [whole.clone().requires_grad_() for _ in range(2)]
    twin = nn.BatchNorm2d(3, momentum=0.3).double()
    (twin(expected).sin() * factors).sum().backward()
    with joined("cpu") as (processes, _):
        mine = slice(0, 3) if processes.first else slice(3, 5)
        with norms.Synced(processes):
            out = norm(found[mine])
        (out.sin() * factors[mine]).sum().backward()
        assert found.grad is not None
        assert expected.grad is not None
        gradients = [processes.sum(part.grad.clone()) for part in norm.parameters() if part.grad is not None]
        pairs = {
            "input": (found.grad[mine], expected.grad[mine]),
            "weight": (gradients[0], twin.weight.grad),
            "bias": (gradients[1], twin.bias.grad),
            "mean": (norm.running_mean, twin.running_mean),
            "variance": (norm.running_var, twin.running_var),
        }
    return {name: float((one - other).abs().max()) for name, (one, other) in pairs.items()}  # type: ignore[operator]


def failures(folder: Path, rank: int) -> dict[str, Any]:
    """What both processes raise when something happens to the second alone, or is wrong from the start."""
    found: dict[str, Any] = {}

    def attempt(
        name: str,
        run: str,
        *,
        resume: bool = False,
        data: Any = None,  # noqa: ANN401
        normalization: Normalization | None = None,
        **how: Any,  # noqa: ANN401
    ) -> None:
        sets = data or data_of(name, folder)
        options: dict[str, Any] = {"normalization": normalization, "resume": resume, "verbose": False}
        work = partial(fit, config_of(name, **how), *sets, folder / run, **options)
        found[f"{run}, resumed" if resume else run] = raised(work)

    stored = StoredDataset(folder / "data", range(19))
    attempt("plain", "batch size", batch_size=3)
    attempt("plain", "parts", accumulate=2)
    attempt("plain", "few models", data=(StoredDataset(folder / "data", range(3)), stored))
    attempt("plain", "differ", lr=1e-3 * (1 + rank))
    attempt("plain", "units differ", normalization=Normalization(data_range=(-1.0 - rank, 1.0)))
    attempt("plain", "repeats differ", data=(endless(14, BATCH, repeats=1 + rank), stored))
    attempt("plain", "seeds differ", data=(endless(14, BATCH, seed=rank), stored))
    slower = SimulatedDataset(SeisInv(shape=SHAPE, velocity=(1500.0 - rank, 4000.0)), SURVEY, 14, batch_size=BATCH)
    attempt("plain", "geology differs", data=(slower, stored))
    attempt("plain", "two/plain")  # holds a run
    with later(rank, 5, lambda loss: loss * torch.nan):
        attempt("plain", "nan")
    bad = StoredDataset(folder / "bad")
    attempt("plain", "bad data", data=(bad, stored), velocity_range=(1500.0, 4000.0))
    if rank == 1:
        left, read = iter(range(6)), stored.read
        # A batch names `pinned`; what looks at single models does not, and is not counted.
        stored.read = lambda *a, **k: ((not k or next(left, None) is not None) and read(*a, **k)) or gone()  # type: ignore[method-assign]
    attempt("plain", "disk", data=(stored, data_of("plain", folder)[1]))
    with later(rank, 5, terminated):
        attempt("dropping", "stopped")
    if rank == 0:
        shutil.copytree(folder / "stopped", folder / "alone")
    attempt("dropping", "stopped", resume=True)
    attempt("dropping", "unstopped")
    attempt("dropping", "joined", resume=True)
    with pytest.MonkeyPatch.context() as patch:  # the second one's clock is ten times as fast
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: time.monotonic() * 10**rank))
        attempt("plain", "minutes", minutes=0.01)
    return found


@contextmanager
def later(rank: int, at: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The second process's loss of the training batch `at`, from 1, is changed."""
    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            with_loss(patch, at, change)
        yield


def terminated(loss: Tensor) -> Tensor:
    """The loss; the process has got a SIGTERM."""
    os.kill(os.getpid(), signal.SIGTERM)
    return loss


def gone() -> Any:  # noqa: ANN401
    """What a disk that is gone does."""
    raise OSError("the disk is gone")


def models_left(folder: Path) -> int:
    """Models in the first batch of a data set that a run has used."""
    train, validation = data_of("frozen simulated", folder)
    fit(config_of("frozen simulated", epochs=1), train, validation, folder / "used", verbose=False)
    return len(next(iter(train))[0])


def killed(folder: Path, rank: int) -> dict[str, Any]:
    """The second process is killed in the second epoch, in a group that the run made."""

    def die(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return loss

    data = data_of("plain", folder)
    with later(rank, 5, die):
        return {"killed": raised(lambda: fit(config_of("plain"), *data, folder / "killed", verbose=False))}


def on_one_gpu(folder: Path, rank: int) -> dict[str, Any]:
    """Both processes on one GPU, which NCCL refuses, so through gloo."""
    del rank
    torch.distributed.init_process_group("gloo")
    for name in ("frozen stored", "sync"):
        config = config_of(name, device="cuda", precision="float32")
        fit(config, *data_of(name, folder), folder / "gpu" / name, verbose=False)
    return {}


if __name__ == "__main__":
    torch.set_num_threads(1)
    _folder, _rank = Path(sys.argv[2]), int(os.environ["RANK"])
    _found = {"curves": curves, "killed": killed, "on_one_gpu": on_one_gpu}[sys.argv[1]](_folder, _rank)
    (_folder / f"{_rank}.json").write_text(json.dumps(_found))
