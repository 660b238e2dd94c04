"""The log of a run: one JSON line per epoch, and the same numbers for TensorBoard when it is installed."""

from __future__ import annotations

import json
import os
from os import PathLike
from pathlib import Path
from typing import Any

from seisfast.files import replace_file

LOG_NAME = "log.jsonl"


def read_log(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a log, one per finished epoch.

    Args:
        path: a run folder or its log.jsonl. A last line that was cut off while it was written is left out.

    Raises:
        FileNotFoundError: no log there.
        ValueError: a line that is not a row, with its number.
    """
    file = Path(path) / LOG_NAME if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no training log at {file}")
    *whole, _ = file.read_text(encoding="utf-8").split("\n")  # a finished line ends with a newline
    rows = []
    for number, line in enumerate(whole, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} of {file} is not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
            raise ValueError(f"line {number} of {file} is not a row of a training log")
        rows.append(row)
    return rows


class RunLog:
    """Appends rows to log.jsonl; each is on disk when `append` returns.

    Args:
        folder: the run folder.
        epoch: epochs that the checkpoint holds; rows of later ones (written just before a kill) are dropped,
            because those epochs are run again.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._path = folder / LOG_NAME
        kept = [row for row in read_log(folder) if row["epoch"] <= epoch] if self._path.exists() and epoch else []
        replace_file(self._path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._board = _tensorboard(folder, epoch)

    def append(self, row: dict[str, Any]) -> None:
        """Writes one epoch's row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._board is not None:
            for name in ("train_loss", "validation_loss", "validation_mae", "lr"):
                self._board.add_scalar(name, row[name], row["epoch"])
            self._board.flush()

    def close(self) -> None:
        """Ends the TensorBoard file."""
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path, epoch: int) -> Any:  # noqa: ANN401 - SummaryWriter of an optional package
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=epoch + 1 if epoch else None)
