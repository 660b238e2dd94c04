"""Parts of one large velocity model as models of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seisfast.geology.base import Geology, between
from seisfast.geology.fields import between_cells, crop, unit
from seisfast.geology.files import check_digest, check_path

FITS = ("keep", "clip", "model", "crop")


class Held:
    """A model given as an array: a copy, equal to another by its digest."""

    def __init__(self, values: np.ndarray | Tensor) -> None:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        self.values = _checked(array.copy(), "the array")
        self.digest = hashlib.sha256(f"{self.values.shape}".encode() + self.values.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<array {self.values.shape[0]} x {self.values.shape[1]}, {self.digest[:16]}>"


@dataclasses.dataclass(frozen=True)
class Crops(Geology):
    """Random parts of a large model, at random scales, mirrored in half of the models when asked for.

    A cell of a model takes the large model's value at its centre, bilinearly between cells. Parts begin at an edge
    between cells, so those of scale 1 show the values of the file unchanged. Nothing is averaged: at scales above 2,
    layers thinner than the scale come and go.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s; no model leaves this range.
        model: The large model, `[z, x]` in m/s: path of a .npy file, read when the first model is made, or a 2-D array
            or tensor. What is given as an array cannot be described by `to_dict`.
        scale: (smallest, largest) cells of the large model for one cell; each model takes one in between, evenly, but
            none for which the large model is too small.
        flip: Whether half of the models are mirrored in x.
        fit: How the values come into `velocity`: "keep" leaves them and refuses a large model outside; "clip" cuts them
            off; "model" maps the range of the large model on `velocity`, linearly; "crop" that of each part.
        digest: SHA-256 of the file, as `to_dict` stores it; models are refused when the file has another. None: not
            compared.
    """

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    model: str | Path | np.ndarray | Tensor | Held = dataclasses.field(kw_only=True)
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True
    fit: str = "keep"
    digest: str | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the fields; a file is looked at when the first model is made."""
        super().__post_init__()
        if isinstance(self.model, (np.ndarray, Tensor)):
            object.__setattr__(self, "model", Held(self.model))
        elif not isinstance(self.model, Held):
            object.__setattr__(self, "model", check_path("model", self.model))
        object.__setattr__(self, "scale", _check_scale(self.scale))
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip must be True or False, got {self.flip!r}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")

    def to_dict(self) -> dict[str, Any]:
        """Name and fields as plain values, with the digest of the file when it was first read.

        Raises:
            FileNotFoundError: When the file does not exist.
            ValueError: When the model was given as an array, or the file has another digest than the one given.
        """
        if isinstance(self.model, Held):
            raise ValueError(
                "model was given as an array, which a description cannot hold: "
                "save it with numpy.save and give the path instead"
            )
        return {**super().to_dict(), "digest": self._file[1]}

    @cached_property
    def _file(self) -> tuple[np.ndarray, str]:
        """Values of the large model and their digest."""
        if isinstance(self.model, Held):
            return self.model.values, self.model.digest
        path = Path(str(self.model))
        if not path.is_file():
            raise FileNotFoundError(f"model must be a .npy file, got {str(path)!r}, which is none")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        check_digest("model", str(path), self.digest, digest)
        try:
            values = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"model must be a .npy file of numbers, got {str(path)!r}: {error}") from error
        return _checked(values, str(path)), digest

    @cached_property
    def _large(self) -> Tensor:
        """The large model as models take it, `[z, x]`, checked against shape, scale and velocity."""
        values = self._file[0]
        if any(size < count * self.scale[0] for size, count in zip(values.shape, self.shape, strict=True)):
            raise ValueError(
                f"scale must begin at {_largest(values.shape, self.shape):.4g} or less for a large model of "
                f"{values.shape[0]} x {values.shape[1]} cells and shape {self.shape}, got {self.scale}"
            )
        low, high = self.velocity
        slowest, fastest = float(values.min()), float(values.max())
        if self.fit == "keep" and not low <= slowest <= fastest <= high:
            raise ValueError(
                f"velocity must hold the large model, which reaches from {slowest:g} to {fastest:g} m/s, got "
                f"{self.velocity}; or say with fit how to bring it inside: clip, model or crop"
            )
        if self.fit == "model":
            span = fastest - slowest
            values = low + (high - low) * ((values - slowest) / (span if span > 0.0 else 1.0))
        return torch.from_numpy(values.astype(np.float32))

    def _draws(self) -> list[int]:
        return [4]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        large = self._on(index.device)
        pick = uniform[0]
        most = _largest(tuple(large.shape), self.shape)
        step = between(pick[:, 0], self.scale[0], min(self.scale[1], most))
        size = torch.tensor([tuple(large.shape)], device=index.device).expand(len(index), 2)
        mirrored = (pick[:, 3] < 0.5) & self.flip
        places = crop(self.shape, size, step, pick[:, 1:3], mirrored)
        models = between_cells(large.reshape(-1), torch.zeros_like(index), size, *places)
        low, high = self.velocity
        if self.fit == "crop":
            models = low + (high - low) * unit(models)
        return models.clamp(low, high)

    def _on(self, device: torch.device) -> Tensor:
        kept = self._devices
        if device not in kept:
            kept[device] = self._large.to(device)
        return kept[device]

    @cached_property
    def _devices(self) -> dict[torch.device, Tensor]:
        """Copies of the large model on the devices that asked for one."""
        return {}


def _largest(large: tuple[int, ...], shape: tuple[int, int]) -> float:
    """The largest scale at which a model of this shape fits into the large one."""
    return min(size / count for size, count in zip(large, shape, strict=True))


def _checked(values: np.ndarray, source: str) -> np.ndarray:
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ValueError(f"model must be a 2-D array of numbers, got {values.dtype} {values.shape} from {source}")
    values = np.ascontiguousarray(values, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() <= 0.0:
        raise ValueError(f"model must hold finite velocities above 0 in m/s, got others in {source}")
    return values


def _check_scale(scale: object) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in scale)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise TypeError(f"scale must be two numbers, (smallest, largest), got {scale!r}") from error
    if not 0.0 < low <= high < math.inf:
        raise ValueError(f"scale must be (smallest, largest) with 0 < smallest <= largest, got {scale}")
    return low, high
