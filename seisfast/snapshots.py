"""`Every`: which wavefields `simulate` returns beside the records."""

from __future__ import annotations

from dataclasses import dataclass

from seisfast.arguments import whole


@dataclass(frozen=True)
class Every:
    """Which samples `simulate` shows the wavefield of: 0, k, 2 k, ...

    Args:
        samples: k.

    Raises:
        TypeError: a number that is not an integer.
        ValueError: one below 1.
    """

    samples: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", whole("Every samples", self.samples))

    def count(self, nt: int) -> int:
        """How many of so many samples these are."""
        return -(-nt // self.samples)
