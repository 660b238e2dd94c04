"""From raw records to velocity in m/s with a trained network."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisfast import networks
from seisfast.data.progress import model_bar
from seisfast.normalization import Normalization
from seisfast.survey import Survey
from seisfast.training import checkpoint
from seisfast.training.config import resolve_device


class Predictor:
    """A trained network with the units, geometry and survey that it was trained for; made by `load`.

    Attributes:
        path: the checkpoint.
        name: the network's class, for tables and titles.
        network: the module, in evaluation mode.
        geometry: shots, receivers, samples and shape (nz, nx) of its records and models.
        normalization: units of its input and output.
        survey: the survey of its training data, None when the data set did not say.
        epoch: epochs it was trained for.
        config: the training configuration, plain values.
    """

    def __init__(self, content: dict[str, Any], path: Path, device: torch.device) -> None:
        stored = content["network"]
        self.path, self.device = path, device
        self.geometry: dict[str, Any] = {**stored["geometry"], "shape": tuple(stored["geometry"]["shape"])}
        self.network = networks.build(stored["name"], **self.geometry, **stored["options"])
        self.name = type(self.network).__name__
        self.network.load_state_dict(content["model"])
        self.network.to(device).eval()
        self.normalization = Normalization.from_dict(content["normalization"])
        self.survey = None if content["survey"] is None else Survey.from_dict(content["survey"])
        self.epoch: int = content["epoch"]
        self.config: dict[str, Any] = content["config"]

    def __call__(self, records: Tensor | npt.ArrayLike, *, batch_size: int = 16, progress: bool = False) -> Tensor:
        """Velocity from records.

        Args:
            records: raw records as simulated or measured, `[shots, time, receivers]` or
                `[models, shots, time, receivers]`.
            batch_size: models that pass through the network at a time.
            progress: show how far it is.

        Returns:
            m/s, float32 on the CPU, `[nz, nx]` or `[models, nz, nx]`.

        Raises:
            TypeError: records that are not real numbers.
            ValueError: records of another geometry than the network's, or not finite.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        data = self.check_records(records)
        batched = data if data.dim() == 4 else data[None]
        maps = []
        with torch.inference_mode(), model_bar("predict", len(batched), shown=progress) as advance:
            for part in torch.split(batched, batch_size):
                output = self.network(self.normalization.encode_records(part.to(self.device))).float()
                maps.append(self.normalization.decode_velocity(output).cpu())
                advance(len(part))
        velocity = torch.cat(maps)[:, 0]
        return velocity if data.dim() == 4 else velocity[0]

    def check_records(self, records: Tensor | npt.ArrayLike) -> Tensor:
        """The records as float32, when they fit the network.

        Raises:
            TypeError: not real numbers.
            ValueError: another geometry, or not finite.
        """
        data = records if isinstance(records, Tensor) else torch.from_numpy(_numbers(records))
        if data.is_complex() or data.dtype == torch.bool:
            raise TypeError(f"records must be real numbers, got {data.dtype}")
        shots, samples, receivers = (self.geometry[name] for name in ("shots", "samples", "receivers"))
        if data.dim() not in (3, 4) or tuple(data.shape[-3:]) != (shots, samples, receivers):
            raise ValueError(
                f"records must be [shots, time, receivers] = [{shots}, {samples}, {receivers}], or a batch, "
                f"as {self.path} was trained on; got shape {list(data.shape)}{self._hint(data)}"
            )
        if data.shape[0] == 0:
            raise ValueError("records must hold at least one model, got none")
        data = data.to(torch.float32)
        finite = torch.isfinite(data).flatten(data.dim() - 3).all(-1)
        if not bool(finite.all()):
            first = "" if data.dim() == 3 else f" in model {int((~finite).nonzero()[0])}"
            raise ValueError(f"records must be finite, got NaN or infinity{first}")
        return data

    def _hint(self, data: Tensor) -> str:
        wanted = [self.geometry[name] for name in ("shots", "samples", "receivers")]
        if data.dim() in (3, 4) and sorted(data.shape[-3:]) == sorted(wanted):
            return " (the axes are in another order)"
        return ""


def load(path: str | PathLike[str], *, device: str = "auto") -> Predictor:
    """A predictor from a checkpoint.

    Args:
        path: best.pt, last.pt, or a run folder (then its best.pt).
        device: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: a file that is not a checkpoint.
    """
    content = checkpoint.load(path)
    file = Path(path) / checkpoint.BEST if Path(path).is_dir() else Path(path)
    return Predictor(content, file, resolve_device(device))


def _numbers(records: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(records)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"records must be real numbers, got {array.dtype}")
    return np.array(array, dtype=np.float32, order="C")  # a copy: torch wants to own what it may write to
