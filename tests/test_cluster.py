"""A Dask cluster of two processes: datasets, records and gradients divided among them, workers killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from small_data import GEOLOGY, SURVEY, contents, small_survey
from torch import Tensor

from seisfast import cluster
from seisfast.data import StoredDataset, write
from seisfast.geology import SeisInv
from seisfast.propagator import simulate
from seisfast.survey import Survey
from seisfast.wavelets import ricker

if TYPE_CHECKING:
    from distributed import Client

pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    pytest.importorskip("distributed", reason="needs seisfast[dask]")
    with cluster.connected("local:2") as client:
        yield client


def pids(client: Client) -> dict[str, int]:
    return dict(client.run(os.getpid))


class SlowSeisInv(SeisInv):
    """So slow that a worker can be killed while it makes a shard."""

    def __call__(self, *args: object, **kwargs: object) -> Tensor:
        time.sleep(0.05)
        return super().__call__(*args, **kwargs)  # type: ignore[arg-type]


def test_workers_write_the_same_files(client: Client, tmp_path: Path) -> None:
    settings = {"seed": 4, "per_file": 10, "batch": 3, "progress": False}
    write(GEOLOGY, SURVEY, tmp_path / "alone", 45, **settings)
    write(GEOLOGY, SURVEY, tmp_path / "together", 45, scheduler=client, **settings)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


def test_killed_workers_lose_and_repeat_nothing(client: Client, tmp_path: Path) -> None:
    """One of two workers is killed while both write; nanny starts another, and the other one goes on meanwhile."""
    from threading import Thread

    geology, count = SlowSeisInv(shape=GEOLOGY.shape), 120
    client.run(_syncing_every_batch)
    settings = {"per_file": 30, "batch": 2, "progress": False}
    broken = tmp_path / "broken"
    failed: list[BaseException] = []

    def fill() -> None:
        try:
            write(geology, SURVEY, broken, count, scheduler=client, **settings)
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=fill)
    thread.start()
    deadline = time.monotonic() + 60

    def written() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in broken.glob("model*.partial")}

    while time.monotonic() < deadline and len([size for size in written().values() if size > 10_000]) < 2:
        time.sleep(0.01)
    before = {path.name: path.stat().st_ino for path in broken.glob("*.partial")}
    assert len(before) == 4, "both workers write"
    os.kill(next(iter(pids(client).values())), signal.SIGKILL)
    thread.join(60)
    assert not thread.is_alive()
    assert failed == []
    after = {path.name: path.stat().st_ino for path in broken.glob("*.npy")}
    assert all(after[name.removesuffix(".partial")] == inode for name, inode in before.items()), "begun anew"
    write(SeisInv(shape=GEOLOGY.shape), SURVEY, tmp_path / "whole", count, **settings)
    changed = {name: text for name, text in contents(broken).items() if name != "dataset.json"}
    assert changed == {name: text for name, text in contents(tmp_path / "whole").items() if name != "dataset.json"}
    assert len(StoredDataset(broken)) == count


def _syncing_every_batch() -> None:
    from seisfast.data import npy_files

    npy_files.SYNC_SECONDS = 0.0


def test_what_a_worker_raises_is_raised_here(client: Client, tmp_path: Path) -> None:
    quiet = small_survey(wavelet=1e-9 * SURVEY.wavelet)
    with pytest.raises(ValueError, match="dtype must be float32, or the layout zarr"):
        write(GEOLOGY, quiet, tmp_path, 5, dtype="float16", scheduler=client, progress=False)
    assert not (tmp_path / "data1.npy").exists()


def test_workers_that_do_not_see_the_folder(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seisfast.data import cluster as writing
    from seisfast.data.writer import planned

    plan, origin = planned(GEOLOGY, SURVEY, 3, seed=0, per_file=3, batch=3, layout="npy", dtype="float32", device="cpu")
    with pytest.raises(FileNotFoundError, match=r"sees no dataset\.json in .*, which must be on a file"):
        list(writing.made_by_workers(tmp_path, plan, [0], origin, client, int))
    plan.save(tmp_path)
    monkeypatch.setattr("seisfast.__version__", "0.0.1")
    with pytest.raises(RuntimeError, match=r"has seisfast .*, this process 0\.0\.1"):
        list(writing.made_by_workers(tmp_path, plan, [0], origin, client, int))


# records and gradients


def survey_of(shots: int) -> Survey:
    return Survey(
        shape=(20, 24),
        spacing=10.0,
        dt=1e-3,
        nt=60,
        sources=[(1, 3 + 4 * k) for k in range(shots)],
        receivers=[(1, ix) for ix in range(0, 24, 3)],
        wavelet=ricker(20.0, 1e-3, 60),
    )


@pytest.mark.parametrize("parts", [None, 1, 5, 9])
def test_records_and_gradients_are_those_of_one_process(client: Client, parts: int | None) -> None:
    survey = survey_of(5)
    models = GEOLOGY([3, 7]).requires_grad_()
    expected = simulate(models, survey)
    adjoint = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(expected, models, adjoint)
    records = cluster.simulate(models, survey, client, parts=parts)
    assert torch.equal(records, expected)
    (found,) = torch.autograd.grad(records, models, adjoint)
    torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-6 * float(gradient.abs().max()))


def test_misfit_and_gradient_in_one_pass(client: Client) -> None:
    survey = survey_of(4)
    true, start = GEOLOGY([3, 7]).double()
    observed = simulate(true, survey)
    model = start.clone().requires_grad_()
    expected = 0.5 * (simulate(model, survey) - observed).square().sum()
    expected.backward()
    value, gradient = cluster.gradient(start, survey, observed, client)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, model.grad)
    value, _ = cluster.gradient(start, survey, observed, client, misfit=_l1)
    torch.testing.assert_close(value, _l1(simulate(start, survey), observed))


def _l1(simulated: Tensor, observed: Tensor) -> Tensor:
    return (simulated - observed).abs().sum()


def test_work_of_killed_workers_is_given_out_again(client: Client, tmp_path: Path) -> None:
    arguments = [(tmp_path / str(number), number) for number in range(2)]
    assert cluster.run(client, _dies_the_first_time, arguments) == [0, 1]


def _dies_the_first_time(mark: Path, number: int) -> int:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_work_that_always_kills_its_worker_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ATTEMPTS", 1)
    with pytest.raises(RuntimeError, match="part 0 was given out 1 times and its workers died each time"):
        cluster.run(client, _always_dies, [()])


def _always_dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("scheduler", "error", "message"),
    [
        ("local:0", ValueError, 'scheduler must be "local" or "local:4"'),
        ("local:many", ValueError, 'scheduler must be "local" or "local:4"'),
        ("nonsense", ValueError, "scheduler must be .* got 'nonsense'"),
        (8786, TypeError, "scheduler must be a text or a distributed.Client, got int"),
    ],
)
def test_schedulers_that_are_none(scheduler: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), cluster.connected(scheduler):  # type: ignore[arg-type]
        pass


def test_what_a_cluster_cannot_differentiate_is_refused(client: Client) -> None:
    velocity = GEOLOGY([0])[0]
    bent = small_survey(wavelet=SURVEY.wavelet.clone().requires_grad_())
    with pytest.raises(ValueError, match="survey must not require grad"):
        cluster.simulate(velocity, bent, client)
    with pytest.raises(ValueError, match="parts"):
        cluster.simulate(velocity, SURVEY, client, parts=0)
    with pytest.raises(ValueError, match=r"observed must be \[shots, time, receivers\] = \(2, 40, 8\), got \(2, 40\)"):
        cluster.gradient(velocity, SURVEY, torch.zeros(2, 40), client)
