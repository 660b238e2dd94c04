"""The training step on a GPU: replays against eager steps, batches of other sizes, what is not finite, resumed runs.

What can be asked of a CPU too is asked there, of eager steps that are read late: that keeps the helpers honest.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import write_stored
from small_run import damaged, endless, parts, small_config
from small_step import MODELS, batch, make_step, weights_of
from torch import Tensor

from seisfast import engines, losses
from seisfast.data import SimulatedDataset, StoredDataset
from seisfast.normalization import Normalization
from seisfast.training import Interrupted, checkpoint, fit, preparation, read_log
from seisfast.training.feed import Feed
from seisfast.training.graph import WARM_UP
from seisfast.training.precision import float32_products
from seisfast.training.step import NotFiniteError, TrainingStep

GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:the network runs on plain torch"),
]
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
STILL: dict[str, Any] = {"drop_rate": 0.0}
Batches = list[tuple[Tensor, Tensor]]


def on_gpu(test: Any) -> Any:  # noqa: ANN401 - a test
    """Marks a test that has nothing to ask of a CPU."""
    for mark in GPU:
        test = mark(test)
    return test


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Exact float32 on both sides of a comparison, and one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with float32_products("float32", torch.device("cuda" if torch.cuda.is_available() else "cpu")):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stored(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def data(folder: Path) -> tuple[StoredDataset, StoredDataset]:
    return parts(folder)[:2]


def trained(step: TrainingStep, batches: Batches) -> list[float]:
    """The losses of steps with a falling rate."""
    found = []
    for k, (records, velocity) in enumerate(batches):
        step.learning_rate = 1e-3 / (k + 1)
        found += step(records.to(step.device), velocity.to(step.device), number=k + 1)
    found += step.finish()
    assert [result.number for result in found] == list(range(1, len(batches) + 1))
    assert [result.models for result in found] == [len(records) for records, _ in batches]
    return [result.loss for result in found]


def assert_same_training(ours: TrainingStep, theirs: TrainingStep, batches: Batches) -> None:
    """Equal losses, numbers of steps and predictions, to rounding.

    Weights are not compared: where a gradient is zero but for rounding, as that of a bias before a normalisation, Adam
    moves the weight by the whole rate in the direction of the rounding.
    """
    assert trained(ours, batches) == pytest.approx(trained(theirs, batches), rel=1e-3)
    states = [list(step.optimizer_state()["state"].values()) for step in (ours, theirs)]
    assert {float(state["step"]) for one in states for state in one} == {float(len(batches))}
    for name, value in ours.network.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert int(value) == len(batches), "a capture must not count as a step"
    with torch.no_grad():
        maps = [step.predict(batches[0][0].to(step.device)).cpu() for step in (ours, theirs)]
    assert float((maps[0] - maps[1]).abs().max()) < 1e-2


# -- the step ----------------------------------------------------------------------------------------------------------


@DEVICES
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("loss", ["l2", "l2_ssim"])
def test_ten_replayed_steps_equal_eager_ones(loss: str, mixed: bool, device: str) -> None:
    build = losses.build(loss, **({"windows": [3, 5]} if loss == "l2_ssim" else {}))
    ours = make_step(build, device=device, options=STILL, mixed=mixed, late=True)
    theirs = make_step(build, device=device, options=STILL, mixed=mixed, graph=False)
    assert_same_training(ours, theirs, [batch(k) for k in range(10)])
    assert ours.captured == (device == "cuda")
    assert not theirs.captured


@DEVICES
def test_batches_of_other_sizes_run_between_replays(device: str) -> None:
    sizes = [MODELS, 2, MODELS, MODELS, 3, MODELS, 2, MODELS, MODELS, 3]
    ours = make_step(device=device, options=STILL, late=True)
    theirs = make_step(device=device, options=STILL, graph=False)
    assert_same_training(ours, theirs, [batch(k, models) for k, models in enumerate(sizes)])
    assert ours.captured == (device == "cuda")


@DEVICES
def test_dropout_draws_the_same_numbers_replayed_and_eager(device: str) -> None:
    losses_of, states = [], []
    for graph in (True, False):
        step = make_step(device=device, graph=graph, late=True)
        torch.manual_seed(11)
        losses_of.append(trained(step, [batch(0)] * 8))
        states.append(torch.cuda.get_rng_state() if device == "cuda" else torch.get_rng_state())
    assert losses_of[0] == pytest.approx(losses_of[1], rel=1e-3)
    assert torch.equal(*states), "what was drawn is counted"


@DEVICES
def test_every_replay_drops_other_maps(device: str) -> None:
    step = make_step(device=device, late=True)
    step.learning_rate = 0.0
    before = weights_of(step)
    found = []
    for _ in range(WARM_UP + 6):
        found += step(*(part.to(device) for part in batch(0)))
    found += step.finish()
    assert torch.equal(weights_of(step), before), "the rate is read from the device at every replay"
    assert len({result.loss for result in found}) == WARM_UP + 6


@DEVICES
@pytest.mark.parametrize("broken", ["records", "velocity"])
def test_a_replay_that_is_not_finite_is_named_one_step_later(broken: str, device: str) -> None:
    step = make_step(device=device, late=True)
    for k in range(WARM_UP + 3):
        step(*(part.to(device) for part in batch(k)), number=k + 1)
    records, velocity = (part.to(device) for part in batch(20))
    (records if broken == "records" else velocity)[1, 0, 2, 3] = torch.nan
    step(records, velocity, number=50)
    words = "its records hold NaN" if broken == "records" else "its velocities hold NaN"
    with pytest.raises(NotFiniteError, match=f"the loss is nan in batch 50; {words}"):
        step(*(part.to(device) for part in batch(21)), number=51)


@on_gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("graph", [True, False])
def test_no_step_waits_for_the_device(graph: bool) -> None:
    step = make_step(losses.build("l2_ssim", windows=[3, 5]), device="cuda", graph=graph)
    batches = [tuple(part.cuda() for part in batch(k, models)) for k, models in enumerate([4, 4, 4, 4, 2, 4, 2, 4])]
    for records, velocity in batches[:5]:
        step(records, velocity)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for records, velocity in batches[5:]:
            step(records, velocity)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    step.finish()


@on_gpu
def test_a_step_that_cannot_be_captured_stays_eager_and_spoils_nothing() -> None:
    plain = losses.build("l2")

    def waits(prediction: Tensor, target: Tensor) -> Tensor:
        loss = plain(prediction, target)
        return loss * (1.0 if float(loss.detach()) > -1.0 else 2.0)

    ours = make_step(waits, device="cuda")
    theirs = make_step(device="cuda", graph=False)
    batches = [batch(k, models) for k, models in enumerate([4, 4, 4, 4, 2, 4, 4])]
    torch.manual_seed(11)
    with pytest.warns(UserWarning, match="could not be captured as a CUDA graph and runs eagerly: ") as caught:
        found = trained(ours, batches)
    assert len(caught) == 1
    assert "captur" in str(caught[0].message).split(": ", 1)[1]
    assert not ours.captured
    torch.manual_seed(11)
    assert found == pytest.approx(trained(theirs, batches), rel=1e-3)
    later = make_step(device="cuda")
    trained(later, batches)
    assert later.captured, "the next run can be captured"


@on_gpu
def test_a_captured_step_takes_memory_for_no_more_than_one_step_more() -> None:
    peaks = []
    for graph in (False, True):
        options = {"geometry": {"shots": 5, "receivers": 16, "samples": 400}, "width": 0.5}
        step = make_step(device="cuda", graph=graph, options=options)
        records, velocity = (part.cuda() for part in batch(0, shots=5, receivers=16, samples=400))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(WARM_UP + 3):
            step(records, velocity)
        step(records[:2], velocity[:2])
        step.finish()
        peaks.append(torch.cuda.max_memory_allocated())
        del step
    assert peaks[1] < 2.2 * peaks[0] + 2**24, peaks


# -- batches -----------------------------------------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize("kind", ["stored", "simulated on the CPU", "simulated on the GPU"])
@pytest.mark.parametrize("role", ["train", "validation"])
def test_batches_made_ahead_are_those_of_the_cpu(role: str, kind: str, folder: Path) -> None:
    def feed(device: str) -> Feed:
        if kind == "stored":
            data: StoredDataset | SimulatedDataset = StoredDataset(folder)
        else:
            if kind.endswith("GPU") and not engines.has_cuda_engine():
                pytest.skip("this build of seisfast has no CUDA engine")
            plain = endless()
            where = device if kind.endswith("GPU") else "cpu"
            data = SimulatedDataset(plain.geology, plain.survey, 20, seed=0, batch_size=6, device=where)
        return Feed(data, small_config(device=device), torch.device(device), role)

    ours, theirs = feed("cuda"), feed("cpu")
    for number, start in ((0, 0), (1, 1)):
        pairs = list(zip(ours.epoch(number, start), theirs.epoch(number, start), strict=True))
        assert len(pairs) == theirs.batches - start
        for mine, yours in pairs:
            for part, expected in zip(mine, yours, strict=True):
                assert part.is_cuda
                torch.testing.assert_close(part.cpu(), expected, rtol=1e-5, atol=1e-6)


# -- runs --------------------------------------------------------------------------------------------------------------


def watched(monkeypatch: pytest.MonkeyPatch) -> list[TrainingStep]:
    """The steps that `fit` makes from now on."""
    made: list[TrainingStep] = []

    class Watched(TrainingStep):
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(preparation, "TrainingStep", Watched)
    return made


@DEVICES
@pytest.mark.parametrize("network", ["seisinvnet", "convbaseline"])
def test_a_run_learns_and_moves_to_the_cpu(
    network: str,
    device: str,
    data: tuple[StoredDataset, StoredDataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, run = watched(monkeypatch), tmp_path / "run"
    changes: dict[str, Any] = {"lr": 3e-3, "precision": "float32"}
    fit(small_config(network, device=device, epochs=8, **changes), *data, run, verbose=False)
    assert made[0].captured == (device == "cuda")
    rows = read_log(run)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert rows[-1]["step"] == 8 * rows[0]["batches"]
    assert isinstance(checkpoint.load(run / "last.pt")["optimizer"]["param_groups"][0]["lr"], float)
    for where, epochs in (("cpu", 9), (device, 10)):
        fit(small_config(network, device=where, epochs=epochs, **changes), *data, run, resume=True, verbose=False)
    assert [row["epoch"] for row in read_log(run)] == list(range(1, 11))
    assert read_log(run)[-1]["train_loss"] < rows[0]["train_loss"]


@DEVICES
def test_an_interrupted_run_goes_on_with_its_models_and_random_numbers(
    device: str, data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(device=device, epochs=3, precision="float32")
    fit(config, *data, tmp_path / "whole", verbose=False)
    calls = 0

    class Interrupting(TrainingStep):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            nonlocal calls
            calls += 1
            if calls == 6:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "TrainingStep", Interrupting)
        with pytest.raises(Interrupted, match="stopped in epoch 2, after batch 2 of 4"):
            fit(config, *data, tmp_path / "run", verbose=False)
    saved = checkpoint.load(tmp_path / "run" / "last.pt")
    assert (saved["progress"]["batch"], saved["progress"]["models"]) == (2, 12), "everything pending was read"
    fit(config, *data, tmp_path / "run", resume=True, verbose=False)
    ours, theirs = (read_log(tmp_path / name) for name in ("run", "whole"))
    for name in ("train_loss", "validation_loss"):
        assert [row[name] for row in ours] == pytest.approx([row[name] for row in theirs], rel=2e-2)
    states = [checkpoint.load(tmp_path / name / "last.pt")["random"] for name in ("run", "whole")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][kind], states[1][kind]) for kind in states[0])


@DEVICES
def test_data_that_are_not_finite_stop_a_run_before_anything_is_saved(
    device: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as no look at all data beforehand has found."""
    monkeypatch.setattr("seisfast.training.feed.check_finite", lambda *_: None)
    bad = StoredDataset(damaged(folder, tmp_path / "bad", "data", slice(12, 14)))
    config = small_config(device=device, checkpoint_minutes=0.0)
    units = Normalization(data_range=(-2.0, 2.0))
    words = r"the loss is nan in epoch 1, batch [1-5] of 4; its records hold NaN or infinity: check the data; the last"
    with pytest.raises(FloatingPointError, match=words):
        fit(config, bad, parts(folder)[1], tmp_path / "run", normalization=units, verbose=False)
    saved = checkpoint.load(tmp_path / "run" / "last.pt")
    assert all(bool(torch.isfinite(value).all()) for value in saved["model"].values())
    assert not (tmp_path / "run" / "best.pt").exists()


@on_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_precision_holds_for_the_run_only(
    precision: str, data: tuple[StoredDataset, StoredDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if precision == "tf32" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    seen: set[tuple[bool, bool, bool]] = set()

    class Looking(TrainingStep):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            seen.add((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, self.mixed))
            return super().__call__(*args, **kwargs)

    monkeypatch.setattr(preparation, "TrainingStep", Looking)
    torch.backends.cudnn.allow_tf32 = True
    fit(small_config(device="cuda", precision=precision), *data, tmp_path / "run", verbose=False)
    allowed = precision == "tf32"
    assert seen == {(allowed, allowed, precision == "bf16")}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, True)


@on_gpu
def test_runs_warn_of_nothing(data: tuple[StoredDataset, StoredDataset], tmp_path: Path) -> None:
    """Optimizers, streams and captures have advice of their own; a run gives no reason for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the network runs on plain torch")
        fit(small_config(device="cuda", loss="l2_ssim", loss_options={"windows": [3, 5]}), *data, tmp_path / "run")
