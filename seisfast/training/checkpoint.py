"""Checkpoints: what a run needs to go on, and what a prediction needs, in a file that is never half there."""

from __future__ import annotations

import io
import pickle
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from seisfast.files import replace_file

BEST, LAST = "best.pt", "last.pt"
FORMAT = 1
_KEYS = {"format", "seisfast", "network", "model", "normalization", "survey", "geology", "config", "epoch"}


def save(path: str | PathLike[str], content: dict[str, Any]) -> None:
    """Writes a checkpoint; a reader (or a kill) sees the old file or the new one, never a part.

    Args:
        path: the file.
        content: tensors, numbers, text, and dicts and lists of these.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    replace_file(Path(path), buffer.getvalue())


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint to the CPU; nothing in the file is executed.

    Args:
        path: a checkpoint, or a run folder (then its best.pt).

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: a file that is not a checkpoint of this package, or one of a later version.
    """
    file = Path(path) / BEST if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {file}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError) as error:
        reason = (str(error).splitlines() or ["it is cut off"])[0]
        raise ValueError(f"{file} is not a checkpoint: {reason}") from None
    if not isinstance(content, dict) or not set(content) >= _KEYS:
        raise ValueError(f"{file} is not a checkpoint of seisfast")
    if content["format"] > FORMAT:
        raise ValueError(f"{file} was written by seisfast {content['seisfast']}, which is newer than this one")
    return content


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's generators that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Undoes `random_state`; a run that moved to another kind of device keeps that device's generator."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
