"""Progress: bars with rate and time left on a terminal, lines now and then in the log of a batch job."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from small_data import GEOLOGY, SURVEY

from seisfast.data import StoredDataset, progress, write
from seisfast.data.progress import Bar, clock, model_bar
from seisfast.training.progress import Display


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stderr says that it is a terminal; in the test itself, because pytest changes stderr after the fixtures."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_short_work_leaves_no_line(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with model_bar("simulate", 10) as advance:
        for _ in range(10):
            clocked[0] += 2.9
            advance(1)
    assert capsys.readouterr() == ("", "")


def test_long_work_tells_rate_and_time_left(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with model_bar("simulate", 1200, 200) as advance:
        for _ in range(100):
            clocked[0] += 1.0
            advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "simulate: 500 of 1200 models (42 %), 10 models/s, 0:01:10 left",
        "simulate: 800 of 1200 models (67 %), 10 models/s, 0:00:40 left",
        "simulate: 1100 of 1200 models (92 %), 10 models/s, 0:00:10 left",
        "simulate: 1200 of 1200 models in 0:01:40",
    ]


def test_what_is_not_shown_prints_nothing(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with model_bar("simulate", 2, shown=False) as advance:
        clocked[0] += 99.0
        advance(2)
    Bar("a", 1, shown=False).write("text")
    assert capsys.readouterr() == ("", "")


def test_work_that_stops_says_how_far_it_came(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        with model_bar("check", 50, unit="files") as advance:
            clocked[0] += 31.0
            advance(1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    told, last = capsys.readouterr().err.splitlines()
    assert told == "check: 1 of 50 files (2 %), 0.0323 files/s, 0:25:19 left"
    assert last == "check: 1 of 50 files in 0:00:31"


def test_nothing_done_has_no_time_left(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("wait", 0)
    clocked[0] += 40.0
    bar.move(0)
    assert capsys.readouterr().err == "wait: 0 of 0 models (0 %), 0 models/s\n"


def test_a_bar_on_a_terminal_has_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch)
    bar = Bar("simulate", 40, 10, unit="shots")
    bar.advance(20)
    bar.write("a line")
    bar.move(40, "loss 0.5")
    bar.close()
    shown = capsys.readouterr()
    assert shown.out == "a line\n"
    assert "simulate:  25%|" in shown.err
    assert re.search(r"100%\|.*\| 40/40 shots \[\d\d:\d\d < \d\d:\d\d, *[\d.?]+ shots/s, loss 0.5\]", shown.err)
    assert "of 40 shots" not in shown.err


def test_lines_take_the_place_of_a_bar_without_tqdm(
    clocked: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with model_bar("simulate", 2) as advance:
        clocked[0] += 30.0
        advance(1)
    assert capsys.readouterr().err.startswith("simulate: 1 of 2 models (50 %), 0.0333 models/s, 0:00:30 left\n")


def test_training_shows_rate_and_loss(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(1000, "batches", 400, shown=True)
    for batch in range(401, 501):
        clocked[0] += 0.4
        display.update(batch, 0.25)
    display.line("epoch 5")
    clocked[0] += 30.0
    display.validating(3, 8)
    display.close()
    shown = capsys.readouterr()
    assert shown.out == "epoch 5\n"
    assert shown.err.splitlines()[:2] == [
        "training: 475 of 1000 batches (48 %), 2.5 batches/s, 0:03:30 left, loss 0.2500",
        "training: 500 of 1000 batches (50 %), 1.43 batches/s, 0:05:50 left, validation batch 3 of 8",
    ]


def test_a_budget_shows_batches_per_second(clocked: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(600.0, "s", 60.0, shown=True)
    for _ in range(15):
        clocked[0] += 2.0
        display.update(60.0 + clocked[0] - 100.0, 1.0)
    assert capsys.readouterr().err == ("training: 90 of 600 s (15 %), 0:08:30 left, 0.5 batches/s, loss 1.0000\n")


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 59.6, 3599, 36000)] == ["0:00:00", "0:01:00", "0:59:59", "10:00:00"]


def test_long_loops_show_life(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes long says so in a log, here after no time at all."""
    from seisfast import statistics

    monkeypatch.setattr(progress, "EVERY", 0.0)
    write(GEOLOGY, SURVEY, tmp_path, 6, per_file=3, batch=3)
    assert "simulate: 3 of 6 models (50 %)" in capsys.readouterr().err
    statistics.measure(StoredDataset(tmp_path), progress=True)
    assert "measure: 6 of 6 models in 0:00:00" in capsys.readouterr().err
    statistics.measure(np.ones((2, 3, 3)))
    assert capsys.readouterr().err == ""


def test_what_was_found_took_no_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 of 100 were there, and 10 more took 40 seconds."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bar = Bar("simulate", 100)
    bar.found(80)
    now[0] = 40.0
    bar.advance(10)
    assert capsys.readouterr().err == "simulate: 90 of 100 models (90 %), 0.25 models/s, 0:00:40 left\n"
