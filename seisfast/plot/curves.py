"""Loss curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from seisfast.plot.axes import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def losses(
    logs: str | PathLike[str] | Mapping[str, str | PathLike[str]],
    *,
    against: str = "epoch",
    ax: Axes | None = None,
) -> Axes:
    """Loss curves of one or several runs: training dashed, validation solid, a dot on the best epoch.

    Args:
        logs: a run folder or its log.jsonl, or name -> one of these.
        against: "epoch" or "minutes" (of training time) across.
        ax: where to draw; a new figure when left out.

    Raises:
        ValueError: an unknown `against`, or a log without a finished epoch.
        FileNotFoundError: no log there.
    """
    from seisfast.training.log import read_log

    if against not in ("epoch", "minutes"):
        raise ValueError(f'against must be "epoch" or "minutes", got {against!r}')
    named = {"": logs} if isinstance(logs, (str, PathLike)) else dict(logs)
    runs = {name: read_log(path) for name, path in named.items()}
    for name, rows in runs.items():
        if not rows:
            raise ValueError(f"the log of {named[name]} holds no finished epoch yet")
    ax = new_axes((6.0, 4.0)) if ax is None else ax
    lowest = math.inf
    for name, rows in runs.items():
        across = [row["epoch"] if against == "epoch" else row["elapsed"] / 60.0 for row in rows]
        valid = [row["validation_loss"] for row in rows]
        train = [row["train_loss"] for row in rows]
        prefix = f"{name}, " if name else ""
        (line,) = ax.plot(across, valid, label=f"{prefix}validation")
        ax.plot(across, train, linestyle="--", alpha=0.6, color=line.get_color(), label=f"{prefix}training")
        best = int(np.argmin(valid))
        ax.plot(across[best], valid[best], "o", color=line.get_color())
        lowest = min(lowest, *valid, *train)
    if lowest > 0:
        ax.set_yscale("log")
    ax.set(xlabel="Epoch" if against == "epoch" else "Training time (minutes)", ylabel="Loss")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax
