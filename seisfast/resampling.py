"""Band-limited resampling between the samples of a survey and the steps of a finer run, both ways.

A fine run of m steps per sample begins `REACH` samples before the survey and ends `REACH` samples after it. So every
sample is interpolated from, or averaged over, all the steps that its kernel covers: nothing wraps around, a wavelet
that starts or ends abruptly rings on both sides of its edge as its band-limited form does, and the map from wavelet to
record does not depend on when a pulse comes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

REACH = 16  # samples on either side of a sample that its kernel covers
_BETA = 12.27  # of the Kaiser window: 1e-6 of ripple up to three quarters of the Nyquist frequency


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
