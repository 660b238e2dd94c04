"""Band-limited resampling: between the samples of a survey and the steps of a finer run, and of measured records.

A fine run of m steps per sample begins `REACH` samples before the survey and ends `REACH` samples after it. So every
sample is interpolated from, or averaged over, all the steps that its kernel covers: nothing wraps around, a wavelet
that starts or ends abruptly rings on both sides of its edge as its band-limited form does, and the map from wavelet to
record does not depend on when a pulse comes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

REACH = 16  # samples on either side of a sample that its kernel covers
_BETA = 12.27  # of the Kaiser window: 1e-6 of ripple up to three quarters of the Nyquist frequency
_CHUNK = 256  # times that are interpolated at once


def upsampled(wavelet: Tensor, substeps: int) -> Tensor:
    """Samples of a wavelet as the steps of a fine run, the given ones among them.

    Args:
        wavelet: `[..., time]`, float32 or float64.
        substeps: m, steps per sample.

    Returns:
        `[..., m (time + 2 REACH)]`; sample n is step ``m (n + REACH)``.

    Source: Kaiser's window over a sinc, Oppenheim and Schafer, Discrete-Time Signal Processing, chapter 7.
    """
    spread = pad(pad(wavelet, (0, 2 * REACH))[..., None], (0, substeps - 1)).flatten(-2)
    return _filtered(spread, substeps, -1)


def downsampled(record: Tensor, substeps: int) -> Tensor:
    """Samples of a record from the steps of a fine run, low-passed to their band: the transpose of `upsampled`.

    Args:
        record: `[..., m (time + 2 REACH), receivers]`, float32 or float64; step j is the field after that step.
        substeps: m, steps per sample.

    Returns:
        `[..., time, receivers]`; sample n is step ``m (n + 1 + REACH) - 1``, the field after the m steps of sample n.
    """
    smooth = _filtered(record, substeps, -2)
    return smooth[..., inner_step(REACH, substeps) :: substeps, :] / substeps


def inner_steps(samples: int, substeps: int) -> int:
    """Steps of a fine run over so many samples."""
    return samples if substeps == 1 else substeps * (samples + 2 * REACH)


def inner_step(sample: int, substeps: int) -> int:
    """The step of a fine run after which the field is that of a sample."""
    return sample if substeps == 1 else substeps * (sample + 1 + REACH) - 1


def _filtered(signal: Tensor, substeps: int, dim: int) -> Tensor:
    """The signal under the kernel along a dimension, REACH samples late; what wraps around is not asked for above."""
    steps, half = signal.shape[dim], REACH * substeps
    window = torch.kaiser_window(2 * half + 1, periodic=False, beta=_BETA, dtype=torch.float64, device=signal.device)
    time = torch.arange(-half, half + 1, dtype=torch.float64, device=signal.device) / substeps
    response = torch.fft.rfft((torch.sinc(time) * window).to(signal.dtype), steps)
    if dim == -2:
        response = response[:, None]
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(signal, dim=dim) * response, steps, dim=dim)
    return filtered


def resampled(record: Tensor, dt: float, start: float, new_dt: float, new_nt: int) -> Tensor:
    """A record at other times, band-limited: low-passed to the band of the coarser of the two intervals.

    Beyond its ends the record goes on as its odd mirror, so that one that does not end at zero does not ring.

    Args:
        record: `[time, receivers]`; sample n is at ``start + n dt``.
        dt: interval of the record, s.
        start: time of its first sample, s.
        new_dt: interval of the result, s.
        new_nt: samples of the result, which begins at 0 s.

    Returns:
        `[new_nt, receivers]` in the dtype of the record; the very samples where they fall on samples of the record. Up
        to three quarters of the lower Nyquist frequency the error is 1e-6.

    Source: Kaiser's window over a sinc, as in `upsampled`; Smith and Gossett (1984), ICASSP, for arbitrary ratios.
    """
    width = max(1.0, new_dt / dt)  # of the kernel, in samples of the record
    times = (torch.arange(new_nt, dtype=torch.float64) * new_dt - start) / dt
    near = times.round()
    if width == 1.0 and bool(((times - near).abs() < 1e-9).all()) and near[0] >= 0 and near[-1] < len(record):
        return record[near.long()]
    reach = int(REACH * width) + 1
    first = int(times[0].floor()) - reach
    signal = _odd(record.double(), max(0, -first), max(0, int(times[-1].floor()) + reach + 1 - len(record)))
    moved = times + max(0, -first)
    parts = []
    for part in moved.split(_CHUNK):
        low, high = int(part[0].floor()) - reach, int(part[-1].floor()) + reach + 1
        distance = (part[:, None] - torch.arange(low, high, dtype=torch.float64)) / width
        inside = (1 - (distance / REACH) ** 2).clamp(min=0)
        window = torch.special.i0(_BETA * inside.sqrt()) / torch.special.i0(torch.tensor(_BETA, dtype=torch.float64))
        weight = torch.where(distance.abs() <= REACH, torch.sinc(distance) * window, 0.0) / width
        parts.append(weight @ signal[low:high])
    return torch.cat(parts).to(record.dtype)


def _odd(signal: Tensor, before: int, after: int) -> Tensor:
    """The signal with its odd mirror at both ends."""
    widths = ((before, after), (0, 0))
    return torch.from_numpy(np.pad(signal.numpy(), widths, mode="reflect", reflect_type="odd"))
