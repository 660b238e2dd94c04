"""Which of the positions in a file stand for those that a survey asks for. Positions are (x, z) in metres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisfast.arguments import Array

Numbers = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # of what is wanted and of what is there, ascending


def nearest(wanted: Array, there: Array, numbers: Numbers) -> tuple[npt.NDArray[np.int64], Array]:
    """The nearest of the positions `there [n, 2]` to each that is wanted `[m, 2]`, and how far it is.

    Of several at one place the one with the same number is taken where it is among them, else the first.
    """
    distance = np.linalg.norm(wanted[:, None] - there[None], axis=-1)
    chosen = distance.argmin(1)
    _, asked, same = np.intersect1d(*numbers, assume_unique=True, return_indices=True)
    ties = distance[asked, same] <= distance[asked, chosen[asked]]
    chosen[asked] = np.where(ties, same, chosen[asked])
    return chosen, distance[np.arange(len(wanted)), chosen]


def mix_traces(
    wanted: Array, there: Array, numbers: Numbers, how: str, tolerance: float, widen: bool, shot: str
) -> Tensor:
    """Weights of the traces at `there [n, 2]` in those that are wanted `[m, 2]`.

    Args:
        wanted: positions asked for.
        there: positions of the traces.
        numbers: of the receivers wanted and of the traces, dead ones counted, for `nearest`.
        how: "nearest" or "linear".
        tolerance: metres that a trace may be off.
        widen: whether to make the tolerance of "linear" at least the mean interval of the traces.
        shot: word for the messages.

    Returns:
        float64 `[n, m]`; columns sum to one.

    Raises:
        ValueError: a wanted position with no trace within the tolerance.
    """
    if len(there) == 0 and len(wanted):
        raise ValueError(f"{shot} has no live trace for its {len(wanted)} receivers")
    weights = np.zeros((len(there), len(wanted)))
    column = np.arange(len(wanted))
    if how == "nearest" or len(there) < 2:
        chosen, off = nearest(wanted, there, numbers) if len(wanted) else (column, np.zeros(0))
        weights[chosen, column] = 1.0
    else:
        left, right, share = _neighbours(wanted, there)
        if widen:
            tolerance = max(tolerance, float(np.ptp(there, 0).max()) / (len(there) - 1) * (1 + 1e-6))
        weights[left, column] += 1 - share
        weights[right, column] += share
        distances = [np.linalg.norm(wanted - there[side], axis=-1) for side in (left, right)]
        off = np.maximum(np.where(share < 1, distances[0], 0), np.where(share > 0, distances[1], 0))
    far = off > tolerance
    if far.any():
        k = int(np.argmax(far))
        raise ValueError(
            f"{shot} has no trace within {tolerance:g} m of receiver {k} at (x, z) = ({wanted[k, 0]:g}, "
            f"{wanted[k, 1]:g}) m ({how}: {off[k]:.4g} m away); a larger tolerance allows it"
        )
    return torch.from_numpy(weights)


def _neighbours(wanted: Array, there: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Traces before and after each wanted position along the axis on which they lie, and the share of the latter."""
    axis = int(np.argmax(np.ptp(there, axis=0)))
    order = np.argsort(there[:, axis], kind="stable")
    line, asked = there[order, axis], wanted[:, axis]
    after = np.clip(np.searchsorted(line, asked, side="left"), 0, len(line) - 1)
    before = np.clip(np.where(line[after] <= asked, after, after - 1), 0, len(line) - 1)
    gap = line[after] - line[before]
    share = np.where(gap > 0, (asked - line[before]) / np.where(gap > 0, gap, 1.0), 0.0)
    return order[before], order[after], share
