"""The Ricker wavelet: OpenFWI's samples, its shape, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from seisfast.wavelets import ricker


@pytest.mark.parametrize(
    ("frequency", "length", "peak"), [(15.0, 147, 73), (5.0, 441, 220), (20.0, 111, 55), (8.0, 275, 137)]
)
def test_samples_are_openfwis(frequency: float, length: int, peak: int) -> None:
    wavelet = ricker(frequency, 1e-3, 1000)
    assert wavelet.dtype == torch.float64
    assert wavelet.shape == (1000,)
    assert int(wavelet.argmax()) == peak
    assert wavelet[peak] == 1.0
    assert (wavelet[:length] != 0).all()
    assert not wavelet[length:].any()
    for n in (0, 1, peak // 2, peak + 7, length - 1):
        b = ((peak - n) * frequency * 1e-3 * math.pi) ** 2
        assert wavelet[n] == pytest.approx((1 - 2 * b) * math.exp(-b), rel=1e-13, abs=1e-15)


def test_symmetric_with_little_mean_and_its_peak_frequency() -> None:
    wavelet = ricker(15.0, 1e-3, 4000)
    pulse = wavelet[:147]
    assert torch.equal(pulse, pulse.flip(0))
    assert abs(float(pulse.sum())) < 2e-3 * float(pulse.abs().sum())
    frequencies = torch.fft.rfftfreq(4000, 1e-3)
    assert float(frequencies[torch.fft.rfft(wavelet).abs().argmax()]) == pytest.approx(15.0, abs=0.3)


def test_longer_than_the_record_is_cut() -> None:
    assert torch.equal(ricker(15.0, 1e-3, 50), ricker(15.0, 1e-3, 1000)[:50])
    assert ricker(15.0, 1e-3, 1).shape == (1,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0, 1e-3, 10), ValueError, r"frequency must be positive and finite, got 0\.0"),
        ((-15.0, 1e-3, 10), ValueError, r"frequency must be positive and finite, got -15"),
        ((float("nan"), 1e-3, 10), ValueError, r"frequency must be positive and finite, got nan"),
        (("15", 1e-3, 10), TypeError, r"frequency must be a number, got '15'"),
        ((True, 1e-3, 10), TypeError, r"frequency must be a number, got True"),
        ((15.0, 0.0, 10), ValueError, r"dt must be positive and finite, got 0\.0"),
        ((15.0, float("inf"), 10), ValueError, r"dt must be positive and finite, got inf"),
        ((15.0, None, 10), TypeError, r"dt must be a number, got None"),
        ((15.0, 1e-3, 0), ValueError, r"nt must be an integer of at least 1, got 0"),
        ((15.0, 1e-3, 10.0), TypeError, r"nt must be an integer of at least 1, got 10\.0"),
        ((500.0, 1e-3, 10), ValueError, r"frequency must lie below the Nyquist frequency 500 Hz, got 500 Hz"),
    ],
)
def test_refuses(arguments: tuple[float, float, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ricker(*arguments)
