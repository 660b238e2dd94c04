"""Prediction: records of the right geometry in, m/s out; everything else is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import SHAPE, SURVEY
from small_run import parts, stored_and_runs

from seisfast.prediction import Predictor, load
from seisfast.training import checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_and_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return load(folder / "runs" / "seisinvnet", device="cpu")


@pytest.fixture(scope="module")
def records(folder: Path) -> torch.Tensor:
    test = parts(folder / "data")[2]
    return torch.stack([test[k][0] for k in range(len(test))])


def test_a_predictor_knows_what_it_was_trained_on(predictor: Predictor, folder: Path) -> None:
    assert predictor.name == "SeisInvNet"
    assert predictor.path == folder / "runs" / "seisinvnet" / "best.pt"
    assert predictor.geometry == {"shots": 2, "receivers": 8, "samples": 40, "shape": SHAPE}
    assert predictor.survey == SURVEY
    assert predictor.config["batch_size"] == 6
    assert not predictor.network.training


def test_velocities_in_metres_per_second(predictor: Predictor, records: torch.Tensor) -> None:
    velocity = predictor(records)
    assert velocity.shape == (len(records), *SHAPE)
    assert velocity.dtype == torch.float32
    assert float(velocity.min()) >= 1500.0
    assert float(velocity.max()) <= 4000.0
    torch.testing.assert_close(predictor(records[0]), velocity[0], rtol=1e-5, atol=0.0)


def test_every_way_to_give_records_gives_the_same(predictor: Predictor, records: torch.Tensor) -> None:
    velocity = predictor(records)
    assert torch.equal(predictor(records.numpy()), velocity)
    assert torch.equal(predictor(np.asfortranarray(records.numpy())), velocity)
    assert torch.equal(predictor(records.double()), velocity)
    torch.testing.assert_close(predictor(records, batch_size=1), velocity, rtol=1e-5, atol=0.0)
    frozen = records.numpy().copy()
    frozen.flags.writeable = False
    assert torch.equal(predictor(frozen), velocity)


def test_the_last_checkpoint_can_be_used_too(folder: Path, records: torch.Tensor) -> None:
    last = load(folder / "runs" / "convbaseline" / "last.pt", device="cpu")
    assert last.epoch == 2
    assert last(records).shape == (len(records), *SHAPE)


def test_records_that_do_not_fit(predictor: Predictor, records: torch.Tensor) -> None:
    wrong = [
        (records[0, 0], "got shape \\[40, 8\\]"),
        (records[:, :1], "got shape \\[2, 1, 40, 8\\]"),
        (records[0].transpose(1, 2), "\\[2, 8, 40\\] \\(the axes are in another order\\)"),
        (records[..., :-1], "= \\[2, 40, 8\\], or a batch"),
        (records[None], "got shape \\[1, 2, 2, 40, 8\\]"),
        (records[:0], "at least one model"),
        (records.index_fill(2, torch.tensor([7]), torch.nan), "finite, got NaN or infinity in model 0"),
        (records.index_fill(0, torch.tensor([1]), torch.inf), "finite, got NaN or infinity in model 1"),
        (np.full((2, 40, 8), np.inf), "finite, got NaN or infinity"),
    ]
    for bad, message in wrong:
        with pytest.raises(ValueError, match=message):
            predictor(bad)
    for strange in (records > 0, records.to(torch.complex64), np.array(["a"]), np.array([None])):
        with pytest.raises(TypeError, match="records must be real numbers"):
            predictor(strange)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        predictor(records, batch_size=0)


def test_checkpoints_and_devices_that_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load(folder / "data" / "data1.npy")
    with pytest.raises(ValueError, match="device must be"):
        load(folder / "runs" / "seisinvnet", device="gpu")


def test_a_network_without_a_survey(folder: Path, tmp_path: Path, records: torch.Tensor) -> None:
    content = checkpoint.load(folder / "runs" / "seisinvnet")
    checkpoint.save(tmp_path / "best.pt", {**content, "survey": None})
    predictor = load(tmp_path, device="cpu")
    assert predictor.survey is None
    assert predictor(records).shape == (len(records), *SHAPE)
