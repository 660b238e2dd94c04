"""The choice of a CUDA engine, decided here for chips that need not be present."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from small_survey import small_survey, small_velocity

import seisfast as sf
from seisfast import _native, planning
from seisfast.engines import CHIPS, describe_engine, planned_engine
from seisfast.ops import acoustic

H200 = CHIPS["H100, H200 (sm_90)"]
A100 = CHIPS["A100 (sm_80)"]


def survey_for(shape: tuple[int, int], boundary: Any, order: int = 4, **changes: Any) -> sf.Survey:  # noqa: ANN401
    settings: dict[str, Any] = {
        "shape": shape, "spacing": 10.0, "dt": 1e-3, "nt": 100, "sources": [(2, 2)] * 1000,
        "receivers": [(2, 3), (3, 3)],
        "wavelet": torch.ones(100),
    }  # fmt: skip
    return sf.Survey(**{**settings, "order": order, "boundary": boundary, **changes})


@pytest.mark.parametrize(
    ("shape", "boundary", "order", "forward", "adjoint"),
    [
        ((100, 100), sf.CPML(), 4, ("resident", (1, 1)), ("resident", (1, 1))),
        ((100, 100), sf.CPML(), 2, ("resident", (1, 1)), ("resident", (1, 1))),
        ((100, 100), sf.CPML(), 8, ("resident", (1, 1)), ("cluster", (2, 1))),
        ((70, 70), sf.CPML(), 4, ("resident", (1, 1)), ("resident", (1, 1))),
        ((100, 100), sf.CPML(20), 4, ("cluster", (2, 1)), ("cluster", (2, 1))),
        ((100, 100), sf.Faces(top=sf.Free()), 4, ("resident", (1, 1)), ("resident", (1, 1))),
        ((70, 70), sf.Sponge(), 4, ("cluster", (4, 1)), ("cluster", (6, 1))),
        ((70, 70), sf.Sponge(20), 4, ("resident", (1, 1)), ("resident", (1, 1))),
    ],
)
def test_training_sizes_stay_on_chip(
    shape: tuple[int, int], boundary: Any, order: int, forward: object, adjoint: object,  # noqa: ANN401
) -> None:  # fmt: skip
    survey = survey_for(shape, boundary, order)
    for backwards, (engine, blocks) in ((False, forward), (True, adjoint)):
        found = planned_engine(survey, shape, adjoint=backwards, chip=H200)
        assert (found["engine"], tuple(found["blocks"])) == (engine, blocks)
        assert 0 < found["shared"] <= H200["shared"]
        covered = found["rows"] * found["blocks"][0]
        assert covered >= survey.padded_shape(shape)[0]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("boundary", [sf.CPML(), sf.CPML(20), sf.Faces(top=sf.Free())], ids=repr)
@pytest.mark.parametrize("shape", [(751, 2301), (400, 401), (1500, 300)])
def test_large_models_run_in_tiles_on_every_chip(shape: tuple[int, int], boundary: Any, chip: str) -> None:  # noqa: ANN401
    survey = survey_for(shape, boundary)
    for adjoint in (False, True):
        found = planned_engine(survey, shape, adjoint=adjoint, chip=CHIPS[chip])
        assert found["engine"] == "tiled", found["reason"]
        assert found["shared"] <= CHIPS[chip]["shared"]
        assert found["steps"] >= 2
        assert "resident: " in found["reason"]


def test_one_shot_fills_the_chip() -> None:
    """Tiles of one shot are cut so that whole rounds of blocks run."""
    found = planned_engine(survey_for((751, 2301), sf.CPML(), sources=[(2, 2)]), (751, 2301), chip=H200)
    blocks = found["blocks"][0] * found["blocks"][1]
    rounds = -(-blocks // H200["processors"])
    assert blocks / (rounds * H200["processors"]) > 0.75


@pytest.mark.parametrize(("shots", "engine"), [(1, "cluster"), (20, "cluster"), (132, "resident"), (1000, "resident")])
def test_few_shots_spread_over_the_chip(shots: int, engine: str) -> None:
    survey = survey_for((100, 100), sf.CPML(), sources=[(2, 2)] * shots)
    found = planned_engine(survey, (100, 100), chip=H200)
    assert found["engine"] == engine
    if engine == "cluster":
        assert found["blocks"][0] * shots <= H200["processors"]


def test_what_does_not_fit_says_why() -> None:
    survey = survey_for((100, 100), sf.CPML())
    cases = [
        (survey, {"chip": A100, "engine": "cluster"}, "cluster: this chip has no clusters"),
        (survey, {"chip": A100, "engine": "resident"}, r"resident: needs \d+ bytes of shared memory, there are 166912"),
        (survey, {"chip": H200, "engine": "tiled", "dtype": torch.float64}, "tiled: float32 only"),
        (survey_for((100, 100), sf.CPML(40)), {"chip": H200}, "a layer with the reach of the stencil is 44 cells"),
        (
            survey_for((3, 3), sf.CPML(), sources=[(1, 1)], receivers=[(1, 2)]),
            {"chip": H200},
            "the layers with the reach of the stencil do not fit in a block",
        ),
        (survey_for((300, 300), sf.CPML()), {"chip": H200, "engine": "resident"}, "exceed the registers of a block"),
        (
            survey_for((70, 70), sf.Sponge(20, vmin_gradient=True)),
            {"chip": H200, "adjoint": True},
            "keeps a second field",
        ),
    ]
    for made, arguments, reason in cases:
        shape = made.shape
        assert shape is not None
        found = planned_engine(made, shape, **arguments)
        assert found["engine"] == "plain"
        assert re.search(reason, found["reason"]), found["reason"]


def test_engine_asked_for_is_taken_where_it_fits() -> None:
    survey = survey_for((100, 100), sf.CPML())
    for engine in ("plain", "resident", "cluster", "tiled"):
        found = planned_engine(survey, (100, 100), engine=engine, chip=H200)
        assert found["engine"] == engine
        assert found["reason"] == ""
    with pytest.raises(ValueError, match="no CUDA engine warp"):
        planned_engine(survey, (100, 100), engine="warp", chip=H200)


def test_float64_is_resident_where_it_fits_and_plain_elsewhere() -> None:
    small, large = survey_for((30, 30), sf.CPML()), survey_for((100, 100), sf.CPML())
    assert planned_engine(small, (30, 30), dtype=torch.float64, chip=H200)["engine"] == "resident"
    assert planned_engine(large, (100, 100), dtype=torch.float64, chip=H200)["engine"] == "plain"


def test_budget_in_the_documentation_is_the_real_one() -> None:
    page = (Path(__file__).parents[1] / "docs" / "engines.md").read_text()
    survey = survey_for((100, 100), sf.CPML())
    for adjoint in (False, True):
        shared = planned_engine(survey, (100, 100), adjoint=adjoint, chip=H200)["shared"]
        assert f"{shared:,}" in page


def test_description_names_engines_and_blocks() -> None:
    if torch.cuda.is_available():
        pytest.skip("describes the device that is there")
    text = describe_engine((70, 70), sf.Sponge())
    assert "CUDA tensors on H100, H200 (sm_90), records: engine cluster, 4 blocks per shot, each 78 x 310 cells" in text
    assert "CUDA tensors on A100 (sm_80), gradient: engine tiled, " in text
    assert "cluster: this chip has no clusters" in text


@pytest.mark.parametrize("engine", acoustic.CUDA_ENGINES)
@pytest.mark.parametrize("task", ["born", "curvature"])
def test_tangents_run_on_plain_whatever_was_asked_for(task: str, engine: str) -> None:
    velocity, survey = small_velocity(2, 14, 17), small_survey()
    scheme = planning.planned_scheme(velocity, survey, sf.Storage())
    numbers = acoustic.describe_run(scheme, (14, 17), 2, survey.shots, 2, 5, survey.nt)
    found = _native.acoustic_plan(numbers, "float32", task, engine, H200)
    assert (found["engine"], found["reason"]) == ("plain", "")
    assert found["workspace"] > 2 * _native.acoustic_plan(numbers, "float32", "forward", "plain", H200)["workspace"]


def test_one_warning_per_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustic, "_warned", set())
    found = {"engine": "plain", "reason": "resident: too large"}
    with pytest.warns(UserWarning, match="simulate runs on the plain engine.*resident: too large"):
        acoustic.warn_of_fallback("auto", found, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        acoustic.warn_of_fallback("auto", found, torch.float32)  # said already
        acoustic.warn_of_fallback("plain", {**found, "reason": ""}, torch.float32)  # asked for, or the only one
        acoustic.warn_of_fallback("auto", {**found, "reason": "b"}, torch.float64)  # documented
        acoustic.warn_of_fallback("auto", {"engine": "tiled", "reason": "c"}, torch.float32)
    with pytest.warns(UserWarning, match="too small"):
        acoustic.warn_of_fallback("cluster", {"engine": "plain", "reason": "cluster: too small"}, torch.float64)
