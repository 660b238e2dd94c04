"""The files of a training run: checkpoints that are whole or absent, and the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from small_data import write_stored
from small_run import parts, small_config

from seisfast.training import checkpoint, fit, read_log


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.replace_file(tmp_path / "file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.replace_file(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*best\.pt"):
        checkpoint.load(tmp_path)
    for name, content in {"empty": b"", "text": b"hello world", "zip": b"PK\x03\x04 nothing"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a checkpoint"):
            checkpoint.load(tmp_path / name)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is not a checkpoint of seisfast"):
        checkpoint.load(tmp_path / "other.pt")
    torch.save({"code": os.system}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"code\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "code.pt")


def test_a_checkpoint_of_a_later_format_is_refused(tmp_path: Path) -> None:
    data = parts(write_stored(tmp_path / "data"))[:2]
    content = checkpoint.load(fit(small_config(epochs=1), *data, tmp_path / "run", verbose=False))
    torch.save({**content, "format": 99, "seisfast": "9.0"}, tmp_path / "new.pt")
    with pytest.raises(ValueError, match=r"written by seisfast 9\.0, which is newer"):
        checkpoint.load(tmp_path / "new.pt")


def test_logs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no training log"):
        read_log(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert [row["epoch"] for row in read_log(log)] == [1, 2]
    log.write_text('{"epoch": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r"line 2 of .* is not JSON"):
        read_log(log)
    log.write_text('{"loss": 1}\n')
    with pytest.raises(ValueError, match=r"line 1 of .* is not a row"):
        read_log(log)
