"""Feature maps by receiver group: shares known in advance, exact overlaps, the order of receivers, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import SHAPE, SURVEY, small_survey
from small_run import parts, stored_and_runs

from seisfast import Survey
from seisfast.data import StoredDataset
from seisfast.networks import build
from seisfast.networks.base import centre_crop
from seisfast.networks.seisinvnet import feature_map_shape
from seisfast.prediction import Predictor, load
from seisfast.sensitivity import Sensitivity, activation_shares, measure, quarter_weights, receiver_groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_and_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def predictor(folder: Path) -> Predictor:
    """A new one for every test, to be changed."""
    return load(folder / "runs" / "seisinvnet", device="cpu")


@pytest.fixture(scope="module")
def records(folder: Path) -> torch.Tensor:
    train = parts(folder / "data")[0]
    return torch.stack([train[k][0] for k in range(5)])


def rig(predictor: Predictor, slope: list[float], offset: list[float]) -> None:
    """Makes every map ``relu(slope p + offset)`` of its receiver group, with p = 0 0 0 1 2 2 2 from left to right.

    Cells 2, 3 and 4 of the seven in a row cover the 24 columns of the model, eight each.
    """
    pattern = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0]).repeat(6, 1)
    group = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]).repeat(2)
    state = predictor.network.state_dict()
    state["generator.lin5.weight"].zero_()
    state["generator.lin5.bias"].copy_(pattern.flatten())
    state["generator.bn5.running_mean"].zero_()
    state["generator.bn5.running_var"].fill_(1.0 - 1e-5)  # and the 1e-5 of batch normalisation
    state["generator.bn5.weight"].copy_(torch.tensor(slope)[group])
    state["generator.bn5.bias"].copy_(torch.tensor(offset)[group])


# What is known in advance


def test_maps_active_in_one_strip(predictor: Predictor, records: torch.Tensor) -> None:
    rig(predictor, slope=[-1.0, 0.0, 0.0, 1.0], offset=[1.0, 0.5, -1.0, -1.0])
    found = measure(predictor, records)
    ends = [[0.75, 0.25, 0.0, 0.0], [0.25] * 4, [0.0] * 4, [0.0, 0.0, 0.25, 0.75]]
    torch.testing.assert_close(found.shares, torch.tensor(ends, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    rows = [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.5] * 7, [0.0] * 7, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]
    expected = torch.tensor(rows, dtype=torch.float64)[:, None].expand(4, 6, 7)
    torch.testing.assert_close(found.maps, expected, rtol=1e-6, atol=1e-6)
    assert (found.models, found.shape, found.survey) == (5, SHAPE, SURVEY)
    assert found.silent == ["middle-right"]
    assert found.own == pytest.approx((0.75 + 0.25 + 0.75) / 3, abs=1e-6)

    text = found.table()
    assert "nan" not in text
    lines = text.splitlines()
    assert lines[0].split() == ["left", "middle-left", "middle-right", "right"]
    assert lines[2].split("  ", 1)[0] == "left, receivers at 0 to 30 m"
    assert lines[2].endswith("75.0 %       25.0 %         0.0 %   0.0 %")
    assert lines[4] == "middle-right, receivers at 120 to 150 m  no activation"
    assert "mean of 5 models." in text
    assert lines[-1].startswith("No activation (middle-right): the feature maps of these receivers are zero")


def test_a_dead_network_is_told_in_words(predictor: Predictor, records: torch.Tensor) -> None:
    rig(predictor, slope=[0.0] * 4, offset=[-1.0] * 4)
    found = measure(predictor, records[0])
    assert not found.shares.any()
    assert found.own is None
    assert "nan" not in found.table()
    assert "No activation (left, middle-left, middle-right, right)" in found.table()
    assert "mean of 1 model." in found.table()


@pytest.mark.parametrize("shape", [(20, 24), (100, 100), (70, 70), (9, 22), (33, 2), (1, 1)])
def test_shares_weigh_cells_by_their_overlap(shape: tuple[int, int]) -> None:
    h, w = feature_map_shape(shape)
    maps = torch.rand(3, h, w, dtype=torch.float64)
    field = maps.repeat_interleave(8, 1).repeat_interleave(8, 2)
    inside = centre_crop(field, shape).repeat_interleave(4, 2)  # four parts of a column, so that quarters are whole
    amount = torch.stack([part.sum((1, 2)) for part in inside.chunk(4, dim=2)], dim=1)
    torch.testing.assert_close(activation_shares(maps, shape), amount / amount.sum(1, keepdim=True))
    weights = quarter_weights((h, w), shape)
    torch.testing.assert_close(weights.sum((1, 2)), torch.full((4,), shape[0] * shape[1] / 4, dtype=torch.float64))
    assert float(weights.sum(0).max()) <= 64.0


# Groups


def groups(columns: list[int] | list[list[int]]) -> list[list[int]]:
    """Groups of receivers on these columns of one row, shared or of each shot."""
    cells = torch.tensor(columns)
    survey = small_survey(receivers=torch.stack([torch.ones_like(cells), cells], dim=-1))
    return receiver_groups(survey, 2, cells.shape[-1]).tolist()


def test_receivers_are_sorted_by_their_place() -> None:
    assert groups([0, 3, 6, 9, 12, 15, 18, 21]) == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2
    assert groups([21, 18, 15, 12, 9, 6, 3, 0]) == [[3, 3, 2, 2, 1, 1, 0, 0]] * 2
    assert groups([5, 20, 0, 23]) == [[1, 2, 0, 3]] * 2
    assert groups([4, 4, 4, 4, 9]) == [[0, 0, 1, 2, 3]] * 2
    assert groups([[0, 2, 4, 6, 8, 10], [23, 21, 19, 17, 15, 13]]) == [[0, 0, 1, 2, 2, 3], [3, 2, 2, 1, 0, 0]]
    assert receiver_groups(None, 3, 5).tolist() == [[0, 0, 1, 2, 3]] * 3


@pytest.mark.parametrize("receivers", [4, 5, 6, 7, 32, 101])
def test_groups_are_nearly_equal(receivers: int) -> None:
    counts = receiver_groups(None, 1, receivers).flatten().bincount()
    assert len(counts) == 4
    assert int(counts.max() - counts.min()) <= 1


def test_groups_that_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="four groups of receivers need at least 4 receivers, got 3"):
        receiver_groups(None, 2, 3)
    well = small_survey(receivers=[(iz, 5) for iz in range(6)])
    with pytest.raises(ValueError, match="all receivers of a shot lie on one column"):
        receiver_groups(well, 2, 6)


def test_a_group_averages_its_own_traces(predictor: Predictor, records: torch.Tensor) -> None:
    def of_survey(survey: Survey | None) -> Sensitivity:
        predictor.survey = survey
        return measure(predictor, records)

    with torch.no_grad():
        traces = predictor.network.features(predictor.normalization.encode_records(records)).double().mean(0)
    by_shot = traces.reshape(2, 8, 6, 7)
    plain = of_survey(SURVEY)
    torch.testing.assert_close(plain.maps, by_shot.reshape(2, 4, 2, 6, 7).mean((0, 2)))
    torch.testing.assert_close(plain.shares.sum(1), torch.ones(4, dtype=torch.float64))
    assert torch.equal(of_survey(None).maps, plain.maps)
    turned = small_survey(receivers=SURVEY.receivers[0].flip(0))
    torch.testing.assert_close(of_survey(turned).maps, plain.maps.flip(0))
    cells = SURVEY.receivers[0]
    moving = of_survey(small_survey(receivers=torch.stack([cells, cells.flip(0)])))
    left = torch.stack([by_shot[0, :2], by_shot[1, -2:]]).mean((0, 1))
    torch.testing.assert_close(moving.maps[0], left)


def test_where_the_receivers_of_a_group_are() -> None:
    def words(survey: Survey | None, receivers: int) -> list[str]:
        blank = torch.zeros(4, 6, 7)
        made = Sensitivity(blank, torch.zeros(4, 4), receiver_groups(survey, 2, receivers), SHAPE, 1, survey)
        return [made.receivers(k) for k in range(4)]

    assert words(SURVEY, 8)[::3] == ["receivers at 0 to 30 m", "receivers at 180 to 210 m"]
    assert words(small_survey(receivers=[(1, ix) for ix in (9, 3, 0, 6)]), 4)[0] == "receiver at 0 m"
    assert words(None, 5) == ["receivers 0 to 1", "receiver 2", "receiver 3", "receiver 4"]


# Ways to give the records


def test_batches_and_sources_of_records_agree(folder: Path, predictor: Predictor, records: torch.Tensor) -> None:
    whole = measure(predictor, records)
    for batch_size in (1, 2, 5):
        part = measure(predictor, records, batch_size=batch_size)
        torch.testing.assert_close(part.maps, whole.maps, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(part.shares, whole.shares, rtol=1e-5, atol=1e-7)
    assert torch.equal(measure(predictor, records.numpy()).maps, whole.maps)
    stored = measure(folder / "runs" / "seisinvnet", StoredDataset(folder / "data", range(5)), batch_size=2)
    torch.testing.assert_close(stored.maps, whole.maps, rtol=1e-5, atol=1e-7)
    assert stored.models == 5


def test_the_survey_of_the_data_is_used_where_the_checkpoint_has_none(folder: Path, predictor: Predictor) -> None:
    predictor.survey = None
    assert measure(predictor, StoredDataset(folder / "data", [0])).survey == SURVEY


# Refusals


def test_only_seisinvnet_has_a_map_per_trace(folder: Path, records: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"need SeisInvNet, .* holds a ConvBaseline"):
        measure(folder / "runs" / "convbaseline", records)


def test_records_and_data_that_do_not_fit(
    folder: Path, predictor: Predictor, records: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"= \[2, 40, 8\], or a batch"):
        measure(predictor, records[..., 1:])
    with pytest.raises(ValueError, match="records must be finite"):
        measure(predictor, np.full((2, 40, 8), np.nan))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        measure(predictor, records, batch_size=0)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        measure(folder / "data", records)

    data = StoredDataset(folder / "data", [0])
    predictor.survey = small_survey(receivers=SURVEY.receivers[0] + torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"receivers of .* do not lie where those of .* lie"):
        measure(predictor, data)
    predictor.geometry = {**predictor.geometry, "shots": 3}
    with pytest.raises(ValueError, match=r"was trained on .*'shots': 3"):
        measure(predictor, data)

    broken = tmp_path / "data"
    shutil.copytree(folder / "data", broken)
    values = np.load(broken / "data1.npy")
    values[3, 1, 7, 2] = np.inf
    np.save(broken / "data1.npy", values)
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity"):
        measure(folder / "runs" / "seisinvnet", StoredDataset(broken))


def test_networks_that_cannot_be_measured(predictor: Predictor, records: torch.Tensor) -> None:
    predictor.network.state_dict()["generator.lin5.bias"].fill_(torch.nan)
    with pytest.raises(ValueError, match=r"the feature maps of .* hold NaN or infinity"):
        measure(predictor, records)
    predictor.network = build("seisinvnet", shots=2, receivers=3, samples=40, shape=SHAPE, width=0.1).eval()
    with pytest.raises(ValueError, match="at least 4 receivers, got 3"):
        measure(predictor, records[..., :3])
