"""What a person sees of long work: a bar with rate and time left on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

EVERY = 30.0  # seconds between two plain lines, so that the log of a batch job shows life and stays short


class Bar:
    """How far work is, how fast it goes and how long it will take, on stderr.

    On a terminal it is a bar of tqdm. Where stderr is a file or a pipe, or tqdm is not installed, it is a line of text
    at most every 30 seconds: shorter work prints nothing, longer work also a last line.

    Args:
        doing: Word before the bar.
        total: All of the work.
        done: What was done before.
        unit: What is counted: plural, such as models; "s" counts seconds, whose rate is not shown.
        shown: False shows nothing.
    """

    def __init__(self, doing: str, total: float, done: float = 0, *, unit: str = "models", shown: bool = True) -> None:
        self._doing, self._total, self._unit, self._shown = doing, total, unit, shown
        self._begun, self._done = done, done
        self._started = self._told = time.monotonic()
        self._lines = False
        self._bar = _terminal_bar(doing, total, done, unit) if shown and sys.stderr.isatty() else None

    def advance(self, count: float) -> None:
        """Moves on by `count`."""
        self.move(self._done + count)

    def move(self, done: float, note: str = "") -> None:
        """Moves to `done`; the note, such as a loss, stands behind."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        if self._bar is None and self._shown and now - self._told >= EVERY:
            self._told, self._lines = now, True
            print(self._line(now - self._started, note), file=sys.stderr, flush=True)

    def found(self, count: float) -> None:
        """Moves on by what was there already: it took no time."""
        self._begun += count
        if self._bar is not None:
            self._bar.initial += count
        self.move(self._done + count)

    def write(self, text: str) -> None:
        """Prints a line on stdout, above the bar."""
        if self._bar is not None:
            self._bar.write(text)
        elif self._shown:
            print(text, flush=True)

    def close(self) -> None:
        """Ends the bar, and the lines where there were some."""
        if self._bar is not None:
            self._bar.close()
        elif self._lines:
            self._lines = False
            spent = clock(time.monotonic() - self._started)
            print(f"{self._doing}: {self._count()} in {spent}", file=sys.stderr, flush=True)

    def _count(self) -> str:
        return f"{self._done:.0f} of {self._total:.0f} {self._unit}"

    def _line(self, elapsed: float, note: str) -> str:
        rate = (self._done - self._begun) / elapsed
        parts = [f"{self._count()} ({100 * self._done / max(self._total, 1e-9):.0f} %)"]
        if self._unit != "s":
            parts.append(f"{rate:.3g} {self._unit}/s")
        if rate > 0:
            parts.append(f"{clock((self._total - self._done) / rate)} left")
        return f"{self._doing}: {', '.join([*parts, *filter(None, [note])])}"


def clock(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextlib.contextmanager
def model_bar(
    doing: str, count: int, ready: int = 0, *, shown: bool = True, unit: str = "models"
) -> Iterator[Callable[[int], object]]:
    """A `Bar` over models, yielding what moves it on.

    Args:
        doing: Word before the bar.
        count: All models.
        ready: Models that were ready before.
        shown: False shows nothing.
        unit: What is counted instead of models.
    """
    bar = Bar(doing, count, ready, unit=unit, shown=shown)
    try:
        yield bar.advance
    finally:
        bar.close()


def _terminal_bar(doing: str, total: float, done: float, unit: str) -> Any:  # noqa: ANN401 - tqdm of an optional package
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    rate = "" if unit == "s" else ", {rate_fmt}"
    numbers = " {n:.0f}/{total:.0f} " + unit + " [{elapsed} < {remaining}" + rate + "{postfix}]"
    return tqdm(
        desc=doing,
        total=total,
        initial=done,
        unit=f" {unit}",
        dynamic_ncols=True,
        bar_format="{desc}: {percentage:3.0f}%|{bar}|" + numbers,
    )
