"""Training runs that stop and go on: killed, interrupted, lengthened; and what a resumed run may not change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import SHAPE, SURVEY, write_stored
from small_run import assert_same_run, damaged, endless, parts, small_config, with_loss
from torch import Tensor

from seisfast.data import SimulatedDataset, StoredDataset, simulated
from seisfast.geology import SeisInv
from seisfast.normalization import Normalization
from seisfast.propagator import simulate
from seisfast.training import Interrupted, checkpoint, fit, read_log
from seisfast.training.progress import StopSignals
from seisfast.training.step import TrainingStep

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def data(folder: Path) -> tuple[StoredDataset, StoredDataset]:
    return parts(folder)[:2]


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from small_run import endless, parts, small_config
from pathlib import Path
from seisfast.training import fit
data = parts(Path(sys.argv[2]))[:2] if sys.argv[4] == "stored" else (endless(), endless(6, seed=1))
fit(small_config(epochs=12, checkpoint_minutes=0.0), *data, sys.argv[3], resume="auto", verbose=False)
"""


@pytest.mark.parametrize("kind", ["stored", "simulated"])
def test_a_killed_run_goes_on_to_the_same_bits(kind: str, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    arguments = [sys.executable, "-c", CHILD, str(ROOT / "tests"), str(folder), str(run), kind]
    child = subprocess.Popen(arguments, cwd=ROOT)
    try:
        wait_for(lambda: (run / "log.jsonl").exists() and len(read_log(run)) >= 2)
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "the child ended before it could be killed"
    assert len(read_log(run)) < 12
    train, validation = parts(folder)[:2] if kind == "stored" else (endless(), endless(6, seed=1))
    config = small_config(epochs=12, checkpoint_minutes=0.0)
    fit(config, train, validation, run, resume=True, verbose=False)
    fit(config, train, validation, tmp_path / "whole", verbose=False)
    assert [row["epoch"] for row in read_log(run)] == list(range(1, 13))
    assert_same_run(run, tmp_path / "whole")


def wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_in_the_middle_of_an_epoch(
    number: signal.Signals,
    data: tuple[StoredDataset, StoredDataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), number)
        return loss

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        with_loss(patch, 6, stop)
        with pytest.raises(Interrupted, match="stopped in epoch 2, after batch 2 of 4") as caught:
            fit(small_config(epochs=3), *data, tmp_path / "run", verbose=False)
    assert signal.getsignal(number) == before
    assert caught.value.checkpoint == tmp_path / "run" / "last.pt"
    assert checkpoint.load(tmp_path / "run" / "last.pt")["progress"]["batch"] == 2
    fit(small_config(epochs=3), *data, tmp_path / "run", resume="auto", verbose=False)
    fit(small_config(epochs=3), *data, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_repeats_its_models_goes_on_in_the_middle_of_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return loss

    config, data = small_config(), (endless(24, repeats=2), endless(6, seed=1))
    with monkeypatch.context() as patch:
        with_loss(patch, 11, stop)
        with pytest.raises(Interrupted, match="stopped in epoch 2, after batch 3 of 8"):
            fit(config, *data, tmp_path / "run", verbose=False)
    with pytest.raises(ValueError, match="uses its models as often, 2 times an epoch, got 1"):
        fit(config, endless(24), data[1], tmp_path / "run", resume=True, verbose=False)
    fit(config, *data, tmp_path / "run", resume=True, verbose=False)
    fit(config, *data, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    row = read_log(tmp_path / "run")[0]
    assert (row["batches"], row["step"]) == (8, 8)


@pytest.mark.parametrize("where", ["in the last batch", "in the validation", "in the last batch of the validation"])
def test_a_stop_at_the_end_of_an_epoch_leaves_the_validation_to_the_resumed_run(
    where: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(loss: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return loss

    train, validation = parts(folder)[0], StoredDataset(folder, range(11, 25))  # 4 and 3 batches
    calls = 0
    plain = TrainingStep.predict

    def predict(step: TrainingStep, records: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == (3 if where.startswith("in the last batch of") else 1):
            assert checkpoint.load(tmp_path / "run" / "last.pt")["progress"]["batch"] == 4, "saved before"
            os.kill(os.getpid(), signal.SIGINT)
        return plain(step, records)

    with monkeypatch.context() as patch:
        if where == "in the last batch":
            with_loss(patch, 4, stop)
        else:
            patch.setattr(TrainingStep, "predict", predict)
        epoch = "2, after batch 0" if where.startswith("in the last batch of") else "1, after batch 4 of 4"
        with pytest.raises(Interrupted, match=f"stopped in epoch {epoch}"):
            fit(small_config(epochs=2), train, validation, tmp_path / "run", verbose=False)
    assert calls == {"in the last batch": 0, "in the validation": 1}.get(where, 3)
    fit(small_config(epochs=2), train, validation, tmp_path / "run", resume=True, verbose=False)
    fit(small_config(epochs=2), train, validation, tmp_path / "whole", verbose=False)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_ctrl_c_before_the_first_step_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def interrupted(*arguments: Any) -> Tensor:  # noqa: ANN401
        nonlocal made
        made += 1
        os.kill(os.getpid(), signal.SIGINT)
        return simulate(*arguments)

    monkeypatch.setattr(simulated, "simulate", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(small_config(), endless(), endless(6, seed=1), tmp_path / "run", verbose=False)
    assert caught.type is KeyboardInterrupt, "nothing was saved"
    assert made == 1


def test_a_second_ctrl_c_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with StopSignals() as signals:
        signals.trained = True
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stop
        assert "stopping as soon as the state is saved; press Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_training_outside_the_main_thread(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    thread = threading.Thread(target=fit, args=(small_config(epochs=1), *data, tmp_path / "run"))
    thread.start()
    thread.join()
    assert (tmp_path / "run" / "best.pt").is_file()


def test_a_finished_run_is_not_trained_again_but_can_be_lengthened(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False)
    written = (tmp_path / "run" / "last.pt").read_bytes()
    fit(small_config(epochs=1), *data, tmp_path / "run", resume="auto", verbose=False)
    assert (tmp_path / "run" / "last.pt").read_bytes() == written
    fit(small_config(epochs=2), *data, tmp_path / "run", resume=True, verbose=False)
    assert [row["epoch"] for row in read_log(tmp_path / "run")] == [1, 2]


def test_an_epoch_that_was_logged_but_not_saved_is_not_logged_twice(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1), *data, run, verbose=False)
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({**read_log(run)[0], "epoch": 2}) + "\n" + '{"epoch": 3, "st')
    fit(small_config(epochs=2), *data, run, resume=True, verbose=False)
    rows = read_log(run)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["step"] == 2 * rows[0]["step"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1.0}, "lr was 0.001 and is 1.0"),
        ({"seed": 3, "batch_size": 5}, "batch_size was 6 and is 5, seed was 0 and is 3"),
        ({"network": "convbaseline"}, "network was 'seisinvnet' and is 'convbaseline'"),
        ({"network_options": {"width": 0.2}}, "network_options was"),
        ({"minutes": 1.0}, "keeps its kind of schedule"),
    ],
)
def test_a_resumed_run_keeps_its_settings(
    changes: dict[str, Any], message: str, data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False)
    with pytest.raises(ValueError, match=message):
        fit(small_config(**{"epochs": 2, **changes}), *data, tmp_path / "run", resume=True, verbose=False)


def test_a_resumed_run_may_change_how_it_runs_and_a_run_of_before_may_go_on(
    data: tuple[StoredDataset, StoredDataset], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small_config(epochs=1), *data, run, verbose=False)
    content = checkpoint.load(run / "last.pt")
    del content["config"]["graph"], content["train_repeats"]  # as versions wrote it that had no such choice
    checkpoint.save(run / "last.pt", content)
    fit(small_config(epochs=2, graph=False, checkpoint_minutes=0.0), *data, run, resume=True, verbose=False)
    assert [row["epoch"] for row in read_log(run)] == [1, 2]


def test_a_resumed_run_keeps_its_data_and_units(
    data: tuple[StoredDataset, StoredDataset], folder: Path, tmp_path: Path
) -> None:
    config, run = small_config(epochs=1), tmp_path / "run"
    fit(config, *data, run, verbose=False)
    with pytest.raises(ValueError, match=r"needs its training data \(21 models"):
        fit(config, StoredDataset(folder, range(9)), data[1], run, resume=True, verbose=False)
    unnamed = StoredDataset(damaged(folder, tmp_path / "copy", "neither", slice(0)), range(21))
    with pytest.raises(ValueError, match="and another survey"):
        fit(config, unnamed, data[1], run, resume=True, verbose=False)
    other = Normalization(data_range=(-1.0, 1.0))
    with pytest.raises(ValueError, match="keeps its normalization"):
        fit(config, *data, run, normalization=other, resume=True, verbose=False)


def test_a_resumed_run_keeps_its_geology_and_its_seed(tmp_path: Path) -> None:
    config, run = small_config(epochs=1), tmp_path / "run"
    validation = endless(6, seed=1)
    fit(config, endless(12), validation, run, verbose=False)
    faster = SimulatedDataset(SeisInv(shape=SHAPE, velocity=(1500.0, 4100.0)), SURVEY, 12, batch_size=6)
    wrong = r"its velocity was \[1500\.0, 4000\.0\] and is \[1500\.0, 4100\.0\]"
    for train, message in ((faster, wrong), (endless(12, seed=5), "which was 0, got 5")):
        with pytest.raises(ValueError, match=message):
            fit(config, train, validation, run, resume=True, verbose=False)
    content = checkpoint.load(run / "last.pt")
    del content["train_seed"]  # as an older version wrote it
    checkpoint.save(run / "last.pt", content)
    fit(config, endless(12, seed=5), validation, run, resume=True, verbose=False)


def test_where_a_run_may_begin(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    config = small_config(epochs=1)
    fit(config, *data, tmp_path / "run", verbose=False)
    with pytest.raises(FileExistsError, match="already holds a run"):
        fit(config, *data, tmp_path / "run", verbose=False)
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        fit(config, *data, tmp_path / "new", resume=True, verbose=False)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match=r'resume must be True, False or "auto"'):
        fit(config, *data, tmp_path / "new", resume="yes", verbose=False)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="run_dir must be a folder"):
        fit(config, *data, tmp_path / "file", verbose=False)
    (tmp_path / "run" / "last.pt").unlink()
    with pytest.raises(FileExistsError, match="holds the log of a run"):
        fit(config, *data, tmp_path / "run", resume="auto", verbose=False)
