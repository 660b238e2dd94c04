"""Normal deviates that depend on a key and the number of a model alone, made where they are needed.

A generator that counts gives every sample of every model its own random number, so that a batch on any device, in any
process, draws the same noise; only logarithm and sine may round differently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIER, _STEP = 0xD256D193, 0x9E3779B9
_AT_ONCE = {"cpu": 1, "cuda": 64}  # models: on a CPU one fits in the cache of a core, a GPU wants many


def philox(first: Tensor, second: Tensor, key: int) -> tuple[Tensor, Tensor]:
    """Philox2x32 with ten rounds: two random words of 32 bits from a counter of two words.

    Args:
        first: low word of the counter, int64 of 0 to 2**32 - 1.
        second: its high word, of a shape that fits the first.
        key: 0 to 2**32 - 1.

    Source: Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3, SC11.
    """
    for _ in range(10):
        product = first * _MULTIPLIER  # the low 64 bits, of which a sign does not matter
        high = (product >> 32).bitwise_and_(_WORD).bitwise_xor_(second).bitwise_xor_(key)
        first, second = high, product.bitwise_and_(_WORD)
        key = (key + _STEP) & _WORD
    return first, second


def normal(numbers: Sequence[int], key: int, count: int, device: torch.device) -> Tensor:
    """Normal deviates of mean 0 and variance 1, float32 `[models, count]`.

    Args:
        numbers: of the models; row i depends on `key` and `numbers[i]`, modulo 2**32 each.
        key: of the draw.
        count: deviates of a model.
        device: where they are made.

    Source: Box and Muller (1958), Annals of Mathematical Statistics 29(2).
    """
    half = (count + 1) // 2
    place = torch.arange(half, device=device)
    rows = torch.tensor([number & _WORD for number in numbers], device=device)[:, None]
    deviates = torch.empty(len(numbers), 2 * half, device=device)
    size = _AT_ONCE.get(device.type, 1)
    for start in range(0, len(numbers), size):
        part = rows[start : start + size]
        first, second = philox(place.expand(len(part), half), part.expand(len(part), half), key & _WORD)
        radius = ((first + 1).float() * 2.0**-32).log_().mul_(-2.0).sqrt_()
        angle = second.float() * (2.0 * math.pi * 2.0**-32)
        torch.mul(radius, angle.cos(), out=deviates[start : start + size, :half])
        torch.mul(radius, angle.sin_(), out=deviates[start : start + size, half:])
    return deviates[:, :count]
