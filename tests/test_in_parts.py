"""Records made part by part: the bits of one call, whatever the parts, and its errors before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_data import GEOLOGY, SURVEY, small_survey
from small_survey import relative
from torch import Tensor

from seisfast import CPML, in_parts, planning, simulate
from seisfast.boundaries import Sponge
from seisfast.in_parts import simulate_in_parts
from seisfast.survey import Survey
from seisfast.wavelets import ricker

MODELS = GEOLOGY(range(5), 4)
OWN_WAVELETS = torch.stack([(-2.0) ** k * SURVEY.wavelet for k in range(10)]).reshape(5, 2, 1, 40)
BETWEEN = {
    "sources": [(1.5, 5.25), (1.0, 18.5), (2.25, 3.0)],
    "receivers": [(1.5, ix + 0.25) for ix in range(0, 21, 3)],
}
SURVEYS: dict[str, tuple[Survey, int | str]] = {
    "plain": (SURVEY, 1),
    "wavelets": (small_survey(wavelet=OWN_WAVELETS), 1),
    "between": (small_survey(**BETWEEN), 1),
    "masked": (small_survey(receiver_mask=[[True] * 8, [False] * 8]), 1),
    "own receivers": (small_survey(receivers=[[(1, 2.5), (1, 4)], [(3, 4), (2, 7.75)]]), 1),
    "sponge": (small_survey(boundary=Sponge(6)), 1),
    "substeps": (small_survey(dt=2e-3, wavelet=ricker(15.0, 2e-3, 100)[26:66]), "auto"),
}


def together(velocity: Tensor, survey: Survey, **options: Any) -> Tensor:  # noqa: ANN401
    """All parts, one behind the other as they come."""
    parts = list(simulate_in_parts(velocity, survey, **options))
    assert all(not records.requires_grad for _, _, records in parts)
    assert all(records.shape[:2] == (m.stop - m.start, s.stop - s.start) for m, s, records in parts)
    return torch.cat([records.reshape(-1) for _, _, records in parts])


def assert_same(found: Tensor, expected: Tensor, exact: bool) -> None:
    if exact:
        assert torch.equal(found, expected.reshape(-1))
    else:  # matrix products of other sizes, which may round otherwise
        assert relative(found, expected.reshape(-1)) < 1e-6


@pytest.mark.parametrize("name", SURVEYS)
def test_parts_are_the_records_of_one_call(name: str) -> None:
    survey, substeps = SURVEYS[name]
    exact = name not in ("substeps", "between", "own receivers")
    expected = simulate(MODELS, survey, substeps=substeps)
    for at_once in (1, 2, survey.shots, 2 * survey.shots + 1, 1000, None):
        assert_same(together(MODELS, survey, substeps=substeps, at_once=at_once), expected, exact)
    if survey.wavelet.dim() < 4:
        one = MODELS[3].double().requires_grad_()
        expected = simulate(one, survey, substeps=substeps).detach()
        assert_same(together(one, survey, substeps=substeps, at_once=1), expected, exact)


def test_the_substeps_are_those_of_the_fastest_model() -> None:
    slow, fast = torch.full((20, 24), 1500.0), torch.full((20, 24), 4500.0)
    survey = small_survey(dt=2e-3, wavelet=ricker(15.0, 2e-3, 100)[26:66])
    assert survey.substeps(1500.0, 1500.0) < survey.substeps(4500.0, 1500.0)
    both = torch.stack([slow, fast])
    found, expected = together(both, survey, substeps="auto", at_once=2), simulate(both, survey, substeps="auto")
    assert_same(found, expected, exact=False)
    assert relative(found.reshape(expected.shape)[0], simulate(slow, survey, substeps="auto")) > 1e-5


def test_mistakes_come_before_the_first_part() -> None:
    broken = MODELS.clone()
    broken[4, 3, 2] = np.nan
    for velocity, survey, options, message in (
        (broken, SURVEY, {}, r"finite and positive, got nan at \(model, iz, ix\) = \(4, 3, 2\)"),
        (MODELS * 4, SURVEY, {}, "dt must not exceed"),
        (MODELS[:3], SURVEYS["wavelets"][0], {}, "wavelet holds 5 models, velocity holds 3"),
        (MODELS, SURVEY, {"engine": "warp"}, "engine must be one of"),
        (MODELS, SURVEY, {"engine": "tiled"}, "engine 'tiled' does not run on cpu"),
        (MODELS, SURVEY, {"at_once": 0}, "at_once must be an integer of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            simulate_in_parts(velocity, survey, **options)  # type: ignore[arg-type]


def test_one_warning_for_all_models() -> None:
    dispersed = small_survey(wavelet=ricker(60.0, 1e-3, 40), boundary=CPML(4))
    with pytest.warns(UserWarning, match="points per shortest wavelength") as warned:
        together(MODELS, dispersed, at_once=1)
    assert len(warned) == 1


def test_a_diverged_shot_is_named() -> None:
    loud = OWN_WAVELETS.clone()
    loud[3, 1] = 3e38
    parts = simulate_in_parts(MODELS, small_survey(wavelet=loud), at_once=2)
    assert [next(parts)[0].start for _ in range(3)] == [0, 1, 2]
    with pytest.raises(FloatingPointError, match="the record of shot 1 of model 3 is not finite"):
        next(parts)


def test_records_of_all_models_need_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = simulate(MODELS, SURVEY).reshape(-1)
    of_a_model = expected.numel() // 5 * 4
    for module in (planning, in_parts):
        monkeypatch.setattr(module, "free_memory", lambda device: 2 * of_a_model)
    with pytest.raises(MemoryError, match="fewer shots or models per call"):
        simulate(MODELS, SURVEY)
    assert torch.equal(together(MODELS, SURVEY), expected)


def test_a_part_holds_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_shot = 40 * 8 * 4
    for size, models, shots in (
        (4 * of_a_shot, 2, 2),
        (9 * of_a_shot, 4, 2),
        (99 * of_a_shot, 4, 2),
        (of_a_shot, 1, 1),
        (1, 1, 1),
    ):
        monkeypatch.setattr(in_parts, "CPU_BYTES", size)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        first = next(simulate_in_parts(MODELS, SURVEY))
        assert first[2].shape == (models, shots, 40, 8), size


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_parts_on_a_gpu(engine: str) -> None:
    velocity = MODELS.cuda()
    expected = simulate(velocity, SURVEY, engine=engine).reshape(-1)
    for at_once in (1, 4, None):
        assert torch.equal(together(velocity, SURVEY, engine=engine, at_once=at_once), expected), at_once
