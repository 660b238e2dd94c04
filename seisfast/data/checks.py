"""Checks that the datasets share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seisfast.arguments import rounded_down
from seisfast.geology import Geology
from seisfast.survey import Survey


def check_pair(geology: Geology, survey: Survey) -> None:
    """Check that a survey can run on every model of a geology.

    Raises:
        TypeError: When one of them is something else.
        ValueError: When the shapes differ, the time step is too long for the fastest model, or the wavelet
            belongs to given models.
    """
    if not isinstance(geology, Geology):
        raise TypeError(f"geology must be a seisfast.geology.Geology, got {type(geology).__name__}")
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")
    if survey.shape is not None and tuple(survey.shape) != geology.shape:
        raise ValueError(f"survey must have the shape {geology.shape} of the geology, got {survey.shape}")
    survey.check_shape(geology.shape)
    if survey.wavelet.dim() == 4:
        raise ValueError("survey must have one wavelet for all models, got one per model (four dimensions)")
    fastest = geology.velocity[1]
    largest = survey.largest_dt(fastest, fastest)
    if survey.dt > largest:
        raise ValueError(
            f"survey.dt must be at most {rounded_down(largest):.6g} s for the geology's fastest velocity, "
            f"{fastest:g} m/s, got {survey.dt:g} s"
        )


def check_count(name: str, value: int) -> int:
    """Return a whole number of at least 1, else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def check_epoch(epoch: int, start_batch: int) -> None:
    """Check the place in a run where an epoch is to begin.

    Raises:
        TypeError: When a number is not whole.
        ValueError: When it is negative.
    """
    for name, value in (("epoch", epoch), ("start_batch", start_batch)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        if value < 0:
            raise ValueError(f"{name} must be 0 or larger, got {value}")


def check_finite(
    name: str,
    pairs: Sequence[tuple[Tensor, Tensor]] | Dataset[tuple[Tensor, Tensor]],
    advance: Callable[[int], object] = int,
    models: range | None = None,
) -> None:
    """Check every record and velocity of a dataset, reading it once.

    Args:
        name: Of the argument, for the message.
        pairs: A `StoredDataset`, or pairs in memory.
        advance: Is told of every model read.
        models: Those to check; None means all.

    Raises:
        ValueError: When one is not finite, with the model.
    """
    for k in range(len(pairs)) if models is None else models:  # type: ignore[arg-type]  # Dataset promises no length
        for what, values in zip(("records", "velocities"), pairs[k], strict=True):
            # A sum is finite only if all are, is many times as fast to take, and may only overflow.
            if not (bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())):
                place = pairs.where(k) if hasattr(pairs, "where") else ""
                raise ValueError(f"{name} must hold finite {what}, got NaN or infinity in those of model {k}{place}")
        advance(1)
