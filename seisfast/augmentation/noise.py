"""Additive noise, and traces that are missing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seisfast.augmentation.randoms import normal


def noisy(
    records: Tensor, decibels: Tensor, numbers: Sequence[int], key: int, band: tuple[float, float] | None
) -> Tensor:
    """Records with Gaussian noise of an exact signal-to-noise ratio.

    Args:
        records: `[batch, shots, time, receivers]`. A trace that is zero throughout takes no part and stays so.
        decibels: ``10 log10(sum signal^2 / sum noise^2)``, sums over all shots of a model, `[batch]`.
        numbers: of the models; they choose the noise, with the key.
        key: of the draw.
        band: the frequencies left in the noise, in cycles per sample; None for all of them.
    """
    shape = records.shape
    noise = normal(numbers, key, shape[1:].numel(), records.device).view(shape).to(records.dtype)
    if band is not None:
        turns = torch.arange(shape[2] // 2 + 1, dtype=torch.float64, device=records.device) / shape[2]
        inside = ((turns >= band[0]) & (turns <= band[1])).to(records.dtype)
        noise = torch.fft.irfft(torch.fft.rfft(noise, dim=2) * inside[:, None], shape[2], dim=2)
    noise = noise * (records != 0).any(2, keepdim=True)
    wanted = records.square().sum((1, 2, 3)) * 10.0 ** (-decibels.to(records) / 10.0)
    found = noise.square().sum((1, 2, 3))
    scale = (wanted / torch.where(found > 0, found, 1.0)).sqrt()
    return records + scale[:, None, None, None] * noise


def with_gaps(records: Tensor, share: Tensor, order: Tensor) -> Tensor:
    """Records with some traces set to zero.

    At least one receiver is left; a shot that would lose every trace that is not zero anyway keeps them all.

    Args:
        records: `[batch, shots, time, receivers]`.
        share: of the receivers that are missing, rounded to whole ones, `[batch, shots or 1]`.
        order: random numbers; the receivers with the smallest are missing, `[batch, shots or 1, receivers]`.
    """
    count = torch.floor(share * order.shape[-1] + 0.5).clamp_max(order.shape[-1] - 1)
    missing = order.argsort(dim=-1, stable=True).argsort(-1) < count[..., None]
    missing = missing.to(records.device).expand(-1, records.shape[1], -1)
    alive = (records != 0).any(2)
    missing = missing & (alive & ~missing).any(-1, keepdim=True)
    return records.masked_fill(missing[:, :, None], 0.0)
