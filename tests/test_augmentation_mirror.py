"""Mirrored models: the record is that of the mirrored model, whatever the layout; what has no image is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_survey import BOUNDARIES, noise, relative, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.augmentation import Mirror

NX = 17
PULSE, TWO = small_wavelet(1)[0], small_wavelet(2)
ALL = torch.tensor([True])
SOURCES = [(1, 2), (4, 8), (1, 14)]  # their images are themselves, in the other order
RECEIVERS = [(3, ix) for ix in (0, 1, 5, 8, 11, 15, 16)]
# For each layout its arguments, and the shots that have no image.
LAYOUTS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "line": ({}, []),
    "other order": ({"receivers": RECEIVERS[::-1][1:] + RECEIVERS[-1:], "sources": SOURCES[::-1]}, []),
    "middle source one off": ({"sources": [(1, 2), (4, 7), (1, 14)]}, [1]),
    "a receiver without image": ({"receivers": [*RECEIVERS[:-1], (3, 13)]}, [0, 1, 2]),
    "depths differ": ({"sources": [(1, 2), (4, 8), (2, 14)]}, [0, 2]),
    "between cells": (
        {"sources": [(1.5, 2.2), (4.0, 8.0), (1.5, 13.8)], "receivers": [(2.25, 0.1 * k) for k in range(40, 121, 10)]},
        [],
    ),
    "receivers of their own": (
        {"receivers": [[(2, 1), (3, 5)], [(2, 3), (2, 13)], [(3, 11), (2, 15)]]}, [],
    ),
    "one shot's own receivers have no image": (
        {"receivers": [[(2, 1), (3, 5)], [(2, 3), (2, 14)], [(3, 11), (2, 15)]]}, [1],
    ),
    "masked": (
        {"receiver_mask": [[1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1]]},
        [],
    ),
    "the image is masked": (
        {"receiver_mask": [[1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1, 1]]},
        [0],
    ),
    "a shot without receivers": (
        {"receiver_mask": [[1] * 7, [0] * 7, [1] * 7]}, [],
    ),
    "wavelets of their own": ({"wavelet": torch.stack([PULSE, 2 * PULSE, PULSE])}, []),
    "other wavelets": ({"wavelet": torch.stack([PULSE, 2 * PULSE, 3 * PULSE])}, [0, 2]),
    "a wavelet of the other sign": ({"wavelet": torch.stack([PULSE, PULSE, -PULSE])}, []),
    "fired together": (
        {"sources": [[(1, 2), (6, 6)], [(5, 3), (5, 13)], [(6, 10), (1, 14)]],
         "wavelet": torch.stack([TWO, torch.stack([PULSE, PULSE]), TWO.flip(0)])}, [],
    ),
    "dipoles": ({"source_kind": "dipole_x"}, []),
    "dipoles of three kinds": ({"source_kind": [["dipole_z"], ["dipole_x"], ["dipole_z"]]}, []),
    "a dipole that turns": (
        {"source_kind": "dipole_x", "wavelet": torch.stack([PULSE, PULSE, -PULSE])}, [],
    ),
    "a dipole among monopoles": (
        {"sources": [[(1, 2), (4, 4)], [(4, 8), (6, 8)], [(1, 14), (4, 12)]],
         "source_kind": ["monopole", "dipole_x"], "wavelet": PULSE}, [0, 1, 2],
    ),
    "gradients": (
        {"receivers": RECEIVERS, "receiver_kind": ["gradient_x", "gradient_z", "pressure", "gradient_x", "pressure",
                                                   "gradient_z", "gradient_x"]}, [],
    ),
    "kinds that do not fit": ({"receiver_kind": ["gradient_x", *["pressure"] * 6]}, [0, 1, 2]),
    "unequal sides": ({"boundary": BOUNDARIES["unequal"]}, [0, 1, 2]),
    "free surface": ({"boundary": sf.Faces(top=sf.Free(), left=sf.CPML(3), right=sf.CPML(3))}, []),
    "sponge": ({"boundary": BOUNDARIES["sponge"], "spacing": 10.0}, []),
}  # fmt: skip


def line_survey(**changes: Any) -> sf.Survey:  # noqa: ANN401
    if "receiver_mask" in changes:
        changes = {**changes, "receiver_mask": np.array(changes["receiver_mask"], dtype=bool)}
    settings: dict[str, Any] = {"sources": SOURCES, "receivers": RECEIVERS, "wavelet": PULSE, **changes}
    return small_survey(**settings)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_record_is_that_of_the_mirrored_model(layout: str) -> None:
    changes, simulated = LAYOUTS[layout]
    survey = line_survey(**changes)
    velocity = small_velocity(2, 14, NX, dtype=torch.float32)[:, None]
    records = sf.simulate(velocity[:, 0], survey)
    before = records.clone(), velocity.clone()
    mirror = Mirror(survey, (14, NX))
    assert mirror.simulated == simulated
    ours, model = mirror(records, velocity, torch.tensor([False, True]))
    assert torch.equal(model[1], velocity[1].flip(-1))
    assert torch.equal(ours[0], records[0])
    assert torch.equal(model[0], velocity[0])
    expected = sf.simulate(velocity[1, 0].flip(-1), survey)
    assert relative(ours[1], expected) < 1e-5
    assert relative(records[1], expected) > 1e-2, "this layout would not see a missing flip"
    assert torch.equal(records, before[0])
    assert torch.equal(velocity, before[1])


def test_the_middle_shot_of_openfwi_is_simulated_and_no_other() -> None:
    survey = sf.Survey.openfwi()
    velocity = sf.geology.CurveFault()(range(2))
    survey = survey._replaced(nt=350, wavelet=survey.wavelet[:350])
    records = sf.simulate(velocity, survey)
    mirror = Mirror(survey, (70, 70))
    assert mirror.simulated == [2]
    ours, _ = mirror(records, velocity[:, None], torch.tensor([True, True]))
    expected = sf.simulate(velocity.flip(-1), survey)
    assert relative(ours, expected) < 1e-6
    naive = records.flip(1).flip(-1)
    assert relative(naive[:, 2], expected[:, 2]) > 0.1, "the flipped middle shot is that of a source one cell off"


def test_seisinv_mirrors_without_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    survey = sf.Survey.seisinv(shape=(24, 30), nt=60, shots=6, receivers=10)
    velocity = small_velocity(1, 24, 30, dtype=torch.float32)
    records, expected = sf.simulate(velocity, survey), sf.simulate(velocity.flip(-1), survey)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("simulated")

    monkeypatch.setattr("seisfast.augmentation.mirror.simulate", refuse)
    ours, _ = Mirror(survey, (24, 30))(records, velocity[:, None], ALL)
    assert relative(ours, expected) < 1e-6
    assert torch.equal(ours, records.flip(1).flip(-1)), "SeisInvNet's own flip of shots and receivers"


def test_twice_mirrored_is_the_same() -> None:
    survey = line_survey()
    records, velocity = noise(1, 3, 70, 7), small_velocity(1, 1, 14, NX)
    mirror = Mirror(survey, (14, NX))
    again = mirror(*mirror(records, velocity, ALL), ALL)
    assert torch.equal(again[0], records)
    assert torch.equal(again[1], velocity)


def test_no_model_chosen_is_no_work() -> None:
    records, velocity = noise(2, 3, 70, 7), small_velocity(2, 1, 14, NX)
    same = Mirror(line_survey(), (14, NX))(records, velocity, torch.tensor([False, False]))
    assert same[0] is records
    assert same[1] is velocity


def test_surveys_that_cannot_be_mirrored() -> None:
    with pytest.raises(TypeError, match=r"survey must be a seisfast.Survey, got dict"):
        Mirror({}, (14, NX))  # type: ignore[arg-type]
    many = line_survey(wavelet=small_wavelet(2, 3, 1))
    with pytest.raises(ValueError, match="the same wavelets over all models, got those of 2 models"):
        Mirror(many, (14, NX))
    with pytest.raises(ValueError, match="must have the survey's 14 x 17 cells"):
        Mirror(line_survey(), (14, 20))
    with pytest.raises(ValueError, match=r"velocity must have \(14, 17\) cells \(nz, nx\), got \(14, 16\)"):
        Mirror(line_survey(), (14, NX))(noise(1, 3, 70, 7), small_velocity(1, 1, 14, 16), ALL)


def test_a_genuine_record_mirrored(data_dir: Path) -> None:
    """Of OpenFWI, which the survey reproduces: its own samples, in other places, and one shot of ours."""
    velocity = torch.from_numpy(np.load(data_dir / "openfwi_sample/velocity.npy"))
    records = torch.from_numpy(np.load(data_dir / "openfwi_sample/seismic.npy"))
    survey = sf.Survey.openfwi()
    ours, model = Mirror(survey, (70, 70))(records, velocity, ALL)
    expected = sf.simulate(model[:, 0], survey)
    assert relative(ours[:, :, :999], expected[:, :, :999]) < 5e-5
    assert torch.equal(ours[:, [0, 1, 3, 4]], records[:, [4, 3, 1, 0]].flip(-1))
