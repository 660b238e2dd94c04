"""The table: metrics of networks and of the two references, and the data misfit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import SHAPE, SURVEY
from small_run import damaged, parts, stored_and_runs

from seisfast import metrics
from seisfast.data import StoredDataset, progress
from seisfast.evaluation import (
    MEAN_MODEL,
    PROFILE,
    Evaluation,
    data_misfit,
    depth_profile,
    evaluate,
    filled_samples,
    mean_model,
    relative_error,
    velocities,
)
from seisfast.prediction import Predictor, load
from seisfast.propagator import simulate
from seisfast.sensitivity import measure
from seisfast.training import checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_and_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def predictors(folder: Path) -> dict[str, Predictor]:
    runs = {"SeisInvNet": "seisinvnet", "ConvBaseline": "convbaseline"}
    return {name: load(folder / "runs" / run, device="cpu") for name, run in runs.items()}


@pytest.fixture(scope="module")
def result(folder: Path, predictors: dict[str, Predictor]) -> Evaluation:
    train, _, test = parts(folder / "data")
    return evaluate(predictors, test, training=train, misfit=1)


def test_rows_hold_the_metrics_of_the_predictions(
    result: Evaluation, folder: Path, predictors: dict[str, Predictor]
) -> None:
    assert list(result.rows) == ["SeisInvNet", "ConvBaseline", MEAN_MODEL, PROFILE]
    test = parts(folder / "data")[2]
    truth = velocities(test)
    assert torch.equal(result.truth, truth)
    predicted = predictors["ConvBaseline"](torch.stack([test[k][0] for k in range(len(test))]))
    expected = metrics.evaluate(predicted, truth, velocity_range=(1500.0, 4000.0))
    for name, value in expected.items():
        assert result.rows["ConvBaseline"][name] == pytest.approx(value, rel=1e-5), name
    assert result.survey == SURVEY


def test_a_long_evaluation_shows_how_far_it_is(
    folder: Path, predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    test = parts(folder / "data")[2]
    evaluate(predictors, test, misfit=1, progress=True)
    last = [line.rpartition(" in ")[0] for line in capsys.readouterr().err.splitlines() if " in 0:" in line]
    steps = {"check": "2 of 2 models", "predict": "2 of 2 models", "metrics": "2 of 2 rows", "misfit": "2 of 2 models"}
    assert last == [f"{step}: {count}" for step, count in steps.items()]
    predictors["SeisInvNet"](test.read([0, 1])[0], batch_size=1, progress=True)
    told = capsys.readouterr().err.splitlines()
    assert [line[:23] for line in told] == [
        "predict: 1 of 2 models ",
        "predict: 2 of 2 models ",
        "predict: 2 of 2 models ",
    ]
    measure(predictors["SeisInvNet"], test, batch_size=1, progress=True)
    assert "feature maps: 2 of 2 models in 0:" in capsys.readouterr().err
    evaluate(predictors, test)
    assert capsys.readouterr().err == ""


def test_the_references_are_made_of_the_training_models(result: Evaluation, folder: Path) -> None:
    train = velocities(parts(folder / "data")[0]).numpy()
    assert train.shape == (21, *SHAPE)
    np.testing.assert_allclose(result.predictions[MEAN_MODEL][0], train.mean(0), rtol=1e-6)
    profile = result.predictions[PROFILE][0].numpy()
    assert np.array_equal(profile, profile[:, :1].repeat(SHAPE[1], axis=1))
    error = np.abs(train - profile).mean()
    rng = np.random.default_rng(0)
    for _ in range(50):
        other = profile + rng.normal(0.0, 30.0, (SHAPE[0], 1))
        assert np.abs(train - other).mean() >= error
    means = train.mean((0, 2))[:, None]
    assert np.abs(train - means).mean() >= error


def test_the_misfit_simulates_the_predictions(result: Evaluation, folder: Path) -> None:
    test = parts(folder / "data")[2]
    record, velocity = test[0]
    assert data_misfit(velocity, test, SURVEY) == pytest.approx(0.0, abs=1e-6)
    simulated = simulate(result.predictions[MEAN_MODEL][0], SURVEY)
    expected = float((simulated - record).norm() / record.norm())
    assert result.rows[MEAN_MODEL]["misfit"] == pytest.approx(expected, rel=1e-4)
    assert result.misfit_models == 1


def test_the_table_reads_well(result: Evaluation) -> None:
    lines = result.table().splitlines()
    assert lines[0].split() == [
        "MAE",
        "MSE",
        "SSIM",
        "MSSIM",
        "soft",
        "F",
        "MAE",
        "(m/s)",
        "RMSE",
        "(m/s)",
        "data",
        "misfit",
    ]
    assert lines[2].startswith("SeisInvNet ")
    assert lines[5].startswith("best velocity-with-depth profile ")
    assert len({len(line) for line in lines[1:6]}) == 1
    assert f"{result.rows['SeisInvNet']['mae_ms']:.1f}" in lines[2]
    assert any("[0, 1] units (1500 to 4000 m/s), convention 'seisinv'" in line for line in lines)


def test_results_are_saved_as_files(result: Evaluation, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["rows"] == result.rows
    assert (content["preset"], content["models"]) == ("seisinv", len(result.truth))
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(result.rows)
    assert float(rows[0]["ssim"]) == result.rows["SeisInvNet"]["ssim"]
    assert (tmp_path / "out" / "table.txt").read_text() == result.table() + "\n"


def test_without_references_and_with_another_convention(folder: Path, predictors: dict[str, Predictor]) -> None:
    test = parts(folder / "data")[2]
    result = evaluate({"net": folder / "runs" / "seisinvnet"}, test, preset="openfwi")
    same = evaluate({"net": predictors["SeisInvNet"]}, test, preset="openfwi")
    assert same.rows == result.rows
    assert list(result.rows) == ["net"]
    assert "misfit" not in result.columns
    assert "[-1, 1] units" in result.table()
    known = velocities(parts(folder / "data")[0])
    assert list(evaluate(predictors, test, training=known).rows)[2:] == [MEAN_MODEL, PROFILE]


def test_what_is_refused(folder: Path, predictors: dict[str, Predictor], tmp_path: Path) -> None:
    test = parts(folder / "data")[2]
    net = predictors["SeisInvNet"]
    with pytest.raises(ValueError, match="networks must name at least one network"):
        evaluate({}, test)
    with pytest.raises(ValueError, match="must not be named 'mean model'"):
        evaluate({MEAN_MODEL: net}, test)
    with pytest.raises(ValueError, match="misfit must be a number of models, at least 0, got -1"):
        evaluate(predictors, test, misfit=-1)
    with pytest.raises(ValueError, match="preset must be one of seisinv"):
        evaluate(predictors, test, preset="kaggle")
    with pytest.raises(ValueError, match=r"training must hold models of \[20, 24\] cells, got \[9, 9\]"):
        evaluate(predictors, test, training=torch.full((2, 9, 9), 2000.0))
    with pytest.raises(ValueError, match=r"velocity must be \[models, nz, nx\]"):
        evaluate(predictors, test, training=torch.full((20, 24), 2000.0))
    content = checkpoint.load(net.path)
    wide = {**content["normalization"], "velocity_range": [1000.0, 5000.0]}
    checkpoint.save(tmp_path / "wide.pt", {**content, "normalization": wide})
    with pytest.raises(ValueError, match="networks must have the same velocity range"):
        evaluate({"a": net, "b": load(tmp_path / "wide.pt", device="cpu")}, test)
    unnamed = tmp_path / "unnamed"
    unnamed.mkdir()
    for name in ("data1.npy", "model1.npy"):
        np.save(unnamed / name, np.load(folder / "data" / name)[..., :10, :])
    with pytest.raises(ValueError, match=r"geometry that net was trained on, .*'samples': 40.*got .*'samples': 10"):
        evaluate({"net": net}, StoredDataset(unnamed))
    checkpoint.save(tmp_path / "bare.pt", {**content, "survey": None})
    for name in ("data1.npy", "model1.npy"):
        np.save(unnamed / name, np.load(folder / "data" / name))
    with pytest.raises(ValueError, match="misfit needs the survey of the records"):
        evaluate({"net": load(tmp_path / "bare.pt", device="cpu")}, StoredDataset(unnamed), misfit=1)


def test_single_records_can_be_tested(folder: Path, result: Evaluation) -> None:
    test = parts(folder / "data")[2]
    run = folder / "runs" / "seisinvnet"
    known = velocities(parts(folder / "data")[0])
    single = evaluate({"SeisInvNet": run}, [test[0]], training=known, misfit=1)
    assert torch.allclose(single.predictions["SeisInvNet"][0], result.predictions["SeisInvNet"][0], rtol=1e-5)
    assert single.rows[MEAN_MODEL]["misfit"] == pytest.approx(result.rows[MEAN_MODEL]["misfit"], rel=1e-6)
    with pytest.raises(ValueError, match="dataset must hold at least one test model"):
        evaluate({"net": run}, [])
    with pytest.raises(ValueError, match="dataset must hold pairs of a record"):
        evaluate({"net": run}, [(test[0][0], test[0][1][0])])


def test_data_that_do_not_fit_are_refused_before_a_network_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = parts(folder / "data")[2]
    run = load(folder / "runs" / "seisinvnet", device="cpu")
    monkeypatch.setattr(Predictor, "__call__", lambda *_, **__: pytest.fail("a network ran"))
    pairs = [test[k] for k in range(len(test))]
    assert len(pairs) == 2
    for k, what in ((0, "records"), (1, "velocities")):
        broken = [tuple(part.clone() for part in pair) for pair in pairs]
        broken[1][k][0, 3] = torch.nan
        words = f"dataset must hold finite {what}, got NaN or infinity in those of model 1"
        with pytest.raises(ValueError, match=words):
            evaluate({"net": run}, broken)
    damaged(folder / "data", tmp_path / "bad", "data", slice(2, 3))
    words = r"dataset must hold finite records, .* in those of model 2 \(row 2 of data1\.npy\)"
    with pytest.raises(ValueError, match=words):
        evaluate({"net": run}, StoredDataset(tmp_path / "bad"))
    other = (pairs[1][0][:, :-1], pairs[1][1])
    with pytest.raises(ValueError, match=r"pairs of one geometry, \[2, 40, 8\] .* got \[2, 39, 8\] .* in pair 1"):
        evaluate({"net": run}, [pairs[0], other])
    with pytest.raises(ValueError, match=r"training must hold models of \[20, 24\] cells, got \[9, 9\]"):
        evaluate({"net": run}, test, training=torch.full((2, 9, 9), 2000.0))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        evaluate({"net": run}, test, batch_size=0)


def test_the_relative_error_leaves_out_a_sample_that_was_never_written() -> None:
    reference = torch.rand(2, 5, 3)
    error, samples = relative_error(reference * 1.1, reference)
    assert (error, samples) == (pytest.approx(0.1, rel=1e-5), 5)
    released = reference.clone()
    released[:, -1] = 0.0
    error, samples = relative_error(reference, released)
    assert (error, samples) == (pytest.approx(0.0, abs=1e-12), 4)
    released[0, -1, 0] = 1e-9
    assert filled_samples(released) == 5
    with pytest.raises(ValueError, match="records must have the shape of reference"):
        relative_error(reference[:1], reference)
    with pytest.raises(ValueError, match="reference must not be zero everywhere"):
        relative_error(reference, torch.zeros_like(reference))


def test_references_of_a_known_set() -> None:
    models = torch.tensor([[[1.0, 2.0], [5.0, 5.0]], [[3.0, 9.0], [5.0, 6.0]], [[2.0, 2.0], [7.0, 6.0]]])
    torch.testing.assert_close(mean_model(models), torch.tensor([[2.0, 13 / 3], [17 / 3, 17 / 3]]))
    assert torch.equal(depth_profile(models), torch.tensor([[2.0, 2.0], [5.0, 5.0]]))
