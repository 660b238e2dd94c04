"""One training step: forward, loss, backward, clipping and Adam; on CUDA captured once and replayed (`graph`).

On the CPU every step is checked before it changes a weight. On CUDA nothing inside a step waits for the device: loss
and gradient norm are read one step late, while the device works on the next one.

A batch can be divided among processes, and each process's share into parts that follow each other. The loss is then
the mean of the parts' losses, weighted by their models, and the gradient that of this mean.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seisfast.data.parts import share
from seisfast.losses import Loss
from seisfast.networks import Network
from seisfast.normalization import Normalization
from seisfast.training import norms
from seisfast.training.distributed import Processes, parallel
from seisfast.training.graph import Launcher


class NotFiniteError(ArithmeticError):
    """A loss or gradient that is not finite.

    Attributes:
        what: "loss" or "gradient".
        value: NaN or infinity.
        number: of the batch, as the step was told.
        reason: what to look at.
        here: whether it comes from this process's share of the batch; all processes raise the error.
    """

    def __init__(self, what: str, value: float, number: int, reason: str, here: bool = True) -> None:
        super().__init__(f"the {what} is {value} in batch {number}; {reason}")
        self.what, self.value, self.number, self.reason, self.here = what, value, number, reason, here


@dataclass(frozen=True)
class StepResult:
    """What a finished step found.

    Attributes:
        number: of the batch, as the step was told.
        models: in the batch, over all processes.
        loss: its loss.
    """

    number: int
    models: int
    loss: float


@dataclass(frozen=True)
class _Pending:
    """A step that was launched but not read: `values` are what `_update` returns, on the host after `ready`.

    The batch is kept so that it can be blamed, and so that its memory is not used again before the device has read it.
    """

    number: int
    models: int
    records: Tensor
    velocity: Tensor
    values: Tensor
    ready: torch.cuda.Event | None


_Check = Callable[..., None]  # of "loss" or "gradient", its value, and this process's share where there are several


class TrainingStep:
    """Updates a network's weights batch by batch.

    Args:
        network: in training mode while steps are made, on its device.
        normalization: units of its input and output.
        loss: of predictions and targets in [0, 1], `[batch, 1, nz, nx]`.
        clip: largest norm of the gradient, None for no limit.
        mixed: run the network under autocast to bfloat16.
        graph: on CUDA, capture the step of a batch of `batch_size` models after three eager ones, and replay it.
            Batches of other sizes run eagerly. A step that cannot be captured stays eager, with one warning. Batches
            that are divided, by `accumulate` or among processes, always run eagerly.
        batch_size: models in a full batch.
        late: read results one step late; None means on CUDA.
        accumulate: parts that this process makes of a batch, or of its share, one after the other.
        processes: among which every batch is divided; None means this one alone.
        sync_norms: batch norms take the statistics of all processes' parts, on plain torch.

    Attributes:
        optimizer: fused Adam; on CUDA with the learning rate in a tensor on the device.
        learning_rate: of the next step.
        captured: whether steps are replayed from a CUDA graph.

    A replay draws dropout's random numbers from torch's generator, as an eager step does; what it draws is counted
    in the generator's state, so that a resumed run goes on with the next ones.
    """

    def __init__(
        self,
        network: Network,
        normalization: Normalization,
        loss: Loss,
        *,
        lr: float,
        clip: float | None = None,
        mixed: bool = False,
        graph: bool = True,
        batch_size: int = 0,
        late: bool | None = None,
        accumulate: int = 1,
        processes: Processes | None = None,
        sync_norms: bool = False,
    ) -> None:
        self.network, self.normalization, self.loss = network, normalization, loss
        self.processes, self.accumulate = processes or Processes(), accumulate
        self._divided = self.processes.size > 1 or accumulate > 1
        self._trained: Any = network
        self._norms: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.processes.size > 1:
            if sync_norms:
                norms.unfuse(network)
                self._norms = norms.Synced(self.processes)
            self._trained = parallel(network, self.processes)
        self.device = next(network.parameters()).device
        self.clip = math.inf if clip is None else clip
        self.mixed = mixed
        self.late = self.device.type == "cuda" if late is None else late
        self.learning_rate = lr
        if self.device.type == "cuda":
            rate = torch.tensor(lr, device=self.device)
            self.optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
        else:
            self.optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
        whole = graph and self.device.type == "cuda" and not self._divided
        self._launch = Launcher(self.optimizer, self.device, batch_size if whole else 0)
        self._pending: _Pending | None = None
        self._places: list[Tensor] = []

    @property
    def captured(self) -> bool:  # noqa: D102 - among the attributes
        return self._launch.captured

    def predict(self, records: Tensor) -> Tensor:
        """Maps in [0, 1], float32, `[batch, 1, nz, nx]`, from raw records `[batch, shots, time, receivers]`."""
        return self._maps(self.network, records)

    def _maps(self, network: nn.Module, records: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            output = network(self.normalization.encode_records(records))
        return self.normalization.output_to_unit(output.float())

    def objective(self, records: Tensor, velocity: Tensor) -> Tensor:
        """The loss, a scalar, of raw records and velocities in m/s."""
        with self._norms:
            maps = self._maps(self._trained, records)
        return self.loss(maps, self.normalization.unit_velocity(velocity))

    def __call__(
        self, records: Tensor, velocity: Tensor, number: int = 0, models: int | None = None
    ) -> list[StepResult]:
        """Makes one step.

        Args:
            records: raw records `[batch, shots, time, receivers]`, on the network's device: this process's share.
            velocity: m/s, `[batch, 1, nz, nx]`, there too.
            number: of the batch, for results and errors.
            models: in the batch, over all processes; None means those given.

        Returns:
            The results that are known now: this step's, or when they are read late the step's before, if any.

        Raises:
            NotFiniteError: a loss or gradient of a result that was to be returned. If it is read late, the weights are
                already spoilt.
        """
        rate = self.optimizer.param_groups[0]["lr"]
        if isinstance(rate, Tensor):
            rate.fill_(self.learning_rate)
        else:
            self.optimizer.param_groups[0]["lr"] = self.learning_rate
        models = len(records) if models is None else models
        if not self.late:
            return [self._checked(records, velocity, number, models)]
        values = self._launch(self._update, records, velocity, models)
        before, self._pending = self._pending, self._fetch(values, records, velocity, number, models)
        return [] if before is None else [self._read(before)]

    def finish(self) -> list[StepResult]:
        """Results that were not returned yet; call it before weights are used or saved.

        Raises:
            NotFiniteError: see `__call__`.
        """
        before, self._pending = self._pending, None
        return [] if before is None else [self._read(before)]

    def optimizer_state(self) -> dict[str, Any]:
        """The optimiser's state_dict with a plain number for the learning rate, for any device."""
        state = self.optimizer.state_dict()
        plain = {"lr": self.learning_rate, "fused": None, "capturable": False}
        return {**state, "param_groups": [{**group, **plain} for group in state["param_groups"]]}

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Undoes `optimizer_state`, on this device; before the first step."""
        own = self.optimizer.param_groups[0]
        kept = {name: own[name] for name in ("lr", "fused", "capturable")}
        groups = [{**group, **kept} for group in state["param_groups"]]
        self.learning_rate = state["param_groups"][0]["lr"]
        self.optimizer.load_state_dict({**state, "param_groups": groups})
        for parameter, moments in self.optimizer.state.items():  # fused Adam goes through memory, not by strides
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = torch.empty_like(parameter).copy_(moments[name])

    def _checked(self, records: Tensor, velocity: Tensor, number: int, models: int) -> StepResult:
        """A step that stops at the first number that is not finite."""
        found = own = 0.0

        def check(what: str, *values: Tensor) -> None:
            nonlocal found, own
            plain = float(values[0])
            if what == "loss":
                found, own = plain, float(values[-1])
            if not math.isfinite(plain):
                raise _not_finite(what, plain, own, number, records, velocity)

        self._update(records, velocity, models, check)
        return StepResult(number, models, found)

    def _update(self, records: Tensor, velocity: Tensor, models: int, check: _Check | None = None) -> Tensor:
        """The step itself; returns loss, norm of the gradient and this process's share of the loss, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, own = (self._divided_gradient if self._divided else self._gradient)(records, velocity, models, check)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        if check is not None:
            check("gradient", norm)
        self.optimizer.step()
        return torch.stack([loss, norm, own])

    def _gradient(self, records: Tensor, velocity: Tensor, models: int, check: _Check | None) -> tuple[Tensor, Tensor]:
        """The gradient of a batch that is not divided; returns its loss, twice."""
        del models
        loss = self.objective(records, velocity)
        found = loss.detach()
        if check is not None:
            check("loss", found)
        loss.backward()
        return found, found

    def _divided_gradient(
        self, records: Tensor, velocity: Tensor, models: int, check: _Check | None
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the mean over the whole batch; returns the mean and this process's share of it.

        Only the last part's backward pass exchanges gradients. The loss is exchanged before it, so that all processes
        stop alike when it is not finite.
        """
        loss = own = torch.zeros((), device=self.device)
        for part in range(self.accumulate):
            places = share(range(len(records)), (part, self.accumulate))
            last = part == self.accumulate - 1
            with contextlib.nullcontext() if last or self.processes.size == 1 else self._trained.no_sync():
                some = slice(places.start, places.stop)
                weighted = self.objective(records[some], velocity[some]) * (len(places) / models)
                own = own + weighted.detach()
                if last:
                    loss = self.processes.sum(own.clone())
                    if check is not None:
                        check("loss", loss, own)
                (weighted * self.processes.size).backward()  # the exchange takes the mean
        return loss, own

    def _fetch(self, values: Tensor, records: Tensor, velocity: Tensor, number: int, models: int) -> _Pending:
        """Starts the copy of a step's values to the host, into one of two places that take turns."""
        if values.device.type != "cuda":
            return _Pending(number, models, records, velocity, values, None)
        if not self._places:
            self._places = [torch.empty(3, pin_memory=True) for _ in range(2)]
        self._places.reverse()
        self._places[0].copy_(values, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(self.device))
        return _Pending(number, models, records, velocity, self._places[0], ready)

    @staticmethod
    def _read(pending: _Pending) -> StepResult:
        if pending.ready is not None:
            pending.ready.synchronize()
        loss, norm, own = pending.values.tolist()
        for what, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                raise _not_finite(what, value, own, pending.number, pending.records, pending.velocity)
        return StepResult(pending.number, pending.models, loss)


def _not_finite(what: str, value: float, own: float, number: int, records: Tensor, velocity: Tensor) -> NotFiniteError:
    """The error of a batch with this process's share of the loss and of the data."""
    for name, values in (("records", records), ("velocities", velocity)):
        if not bool(torch.isfinite(values).all()):
            return NotFiniteError(what, value, number, f"its {name} hold NaN or infinity: check the data")
    reason = "the data are finite, so training diverged: lower lr or clip"
    return NotFiniteError(what, value, number, reason, not math.isfinite(own))
