"""Augmentation and gain control on a GPU: what a CPU gives, to float32 rounding, also through the feed's thread."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_data import GEOLOGY, SURVEY
from small_gpu import CUDA, MARKS
from small_run import small_config
from small_survey import relative

import seisfast as sf
from seisfast.augmentation import Augmentation
from seisfast.augmentation.randoms import normal
from seisfast.data import SimulatedDataset
from seisfast.normalization import automatic_gain
from seisfast.training.feed import Feed

pytestmark = MARKS

LINE = sf.Survey.seisinv(shape=(24, 30), nt=90, shots=6, receivers=10, frequency=20.0)
ODD = LINE._replaced(sources=[(1, 3), (1, 14), (1, 26)], source_kind="dipole_x")  # one shot has no image
CHANGES: dict[str, dict[str, Any]] = {
    "flip": {"flip": 0.5},
    "wavelet": {"wavelet": (90.0, 20.0)},
    "shift": {"shift": (-5.0, 5.0), "per_shot": ("shift",)},
    "gain": {"gain": (-6.0, 6.0)},
    "noise": {"noise": (0.0, 10.0)},
    "band": {"noise": (0.0, 10.0), "noise_band": (20.0, 100.0)},
    "missing": {"missing": (0.2, 0.8), "per_shot": ("missing",)},
}
CHANGES["everything"] = {name: value for options in CHANGES.values() for name, value in options.items()}


@pytest.mark.parametrize("survey", [LINE, ODD], ids=["line", "odd"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_gpu_makes_the_changes_of_a_cpu(change: str, survey: sf.Survey) -> None:
    velocity = 2000.0 + 1500.0 * torch.rand(7, 1, 24, 30)
    records = sf.simulate(velocity[:, 0], survey)
    augmentation = Augmentation(**CHANGES[change])
    ours = augmentation(records.cuda(), velocity.cuda(), numbers=range(7), seed=3, survey=survey)
    theirs = augmentation(records, velocity, numbers=range(7), seed=3, survey=survey)
    assert all(part.is_cuda for part in ours)
    assert torch.equal(ours[1].cpu(), theirs[1])
    assert relative(ours[0].cpu(), theirs[0]) < 1e-5
    assert relative(records, theirs[0]) > 1e-2


def test_noise_and_gain_control_are_those_of_a_cpu() -> None:
    numbers = range(130)  # more than are made at a time
    ours, theirs = normal(numbers, 5, 999, CUDA).cpu(), normal(numbers, 5, 999, torch.device("cpu"))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    records = torch.randn(2, 3, 500, 7) * torch.logspace(0, 4, 500)[:, None]
    torch.testing.assert_close(automatic_gain(records.cuda(), 51).cpu(), automatic_gain(records, 51))


def test_the_feed_changes_batches_ahead_as_on_a_cpu() -> None:
    options = {**CHANGES["everything"], "wavelet": (90.0, 0.0), "noise_band": (30.0, 300.0)}

    def feed(device: str) -> Feed:
        where = device if sf.engines.has_cuda_engine() else "cpu"
        data = SimulatedDataset(GEOLOGY, SURVEY, 20, batch_size=6, device=where)
        return Feed(data, small_config(device=device, augmentation=options), torch.device(device), "train")

    for mine, yours in zip(feed("cuda").epoch(1, 1), feed("cpu").epoch(1, 1), strict=True):
        for part, expected in zip(mine, yours, strict=True):
            assert part.is_cuda
            torch.testing.assert_close(part.cpu(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
