"""Which part of the model a trace speaks for: activation of SeisInvNet's feature maps by receiver group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy.typing as npt
import torch
from torch import Tensor

from seisfast.data import StoredDataset
from seisfast.data.progress import model_bar
from seisfast.networks import SeisInvNet
from seisfast.prediction import Predictor, load
from seisfast.survey import Survey

GROUPS = ("left", "middle-left", "middle-right", "right")
"""Names of the four groups of receivers and of the four quarters of the model, from left to right."""

CELL = 8
"""Rows and columns of the model that one cell of a feature map covers: the decoder doubles three times."""


@dataclass(frozen=True)
class Sensitivity:
    """Result of `measure`.

    Attributes:
        maps: mean activation of each group's feature maps, float64 `[4, h, w]`, in the network's own units (at
            least 0). Cell (i, j) covers the 8 x 8 model cells that begin at (8 i - top, 8 j - left), see `margins`.
        shares: share of a group's activation in each quarter of the model's width, float64 `[4 groups, 4 quarters]`.
            A row adds to 1; it is zero for a group without any activation inside the model.
        groups: group (0 to 3) of every trace, int64 `[shots, receivers]`.
        shape: (nz, nx), cells of the model.
        models: over how many models the activation is a mean.
        survey: gives places and metres, None when unknown.
    """

    maps: Tensor
    shares: Tensor
    groups: Tensor
    shape: tuple[int, int]
    models: int
    survey: Survey | None = None

    @property
    def silent(self) -> list[str]:
        """Names of the groups without any activation inside the model."""
        return [name for name, share in zip(GROUPS, self.shares, strict=True) if not bool(share.any())]

    @property
    def own(self) -> float | None:
        """Mean share of the groups in their own quarter, None when all are silent.

        It is 0.25 when the maps of all groups look alike, wherever they are active, and 1 when every group is
        active in its own quarter alone.
        """
        active = self.shares.any(1)
        return float(self.shares.diagonal()[active].mean()) if bool(active.any()) else None

    def receivers(self, group: int) -> str:
        """Where the receivers of a group (0 to 3) are, in words: metres, or numbers without a survey."""
        mask = self.groups == group
        if self.survey is None:
            numbers = mask[0].nonzero().flatten().tolist()
            return _from_to("receiver", "receivers", numbers[0], numbers[-1], "")
        metres = receiver_columns(self.survey, *self.groups.shape)[mask] * self.survey.spacing[1]
        return _from_to("receiver at", "receivers at", float(metres.min()), float(metres.max()), " m")

    def table(self) -> str:
        """The shares as aligned text in percent, with what they mean below."""
        names = [f"{name}, {self.receivers(k)}" for k, name in enumerate(GROUPS)]
        first = max(map(len, names))
        widths = [max(len(name), 6) for name in GROUPS]
        head = "  ".join([" " * first, *(name.rjust(width) for name, width in zip(GROUPS, widths, strict=True))])
        lines = [head, "-" * len(head)]
        for name, share in zip(names, self.shares.tolist(), strict=True):
            cells = [f"{100 * value:.1f} %".rjust(width) for value, width in zip(share, widths, strict=True)]
            lines.append("  ".join([name.ljust(first), *(cells if any(share) else ["no activation"])]))
        lines += [
            "",
            "Share of the activation of each group's feature maps (rows) in each quarter of the model's width "
            f"(columns), mean of {self.models} model{'s' * (self.models != 1)}.",
        ]
        if self.own is not None:
            lines.append(
                f"A group's own quarter holds {100 * self.own:.1f} % on average (25 % when the maps of all groups look "
                "alike, 100 % when each is active in its own quarter alone)."
            )
        if self.silent:
            lines.append(
                f"No activation ({', '.join(self.silent)}): the feature maps of these receivers are zero in every cell "
                "of the model, for all records."
            )
        return "\n".join(lines)


def measure(
    network: Predictor | str | PathLike[str],
    records: StoredDataset | Tensor | npt.ArrayLike,
    *,
    batch_size: int = 16,
    progress: bool = False,
) -> Sensitivity:
    """Mean feature maps of a trained SeisInvNet by receiver group, and where in the model they are active.

    The receivers of every shot, sorted from left to right, make four nearly equal groups (see `receiver_groups`).
    Nothing in the network ties a trace's map to a place; training does.

    Args:
        network: predictor, run folder or checkpoint.
        records: raw records `[models, shots, time, receivers]` or `[shots, time, receivers]`, or a data set.
        batch_size: models that pass through the network at a time.
        progress: show how far it is.

    Raises:
        FileNotFoundError: no checkpoint there.
        TypeError: records that are not real numbers.
        ValueError: a network other than SeisInvNet, fewer than four receivers, records of another geometry or not
            finite, a data set whose receivers lie elsewhere, or feature maps that are not finite.

    Source:
        Li et al., "Deep-Learning Inversion of Seismic Data", IEEE TGRS 2020, arXiv 1901.07733.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    predictor = network if isinstance(network, Predictor) else load(network)
    module = network_with_maps(predictor)
    survey = predictor.survey
    if isinstance(records, StoredDataset):
        survey = _check_dataset(predictor, records)
        models = len(records)
        parts = _batches(records, batch_size)
    else:
        data = predictor.check_records(records)
        data = data if data.dim() == 4 else data[None]
        models = len(data)
        parts = iter(torch.split(data, batch_size))
    groups = receiver_groups(survey, module.shots, module.receivers)

    total = torch.zeros(module.shots * module.receivers, *module.map_shape, dtype=torch.float64)
    with torch.inference_mode(), model_bar("feature maps", models, shown=progress) as advance:
        for part in parts:
            encoded = predictor.normalization.encode_records(part.to(predictor.device))
            total += module.features(encoded).sum(0, dtype=torch.float64).cpu()
            advance(len(part))
    total = total.clone()  # what inference mode made is no ordinary tensor
    if not bool(torch.isfinite(total).all()):
        raise ValueError(f"the feature maps of {predictor.path} hold NaN or infinity")
    maps = torch.stack([total[groups.flatten() == k].mean(0) for k in range(len(GROUPS))]) / models
    return Sensitivity(maps, activation_shares(maps, module.shape), groups, module.shape, models, survey)


def network_with_maps(predictor: Predictor) -> SeisInvNet:
    """The network of a predictor, when it is a SeisInvNet with a receiver for every group.

    Raises:
        ValueError: another network, or fewer than four receivers.
    """
    if not isinstance(predictor.network, SeisInvNet):
        raise ValueError(
            f"feature maps by receiver need SeisInvNet, which has a map per trace; {predictor.path} holds a "
            f"{predictor.name}"
        )
    _check_receivers(predictor.network.receivers)
    return predictor.network


def receiver_groups(survey: Survey | None, shots: int, receivers: int) -> Tensor:
    """Group of every trace, from left to right: 0 to 3, int64 `[shots, receivers]`.

    The receivers of a shot are sorted by their horizontal position, or by their number without a survey, and cut
    into four parts whose sizes differ by one at most. Shots with receivers of their own are sorted one by one.

    Raises:
        ValueError: fewer than four receivers, or all receivers of a shot on one column.
    """
    _check_receivers(receivers)
    parts = torch.arange(receivers) * len(GROUPS) // receivers
    if survey is None:
        return parts.repeat(shots, 1)
    columns = receiver_columns(survey, shots, receivers)
    if bool((columns.amin(1) == columns.amax(1)).any()):
        raise ValueError("all receivers of a shot lie on one column, so there is no left and right among them")
    order = columns.sort(dim=1, stable=True).indices
    return torch.empty_like(order).scatter_(1, order, parts.expand(shots, -1).contiguous())


def receiver_columns(survey: Survey, shots: int, receivers: int) -> Tensor:
    """Columns (ix) of the receivers of every shot, float64 `[shots, receivers]`."""
    return torch.from_numpy(survey.positions("receivers")[..., 1]).expand(shots, receivers)


def margins(maps_shape: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns by which the field of the feature maps, 8 h x 8 w, begins above and left of the model.

    Args:
        maps_shape: (h, w) of a feature map.
        shape: (nz, nx) of the model.
    """
    return (CELL * maps_shape[0] - shape[0]) // 2, (CELL * maps_shape[1] - shape[1]) // 2


def quarter_weights(maps_shape: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Area, in model cells, that each feature-map cell shares with each quarter of the model's width.

    Args:
        maps_shape: (h, w) of a feature map.
        shape: (nz, nx) of the model, the centre of the 8 h x 8 w cells of the maps.

    Returns:
        float64 `[4, h, w]`; each quarter adds to ``nz nx / 4``, cells outside the model are zero.
    """
    top, left = margins(maps_shape, shape)
    depth = _overlap(maps_shape[0], top, 0.0, shape[0])
    width = shape[1] / len(GROUPS)
    return torch.stack(
        [depth[:, None] * _overlap(maps_shape[1], left, k * width, (k + 1) * width) for k in range(len(GROUPS))]
    )


def activation_shares(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Share of the activation inside the model that lies in each quarter of its width.

    Args:
        maps: activation, at least 0, `[groups, h, w]`.
        shape: (nz, nx) of the model.

    Returns:
        float64 `[groups, 4]`; a row adds to 1, or is zero where nothing inside the model is active.
    """
    height, width = maps.shape[-2:]
    amount = torch.einsum("ghw,qhw->gq", maps.double(), quarter_weights((height, width), shape))
    total = amount.sum(1, keepdim=True)
    return torch.where(total > 0, amount / total.where(total > 0, 1.0), 0.0)


def _overlap(count: int, before: int, low: float, high: float) -> Tensor:
    """Length, in model cells, that each of `count` feature-map cells shares with low .. high along one axis."""
    begin = torch.arange(count, dtype=torch.float64) * CELL - before
    return ((begin + CELL).clamp(max=high) - begin.clamp(min=low)).clamp(min=0.0)


def _check_receivers(receivers: int) -> None:
    if receivers < len(GROUPS):
        raise ValueError(f"four groups of receivers need at least 4 receivers, got {receivers}")


def _check_dataset(predictor: Predictor, dataset: StoredDataset) -> Survey | None:
    """The survey of the checkpoint, else of the data, when data and network fit and all records are finite."""
    if dataset.geometry != predictor.geometry:
        raise ValueError(
            f"{predictor.path} was trained on {predictor.geometry}, the data in {dataset.folder} have "
            f"{dataset.geometry}"
        )
    survey, own = predictor.survey, dataset.survey
    if survey is not None and own is not None:
        here, there = (receiver_columns(s, s.shots, s.receivers_per_shot) * s.spacing[1] for s in (survey, own))
        if not torch.equal(here, there):
            raise ValueError(f"the receivers of {dataset.folder} do not lie where those of {predictor.path} lie")
    for number in range(len(dataset)):
        if not bool(torch.isfinite(dataset[number][0]).all()):
            raise ValueError(f"the records in {dataset.folder} must be finite, got NaN or infinity")
    return own if survey is None else survey


def _batches(dataset: StoredDataset, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(dataset), batch_size):
        yield torch.stack([dataset[k][0] for k in range(start, min(start + batch_size, len(dataset)))])


def _from_to(one: str, many: str, first: float, last: float, unit: str) -> str:
    return f"{one} {first:g}{unit}" if first == last else f"{many} {first:g} to {last:g}{unit}"
