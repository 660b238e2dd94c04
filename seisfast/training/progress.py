"""What a person sees while a network trains (a line per epoch, a bar with the time left), and Ctrl-C."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any


class Display:
    """Lines and a progress bar on the terminal; silent when not `shown`.

    Args:
        total: all steps of the run, or all seconds of its budget.
        unit: "batch" or "s".
        done: how much of it an earlier start has done.
        shown: False prints nothing.
    """

    def __init__(self, total: float, unit: str, done: float, shown: bool) -> None:
        self._shown = shown
        self._bar = _bar(total, unit, done) if shown else None

    def update(self, done: float, loss: float) -> None:
        """Moves the bar to `done` and shows the loss of the last batch."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self._bar.update(done - self._bar.n)

    def line(self, text: str) -> None:
        """Prints a line above the bar."""
        if self._bar is not None:
            self._bar.write(text)
        elif self._shown:
            print(text, flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


def _bar(total: float, unit: str, done: float) -> Any:  # noqa: ANN401 - tqdm of an optional package
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    rate = " {n:.0f}/{total:.0f} " + unit + " [{elapsed} < {remaining}{postfix}]"
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar}|" + rate,
    )


class StopSignals:
    """While entered, Ctrl-C and SIGTERM only set `stop`; a second Ctrl-C interrupts at once.

    So a batch is never left half done, and the run can be saved between two of them.

    Args:
        shown: False prints nothing.
    """

    def __init__(self, shown: bool = True) -> None:
        self.stop = False
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
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True
        if self._shown:
            print("\nstopping after this batch; press Ctrl-C again to stop at once", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)
