"""What every generator of velocity models shares: checks, random numbers, the wave that bends layers."""

from __future__ import annotations

import abc
import dataclasses
import math
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

CHUNK = {"cpu": 32, "cuda": 1024}
"""Models made at a time: on a CPU their maps stay in the cache of one core, a GPU wants many."""

VERSIONS = ("A", "B")
"""Versions of OpenFWI's families, the easier one first."""


@dataclasses.dataclass(frozen=True)
class Geology(abc.ABC):
    """A seeded family of velocity models.

    Model `i` of a seed is always the same, whatever the batch it is drawn in: its random numbers come from a
    counter-based generator (Philox) at position `i`, and the arithmetic is a fixed sequence of float32 sums,
    products and comparisons, which IEEE 754 rounds alike on every chip.

    Attributes:
        shape: (nz, nx) cells; any size that holds the layers.
        velocity: (slowest, fastest) in m/s; no model leaves this range, rounded to float32.
    """

    STREAM: ClassVar[int | None] = None
    """Number of the family's random stream; that of its name when None, so that families of one seed have nothing in
    common."""

    shape: tuple[int, int]
    velocity: tuple[float, float]

    def __post_init__(self) -> None:
        """Check the fields all generators have and turn lists (read from a file) into tuples."""
        object.__setattr__(self, "shape", _whole_numbers("shape", self.shape, lowest=1))
        if len(self.shape) != 2:
            raise ValueError(f"shape must be (nz, nx), got {self.shape}")
        try:
            velocity = tuple(float(value) for value in self.velocity)
        except (TypeError, ValueError) as error:
            raise TypeError(f"velocity must be two numbers in m/s, got {self.velocity!r}") from error
        if len(velocity) != 2 or not 0.0 < velocity[0] < velocity[1] < float("inf"):
            raise ValueError(
                f"velocity must be (slowest, fastest) in m/s with 0 < slowest < fastest, got {self.velocity}"
            )
        object.__setattr__(self, "velocity", velocity)

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what was read from files is read again where a pickle arrives."""
        kept = vars(self).items()
        return {key: value for key, value in kept if not isinstance(getattr(type(self), key, None), cached_property)}

    @property
    def label(self) -> str:
        """Name and version, as OpenFWI's data sets are called."""
        version = getattr(self, "version", None)
        return self.name if version is None else f"{self.name}-{version}"

    @property
    def name(self) -> str:
        """Name under which `seisfast.geology.build` makes this generator."""
        return type(self).__name__

    def to_dict(self) -> dict[str, Any]:
        """Name and fields as plain values: `build(**geology.to_dict())` makes an equal generator."""
        fields = dataclasses.asdict(self)
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
        return {"name": self.name, **plain}

    def __call__(self, indices: Sequence[int] | range, seed: int = 0, *, device: str | torch.device = "cpu") -> Tensor:
        """Velocity models of a seed, the same on every device.

        Args:
            indices: Numbers of the models, 0 or larger, in any order.
            seed: Whole number from 0 to 2**63 - 1.
            device: Where the models are made.

        Returns:
            Velocities in m/s, float32 `[models, nz, nx]`, on `device`.

        Raises:
            TypeError: When `indices` or `seed` are not whole numbers.
            ValueError: When one of them is negative or too large.
        """
        numbers = _whole_numbers("indices", indices, lowest=0)
        place = torch.device(device)
        stream = zlib.crc32(self.name.encode()) if self.STREAM is None else self.STREAM
        uniform = uniforms(numbers, check_seed(seed), sum(self._draws()), stream).to(place)
        index = torch.tensor(numbers, dtype=torch.int64, device=place)
        models = torch.empty((len(numbers), *self.shape), dtype=torch.float32, device=place)
        chunk = CHUNK.get(place.type, 64)
        for start in range(0, len(numbers), chunk):
            part = slice(start, start + chunk)
            models[part] = self._make(index[part], *torch.split(uniform[part], self._draws(), dim=1))
        return models

    @abc.abstractmethod
    def _draws(self) -> list[int]:
        """How many random numbers `_make` takes for each of its purposes."""

    @abc.abstractmethod
    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        """Models `[n, nz, nx]` from their numbers `[n]` and random numbers in [0, 1), `[n, draws]` each.

        All tensors are on one device, where the result must be, too. Sums, products, quotients, square roots and
        comparisons alone keep the models the same on all devices.
        """


def check_seed(seed: int) -> int:
    """Return the seed if it is a whole number that fits, else raise."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must lie in 0 ... 2**63 - 1, got {seed}")
    return int(seed)


def derived_seed(seed: int, number: int) -> int:
    """A seed of its own for, say, epoch `number`, far from its neighbours (numpy's SeedSequence)."""
    state = np.random.SeedSequence((check_seed(seed), number)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def choices(name: str, values: Sequence[int], lowest: int) -> tuple[int, ...]:
    """Check a field that lists counts of which every model takes one."""
    counts = _whole_numbers(name, values, lowest=lowest)
    if not counts:
        raise ValueError(f"{name} must name at least one count, got {values!r}")
    return counts


def check_version(version: str) -> str:
    """Return "A" or "B", whichever case it was given in, else raise."""
    if not isinstance(version, str) or version.upper() not in VERSIONS:
        raise ValueError(f'version must be "A" or "B", got {version!r}')
    return version.upper()


def check_rows(shape: tuple[int, int], layers: int) -> None:
    """Raise when the grid has fewer rows than a model has layers."""
    if shape[0] < layers:
        raise ValueError(f"shape needs a row for every layer, got nz={shape[0]} for {layers} layers")


def uniforms(indices: Sequence[int], seed: int, count: int, stream: int = 0) -> Tensor:
    """Random numbers in [0, 1), float32 `[models, count]`; row `i` depends on `seed`, `stream` and `indices[i]` only.

    They are the upper 24 bits of the raw Philox4x64 stream, whose values numpy promises never to change.
    """
    rows = np.empty((len(indices), count), dtype=np.uint64)
    philox = np.random.Philox(key=(seed, stream))
    start = philox.state  # setting it takes a third of the time that a new stream does
    for row, index in zip(rows, indices, strict=True):
        start["state"]["counter"][:] = 0, index, 0, 0
        philox.state = start
        row[:] = philox.random_raw(count)
    return torch.from_numpy((rows >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))


def chosen(values: Sequence[int], index: Tensor) -> Tensor:
    """The entry of a short list that each model takes, by its number `[models]`: all in equal parts."""
    return torch.tensor(values, device=index.device)[index % len(values)]


def column(values: Tensor) -> Tensor:
    """One value per model, `[models]`, against maps, `[models, nz, nx]`."""
    return values[:, None, None]


def in_depths(cells: Tensor, nz: int, device: torch.device) -> Tensor:
    """Places in cells, float32 on the CPU, as places in model depths on a device.

    Divided on the CPU: torch's CUDA kernel multiplies by the rounded reciprocal of a plain number instead.
    """
    return (cells / nz).to(device)


def centres(shape: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres of the cells in model depths: z `[1, nz, 1]` and x `[1, 1, nx]`, float32."""
    kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    z, x = (in_depths(torch.arange(count, **kind) + 0.5, shape[0], device) for count in shape)
    return z[None, :, None], x[None, None, :]


def between(uniform: Tensor, low: float, high: float) -> Tensor:
    """Numbers in [low, high) from numbers in [0, 1)."""
    return low + (high - low) * uniform


def wave(turns: Tensor) -> Tensor:
    """A sine of period 1 within 0.001, from sums and products alone.

    `torch.sin` differs in the last bit between vector units, which moves an interface now and then.
    """
    phase = turns - torch.floor(turns + 0.5)
    parabola = phase * (8.0 - 16.0 * phase.abs())
    return parabola * (0.775 + 0.225 * parabola.abs())


def stacked(thickness: Tensor) -> Tensor:
    """Depth of the lower edge of each layer, from thicknesses `[models, layers, ...]`.

    `torch.cumsum` adds in another precision on a CPU than on a GPU.
    """
    edges = [thickness[:, 0]]
    for layer in thickness.unbind(1)[1:]:
        edges.append(edges[-1] + layer)
    return torch.stack(edges, dim=1)


def separated(depth: Tensor, count: Tensor, nz: int) -> Tensor:
    """First row below each interface, a row apart or more, inside the model.

    Args:
        depth: Depths of the interfaces in rows, from the top down, `[models, interfaces, nx]`.
        count: How many of them each model has, `[models]`; the others end up below the model.
        nz: Rows of the model, more than any count.

    Returns:
        Whole numbers `[models, interfaces, nx]`, growing from interface to interface.
    """
    rows = list(torch.round(depth).unbind(1))
    for place in range(len(rows)):
        above = rows[place - 1] + 1.0 if place else torch.ones_like(rows[0])
        below = (nz - count + place).to(depth.dtype)[:, None]
        rows[place] = torch.minimum(torch.maximum(rows[place], above), below)
    return torch.stack(rows, dim=1)


def growth(velocity: tuple[float, float], layers: int, contrast: float) -> float:
    """Smallest growth of velocity from layer to layer in m/s: `contrast` of the range, less for many layers.

    Raises:
        ValueError: When the range has no room for so many layers of different whole m/s.
    """
    step = (velocity[1] - velocity[0]) * min(contrast, 0.5 / layers)
    if step < 2.0:
        raise ValueError(
            f"velocity must be in m/s and leave room for {layers} layers at least 2 m/s apart, got {velocity}"
        )
    return step


def growing(uniform: Tensor, count: Tensor, velocity: tuple[float, float], step: float) -> Tensor:
    """Velocities of layers in whole m/s, growing by at least `step` (before rounding), spread over the range.

    Args:
        uniform: Random numbers in [0, 1), `[models, most]`.
        count: How many layers each model has, `[models]`; the places behind repeat the last velocity.
        velocity: (slowest, fastest) in m/s.
        step: Smallest growth from layer to layer in m/s.
    """
    low, high = math.ceil(velocity[0]), math.floor(velocity[1])
    place = torch.arange(uniform.shape[1], dtype=uniform.dtype, device=uniform.device)
    last = count[:, None].to(uniform.dtype) - 1.0
    ordered = torch.where(place <= last, uniform, torch.inf).sort(dim=1).values
    spread = (high - low) - step * last
    values = torch.round(low + ordered * spread + step * place)
    return values.gather(1, torch.minimum(place, last).long())


def shuffled(values: Tensor, uniform: Tensor, count: Tensor) -> Tensor:
    """The first `count` values of each row in random order; the places behind repeat the last of them.

    Args:
        values: Velocities of layers, `[models, most]`.
        uniform: Random numbers in [0, 1), likewise.
        count: How many layers each model has, `[models]`.
    """
    place = torch.arange(uniform.shape[1], device=uniform.device)
    last = count[:, None] - 1
    # Stable: equal numbers, which are rare, keep their places on every device.
    order = torch.where(place <= last, uniform, torch.inf).argsort(dim=1, stable=True)
    return values.gather(1, order.gather(1, torch.minimum(place, last)))


def paint(velocities: Tensor, above: Iterable[Tensor], shape: tuple[int, int]) -> Tensor:
    """Fill layers with their velocities.

    Args:
        velocities: Whole m/s from the top down, `[models, layers]`; their sums are exact.
        above: For each interface from the top down, where it lies above the cell, bool `[models, nz, nx]`.
        shape: (nz, nx).

    Returns:
        `[models, nz, nx]`, each cell the velocity below the deepest interface above it.
    """
    models = velocities[:, 0, None, None].repeat(1, *shape)
    for steps, lower in zip(velocities.diff(dim=1).T, above, strict=True):
        models += torch.where(lower, steps[:, None, None], 0.0)
    return models


def _whole_numbers(name: str, values: Sequence[int], lowest: int) -> tuple[int, ...]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {values!r}")
    numbers = tuple(values.tolist() if isinstance(values, (Tensor, np.ndarray)) else values)
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must hold whole numbers, got {value!r}")
        if value < lowest:
            raise ValueError(f"{name} must be {lowest} or larger, got {value}")
        if value >= 2**63:
            raise ValueError(f"{name} must be at most 2**63 - 1, got {value}")
    return tuple(int(value) for value in numbers)
