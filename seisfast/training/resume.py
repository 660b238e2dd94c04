"""Whether a run may start or go on in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from seisfast.normalization import Normalization
from seisfast.training import checkpoint
from seisfast.training.config import TrainingConfig
from seisfast.training.feed import Feed
from seisfast.training.log import LOG_NAME

# What a resumed run may change: its length, and how it runs on the machines that it finds.
_CHANGEABLE = ("epochs", "minutes", "device", "graph", "checkpoint_minutes", "accumulate", "sync_norms")


def saved_run(run: Path, resume: bool | Literal["auto"]) -> dict[str, Any] | None:
    """The content of last.pt when the run goes on, None when it begins.

    Raises:
        FileExistsError: the folder holds a run, but `resume` is False.
        FileNotFoundError: there is no run, but `resume` is True.
        ValueError: `resume` is something else.
    """
    if resume not in (True, False, "auto"):
        raise ValueError(f'resume must be True, False or "auto", got {resume!r}')
    if run.exists() and not run.is_dir():
        raise FileExistsError(f"run_dir must be a folder, {run} is a file")
    last = run / checkpoint.LAST
    if last.is_file():
        if resume is False:
            raise FileExistsError(f"{run} already holds a run; resume it or choose another folder")
        return checkpoint.load(last)
    if resume is True:
        raise FileNotFoundError(f"there is no run to resume in {run}: {last} is missing")
    if (run / LOG_NAME).exists():
        raise FileExistsError(f"{run} holds the log of a run without its {checkpoint.LAST}; choose another folder")
    return None


def check_same_run(
    saved: dict[str, Any], config: TrainingConfig, feed: Feed, normalization: Normalization | None
) -> None:
    """Refuses to go on with other settings, data or units than those of the run.

    Raises:
        ValueError: naming what differs.
    """
    before = {**TrainingConfig().to_dict(), **saved["config"]}  # what a version of before did not have was off
    now = config.to_dict()
    changed = [name for name in now if name not in _CHANGEABLE and before[name] != now[name]]
    if changed:
        text = ", ".join(f"{name} was {before[name]!r} and is {now[name]!r}" for name in changed)
        raise ValueError(f"a resumed run keeps its settings, but {text}")
    if (before["minutes"] is None) != (config.minutes is None):
        raise ValueError("a resumed run keeps its kind of schedule: epochs or minutes")
    geometry = saved["network"]["geometry"]
    if geometry != feed.geometry or saved["survey"] != feed.survey or saved["train_models"] != feed.models:
        raise ValueError(
            f"a resumed run needs its training data ({saved['train_models']} models, {geometry}), "
            f"got {feed.models} models, {feed.geometry}"
            f"{'' if saved['survey'] == feed.survey else ', and another survey'}"
        )
    if saved["geology"] != feed.geology:
        raise ValueError(f"a resumed run keeps its geology, but {_difference(saved['geology'], feed.geology)}")
    seed = saved.get("train_seed", feed.data_seed)  # which an older version did not keep
    if seed != feed.data_seed:
        raise ValueError(f"a resumed run keeps the seed of its training data, which was {seed}, got {feed.data_seed}")
    repeats = saved.get("train_repeats", 1)
    if repeats != feed.repeats:
        raise ValueError(f"a resumed run uses its models as often, {repeats} times an epoch, got {feed.repeats}")
    if normalization is not None and normalization != Normalization.from_dict(saved["normalization"]):
        raise ValueError("a resumed run keeps its normalization, but another one was given")


def _difference(before: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """What differs between two descriptions of a geology."""
    if before is None or now is None:
        return f"it was {before and before['name']} and is {now and now['name']}"
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"its {name} was {before.get(name)!r} and is {now.get(name)!r}" for name in names)
