"""The training loop: epochs of batches, validation, checkpoints, and going on where a run was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seisfast.data.progress import clock
from seisfast.files import replace_file
from seisfast.geology.base import derived_seed
from seisfast.normalization import Normalization
from seisfast.survey import Survey
from seisfast.training import checkpoint, norms
from seisfast.training.config import TrainingConfig, to_yaml
from seisfast.training.distributed import joined
from seisfast.training.feed import Dataset, Feed, shared, starting_normalization
from seisfast.training.log import RunLog
from seisfast.training.memory import freed_memory_kept
from seisfast.training.precision import float32_products, resolve_precision
from seisfast.training.preparation import build_network, build_step, check_alike, check_batches, check_units
from seisfast.training.progress import Display, StopSignals
from seisfast.training.resume import check_same_run, saved_run
from seisfast.training.step import NotFiniteError, StepResult, TrainingStep


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM after its state was saved in `checkpoint`."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.checkpoint = path


@dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the current epoch
    step: int = 0  # finished batches of the run
    loss_sum: float = 0.0  # of the current epoch, each batch weighted by its models
    models: int = 0  # seen in the current epoch
    elapsed: float = 0.0  # seconds
    best_loss: float = math.inf
    best_epoch: int = 0


def fit(
    config: TrainingConfig,
    train: Dataset,
    validation: Dataset,
    run_dir: str | PathLike[str],
    *,
    normalization: Normalization | None = None,
    survey: Survey | None = None,
    resume: bool | Literal["auto"] = False,
    settings: Mapping[str, Any] | None = None,
    verbose: bool = True,
) -> Path:
    """Trains a network and keeps the state with the smallest validation loss.

    The run folder gets best.pt (for prediction), last.pt (to go on), log.jsonl, config.yaml, and a
    tensorboard folder when tensorboard is installed. On the CPU, with the same number of threads, a run that
    was stopped or killed and resumed gives the same network, to the bit, as one that was not, unless
    `config.minutes` is set: then the learning rate follows the clock. On a GPU a resumed run goes on with the same
    models and random numbers, but its sums may be in another order.

    Under torchrun, or with a process group of torch.distributed, every process calls this with the same arguments
    and gets a share of each batch and of the validation models. Only the first one touches the run folder and prints;
    all stop, or fail, together. A run may go on with another number of processes; dropout then draws other random
    numbers, which the seed and the step decide.

    Args:
        config: how to train.
        train: a `StoredDataset`, or a `SimulatedDataset` that makes new models every epoch.
        validation: the same kinds; a simulated one is drawn once and kept in memory.
        run_dir: folder of the run, made when missing.
        normalization: units of the network; left out, the data constants come from the first training
            records. It may not contradict what the configuration says of units.
        survey: of the records, for data sets that do not know their own (OpenFWI's: `Survey.openfwi()`); some changes
            of `config.augmentation` need it. It is kept in the checkpoints.
        resume: True goes on from last.pt, False refuses a folder that holds a run, "auto" does what fits.
        settings: more entries for config.yaml, such as where the data lie.
        verbose: print a line per epoch and show a progress bar on a terminal.

    Returns:
        Path of best.pt.

    Raises:
        FileExistsError: the folder holds a run and `resume` is False.
        FileNotFoundError: `resume` is True and there is no last.pt.
        FloatingPointError: a loss or gradient that is not finite, with the batch; last.pt is the last good
            state.
        Interrupted: after Ctrl-C or SIGTERM, once the state is saved.
        RuntimeError: another process of the run failed, with its rank and error.
        ValueError: training and validation data of different geometry, or that are not finite, batches too small to
            train on, a survey that is not the data's, an augmentation that does not fit the data, a precision that the
            device does not have, or a resumed run with other settings.
    """
    with joined(config.device) as (processes, device):
        feeds = (
            Feed(train, config, device, "train", survey, processes),
            Feed(validation, config, device, "validation", processes=processes),
        )
        with shared((train, validation), processes):
            return _fit(config, feeds, Path(run_dir), normalization, resume, settings, verbose and processes.first)


def _fit(
    config: TrainingConfig,
    feeds: tuple[Feed, ...],
    run: Path,
    normalization: Normalization | None,
    resume: bool | Literal["auto"],
    settings: Mapping[str, Any] | None,
    verbose: bool,
) -> Path:
    """One process's part of `fit`."""
    processes, device = feeds[0].processes, feeds[0].device
    precision = resolve_precision(config.precision, device)
    check_alike(config, feeds, normalization)
    with processes.together("looked at the run folder"):
        saved = saved_run(run, resume) if processes.first else None
    saved = processes.share(saved)
    if feeds[0].geometry != feeds[1].geometry:
        raise ValueError(f"validation must have the geometry of train, {feeds[0].geometry}, got {feeds[1].geometry}")
    if saved is not None:
        check_same_run(saved, config, feeds[0], normalization)
    if normalization is not None:
        check_units(config, normalization)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        float32_products(precision, device),
        freed_memory_kept(device),
        StopSignals(processes.first) as signals,
    ):
        torch.manual_seed(config.seed)
        network = build_network(config, feeds[0])
        check_batches(network, feeds[0], config)
        if saved is not None:
            normalization = Normalization.from_dict(saved["normalization"])
        elif normalization is None:
            normalization = starting_normalization(feeds[0], config, network, verbose)
        else:
            with processes.together("looked at the training data"):
                feeds[0].prepare(verbose)
        step = build_step(config, network.to(device), normalization, precision, processes)
        with processes.together("looked at the validation data"):
            feeds[1].prepare(verbose)
        with processes.together("made the run folder"):
            if processes.first:
                run.mkdir(parents=True, exist_ok=True)
                text = to_yaml({**(settings or {}), **config.to_dict()})
                replace_file(run / "config.yaml", text.encode())
        return _Run(config, step, feeds, run, saved, verbose).train(signals)


class _Run:
    """The state of one call of `fit` and the steps that change it."""

    def __init__(
        self,
        config: TrainingConfig,
        step: TrainingStep,
        feeds: tuple[Feed, ...],
        run: Path,
        saved: dict[str, Any] | None,
        verbose: bool,
    ) -> None:
        self.config, self.step, self.run = config, step, run
        self.network, self.normalization = step.network, step.normalization
        self.train_feed, self.validation_feed = feeds
        self.processes, self.device = step.processes, feeds[0].device
        self.progress = Progress() if saved is None else Progress(**saved["progress"])
        self._started = self._saved_at = time.monotonic()
        self._elapsed_before = self._elapsed = self.progress.elapsed
        self._stop = self._save_due = False
        self._restore_random_state(saved)
        if saved is None:
            self._save(run / checkpoint.LAST)  # so that even a run killed in its first epoch can go on
        else:
            self.network.load_state_dict(saved["model"])
            step.load_optimizer_state(saved["optimizer"])
        with self.processes.together("opened the log"):
            self.log = RunLog(run, self.progress.epoch) if self.processes.first else None
        budget = config.minutes is not None
        self.display = Display(
            60.0 * config.minutes if config.minutes is not None else config.epochs * self.train_feed.batches,
            "s" if budget else "batches",
            self.progress.elapsed if budget else self.progress.step,
            verbose,
        )

    def train(self, signals: StopSignals) -> Path:
        """Epochs until the run is done; returns the path of the best checkpoint."""
        try:
            while not self._done():
                self._train_epoch(signals)
                if not self._stop:
                    self._save(self.run / checkpoint.LAST)  # validation may take long
                    self._finish_epoch(signals)
                if self._stop and not self._done():
                    self._interrupt()
        finally:
            self.display.close()
            if self.log is not None:
                self.log.close()
        return self.run / checkpoint.BEST

    def _train_epoch(self, signals: StopSignals) -> None:
        self.network.train()
        if self.config.frozen_norms:
            norms.freeze(self.network)
        progress = self.progress
        with closing(self.train_feed.epoch(progress.epoch, progress.batch)) as batches:
            while (batch := self._next(batches)) is not None:
                signals.trained = True
                self._make_step(*batch)
                self._agree(signals)
                if self._stop or self._budget_used() >= 1.0:
                    break
                if self._save_due and progress.batch < self.train_feed.batches:
                    self._settle()
                    self._save(self.run / checkpoint.LAST)
        self._settle()

    def _next(self, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor] | None:
        """The next batch, or this process's share of it; None at the end of the epoch."""
        progress = self.progress
        with self.processes.together(f"made batch {progress.batch + 1} of epoch {progress.epoch + 1}"):
            return next(batches, None)

    def _agree(self, signals: StopSignals) -> None:
        """What must be the same in all processes: the first one's clock decides, and a signal to one stops all."""
        now = time.monotonic()
        elapsed, unsaved = self._elapsed_before + now - self._started, now - self._saved_at
        first = float(self.processes.first)
        stops, self._elapsed, unsaved = self.processes.add(float(signals.stop), first * elapsed, first * unsaved)
        self._stop, self._save_due = stops > 0, unsaved >= 60.0 * self.config.checkpoint_minutes

    def _make_step(self, records: Tensor, velocity: Tensor) -> None:
        """One update of the weights, and the results that are known by then."""
        self.step.learning_rate = self._learning_rate()
        with self._stopping_at_nan():
            results = self.step(
                records, velocity, self.progress.batch + 1, self.train_feed.models_of(self.progress.batch)
            )
        self.progress.batch += 1
        self.progress.step += 1
        self._count(results)

    def _settle(self) -> None:
        """Reads what steps have left on the device, so that nothing is saved, or measured, that is not finite.

        Running statistics become the same in all processes.
        """
        with self._stopping_at_nan():
            results = self.step.finish()
        self._count(results)
        if not (self.config.frozen_norms or self.config.sync_norms):
            norms.average(self.network, self.processes)

    def _count(self, results: list[StepResult]) -> None:
        for result in results:
            self.progress.loss_sum += result.loss * result.models
            self.progress.models += result.models
            done = self._elapsed if self.config.minutes is not None else self.progress.step
            self.display.update(done, result.loss)

    @contextmanager
    def _stopping_at_nan(self) -> Iterator[None]:
        try:
            yield
        except NotFiniteError as error:
            found = self.processes.gather((error.here, error.reason))
            rank = next((rank for rank, (here, _) in enumerate(found) if here), None)
            where = "" if rank is None or self.processes.size == 1 else f", in the share of rank {rank}"
            raise FloatingPointError(
                f"the {error.what} is {error.value} in epoch {self.progress.epoch + 1}, batch {error.number} of "
                f"{self.train_feed.batches}{where}; {found[rank or 0][1]}; {self._last_good()}"
            ) from None

    def _validate(self, signals: StopSignals) -> tuple[float, float] | None:
        """Mean loss, and mean absolute error in m/s, over the validation models; None where a signal came before."""
        self.network.eval()
        loss_sum = error_sum = 0.0
        count = 0.0
        low, high = self.normalization.velocity_range
        total = self.validation_feed.batches
        with torch.inference_mode(), closing(self.validation_feed.epoch(0)) as batches:
            for number in range(1, total + 1):
                self.display.validating(number, total)
                with self.processes.together("validated"):
                    for records, velocity in islice(batches, 1):  # there is none where this process has no share
                        prediction = self.step.predict(records)
                        target = self.normalization.unit_velocity(velocity)
                        loss_sum += float(self.step.loss(prediction, target)) * len(records)
                        error_sum += float((prediction - target).abs().mean()) * len(records)
                        count += len(records)
                self._agree(signals)
                if self._stop and number < total:
                    return None
        loss_sum, error_sum, count = self.processes.add(loss_sum, error_sum, count)
        return loss_sum / count, error_sum / count * (high - low)

    def _finish_epoch(self, signals: StopSignals) -> None:
        """Validation, the row of the log, and the checkpoints, in an order that a kill cannot confuse.

        Where a signal ends the validation early, nothing follows. The row comes first: a kill before last.pt is written
        validates the epoch again, and `RunLog` then drops the row.
        """
        progress = self.progress
        found = self._validate(signals)
        if found is None:
            return
        loss, error = found
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss is {loss} after epoch {progress.epoch + 1}; {self._last_good()}"
            )
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "batches": progress.batch,
            "train_loss": progress.loss_sum / progress.models,
            "validation_loss": loss,
            "validation_mae": error,
            "lr": self.step.learning_rate,
            "elapsed": round(self._elapsed, 3),
        }
        with self.processes.together("wrote the log"):
            if self.log is not None:
                self.log.append(row)
        progress.epoch += 1
        progress.batch, progress.models, progress.loss_sum = 0, 0, 0.0
        best = loss < progress.best_loss
        if best:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            self._save(self.run / checkpoint.BEST)
        self._save(self.run / checkpoint.LAST)
        total = "" if self.config.minutes is not None else f"/{self.config.epochs}"
        self.display.line(
            f"epoch {progress.epoch}{total}: training loss {row['train_loss']:.4f}, validation loss "
            f"{loss:.4f}{' (best)' if best else ''}, mean error {error:.0f} m/s, {clock(self._elapsed)}"
        )

    def _interrupt(self) -> None:
        self._save(self.run / checkpoint.LAST)
        where = f"epoch {self.progress.epoch + 1}, after batch {self.progress.batch} of {self.train_feed.batches}"
        path = self.run / checkpoint.LAST
        raise Interrupted(f"stopped in {where}; saved in {path}, resume goes on from there", path)

    def _last_good(self) -> str:
        return f"the last good state is {self.run / checkpoint.LAST}"

    def _done(self) -> bool:
        if self.config.minutes is not None:
            return self._budget_used() >= 1.0 and self.progress.batch == 0 and self.progress.epoch > 0
        return self.progress.epoch >= self.config.epochs

    def _budget_used(self) -> float:
        """Share of the wall-clock budget that is gone; 0 without a budget."""
        return 0.0 if self.config.minutes is None else self._elapsed / (60.0 * self.config.minutes)

    def _learning_rate(self) -> float:
        """Polynomial decay over the steps, or over the wall-clock budget."""
        if self.config.minutes is not None:
            behind = min(self._budget_used(), 1.0)
        else:
            behind = min(self.progress.step / (self.config.epochs * self.train_feed.batches), 1.0)
        return float(self.config.lr * (1.0 - behind) ** self.config.power)

    def _restore_random_state(self, saved: dict[str, Any] | None) -> None:
        """The states of a run that went on with as many processes; else of the seed, the step and the rank.

        The first process of a new run goes on with what made the weights.
        """
        states = [] if saved is None else [saved["random"], *saved.get("random_of_others", [])]
        if len(states) == self.processes.size:
            checkpoint.restore_random_state(states[self.processes.rank], self.device)
        elif states or not self.processes.first:
            seed = derived_seed(self.config.seed, self.progress.step)
            torch.manual_seed(derived_seed(seed, self.processes.rank))

    def _save(self, path: Path) -> None:
        """Writes a checkpoint, which all processes come to."""
        random = self.processes.gather(checkpoint.random_state(self.device))
        with self.processes.together(f"wrote {path}"):
            if self.processes.first:
                self._write(path, random)
        self._saved_at = time.monotonic()

    def _write(self, path: Path, random: list[dict[str, Tensor]]) -> None:
        import seisfast

        self.progress.elapsed = self._elapsed
        content: dict[str, Any] = {
            "seisfast": seisfast.__version__,
            "network": {"name": self.config.network, "options": self.config.network_options,
                        "geometry": self.train_feed.geometry},
            "model": self.network.state_dict(),
            "normalization": self.normalization.to_dict(),
            "survey": self.train_feed.survey,
            "geology": self.train_feed.geology,
            "config": self.config.to_dict(),
            "epoch": self.progress.epoch,
        }  # fmt: skip
        if path.name == checkpoint.LAST:
            content["optimizer"] = self.step.optimizer_state()
            content["progress"] = asdict(self.progress)
            content["random"], *others = random
            if others:
                content["random_of_others"] = others
            content["train_models"] = self.train_feed.models
            content["train_repeats"] = self.train_feed.repeats
            content["train_seed"] = self.train_feed.data_seed
        checkpoint.save(path, content)
