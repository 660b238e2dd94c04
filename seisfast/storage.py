"""`Storage`: what the forward run keeps for the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seisfast.arguments import whole


@dataclass(frozen=True)
class Storage:
    """What the forward run keeps for the gradient.

    "all" keeps the Laplacian of every step, "checkpoint" keeps states and recomputes the steps between them, "auto"
    chooses between these two by the memory that it may use (a quarter of what is free on CUDA, 32 MiB on a CPU,
    where recomputing is as fast): their gradients are equal to the bit. Keeping only every k-th step or half precision
    is lossy and therefore asked for by name.

    Args:
        mode: "auto", "all" or "checkpoint".
        every: keep each k-th step, inner ones where there are substeps; k of them must stay below the Nyquist interval
            of 2.5 times the peak frequency (`Survey.peak_frequency` says where that is not known).
        dtype: None, or ``torch.float16`` for kept steps in half precision, scaled per shot and step.
        memory: bytes that a call may take besides its records: for what it keeps, on CUDA for its work, which then runs
            the shots in groups that fit, and for the wavefields shown to a callback, which share with the work
            equally. None: "auto" as above, the others in half of what is free. The result does not depend on it.

    Raises:
        TypeError: `every` or `memory` that are not integers.
        ValueError: an unknown mode or dtype, `every` or `memory` below 1, or a lossy setting with "checkpoint".
    """

    mode: str = "auto"
    every: int = 1
    dtype: torch.dtype | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "all", "checkpoint"):
            raise ValueError(f"Storage mode must be 'auto', 'all' or 'checkpoint', got {self.mode!r}")
        object.__setattr__(self, "every", whole("Storage every", self.every))
        if self.dtype not in (None, torch.float16):
            raise ValueError(f"Storage dtype must be None or torch.float16, got {self.dtype!r}")
        if self.memory is not None:
            object.__setattr__(self, "memory", whole("Storage memory, in bytes,", self.memory))
        if self.mode == "checkpoint" and self.lossy:
            raise ValueError("Storage mode 'checkpoint' recomputes exactly; every and dtype need mode 'all'")

    @property
    def lossy(self) -> bool:
        """Whether the gradient differs from the exact one."""
        return self.every > 1 or self.dtype is not None
