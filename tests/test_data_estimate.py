"""What a dry run says against what is then written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_data import GEOLOGY, SURVEY, small_survey

from seisfast.data import estimate, verify, write
from seisfast.data import estimate as module_function
from seisfast.data.estimate import size, spent

NO_ZARR = pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs Python 3.11")
LAYOUTS = ["npy", pytest.param("zarr", marks=NO_ZARR)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[module_function.__module__], "SECONDS", 0.0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bytes_are_those_that_are_written(tmp_path: Path, layout: str, dtype: str) -> None:
    folder, loud = tmp_path / "set", small_survey(wavelet=1e3 * SURVEY.wavelet)
    settings = {"per_file": 20, "layout": layout, "dtype": dtype}
    found = estimate(GEOLOGY, loud, folder, 50, **settings)
    assert not folder.exists()
    assert (found.count, found.ready, found.shards) == (50, 0, 3)
    write(GEOLOGY, loud, folder, 50, progress=False, **settings)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "." and path.suffix != ".json"]
    written = sum(path.stat().st_size for path in files)
    assert written == pytest.approx(found.bytes, rel=0.1)
    assert found.seconds == pytest.approx(50 / found.rate)


def test_what_is_there_takes_no_time(tmp_path: Path) -> None:
    write(GEOLOGY, SURVEY, tmp_path, 25, per_file=10, progress=False)
    assert estimate(GEOLOGY, SURVEY, tmp_path, 25, per_file=10).ready == 25
    assert estimate(GEOLOGY, SURVEY, tmp_path, 25, per_file=10).seconds == 0
    (tmp_path / "data1.npy").write_bytes(b"")
    assert len(verify(tmp_path, progress=False)) == 1
    assert estimate(GEOLOGY, SURVEY, tmp_path, 25, per_file=10).ready == 15
    with pytest.raises(ValueError, match="other settings: count is 25, asked for 26"):
        estimate(GEOLOGY, SURVEY, tmp_path, 26, per_file=10)


def test_words() -> None:
    assert [spent(seconds) for seconds in (3, 600, 7200, 5 * 86400)] == ["3 s", "10 min", "2.0 h", "5.0 days"]
    assert [size(count) for count in (1500, 2.56e6, 31.2e9, 13e12)] == ["1.5 kB", "2.56 MB", "31.2 GB", "13 TB"]
