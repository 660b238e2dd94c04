"""Changes of wavelet and time: the filtered record is the record of the filtered wavelet, and nothing wraps around."""

from __future__ import annotations

import math

import pytest
import torch
from small_survey import noise, relative, small_survey, small_velocity
from torch import Tensor

import seisfast as sf
from seisfast.augmentation import Augmentation
from seisfast.augmentation.filters import LARGEST, delayed, emptied, filtered, frequencies, rotated, stretched

CPU = torch.device("cpu")
NT, DT, PEAK = 800, 1e-3, 15.0
TURNS = frequencies(NT, CPU)


def pulse(peak: float) -> Tensor:
    """A Ricker wavelet around sample 300, whole unlike that of `wavelets.ricker`."""
    square = ((torch.arange(NT, dtype=torch.float64) - 300) * DT * peak * math.pi) ** 2
    return (1 - 2 * square) * torch.exp(-square)


def signal(values: Tensor, response: Tensor) -> Tensor:
    """One trace under a filter."""
    return filtered(values[None, None, :, None], response.expand(1, 1, -1))[0, 0, :, 0]


def at_peak(factor: float) -> Tensor:
    turns = frequencies(NT, CPU)
    return stretched(turns / DT, torch.tensor(factor, dtype=torch.float64), PEAK).to(torch.complex128)


@pytest.mark.parametrize("factor", [0.7, 0.8, 0.9, 1.1, 1.2])
def test_a_ricker_becomes_one_of_another_peak_frequency(factor: float) -> None:
    changed = signal(pulse(PEAK), at_peak(factor))
    assert relative(changed, pulse(PEAK * factor)) < (1e-6 if factor < 1 else 5e-3)
    assert relative(pulse(PEAK), pulse(PEAK * factor)) > 0.1


def test_the_largest_gain_of_a_change_is_limited() -> None:
    assert float(at_peak(1.3).abs().max()) == pytest.approx(LARGEST)
    assert relative(signal(pulse(PEAK), at_peak(1.3)), pulse(1.3 * PEAK)) < 0.05
    assert torch.equal(at_peak(1.0), torch.ones_like(at_peak(1.0)))


def test_a_rotation_by_a_quarter_makes_a_cosine_a_negative_sine() -> None:
    time = torch.arange(NT, dtype=torch.float64) - 200
    window = torch.exp(-((time / 40) ** 2))
    phase = 0.3 * time
    quarter = rotated(torch.tensor([90.0], dtype=torch.float64))
    changed = signal(window * torch.cos(phase), quarter.expand(len(TURNS)))
    torch.testing.assert_close(changed, -window * torch.sin(phase), rtol=0, atol=1e-5)
    half = signal(window * torch.cos(phase), rotated(torch.tensor([180.0], dtype=torch.float64)).expand(len(TURNS)))
    torch.testing.assert_close(half, -window * torch.cos(phase), rtol=0, atol=1e-12)


@pytest.mark.parametrize("samples", [0.0, 7.0, -7.0, 2.5, -11.25, 0.8 * NT, NT - 1.0, 1.0 - NT])
def test_a_shift_moves_what_is_there_and_wraps_nothing(samples: float) -> None:
    later = torch.tensor([[samples]], dtype=torch.float64)
    response = delayed(frequencies(NT, CPU), later)
    time = torch.arange(NT, dtype=torch.float64)
    smooth = signal(torch.exp(-(((time - 200) / 12) ** 2)), response)
    torch.testing.assert_close(smooth, torch.exp(-(((time - 200 - samples) / 12) ** 2)), rtol=0, atol=1e-12)
    if samples == int(samples):
        values, step = noise(NT), int(samples)
        expected = torch.zeros(NT, dtype=torch.float64)
        expected[max(step, 0) : NT + min(step, 0)] = values[max(-step, 0) : NT - max(step, 0)]
        moved = emptied(signal(values, response)[None, None, :, None], later)[0, 0, :, 0]
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_a_record_that_ends_in_full_swing_has_no_edge_that_rings() -> None:
    for start in range(0, 60, 7):
        wave = torch.cos(2 * math.pi * PEAK * DT * (torch.arange(NT, dtype=torch.float64) + start))
        wave[:200] *= torch.linspace(0, 1, 200) ** 2
        assert float(signal(wave, at_peak(1.2))[300:].abs().max()) < 1.1, "0.79 in the middle"
        assert float(signal(wave, delayed(frequencies(NT, CPU), torch.tensor(0.5)))[300:].abs().max()) < 1.01


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_records_of_few_samples(samples: int) -> None:
    records = noise(2, 3, samples, 4)
    same = torch.ones(1, 1, len(frequencies(samples, CPU)), dtype=torch.complex128)
    torch.testing.assert_close(filtered(records, same), records, rtol=0, atol=1e-12)


def test_the_record_of_another_wavelet_without_simulating_it() -> None:
    """Records are linear in the wavelet: the same filter on the wavelet gives the same record."""
    survey = small_survey(
        sources=[(1, 2), (4, 8)], receivers=[(2, 3), (5, 9), (2, 14)], nt=NT, wavelet=pulse(PEAK),
        boundary=sf.CPML(10, frequency=PEAK),
    )  # fmt: skip
    velocity = small_velocity(2, 14, 17)[:, None]
    records = sf.simulate(velocity[:, 0], survey)
    before = records.clone()
    augmentation = Augmentation(wavelet=(60.0, 15.0), shift=(-3.0, 9.0))
    changed, model = augmentation(records, velocity, numbers=[4, 9], seed=11, survey=survey)
    assert torch.equal(records, before)
    assert torch.equal(model, velocity)
    for k, number in enumerate((4, 9)):
        wavelet = pulse(PEAK)[None, None, :, None]
        same, _ = augmentation(
            wavelet, velocity[:1], numbers=[number], seed=11,
            survey=survey._replaced(sources=[(1, 2)], receivers=[(2, 3)]),
        )  # fmt: skip
        expected = sf.simulate(velocity[k, 0], survey._replaced(wavelet=same[0, 0, :, 0]))
        inner = slice(0, NT - 300)  # a filter looks ahead by up to a wavelet
        assert relative(changed[k, :, inner], expected[:, inner]) < 1e-3
        assert relative(before[k, :, inner], expected[:, inner]) > 0.1
