"""Changes of the source's signature and of time, as linear filters on records.

A record is linear in the wavelet, so the record of a filtered wavelet is the filtered record. What a filter that looks
ahead would take from after a record's end is not there: within the length of a wavelet from the end the result lacks
it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 100.0  # gain at any frequency, 40 dB


def rotated(degrees: Tensor) -> Tensor:
    """Response at positive frequencies that turns the phase of all of them, ``exp(i angle)``.

    By 90 degrees it makes a cosine a negative sine.

    Args:
        degrees: float64 `[...]`.

    Returns:
        complex128 `[...]`.
    """
    angle = torch.deg2rad(degrees)
    return torch.polar(torch.ones_like(angle), angle)


def stretched(frequency: Tensor, factor: Tensor, peak: float) -> Tensor:
    """Response that makes a Ricker wavelet one of another peak frequency and the same amplitude.

    The ratio of their spectra, ``factor^-3 exp((f / peak)^2 (1 - factor^-2))``: real, so that nothing moves in time. It
    never exceeds `LARGEST`, which a higher peak frequency would pass where there is nothing but rounding and noise to
    amplify (at 20 percent more, above four times the old peak frequency). Another wavelet gets a tilted spectrum.

    Args:
        frequency: Hz, float64.
        factor: new peak frequency over the old one, float64.
        peak: the old one, Hz.

    Returns:
        float64, of the shape that `frequency` and `factor` have together.

    Source: spectrum of the wavelet of Ricker (1953), Geophysics 18(1).
    """
    power = (frequency / peak) ** 2 * (1.0 - factor**-2) - 3.0 * factor.log()
    return power.clamp_max(math.log(LARGEST)).exp()


def delayed(turns: Tensor, samples: Tensor) -> Tensor:
    """Response that moves a record to later times by so many samples, whole or not.

    Args:
        turns: frequencies in cycles per sample, float64.
        samples: float64, of a shape that fits.

    Returns:
        complex128.
    """
    angle = -2.0 * math.pi * turns * samples
    return torch.polar(torch.ones_like(angle), angle)


def frequencies(samples: int, device: torch.device) -> Tensor:
    """The frequencies of `filtered` in cycles per sample, float64 `[samples + 1]`."""
    return torch.arange(samples + 1, dtype=torch.float64, device=device) / (2 * samples)


def filtered(records: Tensor, response: Tensor) -> Tensor:
    """Records under a filter, followed by as many zeros as they have samples, so that nothing wraps around.

    Args:
        records: `[batch, shots, time, receivers]`.
        response: at `frequencies(time)`, complex128 `[batch, shots or 1, frequencies]`.
    """
    samples = records.shape[2]
    ends = torch.view_as_real(response.clone())
    ends[..., [0, -1], 1] = 0.0  # constant and fastest oscillation have no phase
    response = torch.view_as_complex(ends).to(torch.promote_types(records.dtype, torch.complex64))
    spectrum = torch.fft.rfft(records, 2 * samples, dim=2) * response[..., None]
    padded: Tensor = torch.fft.irfft(spectrum, 2 * samples, dim=2)
    return padded[:, :, :samples].contiguous()
