"""The converting verb, and SEG-Y files in the verbs that read records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_cli
import torch
from small_cli import ok, png
from small_data import SURVEY, folds
from small_segy import line, noise, segy_file

import seisfast as sf
from seisfast import plot
from seisfast.cli import main
from seisfast.cli.segy import axes_of

pytest.importorskip("segyio", reason="the extra io is not installed")
io = pytest.importorskip("scipy.io", reason="the extra io is not installed")

folder, quiet = small_cli.folder, small_cli.quiet
Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: object) -> str:
    """The one line of a command that must fail."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # what the parser itself refuses
        code = int(stop.code or 0)
    assert code == 2
    (text,) = capsys.readouterr().err.splitlines()
    return text


def test_records_to_segy_and_back(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    record, there, back = folder / "record.npy", tmp_path / "new" / "r.sgy", tmp_path / "r.npy"
    assert "Gathers(2 shots, 8 receivers, 40 samples of 1 ms" in ok(
        capsys, "convert", record, there, "--survey", folder / "survey.json"
    )
    assert f"{back}: [2, 40, 8] of Gathers" in ok(capsys, "convert", there, back)
    np.testing.assert_array_equal(np.load(back), np.load(record))
    ok(capsys, "convert", there, back, "--survey", folder / "data", "--traces", "linear", "--tolerance", 1)
    np.testing.assert_array_equal(np.load(back), np.load(record))
    ok(capsys, "convert", folder / "records.npy", there, "--survey", folder / "data", "--index", 3, "--format", "ibm")
    ok(capsys, "convert", there, back)
    np.testing.assert_allclose(np.load(back), np.load(folder / "records.npy")[3], rtol=9.6e-7)


def test_a_finer_survey_and_a_file_without_positions(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    fine = sf.Survey.from_dict({**SURVEY.to_dict(), "dt": 5e-4, "nt": 80, "wavelet": torch.zeros(80)})
    (tmp_path / "fine.json").write_text(json.dumps(fine.to_dict()))
    records = np.load(folder / "record.npy")
    traces = records.transpose(0, 2, 1).reshape(16, 40)
    segy_file(tmp_path / "bare.SGY", traces, [{}] * 16, interval=0)
    gathers = sf.data.Gathers.of(records, SURVEY)
    described = {"shots": gathers.sources.tolist(), "receivers": gathers.receivers[0].tolist(), "dt": 1e-3}
    (tmp_path / "g.json").write_text(json.dumps(described))
    ok(capsys, "convert", tmp_path / "bare.SGY", tmp_path / "r.npy", "--geometry", tmp_path / "g.json",
       "--survey", tmp_path / "fine.json")  # fmt: skip
    found = np.load(tmp_path / "r.npy")
    assert found.shape == (2, 80, 8)
    np.testing.assert_allclose(found[:, 1::2], records, atol=1e-5 * np.abs(records).max())
    text = refused(capsys, "convert", tmp_path / "bare.SGY", tmp_path / "r.npy")
    assert "bare.SGY says no sample interval" in text
    assert 'give a geometry with {"dt": seconds}' in text


def test_missing_traces_are_told(tmp_path: Path, capsys: Capture) -> None:
    headers = line([50, 180], range(0, 240, 30))
    headers[4][29] = 2
    segy_file(tmp_path / "a.sgy", noise(16), headers)
    assert main(["convert", str(tmp_path / "a.sgy"), str(tmp_path / "a.npy")]) == 0
    captured = capsys.readouterr()
    assert "seisfast: warning: 1 of 16 traces are missing and zero" in captured.err
    assert "1 traces missing" in captured.out
    assert not np.load(tmp_path / "a.npy")[0, :, 4].any()


def test_raw_and_matlab_models(tmp_path: Path, capsys: Capture) -> None:
    model = np.repeat(np.linspace(1.5, 4.5, 20)[:, None], 30, 1) + 0.1 * np.sin(np.arange(30) / 5.0)
    model.T.astype(">f8").tofile(tmp_path / "v.bin")
    io.savemat(tmp_path / "v.mat", {"vp": model.T})
    out = tmp_path / "v.npy"
    options = ["--order", "xz", "--unit", "km/s"]
    text = ok(capsys, "convert", tmp_path / "v.bin", out, "--shape", 20, 30, "--dtype", ">f8", *options)
    assert text == f"{out}: [20, 30], 1400 to 4600 m/s\n"
    expected = (model * 1e3).astype(np.float32)
    np.testing.assert_array_equal(np.load(out), expected)
    out.unlink()
    ok(capsys, "convert", tmp_path / "v.mat", out, "--key", "vp", *options)
    np.testing.assert_array_equal(np.load(out), expected)


def test_a_rough_raw_model(tmp_path: Path, capsys: Capture) -> None:
    steep = folds()
    steep.tofile(tmp_path / "v.bin")
    command = ["convert", tmp_path / "v.bin", tmp_path / "v.npy", "--shape", 40, 400]
    assert "check=False" in refused(capsys, *command)
    ok(capsys, *command, "--check", "false")
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), steep)


def test_matlab_records_and_folders(tmp_path: Path, capsys: Capture) -> None:
    records = np.random.default_rng(0).normal(size=(40, 12, 5))
    model = np.random.default_rng(1).uniform(1.5, 4.5, (6, 9))
    for n in (1, 2, 3):
        io.savemat(tmp_path / f"seismic{n}.mat", {"data": records + n})
        io.savemat(tmp_path / f"vmodel{n}.mat", {"data": model})
    assert (
        ok(capsys, "convert", tmp_path / "seismic2.mat", tmp_path / "r.npy") == f"{tmp_path / 'r.npy'}: [5, 40, 12]\n"
    )
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), (records + 2).transpose(2, 0, 1).astype(np.float32))
    io.savemat(tmp_path / "single.mat", {"data": records[..., 0]})
    ok(capsys, "convert", tmp_path / "single.mat", tmp_path / "single.npy", "--axes", "time receivers shots")
    np.testing.assert_array_equal(np.load(tmp_path / "single.npy"), records[None, ..., 0].astype(np.float32))
    out = tmp_path / "out"
    text = ok(capsys, "convert", tmp_path, out, "--per_file", 2, "--unit", "km/s")
    assert text == f"{out}: 3 models of 5 shots, 40 samples, 12 receivers\n"
    assert len(sf.data.StoredDataset(out)) == 3
    ok(capsys, "convert", tmp_path, tmp_path / "models.npy", "--unit", "km/s")
    assert np.load(tmp_path / "models.npy").shape == (3, 1, 6, 9)


def test_pictures_of_segy_files(folder: Path, tmp_path: Path, capsys: Capture, data_dir: Path) -> None:
    file, picture = tmp_path / "r.sgy", tmp_path / "a.png"
    ok(capsys, "convert", folder / "record.npy", file, "--survey", folder / "survey.json")
    for options in ([], ["--shots", 1, "--survey", folder / "survey.json"]):
        ok(capsys, "plot", "--records", file, *options, "--output", picture)
        assert png(picture)
        picture.unlink()
    axes = axes_of(sf.data.read_segy(file))
    assert axes is not None
    ax = plot.gather(np.load(folder / "record.npy")[1], survey=axes, shot=1)
    assert ax.get_xlabel() == "Receiver (m)"
    assert ax.get_xlim() == pytest.approx((-15.0, 225.0))
    genuine = data_dir / "segy" / "wl4.sgy"
    described = {"shots": [[-0.5, 0]], "receivers": [[0.02 * k, 0] for k in range(64)]}
    (tmp_path / "g.json").write_text(json.dumps(described))
    ok(capsys, "plot", "--records", genuine, "--geometry", tmp_path / "g.json", "--output", picture)
    assert png(picture)
    assert "give a geometry" in refused(capsys, "plot", "--records", genuine, "--output", picture)


def test_predictions_from_segy_files(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    run, file = folder / "runs" / "convbaseline", tmp_path / "r.sgy"
    ok(capsys, "convert", folder / "record.npy", file, "--survey", folder / "survey.json")
    for records in (folder / "record.npy", file):
        ok(capsys, "predict", "--checkpoint", run, "--records", records, "--output", tmp_path / f"{records.suffix}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / ".sgy.npy"), np.load(tmp_path / ".npy.npy"))
    (tmp_path / "g.json").write_text('{"origin": [40, 0]}')
    moved = ["predict", "--checkpoint", run, "--records", file, "--geometry", tmp_path / "g.json"]
    text = refused(capsys, *moved, "--output", tmp_path / "v.npy")
    assert "survey's shot 0 at (x, z) = (50, 10) m has no gather within 5 m" in text
    assert not (tmp_path / "v.npy").exists()
    ok(capsys, *moved, "--tolerance", 40, "--output", tmp_path / "v.npy")


def test_mistakes_are_one_line(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    segy_file(tmp_path / "a.sgy", noise(16, 40), line([50, 180], range(6, 246, 30)))
    np.ones(600, "<f4").tofile(tmp_path / "v.bin")
    io.savemat(tmp_path / "v.mat", {"vmodel": np.full((6, 9), 2000.0)})
    io.savemat(tmp_path / "r.mat", {"Rec": np.ones((40, 12, 5))})
    io.savemat(tmp_path / "single.mat", {"data": np.ones((40, 12))})
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.sgy").write_bytes((tmp_path / "a.sgy").read_bytes()[:-4])
    cases = {
        "{t}/none.sgy {t}/o.npy": "there is no file or folder",
        "{t}/cut.sgy {t}/o.npy": "cut.sgy is truncated",
        "{t}/a.sgy {t}/o.mat": "OUTPUT: the name must end in .npy",
        "{t}/a.sgy {t}/o.npy --shape 3 4": "--shape does not belong to SEG-Y to .npy",
        "{t}/a.sgy {t}/o.npy --tolerance 3": "--tolerance says how traces are matched with a survey, and there is none",
        "{t}/a.sgy {t}/o.npy --survey {f}/survey.json": "has no trace within 5 m of receiver 0 at (x, z) = (0, 10) m",
        "{t}/a.sgy {t}/o.npy --geometry {t}/none.json": "geometry: there is no file",
        "{t}/a.sgy {t}/o.npy --survey {f}/survey.json --traces cubic": "invalid choice: 'cubic'",
        "{f}/record.npy {t}/o.bin": "OUTPUT must end in .sgy or .segy",
        "{f}/record.npy {t}/o.sgy": "--survey is needed",
        "{f}/record.npy {t}/o.sgy --survey openfwi": "[shots, time, receivers] = [5, 1000, 8], got shape [2, 40, 8]",
        "{f}/records.npy {t}/o.sgy --survey {f}/data": "--index is needed: one of the 5 models",
        "{f}/record.npy {t}/o.sgy --survey {f}/data --geometry g.json": "--geometry does not belong to .npy to SEG-Y",
        "{f}/model.npy {t}/o.sgy --survey {f}/data": "must hold [shots, time, receivers]",
        "{t}/v.bin {t}/o.npy": "--shape is needed",
        "{t}/v.bin {t}/o.npy --shape 20 31": "shape=(20, 30) would fit",
        "{t}/v.bin {t}/o.npy --shape 20 30": 'give unit="km/s"',
        "{t}/v.bin {t}/o.npy --shape 20 30 --dtype words": "dtype must be a floating-point type",
        "{t}/v.bin {t}/o.npy --shape 20 30 --unit ft/s": "--unit: not a valid value: ft/s",
        "{t}/v.bin {t}/o.npy --shape 20 30 --key a": "--key does not belong to a raw velocity model",
        "{t}/v.mat {t}/o.npy --key vp": "no variable 'vp'; it has 'vmodel'",
        "{t}/v.mat {t}/o.npy --axes x": "axes must name shots, time, receivers in some order, got 'x'",
        "{t}/single.mat {t}/o.npy": 'records of one shot are read with axes="time receivers shots"',
        "{t}/r.mat {t}/o.npy --check false": "--check does not belong to records in a .mat file",
        "{t}/r.mat {t}/o.npy --unit km/s": "--unit does not belong to records in a .mat file",
        "{t}/r.mat {t}/o.npy --axes t": "axes must name shots, time, receivers in some order, got 't'",
        "{t}/empty {t}/o": "empty holds no records in .mat files",
        "{t}/empty {t}/o.npy": "empty holds no velocity models",
        "{t}/empty {t}/o.zip": "OUTPUT must be a folder, or a .npy file",
        "{t}/empty {t}/o --per_file 0": "per_file must be at least 1, got 0",
        "{f}/survey.json {t}/o.npy": "INPUT must end in .sgy, .segy, .npy, .mat, .bin",
    }
    for command, message in cases.items():
        assert message in refused(capsys, "convert", *command.format(t=tmp_path, f=folder).split())
    others = {
        "plot --records {f}/record.npy --geometry g.json --output {t}/o.png": "--geometry belongs to SEG-Y files",
        "plot --velocity {f}/model.npy --geometry g.json --output {t}/o.png": "--geometry belongs to SEG-Y files",
        "predict --checkpoint {f}/runs/convbaseline --records {f}/record.npy --tolerance 3 --output {t}/o.npy":
            "--tolerance belongs to SEG-Y files (.sgy, .segy), got",
        "predict --checkpoint {f}/runs/convbaseline --records {t}/no.sgy --output {t}/o.npy": "there is no file",
        "plot --records {t}/a.sgy --index 1 --output {t}/o.png": "--index belongs to a batch, and",
    }  # fmt: skip
    for command, message in others.items():
        assert message in refused(capsys, *command.format(t=tmp_path, f=folder).split())
    assert not list(tmp_path.glob("o*")), "nothing is written"
