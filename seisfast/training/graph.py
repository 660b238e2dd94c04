"""Training steps launched one operation after the other, or captured once as a CUDA graph and replayed."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Update = Callable[[Tensor, Tensor, int], Tensor]  # from records, velocity and the number of models
WARM_UP = 3  # eager steps before the capture, so that every library has its buffers and choices


@dataclass
class _Graph:
    """A captured step and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    records: Tensor
    velocity: Tensor
    values: Tensor


class Launcher:
    """Makes steps on the device without waiting for it; those of full batches are replayed once they were captured.

    Args:
        optimizer: whose steps they are.
        device: where they run.
        batch_size: models in a batch whose step is captured, 0 for none.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, batch_size: int) -> None:
        self.optimizer, self.device, self.batch_size = optimizer, device, batch_size
        self._side = torch.cuda.Stream(device) if batch_size else None
        self._graph: _Graph | None = None
        self._warmed = 0

    @property
    def captured(self) -> bool:
        """Whether there is a graph, which is replayed."""
        return self._graph is not None

    def __call__(self, update: Update, records: Tensor, velocity: Tensor, models: int) -> Tensor:
        """A step by replay, or eagerly; a capture comes in between when its time has come.

        Args:
            update: makes a step and returns its values on the device; always the same, which is not kept.
            records: of the batch, on the device.
            velocity: its models, there too.
            models: in the batch, over all processes.
        """
        if self._side is None or len(records) != self.batch_size:
            return update(records, velocity, models)
        if self._warmed < WARM_UP:
            self._warmed += 1
            here = torch.cuda.current_stream(self.device)
            self._side.wait_stream(here)
            with torch.cuda.stream(self._side):
                values = update(records, velocity, models)
            here.wait_stream(self._side)
            return values
        if self._graph is None:
            self._graph = self._capture(update, records, velocity)
        if self._graph is None:
            return update(records, velocity, models)
        self._graph.records.copy_(records, non_blocking=True)
        self._graph.velocity.copy_(velocity, non_blocking=True)
        self._graph.graph.replay()
        return self._graph.values

    def _capture(self, update: Update, records: Tensor, velocity: Tensor) -> _Graph | None:
        """The graph of a step of this shape, which is not run yet; None, with a warning, if it cannot be captured."""
        inputs = torch.empty_like(records), torch.empty_like(velocity)
        self.optimizer.zero_grad(set_to_none=True)  # so that the gradients get places of the graph's own
        try:
            with _restored_after_failure(self.device), _capturable(self.optimizer):
                graph = torch.cuda.CUDAGraph()
                # Other threads may prepare batches meanwhile: only what this one does counts.
                with torch.cuda.graph(graph, stream=self._side, capture_error_mode="thread_local"):
                    values = update(*inputs, self.batch_size)
        except RuntimeError as error:
            self.batch_size = 0
            self.optimizer.zero_grad(set_to_none=True)
            cause = error.__context__ or error  # ending a capture that broke raises once more
            reason = (str(cause).splitlines() or [type(cause).__name__])[0]
            warnings.warn(
                f"the training step could not be captured as a CUDA graph and runs eagerly: {reason}", stacklevel=2
            )
            return None
        return _Graph(graph, *inputs, values)


@contextlib.contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Lets Adam be captured in here only: it warns about eager steps with this setting, which changes none of them."""
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in optimizer.param_groups:
            group["capturable"] = False


@contextlib.contextmanager
def _restored_after_failure(device: torch.device) -> Iterator[None]:
    """Takes back what a capture that breaks leaves behind: its stream, and a generator that waits for its end."""
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        state = generator.get_state()
        try:
            yield
        except RuntimeError:
            torch.cuda.set_stream(stream)
            fresh = torch.Generator(device)
            fresh.set_state(state)
            generator.graphsafe_set_state(fresh.graphsafe_get_state())
            raise
