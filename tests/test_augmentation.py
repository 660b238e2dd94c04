"""Augmentation: what each change is by its definition, random numbers that no batch changes, and bad options."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest
import torch
from small_survey import noise, small_survey, small_velocity, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast.augmentation import Augmentation, Mirror
from seisfast.augmentation.randoms import normal, philox

SHAPE = (14, 17)
CPU = torch.device("cpu")
SURVEY = small_survey(
    sources=[(1, 2), (4, 8), (1, 13)], receivers=[(3, ix) for ix in (0, 1, 5, 8, 11, 15, 16)],
    wavelet=small_wavelet(1)[0],
)  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "flip": 0.5,
    "wavelet": (40.0, 20.0),
    "shift": (-4.0, 4.0),
    "gain": (-6.0, 6.0),
    "noise": (0.0, 20.0),
    "noise_band": (20.0, 200.0),
    "missing": (0.0, 0.6),
    "per_shot": ("gain", "missing"),
}


def batch(models: int = 6, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return noise(models, 3, 70, 7, dtype=dtype), small_velocity(models, 1, *SHAPE, dtype=dtype)


def changed(records: Tensor, velocity: Tensor, seed: int = 5, **options: Any) -> Tensor:  # noqa: ANN401
    """Records with these changes, models numbered from 0."""
    made = Augmentation(**options)
    return made(records, velocity, numbers=range(len(records)), seed=seed, survey=SURVEY)[0]


# -- random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), 0, (0xFF1DAE59, 0x6CD10DF2)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_known_answers_of_philox(counter: tuple[int, int], key: int, expected: tuple[int, int]) -> None:
    """Source: kat_vectors of Random123 (Salmon et al.)."""
    first, second = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in philox(first, second, key)) == expected


def test_noise_is_normal_and_white() -> None:
    values = normal([3, 2**32 - 1], 77, 100_001, CPU)
    assert values.shape == (2, 100_001)
    assert values.mean(1).abs().max() < 0.015
    assert (values.std(1) - 1).abs().max() < 0.01
    assert (values.pow(4).mean(1) - 3).abs().max() < 0.15
    for lag in (1, 2, 50_000):
        assert (values[:, lag:] * values[:, :-lag]).mean(1).abs().max() < 0.02
    assert (values[0] * values[1]).mean().abs() < 0.015


def test_a_model_draws_the_same_in_any_batch() -> None:
    records, velocity = batch()
    augmentation = Augmentation(**EVERYTHING)
    mirror = Mirror(SURVEY, SHAPE)
    numbers = [3, 8, 0, 20, 5, 41]
    whole = augmentation(records, velocity, numbers=numbers, seed=9, survey=SURVEY)
    assert not torch.equal(whole[0], records)
    for k in range(6):
        for given in (SURVEY, mirror):
            alone = augmentation(
                records[k : k + 1], velocity[k : k + 1], numbers=numbers[k : k + 1], seed=9, survey=given
            )
            torch.testing.assert_close(alone[0][0], whole[0][k], rtol=1e-5, atol=1e-5)
            assert torch.equal(alone[1][0], whole[1][k])
    again = augmentation(records, velocity, numbers=numbers, seed=9, survey=SURVEY)
    assert torch.equal(again[0], whole[0])
    other = augmentation(records, velocity, numbers=numbers, seed=10, survey=SURVEY)
    assert all(not torch.equal(ours, theirs) for ours, theirs in zip(other[0], whole[0], strict=True))


def test_one_change_draws_the_same_beside_others() -> None:
    records, velocity = batch()
    gained = changed(records, velocity, gain=(-6.0, 6.0))
    gaps = changed(records, velocity, missing=(0.2, 0.6))
    both = changed(records, velocity, gain=(-6.0, 6.0), missing=(0.2, 0.6))
    assert torch.equal(both, gained.masked_fill(gaps == 0, 0.0))


def test_flips_come_as_often_as_asked() -> None:
    velocity = small_velocity(1, 1, *SHAPE, dtype=torch.float32).expand(400, -1, -1, -1)
    records = torch.ones(400, 3, 70, 7)
    survey = SURVEY._replaced(sources=[(1, 2), (4, 8), (1, 14)])
    for share in (0.0, 0.3, 1.0):
        made = Augmentation(flip=share)
        _, models = made(records, velocity, numbers=range(400), seed=1, survey=survey)
        flipped = (models == velocity.flip(-1)).flatten(1).all(1)
        assert (~flipped == (models == velocity).flatten(1).all(1)).all()
        assert float(flipped.float().mean()) == pytest.approx(share, abs=0.08 * (0 < share < 1))


# -- changes by their definitions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", [None, (30.0, 120.0), (0.0, 60.0)])
def test_noise_has_the_signal_to_noise_ratio_and_the_band(band: tuple[float, float] | None) -> None:
    records, velocity = batch(dtype=torch.float64)
    records *= torch.logspace(-3, 3, 6, dtype=torch.float64)[:, None, None, None]
    added = changed(records, velocity, noise=(7.0, 7.0), noise_band=band) - records
    ratio = 10 * torch.log10(records.square().sum((1, 2, 3)) / added.square().sum((1, 2, 3)))
    torch.testing.assert_close(ratio, torch.full((6,), 7.0, dtype=torch.float64), rtol=0, atol=1e-6)
    by_shot = added.square().sum((2, 3)) / added.square().sum((1, 2, 3))[:, None]
    assert (by_shot - 1 / 3).abs().max() < 0.12, "as strong in every shot"
    drawn = changed(records, velocity, noise=(5.0, 30.0), noise_band=band) - records
    ratio = 10 * torch.log10(records.square().sum((1, 2, 3)) / drawn.square().sum((1, 2, 3)))
    assert float(ratio.min()) >= 5.0 - 1e-6
    assert float(ratio.max()) <= 30.0 + 1e-6
    assert float(ratio.max() - ratio.min()) > 5.0
    if band is not None:
        spectrum = torch.fft.rfft(added, dim=2).abs().sum((0, 1, 3))
        frequency = torch.arange(len(spectrum)) / (70 * SURVEY.dt)
        inside = (frequency >= band[0]) & (frequency <= band[1])
        assert spectrum[~inside].max() < 1e-9 * spectrum[inside].min()


def test_noise_leaves_silent_traces_silent() -> None:
    records, velocity = batch(3)
    records[0, 1, :, 2] = 0
    records[1] = 0
    noisy = changed(records, velocity, noise=(3.0, 3.0))
    assert not noisy[0, 1, :, 2].any()
    assert not noisy[1].any()
    assert bool((noisy[2] != records[2]).all())


@pytest.mark.parametrize("per_shot", [(), ("missing",)])
def test_missing_traces(per_shot: tuple[str, ...]) -> None:
    records, velocity = batch(200)
    holes = ~changed(records, velocity, missing=(0.1, 0.7), per_shot=per_shot).any(2)
    count = holes.sum(-1)
    assert count.min() == 1, "a tenth of seven receivers"
    assert count.max() == 5
    assert (holes.float().mean((0, 1)) - 0.4).abs().max() < 0.12, "every receiver alike"
    same = (holes == holes[:, :1]).all()
    assert bool(same) == (not per_shot)
    kept = changed(records, velocity, missing=(0.1, 0.7), per_shot=per_shot)
    assert torch.equal(kept, records.masked_fill(holes[:, :, None], 0.0))


def test_some_trace_is_always_left() -> None:
    records, velocity = batch(50)
    holes = ~changed(records, velocity, missing=(0.99, 0.99)).any(2)
    assert (holes.sum(-1) == 6).all()
    records[:, 1, :, 1:] = 0  # as masked: this shot has a single trace
    left = changed(records, velocity, missing=(0.5, 0.5)).any(2)
    assert bool(left.any(-1).all())


@pytest.mark.parametrize("per_shot", [(), ("gain",)])
def test_gain_in_decibels(per_shot: tuple[str, ...]) -> None:
    records, velocity = batch(40)
    factor = changed(records, velocity, gain=(-6.0, 20.0), per_shot=per_shot) / records
    each = factor.flatten(2).mean(-1)
    torch.testing.assert_close(factor, each[:, :, None, None].expand(factor.shape), rtol=1e-5, atol=0)
    decibels = 20 * torch.log10(each)
    assert -6.001 < float(decibels.min()) < -4.0
    assert 17.0 < float(decibels.max()) < 20.001
    assert torch.allclose(each, each[:, :1].expand(each.shape)) == (not per_shot)
    fixed = changed(records, velocity, gain=(20.0, 20.0))
    torch.testing.assert_close(fixed, 10 * records)


def test_shifts_by_shot() -> None:
    records, velocity = batch(2)
    records[:] = 0
    records[:, :, 30] = 1
    moved = changed(records, velocity, shift=(-9.0, 9.0), per_shot=("shift",)).argmax(2)
    assert len(moved[..., 0].unique()) > 3
    assert torch.equal(moved, moved[..., :1].expand(moved.shape)), "all traces of a shot together"


# -- options -----------------------------------------------------------------------------------------------------------


def test_nothing_is_on_by_default() -> None:
    records, velocity = batch()
    same = Augmentation()(records, velocity, numbers=range(6), seed=0)
    assert same[0] is records
    assert same[1] is velocity
    assert Augmentation().to_dict() == {}
    assert Augmentation.from_dict({}) == Augmentation()


def test_storage() -> None:
    augmentation = Augmentation(**EVERYTHING)
    stored = json.loads(json.dumps(augmentation.to_dict()))
    assert stored["noise"] == [0.0, 20.0]
    assert Augmentation.from_dict(stored) == augmentation
    assert pickle.loads(pickle.dumps(augmentation)) == augmentation
    assert hash(augmentation) == hash(Augmentation.from_dict(stored))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flip": 1.5}, ValueError, "flip must be a probability between 0 and 1, got 1.5"),
        ({"flip": True}, TypeError, "flip must be a number, got True"),
        ({"noise": 10.0}, ValueError, r"noise must be two numbers \(low, high\), got 10.0"),
        ({"noise": (30, 10)}, ValueError, r"noise must be finite \(low, high\), low <= high, from -200 to 200"),
        ({"noise": (0, math.nan)}, ValueError, "noise must be finite"),
        ({"noise": ("a", 1)}, TypeError, "noise must be a number, got 'a'"),
        ({"gain": (0.0, 300.0)}, ValueError, "gain must be finite .* from -200 to 200"),
        ({"shift": (-math.inf, 0)}, ValueError, "shift must be finite"),
        ({"missing": (-0.1, 0.5)}, ValueError, "missing must be finite .* from 0 to 1"),
        ({"missing": (0.5, 1.0)}, ValueError, "missing must leave some receivers, got a share of 1"),
        ({"wavelet": 30}, ValueError, r"wavelet must be two numbers \(degrees, percent\), got 30"),
        ({"wavelet": (190, 0)}, ValueError, r"wavelet must be \(degrees, percent\) of 0 to 180 and 0 to 30"),
        ({"wavelet": (0, 60)}, ValueError, r"wavelet must be .* got \(0.0, 60.0\)"),
        ({"noise_band": (5, 30)}, ValueError, "noise_band needs noise, which is off"),
        ({"noise": (5, 5), "noise_band": (9, 9)}, ValueError, r"noise_band must be \(low, high\) with low < high"),
        ({"per_shot": "gain"}, ValueError, "per_shot must list some of shift, gain, missing, got 'gain'"),
        ({"per_shot": ["noise"]}, ValueError, "per_shot must list some of shift, gain, missing"),
        ({"per_shot": ["gain"]}, ValueError, "per_shot must name changes that are on, got gain, which is off"),
        ({"flips": 0.5}, ValueError, "augmentation has the options flip, wavelet, .*, got also flips"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Augmentation.from_dict(options)


def test_options_that_are_no_dict() -> None:
    with pytest.raises(TypeError, match=r"augmentation must be a dict of its options, got 0\.5"):
        Augmentation.from_dict(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "survey", "message"),
    [
        ({"flip": 0.1}, None, "augmentation needs the survey for flip"),
        ({"wavelet": (0, 5)}, None, "augmentation needs the survey for the wavelet's peak frequency"),
        ({"noise": (5, 5), "noise_band": (5, 60)}, None, "augmentation needs the survey for noise_band"),
        ({"shift": (0, 70)}, None, "shift must be less than the 70 samples of a record"),
        ({"noise": (5, 5), "noise_band": (100, 501)}, SURVEY, "noise_band must lie below 500 Hz"),
        ({"noise": (5, 5), "noise_band": (15, 28)}, SURVEY, "hold a multiple of 14.2857 Hz"),
        (
            {"wavelet": (10, 5)},
            SURVEY._replaced(wavelet=torch.exp(-((torch.arange(70.0) - 35) ** 2) / 50)),
            r"wavelet must be \(degrees, 0\) for a survey whose wavelet has no peak frequency",
        ),
    ],
)
def test_changes_that_these_data_do_not_allow(options: dict[str, Any], survey: sf.Survey | None, message: str) -> None:
    records, velocity = batch(1)
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)(records, velocity, numbers=[0], seed=0, survey=survey)


def test_a_rotation_needs_no_survey() -> None:
    records, velocity = batch(2)
    rotated, _ = Augmentation(wavelet=(90.0, 0.0))(records, velocity, numbers=[0, 1], seed=0)
    assert not torch.allclose(rotated, records, atol=0.1)


def test_batches_that_do_not_fit() -> None:
    records, velocity = batch(2)
    augmentation = Augmentation(gain=(0, 6))

    def refused(error: type[Exception], message: str, **changes: Any) -> None:  # noqa: ANN401
        values = {"records": records, "velocity": velocity, "numbers": [0, 1], "seed": 0, "survey": SURVEY, **changes}
        with pytest.raises(error, match=message):
            augmentation(values.pop("records"), values.pop("velocity"), **values)

    refused(TypeError, "records must be a float32 or float64 tensor, got torch.float16", records=records.half())
    refused(TypeError, "velocity must be a float32 or float64 tensor", velocity=None)
    refused(ValueError, r"got \[2, 3, 70, 7\] and \[2, 14, 17\]", velocity=velocity[:, 0])
    refused(ValueError, "numbers must name the 2 models of the batch, got 1", numbers=[0])
    refused(ValueError, "numbers must be an integer of at least 0, got -1", numbers=[0, -1])
    refused(ValueError, "seed must lie in", seed=-1)
    refused(TypeError, "survey must be a seisfast.Survey or a Mirror of one, got dict", survey={})
    refused(ValueError, r"time, receivers\] = \[3, 70, 7\], got \[2, 70, 7\]", records=records[:, :2])
