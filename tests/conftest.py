"""Shared fixtures: where the third-party data lies, seeds, and the twin out of reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seisfast.ops import derivatives

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the third-party test data; a test that needs it is skipped, with the reason, when it is absent."""
    folder = Path(os.environ.get("SEISFAST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} does not exist (set SEISFAST_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def no_twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The twin is out of reach."""

    def refuse(*_: object) -> None:
        raise AssertionError("the twin was called")

    with monkeypatch.context() as patch:
        patch.setattr(derivatives.twin, "propagate", refuse)
        yield
