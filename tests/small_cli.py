"""What the tests of the command line share: files for its options, commands that must succeed, and quiet pictures.

The two fixtures belong to a test file that names them: ``folder, quiet = small_cli.folder, small_cli.quiet``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from small_data import SURVEY
from small_run import stored_and_runs

from seisfast.cli import main


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Pictures in memory only, and one thread: work this small only waits for a second one."""
    mpl.use("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in data/, runs in runs/, and single records and models as files."""
    made = stored_and_runs(tmp_path_factory.mktemp("cli"))
    np.save(made / "records.npy", np.load(made / "data" / "data3.npy"))
    np.save(made / "models.npy", np.load(made / "data" / "model3.npy"))
    np.save(made / "record.npy", np.load(made / "data" / "data3.npy")[0])
    np.save(made / "model.npy", np.load(made / "data" / "model3.npy")[0, 0])
    np.save(made / "turned.npy", np.load(made / "data" / "data3.npy")[0].transpose(0, 2, 1))
    np.save(made / "holes.npy", np.full((2, 40, 8), np.nan))
    np.save(made / "words.npy", np.array(["a", "b"]))
    (made / "text.npy").write_text("not an array")
    (made / "survey.json").write_text(json.dumps(SURVEY.to_dict()))
    (made / "broken.json").write_text("{")
    (made / "list.json").write_text("[]")
    return made


def ok(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Standard output of a command that must succeed."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def png(path: Path) -> bool:
    """Whether a file begins as a picture does."""
    return path.read_bytes().startswith(b"\x89PNG")
