"""Training in two processes: the run of one process, divided; what all must notice; and going on with other numbers.

What happens in the processes is in `small_processes`; here it is compared with runs of one process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import write_stored
from small_processes import BATCH, COMPARED, ROOT, config_of, data_of, finished, start
from small_run import damaged
from small_step import batch, make_step

from seisfast.data import StoredDataset, batches
from seisfast.training import TrainingConfig, checkpoint, fit, read_log
from seisfast.training.distributed import Processes, joined
from seisfast.training.feed import Feed
from seisfast.training.graph import WARM_UP

Found = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored data set in data/, one with a broken model 18 in bad/, and a run of one epoch in joined/."""
    where = tmp_path_factory.mktemp("processes")
    damaged(write_stored(where / "data"), where / "bad", "data", slice(18, 19))
    fit(config_of("dropping", epochs=1), *data_of("dropping", where), where / "joined", verbose=False)
    return where


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """What two processes did in `small_processes.curves`."""
    return folder, finished("curves", folder)


def differences(one: Path, other: Path) -> dict[str, float]:
    """Largest relative differences of the losses of two runs, and the largest of their weights."""
    rows = read_log(one), read_log(other)
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    names = ("train_loss", "validation_loss", "validation_mae", "lr")
    result = {name: max(abs(a[name] / b[name] - 1) for a, b in zip(*rows, strict=True)) for name in names}
    models = [checkpoint.load(run / "last.pt")["model"] for run in (one, other)]
    assert models[0].keys() == models[1].keys()
    result["weights"] = max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0])
    return result


# -- the same run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPARED)
def test_two_processes_train_as_one(name: str, found: Found, tmp_path: Path) -> None:
    fit(config_of(name), *data_of(name, found[0]), tmp_path / "one", verbose=False)
    differ = differences(found[0] / "two" / name, tmp_path / "one")
    assert differ["lr"] == 0
    if name.startswith("frozen"):
        assert max(differ.values()) < 1e-5, differ
    elif name == "sync":  # biases before a norm drift by rounding, which the running statistics show
        assert differ["train_loss"] < 1e-5, differ
        assert max(differ["validation_loss"], differ["validation_mae"]) < 1e-2, differ
    else:
        assert 1e-4 < differ["train_loss"] < 0.1, "each process has normalised by the statistics of its own part"


@pytest.mark.parametrize(("kind", "accumulate", "models"), [("stored", 2, 19), ("simulated", 2, 19), ("stored", 3, 14)])
def test_parts_of_a_batch_one_after_the_other_are_the_batch(
    kind: str, accumulate: int, models: int, folder: Path, tmp_path: Path
) -> None:
    train, validation = data_of(f"frozen {kind}", folder)
    if isinstance(train, StoredDataset):
        train = StoredDataset(folder / "data", range(models))
    changes = {"shift": [-2.0, 2.0], "noise": [10.0, 20.0], "missing": [0.0, 0.4]}
    for parts in (1, accumulate):
        config = config_of(f"frozen {kind}", accumulate=parts, augmentation=changes)
        fit(config, train, validation, tmp_path / str(parts), verbose=False)
    assert max(differences(tmp_path / str(accumulate), tmp_path / "1").values()) < 1e-5


@pytest.mark.parametrize(
    ("size", "accumulate", "models", "batches_of", "last"),
    [(1, 1, 15, 2, 7), (1, 1, 16, 3, 2), (2, 1, 17, 2, 7), (2, 1, 18, 3, 4), (1, 3, 19, 2, 7), (1, 3, 20, 3, 6)],
)
def test_a_last_batch_with_under_two_models_for_a_part_is_left_out(
    size: int, accumulate: int, models: int, batches_of: int, last: int, folder: Path
) -> None:
    config, cpu = config_of("plain", accumulate=accumulate), torch.device("cpu")
    feed = Feed(StoredDataset(folder / "data", range(models)), config, cpu, "train", processes=Processes(0, size))
    read = [len(records) for records, _ in feed.epoch(0)]
    assert (feed.batches, len(read), feed.last_batch) == (batches_of, batches_of, last)
    assert [feed.models_of(k) for k in range(batches_of)] == [BATCH] * (batches_of - 1) + [last]
    assert read == [-(-feed.models_of(k) // size) for k in range(batches_of)]


def test_the_shares_of_all_processes_are_the_batches(folder: Path) -> None:
    stored = StoredDataset(folder / "data", range(16))
    how: dict[str, Any] = {"seed": 3, "epoch": 1, "start_batch": 1}
    whole = list(batches(stored, BATCH, **how))
    parts = [list(batches(stored, BATCH, part=(number, 3), **how)) for number in range(3)]
    assert [[len(records) for records, _ in part] for part in parts] == [[3, 1], [2, 1], [2, 0]]
    for k, expected_batch in enumerate(whole):
        for one, expected in zip(zip(*(part[k] for part in parts), strict=True), expected_batch, strict=True):
            assert torch.equal(torch.cat(one), expected)
    with pytest.raises(ValueError, match=r"part must be \(number, parts\) with number < parts, got \(3, 3\)"):
        batches(stored, BATCH, part=(3, 3), **how)


def test_synced_statistics_and_gradients_are_those_of_the_whole_batch(found: Found) -> None:
    for one in found[1]:
        assert set(one["statistics"]) == {"input", "weight", "bias", "mean", "variance"}
        assert max(one["statistics"].values()) < 1e-11


def test_frozen_norms_are_used_as_they_are_and_left_so(folder: Path, tmp_path: Path) -> None:
    config = config_of("frozen stored", epochs=1, batch_size=1, network="inversionnet")
    train, validation = data_of("frozen stored", folder)
    fit(config, train, validation, tmp_path / "run", verbose=False)
    model = checkpoint.load(tmp_path / "run" / "last.pt")["model"]
    for name, value in model.items():
        if "running" in name or "tracked" in name:
            assert torch.equal(value, torch.full_like(value, float("running_var" in name))), name
    assert read_log(tmp_path / "run")[0]["batches"] == 19, "without statistics of a batch, one model is enough"


# -- one writes, all agree ---------------------------------------------------------------------------------------------


def test_the_first_process_writes_and_prints_and_leaves_what_it_was_given(found: Found) -> None:
    folder, (first, second) = found
    assert first["printed"].count("\n") == 3
    assert second["printed"] == ""
    names = {path.name for path in (folder / "two" / "plain").iterdir()}
    assert names == {"best.pt", "last.pt", "log.jsonl", "config.yaml", "tensorboard"}
    assert len(list((folder / "two" / "plain" / "tensorboard").iterdir())) == 1
    assert first["group left"]
    assert second["group left"]
    assert first["models left"] == second["models left"] == BATCH, "the data set is whole again"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("batch size", r"ValueError: batch_size must be at least 4, two models .*\(2 processes, accumulate 1\), got 3"),
        ("parts", r"ValueError: batch_size must be at least 8, .*\(2 processes, accumulate 2\), got 7"),
        ("few models", "ValueError: the number of training models must be at least 4, .* got 3"),
        ("differ", "ValueError: lr must be the same in all processes, got 0.001 with rank 0 and 0.002 with 1"),
        (
            "units differ",
            r"ValueError: normalization must be the same in all processes, got .*-1.0.* with rank 0 and .*-2.0",
        ),
        ("repeats differ", r"ValueError: train must be the same .*'repeats': 1.* with rank 0 and .*'repeats': 2"),
        ("seeds differ", r"ValueError: train must be the same .*'seed': 0.* with rank 0 and .*'seed': 1"),
        ("geology differs", r"ValueError: the geology of train must be the same .*1500.0.* with rank 0 and .*1499.0"),
        ("nan", r"FloatingPointError: the loss is nan in epoch 2, batch 2 of 3, in the share of rank 1; .* diverged"),
    ],
)
def test_what_all_processes_refuse_or_stop_at(what: str, words: str, found: Found) -> None:
    for one in found[1]:
        assert re.match(words, one["raised"][what])
    assert (found[0] / what).exists() == (what == "nan")


@pytest.mark.parametrize(
    ("what", "rank", "own", "doing"),
    [
        ("two/plain", 0, r"FileExistsError: .* already holds a run", "looked at the run folder"),
        ("bad data", 1, r"ValueError: train must hold finite records, .* model 18", "looked at the training data"),
        ("disk", 1, "OSError: the disk is gone", "made batch 1 of epoch 2"),
    ],
)
def test_a_failure_of_one_process_is_told_to_all(what: str, rank: int, own: str, doing: str, found: Found) -> None:
    messages = [one["raised"][what] for one in found[1]]
    assert re.match(own, messages[rank])
    assert re.match(f"RuntimeError: the process of rank {rank} failed while it {doing}: {own}", messages[1 - rank])


def test_a_signal_to_one_process_stops_all_and_the_run_goes_on_to_the_same_weights(found: Found) -> None:
    folder = found[0]
    for one in found[1]:
        assert re.match("Interrupted: stopped in epoch 2, after batch 2 of 3; saved", one["raised"]["stopped"])
        assert [one["raised"][name] for name in ("stopped, resumed", "unstopped")] == ["nothing"] * 2
    assert max(differences(folder / "stopped", folder / "unstopped").values()) < 1e-6
    stopped, unstopped = (checkpoint.load(folder / name / "last.pt") for name in ("stopped", "unstopped"))
    for name, value in stopped["model"].items():  # running statistics were averaged once more, and rounded
        assert "running" in name or torch.equal(value, unstopped["model"][name]), name
    states = [[saved["random"], *saved["random_of_others"]] for saved in (stopped, unstopped)]
    for rank in range(2):
        assert torch.equal(states[0][rank]["cpu"], states[1][rank]["cpu"]), "random numbers go on in every process"
    assert not torch.equal(states[0][0]["cpu"], states[0][1]["cpu"]), "each has its own"


def test_the_first_process_has_the_clock(found: Found) -> None:
    rows = read_log(found[0] / "minutes")
    assert rows[-1]["elapsed"] >= 0.6
    assert [one["raised"]["minutes"] for one in found[1]] == ["nothing"] * 2


def test_a_run_goes_on_with_another_number_of_processes(found: Found) -> None:
    folder = found[0]
    assert [one["raised"]["joined, resumed"] for one in found[1]] == ["nothing"] * 2  # from one to two
    assert [row["epoch"] for row in read_log(folder / "joined")] == [1, 2, 3]
    saved = checkpoint.load(folder / "alone" / "last.pt")
    assert (saved["progress"]["batch"], len(saved["random_of_others"])) == (2, 1)
    config = config_of("dropping", accumulate=2)  # a single process may need smaller parts
    fit(config, *data_of("dropping", folder), folder / "alone", resume=True, verbose=False)
    rows = [read_log(folder / name) for name in ("alone", "unstopped")]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    assert "random_of_others" not in checkpoint.load(folder / "alone" / "last.pt")


def test_a_killed_process_ends_the_others_and_the_run_can_go_on(folder: Path) -> None:
    processes = start("killed", folder)
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], ends
    assert "RuntimeError: another process of this run ended, or" in (folder / "0.json").read_text()
    assert checkpoint.load(folder / "killed" / "last.pt")["progress"]["epoch"] == 1
    fit(config_of("plain"), *data_of("plain", folder), folder / "killed", resume=True, verbose=False)
    assert [row["epoch"] for row in read_log(folder / "killed")] == [1, 2, 3]


def test_torchrun_trains_from_the_command_line_and_passes_signals_on(folder: Path, tmp_path: Path) -> None:
    from seisfast.cli import main

    run = tmp_path / "run"
    options = {"data": folder / "data", "run": run, "epochs": 100000, "network": "convbaseline", "loss": "l2"}
    options |= {"network_options.width": 0.05, "batch_size": 6}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "--", "seisfast", "train", *(f"--{name}={value}" for name, value in options.items())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60.0
    while not (run / "log.jsonl").exists() or len(read_log(run)) < 2:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    printed, errors = child.communicate(timeout=60)
    epochs = len(read_log(run))
    assert child.returncode != 0
    assert printed.count("epoch 1/100000") == 1
    assert errors.count(f"go on with: torchrun --nproc-per-node 2 -m -- seisfast train --config {run}") == 1
    assert checkpoint.load(run / "last.pt")["progress"]["epoch"] == epochs
    assert main(["train", "--config", str(run / "config.yaml"), "--resume", "--epochs", str(epochs + 1)]) == 0
    assert [row["epoch"] for row in read_log(run)] == list(range(1, epochs + 2))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number, as torchrun sets it, got 'two'"),
        ({"WORLD_SIZE": "2", "MASTER_PORT": "1"}, "RANK, MASTER_ADDR must be set beside WORLD_SIZE=2"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK must be below WORLD_SIZE=2, got 2",
        ),
    ],
)
def test_an_environment_that_is_not_whole_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), joined("cpu"):
        pass


def test_a_single_process_of_torchrun_makes_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined("cpu") as (processes, device):
        assert processes == Processes(0, 1, None, None)
        assert device == torch.device("cpu")
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"accumulate": 0}, ValueError, "accumulate must be an integer of at least 1, got 0"),
        ({"accumulate": 1.5}, TypeError, "accumulate must be an integer"),
        ({"frozen_norms": 1}, TypeError, "frozen_norms must be True or False, got 1"),
        ({"sync_norms": "yes"}, TypeError, "sync_norms must be True or False, got 'yes'"),
        ({"frozen_norms": True, "sync_norms": True}, ValueError, "sync_norms must be False with frozen_norms"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        TrainingConfig(**changes)


def test_frozen_norms_belong_to_the_run(folder: Path, tmp_path: Path) -> None:
    data = data_of("plain", folder)
    fit(config_of("plain", epochs=1), *data, tmp_path / "run", verbose=False)
    with pytest.raises(ValueError, match="frozen_norms was False and is True"):
        fit(config_of("plain", frozen_norms=True), *data, tmp_path / "run", resume=True, verbose=False)
    config = config_of("plain", epochs=2, accumulate=2, sync_norms=True)
    fit(config, *data, tmp_path / "run", resume=True, verbose=False)


# -- GPUs --------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_step_of_a_divided_batch_is_not_captured() -> None:
    step = make_step(device="cuda", accumulate=2)
    for k in range(WARM_UP + 2):
        step(*(part.cuda() for part in batch(k)))
    step.finish()
    assert not step.captured


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_two_processes_on_a_gpu_train_as_one(folder: Path, tmp_path: Path) -> None:
    finished("on_one_gpu", folder, LOCAL_RANK="0")
    for name in ("frozen stored", "sync"):
        config = config_of(name, device="cuda", precision="float32", accumulate=2 if name == "frozen stored" else 1)
        fit(config, *data_of(name, folder), tmp_path / name, verbose=False)
        differ = differences(folder / "gpu" / name, tmp_path / name)
        assert differ["train_loss"] < 1e-3, differ
