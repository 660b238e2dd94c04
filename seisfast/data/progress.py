"""What a person sees while data are written or read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def model_bar(
    doing: str, count: int, ready: int = 0, *, shown: bool = True, unit: str = "models"
) -> Iterator[Callable[[int], object]]:
    """A progress bar over models on a terminal, yielding what moves it on; nothing when tqdm is not installed.

    Args:
        doing: Word before the bar.
        count: All models.
        ready: Models that were ready before.
        shown: False shows nothing.
        unit: What is counted instead of models.
    """
    if not shown:
        yield int
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield int
        return
    with tqdm(total=count, initial=ready, unit=f" {unit}", desc=doing, dynamic_ncols=True, disable=None) as bar:
        yield bar.update
