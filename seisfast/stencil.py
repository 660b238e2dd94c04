"""Weights of the central differences, for unit spacing."""

from __future__ import annotations

import math


def second_weights(order: int) -> list[float]:
    """Central weights of the second derivative at distances 0 .. order / 2, for unit spacing.

    Source: Fornberg (1988), Mathematics of Computation 51.
    """
    r = order // 2
    sides = [2.0 * (-1) ** (k + 1) * _ratio(r, k) / k**2 for k in range(1, r + 1)]
    return [-2.0 * sum(sides), *sides]


def first_weights(order: int) -> list[float]:
    """Central weights of the first derivative at distances 0 .. order / 2, for unit spacing (antisymmetric).

    Source: Fornberg (1988), Mathematics of Computation 51.
    """
    r = order // 2
    return [0.0, *((-1) ** (k + 1) * _ratio(r, k) / k for k in range(1, r + 1))]


def _ratio(r: int, k: int) -> float:
    return math.factorial(r) ** 2 / (math.factorial(r - k) * math.factorial(r + k))
