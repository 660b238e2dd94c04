"""The record of the mirrored model: shots and receivers that change places, and shots that are simulated anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisfast.arguments import Array, Flags
from seisfast.boundaries import Faces
from seisfast.propagator import simulate
from seisfast.reference.acoustic import expand_wavelet
from seisfast.survey import Survey

SAME = 1e-6  # cells within which two positions are one
Names = npt.NDArray[np.str_]


class Mirror:
    """What mirroring models from side to side does to the records of a survey.

    The record of a mirrored model is that of the model with sources and receivers mirrored. So where the mirror image
    of a shot is again a shot of the survey (the same wavelet, receivers where the images of its receivers are, equal
    boundaries left and right), its samples are taken from there; dipoles and gradient receivers along x change sign.
    The other shots are simulated on the mirrored model: OpenFWI's middle one at column 34 of 70, whose image is 35; all
    of them where receivers have no image.

    Args:
        survey: the acquisition that recorded the data, as it is now.
        shape: (nz, nx) of the models.

    Attributes:
        survey: as given.
        simulated: numbers of the shots that are simulated anew.

    Raises:
        TypeError: another kind of survey.
        ValueError: a survey that does not fit the models, or has wavelets of many models.

    Source: OpenFWI's sources as in lanl/OpenFWI; flips with the middle shot simulated anew: tascj/kaggle-waveform-
    inversion.
    """

    def __init__(self, survey: Survey, shape: tuple[int, int]) -> None:
        if not isinstance(survey, Survey):
            raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")
        if survey.wavelet.dim() == 4 and len(survey.wavelet) > 1:
            raise ValueError(
                f"survey must fire the same wavelets over all models, got those of {len(survey.wavelet)} models"
            )
        self.survey, self.shape = survey, survey.check_shape(shape)
        shots, receivers, signs = _images(survey, self.shape[1])
        self.simulated = [int(shot) for shot in np.flatnonzero(shots < 0)]
        self._others = survey.subset(self.simulated) if self.simulated else None
        self._shots, self._receivers = torch.from_numpy(np.maximum(shots, 0)), torch.from_numpy(receivers)
        self._signs = None if (signs == 1).all() else torch.from_numpy(signs)

    def __call__(self, records: Tensor, velocity: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Mirrors some models of a batch and their records.

        Args:
            records: `[batch, shots, time, receivers]` of this survey.
            velocity: m/s, `[batch, 1, nz, nx]`, on the same device.
            chosen: which models, bool `[batch]`, on the CPU.

        Returns:
            Records and velocities of all models, in new tensors where one is mirrored.

        Raises:
            ValueError: models of another shape.
        """
        if tuple(velocity.shape[-2:]) != self.shape:
            raise ValueError(f"velocity must have {self.shape} cells (nz, nx), got {tuple(velocity.shape[-2:])}")
        if not bool(chosen.any()):
            return records, velocity
        device = records.device
        rows = chosen.nonzero()[:, 0].to(device)
        mirrored = velocity[rows].flip(-1)
        swapped = records[rows][:, self._shots.to(device)]
        swapped = swapped.gather(-1, self._receivers.to(device)[None, :, None].expand(swapped.shape))
        if self._signs is not None:
            swapped = swapped * self._signs.to(device, swapped.dtype)[:, None]
        if self._others is not None:
            swapped[:, self.simulated] = simulate(mirrored[:, 0], self._others).to(swapped.dtype)
        return records.index_copy(0, rows, swapped), velocity.index_copy(0, rows, mirrored)


def _images(survey: Survey, nx: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the record of the mirrored model is found in that of the model.

    Returns:
        For each shot the one to take it from, -1 for none, `[shots]`; for each receiver that shot's receiver and the
        sign, 0 for a masked one, `[shots, receivers]`.
    """
    line = _Line(survey, nx)
    count = survey.shots
    shots = np.full(count, -1)
    receivers = np.zeros((count, survey.receivers_per_shot), dtype=np.int64)
    signs = np.ones((count, survey.receivers_per_shot), dtype=np.int64)
    layers = survey.boundary
    if isinstance(layers, Faces) and layers.left != layers.right:
        return shots, receivers, signs
    for shot in range(count):
        for other in line.candidates(shot):
            sign = line.fired_alike(shot, other)
            found = line.heard_alike(shot, other)
            if sign and found is not None:
                shots[shot], receivers[shot], signs[shot] = other, found[0], sign * found[1]
                break
    return shots, receivers, signs


class _Line:
    """Sources and receivers of a survey, by shot, and their mirror images."""

    def __init__(self, survey: Survey, nx: int) -> None:
        shots, per_shot = survey.sources.shape[:2]
        heard = (shots, survey.receivers_per_shot)
        self.sources = survey.positions("sources")
        self.receivers = np.broadcast_to(survey.positions("receivers"), (*heard, 2))
        self.source_images, self.receiver_images = (_mirrored(p, nx) for p in (self.sources, self.receivers))
        self.source_kinds: Names = np.broadcast_to(np.array(survey.source_kind), (shots, per_shot))
        self.receiver_kinds: Names = np.broadcast_to(np.array(survey.receiver_kind), heard)
        mask = survey.receiver_mask
        self.heard: Flags = np.ones(heard, dtype=bool) if mask is None else mask.numpy()
        wavelet = expand_wavelet(survey, torch.empty(1, dtype=torch.float64))
        self.wavelets = wavelet[0].detach().numpy()

    def candidates(self, shot: int) -> list[int]:
        """Shots with a source at the image of this shot's first one; one without receivers is its own image."""
        if not self.heard[shot].any():
            return [shot]
        near = _near(self.source_images[shot, :1], self.sources.reshape(-1, 2))[0]
        return [int(k) for k in np.flatnonzero(near.reshape(self.sources.shape[:2]).any(1))]

    def fired_alike(self, shot: int, other: int) -> int:
        """The sign under which the images of a shot's sources are the sources of another one, 0 for none."""
        if not self.heard[shot].any():
            return 1
        images, own = self.source_kinds[shot], self.source_kinds[other]
        here = _near(self.source_images[shot], self.sources[other]) & (images[:, None] == own)
        turned = np.where(images == "dipole_x", -1.0, 1.0)[:, None] * self.wavelets[shot]
        for sign in (1, -1):
            alike = here & (sign * turned[:, None] == self.wavelets[other]).all(-1)
            if _paired(alike):
                return sign
        return 0

    def heard_alike(self, shot: int, other: int) -> tuple[Any, Any] | None:
        """Receivers of another shot at the images of a shot's, and their signs; None where one is missing."""
        kinds = self.receiver_kinds[shot]
        alike = _near(self.receiver_images[shot], self.receivers[other]) & self.heard[other]
        alike &= kinds[:, None] == self.receiver_kinds[other]
        if not (alike.any(1) | ~self.heard[shot]).all():
            return None
        return alike.argmax(1), np.where(self.heard[shot], np.where(kinds == "gradient_x", -1, 1), 0)


def _mirrored(positions: Array, nx: int) -> Array:
    return np.stack([positions[..., 0], nx - 1 - positions[..., 1]], -1)


def _near(one: Array, other: Array) -> Flags:
    """Which positions `[n, 2]` and `[m, 2]` are the same, `[n, m]`."""
    near: Flags = np.abs(one[:, None] - other).max(-1) <= SAME
    return near


def _paired(alike: Flags) -> bool:
    """Whether every row finds a column of its own; rows that are alike at all are alike in the same columns."""
    free = alike.copy()
    for k in range(len(free)):
        if not free[k].any():
            return False
        free[:, free[k].argmax()] = False
    return True
