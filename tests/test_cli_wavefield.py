"""`seisfast plot wavefield`, and steps between the samples: what reaches `simulate` and the figures, and mistakes."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from small_data import GEOLOGY, SURVEY, small_survey

from seisfast import Every, plot, simulate
from seisfast.cli import main
from seisfast.wavelets import ricker

WAVELETS = torch.stack([(-2.0) ** k * SURVEY.wavelet for k in range(6)]).reshape(3, 2, 1, 40)
SURVEYS = {
    "usual": SURVEY,
    "per_model": small_survey(wavelet=WAVELETS),
    "sample": small_survey(nt=1, wavelet=[1.0]),
    "coarse": small_survey(dt=2e-3, wavelet=ricker(15.0, 2e-3, 100)[26:66]),
    "masked": small_survey(receiver_mask=[[True] * 8, [False] * 8]),
}
MODELS = GEOLOGY(range(3), 4)[:, None]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, the last of them alone, some records, and surveys."""
    made = tmp_path_factory.mktemp("wavefield")
    np.save(made / "models.npy", MODELS)
    np.save(made / "model.npy", MODELS[2, 0])
    np.save(made / "record.npy", np.ones((2, 40, 8), np.float32))
    for name, survey in SURVEYS.items():
        (made / f"{name}.json").write_text(json.dumps(survey.to_dict()))
    return made


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that the command line gives to the last figure."""
    seen: dict[str, Any] = {}

    def watch(name: str) -> None:
        @functools.wraps(getattr(plot, name))
        def watched(*arguments: Any, **options: Any) -> Figure:  # noqa: ANN401
            seen.clear()
            seen.update(options, fields=arguments[0])
            return Figure()

        monkeypatch.setattr(plot, name, watched)

    for name in ("snapshots", "gathers", "comparison"):
        watch(name)
    return seen


def ok(capsys: pytest.CaptureFixture[str], command: str, **places: object) -> str:
    """Standard output of a command that must succeed."""
    code = main(command.format(**places).split())
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def mistake(capsys: pytest.CaptureFixture[str], command: str, **places: object) -> str:
    """The error of a command, the last line."""
    try:
        code = main(command.format(**places).split())
    except SystemExit as stop:  # what the parser itself refuses
        code = stop.code  # type: ignore[assignment]
    assert code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_each_model_has_its_own_wavelet(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: dict[str, Any]
) -> None:
    _, fields = simulate(MODELS[:, 0], SURVEYS["per_model"], snapshots=Every(13))
    command = "plot wavefield --velocity {f}/models.npy --survey {f}/per_model.json --every 13 --output {t}/a.png"
    for index in range(3):
        for shot in range(2):
            ok(capsys, f"{command} --index {index} --shot {shot}", f=folder, t=tmp_path)
            torch.testing.assert_close(drawn["fields"][0], fields[index, shot])
            np.testing.assert_array_equal(drawn["velocity"], MODELS[index, 0])
            assert drawn["survey"].sources.tolist() == SURVEY.sources[shot : shot + 1].tolist()
    line = mistake(capsys, command.replace("models.npy", "model.npy"), f=folder, t=tmp_path)
    assert "--survey must hold wavelets of as many models as --velocity, 1, got 3" in line


def test_a_single_sample_can_be_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "plot wavefield --velocity {f}/model.npy --survey {f}/sample.json --output {t}/a.gif"
    for options in ("", " --every 1"):
        ok(capsys, command + options, f=folder, t=tmp_path)
        with Image.open(tmp_path / "a.gif") as written:
            assert written.format == "GIF"
            assert written.n_frames == 1
    line = mistake(capsys, f"{command} --every 2", f=folder, t=tmp_path)
    assert "--every must lie between 1 and 1 (of 1 samples), got 2" in line


def test_a_shot_without_receivers_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "plot wavefield --velocity {f}/model.npy --survey {f}/masked.json --output {t}/a.png --every 39"
    line = mistake(capsys, f"{command} --shot 1", f=folder, t=tmp_path)
    assert "shot must be one with a receiver that takes part, got 1" in line
    ok(capsys, command, f=folder, t=tmp_path)


# -- steps between the samples -----------------------------------------------------------------------------------------


def test_the_advice_of_an_error_can_be_taken(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: dict[str, Any]
) -> None:
    velocity, survey = MODELS[2, 0], SURVEYS["coarse"]
    record = "simulate --velocity {f}/model.npy --survey {f}/coarse.json --output {t}/d.npy"
    picture = "plot wavefield --velocity {f}/model.npy --survey {f}/coarse.json --every 13 --output {t}/a.png"
    for command in (record, picture):
        assert 'substeps="auto" takes 2 steps per sample' in mistake(capsys, command, f=folder, t=tmp_path)
    for option, substeps in (("auto", "auto"), ("2", 2), ("3", 3)):
        data, fields = simulate(velocity, survey, substeps=substeps, snapshots=Every(13))
        ok(capsys, f"{record} --substeps {option}", f=folder, t=tmp_path)
        np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), data)
        ok(capsys, f"{picture} --substeps {option}", f=folder, t=tmp_path)
        torch.testing.assert_close(drawn["fields"][0], fields[0])
    (tmp_path / "two.yaml").write_text("substeps: 2\n")
    ok(capsys, record.replace("simulate", "simulate --config {t}/two.yaml"), f=folder, t=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), simulate(velocity, survey, substeps=2))


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", "null"])
@pytest.mark.parametrize("verb", ["simulate", "plot wavefield"])
def test_steps_that_are_no_number(
    verb: str, value: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = mistake(
        capsys, f"{verb} --velocity {{f}}/model.npy --substeps {value} --output {{t}}/d", f=folder, t=tmp_path
    )
    assert f"error: --substeps: must be a whole number of at least 1, or auto, got '{value}'" in line
    if verb == "simulate" and value != "null":
        (tmp_path / "steps.yaml").write_text(f"substeps: {value}\n")
        line = mistake(capsys, "simulate --config {t}/steps.yaml", t=tmp_path)
        assert re.search(rf"--substeps: must be a whole number of at least 1, or auto, got '?{value}'?", line), line


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "simulate --geology seisinv --survey seisinv --output {t}/d --substeps auto",
            "--substeps belongs to --velocity",
        ),
        ("plot --velocity {f}/model.npy --output {t}/a.png --substeps 2", "--substeps belongs to the wavefield"),
        ("plot --velocity {f}/model.npy --output {t}/a.png --cmap nosuch", "--cmap must be .* no colour map 'nosuch'"),
        ("plot --records {f}/record.npy --output {t}/a.png --cmap nosuch", "--cmap must be .* no colour map 'nosuch'"),
        ("plot --records {f}/record.npy --output {t}/a.png --perc 101", r"--perc must lie in \(0, 100\], got 101"),
        ("plot --records {f}/models.npy --index 3 --output {t}/a.png", "--index must lie between 0 and 2"),
    ],
)
def test_a_mistake_is_one_clear_line(
    command: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = mistake(capsys, command, f=folder, t=tmp_path)
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == [], "nothing is written"


# -- defaults ----------------------------------------------------------------------------------------------------------


def test_options_left_out_keep_the_defaults_of_the_figures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: dict[str, Any]
) -> None:
    wavefield = "plot wavefield --velocity {f}/model.npy --survey {f}/usual.json --output {t}/a.png"
    commands = {
        wavefield: {"velocity", "survey", "every"},
        f"{wavefield} --perc 90 --title A": {"velocity", "survey", "every", "perc", "title"},
        "plot --records {f}/record.npy --output {t}/a.png": {"survey"},
        "plot --records {f}/record.npy --shots 1 --cmap jet --output {t}/a.png": {"survey", "shots", "cmap"},
        "plot --velocity {f}/model.npy --predicted {f}/model.npy --output {t}/a.png": {"spacing"},
    }
    for command, names in commands.items():
        ok(capsys, command, f=folder, t=tmp_path)
        assert set(drawn) == names | {"fields"}


@pytest.mark.parametrize(
    ("function", "name"),
    [(plot.gathers, "perc"), (plot.snapshots, "perc"), (plot.wavefield, "fps"), (simulate, "substeps")],
)
def test_the_help_tells_the_defaults(
    function: Callable[..., object], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    default = inspect.signature(function).parameters[name].default
    assert re.search(rf"--{name} {name.upper()} [^;]*; {default:g} when left out", text)
