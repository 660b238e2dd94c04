"""Changes of the source's signature and of time, as linear filters on records.

A record is linear in the wavelet, so the record of a filtered wavelet is the filtered record. A filter that looks ahead
takes samples from after the record's end, which nobody has: there the record is continued smoothly and fades out, and
within the length of a wavelet from the end the result depends on that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 10.0  # gain at any frequency, 20 dB


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
    never exceeds `LARGEST`, which a higher peak frequency would pass where there is little but noise to amplify (at 20
    percent more, above 2.5 times the new peak frequency). Another wavelet gets a tilted spectrum.

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
    """The frequencies of `filtered` in cycles per sample, float64, `samples + (reach + 1) // 2 + 1` of them.

    `reach` is a quarter of the samples, rounded down.
    """
    length = _length(samples)
    return torch.arange(length // 2 + 1, dtype=torch.float64, device=device) / length


def filtered(records: Tensor, response: Tensor) -> Tensor:
    """Records under a filter; they are made 2 1/4 times as long, so that nothing wraps around.

    A quarter of their length continues the record, turned by half about its last sample and tapered, so that a record
    that does not end in silence has no edge that rings; the rest is zero, as long as the largest shift.

    Args:
        records: `[batch, shots, time, receivers]`.
        response: at `frequencies(time)`, complex128 `[batch, shots or 1, frequencies]`.
    """
    samples = records.shape[2]
    reach = samples // 4
    taper = torch.linspace(0.5 * math.pi, 0.0, reach + 2, dtype=records.dtype, device=records.device)[1:-1].sin() ** 2
    turned = 2.0 * records[:, :, -1:] - records[:, :, samples - 1 - reach : samples - 1].flip(2)
    records = torch.cat([records, turned * taper[:, None]], dim=2)
    ends = torch.view_as_real(response.clone())
    ends[..., [0, -1], 1] = 0.0  # constant and fastest oscillation have no phase
    response = torch.view_as_complex(ends).to(torch.promote_types(records.dtype, torch.complex64))
    spectrum = torch.fft.rfft(records, _length(samples), dim=2) * response[..., None]
    padded: Tensor = torch.fft.irfft(spectrum, _length(samples), dim=2)
    return padded[:, :, :samples].contiguous()


def _length(samples: int) -> int:
    """Samples of what `filtered` transforms, an even number."""
    return 2 * (samples + (samples // 4 + 1) // 2)


def emptied(records: Tensor, samples: Tensor) -> Tensor:
    """Records that were moved by so many samples, zero where an earlier time brought in what comes after their end.

    Args:
        records: `[batch, shots, time, receivers]`.
        samples: as for `delayed`, float64 `[batch, shots or 1]`.
    """
    time = torch.arange(records.shape[2], dtype=torch.float64, device=records.device)
    beyond = time > records.shape[2] - 1 + samples[..., None]
    return records.masked_fill(beyond[..., None], 0.0)
