"""Source wavelets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seisfast.arguments import positive, whole

BAND = 2.5  # a Ricker wavelet has little above this multiple of its peak frequency


def ricker(frequency: float, dt: float, nt: int) -> Tensor:
    """Ricker wavelet with the samples that OpenFWI uses, zero after its end.

    With ``n0 = int(2.2 / frequency / dt)`` it has ``2 (n0 // 2) + 1`` samples around a peak of +1
    (sample 73 for 15 Hz at 1 ms).

    Args:
        frequency: peak frequency, Hz.
        dt: time step, s.
        nt: number of samples; a wavelet longer than this is cut.

    Returns:
        float64 tensor `[nt]`, dimensionless.

    Raises:
        ValueError: an argument that is not positive, or a peak above the Nyquist frequency.

    Source: the wavelet of the public re-implementations of OpenFWI (lanl/OpenFWI issue 12).
    """
    frequency, dt, nt = positive("frequency", frequency), positive("dt", dt), whole("nt", nt)
    if frequency * dt >= 0.5:
        raise ValueError(f"frequency must lie below the Nyquist frequency {0.5 / dt:g} Hz, got {frequency:g} Hz")
    half = int(2.2 / frequency / dt) // 2
    k = torch.arange(2 * half + 1, dtype=torch.float64)
    beta = ((half - k) * frequency * dt * math.pi) ** 2
    samples = (1.0 - 2.0 * beta) * torch.exp(-beta)
    wavelet = torch.zeros(nt, dtype=torch.float64)
    kept = min(nt, samples.numel())
    wavelet[:kept] = samples[:kept]
    return wavelet
