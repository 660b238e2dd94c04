"""What a person sees while a network trains (a line per epoch, how far and how fast it is), and Ctrl-C."""

from __future__ import annotations

import sys
import time
from types import FrameType, TracebackType
from typing import Any

from seisfast.data.progress import Bar


class Display:
    """Lines and the progress of the run, with its rate in batches per second; silent when not `shown`.

    Args:
        total: all steps of the run, or all seconds of its budget.
        unit: "batches" or "s".
        done: how much of it an earlier start has done.
        shown: False prints nothing.
    """

    def __init__(self, total: float, unit: str, done: float, shown: bool) -> None:
        self._bar = Bar("training", total, done, unit=unit, shown=shown)
        self._done, self._timed = done, unit == "s"
        self._started, self._batches = time.monotonic(), 0

    def update(self, done: float, loss: float) -> None:
        """After a batch: moves the bar to `done` and shows the loss."""
        self._done = done
        self._batches += 1
        rate = self._batches / max(time.monotonic() - self._started, 1e-9)
        self._bar.move(done, f"{rate:.3g} batches/s, loss {loss:.4f}" if self._timed else f"loss {loss:.4f}")

    def validating(self, batch: int, batches: int) -> None:
        """Shows which batch of the validation models is next."""
        self._bar.move(self._done, f"validation batch {batch} of {batches}")

    def line(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(text)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()


class StopSignals:
    """While entered, Ctrl-C and SIGTERM only set `stop`; a second Ctrl-C interrupts at once.

    So a batch is never left half done, and the run can be saved between two of them. While nothing has been trained
    there is nothing to save, and the first signal interrupts.

    Args:
        shown: False prints nothing.

    Attributes:
        stop: a signal came.
        trained: whether there is something to save; who trains sets it.
    """

    def __init__(self, shown: bool = True) -> None:
        self.stop = self.trained = False
        self._shown = shown
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        import signal
        import threading

        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.stop or not self.trained:
            raise KeyboardInterrupt
        self.stop = True
        if self._shown:
            text = "\nstopping as soon as the state is saved; press Ctrl-C again to stop at once"
            print(text, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)
