"""Textures as velocity models, after OpenFWI's Style family: made from noise or from a folder of images."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from seisfast.geology.base import Geology, between, centres, check_version, column, wave
from seisfast.geology.fields import Noise, between_cells, crop, octaves, smoothed, summed, unit
from seisfast.geology.files import check_digest, check_path
from seisfast.geology.images import ImageFolder

PASSES = {"A": 2, "B": 0}
"""How often a running mean smooths the texture; it reaches a seventieth of the depth to either side."""

SCALES, AMPLITUDES = (0.25, 0.125, 0.0625, 0.03), (0.7, 0.85, 1.0, 1.15)
"""The noise of a texture: distances of its nodes in z, in model depths, and amplitudes."""

PLACES, WEIGHTS = (0.3, 0.1), (0.5, 0.2)
"""Likewise, the noise whose sign says where one texture covers the other."""

WIDTH = 1.2
"""How much wider than high the structures are."""

LOWEST, HIGHEST = 0.12, 0.86
"""Parts of the velocity range up to which the slowest, and from which on the fastest value of a model lies."""


@dataclasses.dataclass(frozen=True)
class Style(Geology):
    """Smooth random fields with a depth trend, in the manner of OpenFWI's Style-A and Style-B.

    Theirs: natural images, turned into velocity models by a network that transfers the style of a geological model;
    version A smooth, B with more detail; 70 x 70 cells, 1500 to 4500 m/s. Neither the network nor its images are
    public. Gaussian processes that others fitted to the released models have, for A, a root mean square slope of
    31.4 m/s a row, and about that line a deviation of 183 m/s with a correlation length of 3.5 cells; for B, 158 m/s
    with 2.0 cells, and 58 m/s from cell to cell.

    Ours: no network. A texture comes from an image of a folder (grey values of a random crop, mirrored in half of the
    models) or from noise: two sums of B-splines on random nodes at four scales, one of them bent into bands like
    strata, the other covering it where a third noise is positive, for the edges that things in photographs have. Two
    running means smooth version A. The texture is joined with `trend` parts of depth and stretched over most of the
    velocity range. From noise, models have 28 m/s a row and deviations of 179 (A) and 173 m/s (B) about the line.

    Attributes:
        shape: (nz, nx) cells.
        velocity: (slowest, fastest) in m/s.
        version: "A", smooth, or "B", more detail.
        images: Folder of .png, .jpg and .jpeg files; noise when None. Files are read when a model needs them, which
            takes Pillow; some are kept in memory.
        trend: Part of a model that is growth with depth, from 0 to 1; the rest is texture.
        digest: Of names and sizes of the files, as `to_dict` stores it; models are refused when the folder has
            another. None: not compared.

    Source: Deng et al., "OpenFWI", NeurIPS 2022; Feng, Lin and Wohlberg, "Multiscale data-driven seismic full-waveform
    inversion with field data study", IEEE TGRS 2022, arXiv 2103.04007 (the transfer of style); the fits:
    github.com/jcottaar/seismic, `core/seis_prior.py` and `core/seis_model.py` at 383360a.
    """

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    version: str = "B"
    images: str | None = None
    trend: float = 0.64
    digest: str | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check version and trend; the folder is looked at when the first model is made."""
        super().__post_init__()
        object.__setattr__(self, "version", check_version(self.version))
        if isinstance(self.trend, bool) or not isinstance(self.trend, (int, float)):
            raise TypeError(f"trend must be a number, got {self.trend!r}")
        if not 0.0 <= self.trend <= 1.0:
            raise ValueError(f"trend must lie in 0 ... 1, got {self.trend}")
        if self.images is not None:
            object.__setattr__(self, "images", check_path("images", self.images))

    def to_dict(self) -> dict[str, Any]:
        """Name and fields as plain values, with the digest of the folder when it was first looked at.

        Raises:
            FileNotFoundError: When the folder does not exist.
            ValueError: When it holds no image, or another digest than the one given.
        """
        return {**super().to_dict(), "digest": None if self.images is None else self._folder.digest}

    @cached_property
    def _folder(self) -> ImageFolder:
        folder = ImageFolder(str(self.images), self.shape)
        check_digest("images", str(self.images), self.digest, folder.digest)
        return folder

    @cached_property
    def _noises(self) -> tuple[list[Noise], list[Noise], list[Noise]]:
        """Noise for the covering texture, the bands below it and the places that are covered."""
        return (
            octaves(self.shape, SCALES, WIDTH),
            octaves(self.shape, SCALES, WIDTH, first=0.5),
            octaves(self.shape, PLACES, WIDTH, first=0.25),
        )

    def _draws(self) -> list[int]:
        if self.images is not None:
            return [5, 2]
        return [*(sum(noise.draws for noise in noises) for noises in self._noises), 3, 2]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        texture = self._noise(*uniform[:-1]) if self.images is None else self._image(uniform[0])
        texture = unit(smoothed(texture, max(1, round(self.shape[0] / 70)), PASSES[self.version]))
        z, _ = centres(self.shape, index.device)
        low, high = self.velocity
        slow, fast = (column(value) for value in uniform[-1].unbind(1))
        bottom, top = between(slow, 0.0, LOWEST), between(fast, HIGHEST, 1.0)
        share = bottom + (top - bottom) * unit((1.0 - self.trend) * texture + self.trend * z)
        return (low + (high - low) * share).clamp(low, high)

    def _noise(self, cover: Tensor, below: Tensor, where: Tensor, pick: Tensor) -> Tensor:
        above, under, places = self._noises
        z, _ = centres(self.shape, cover.device)
        bent = summed(under, AMPLITUDES, below)
        turns = column(between(pick[:, 0], 3.0, 9.0)) * z + 1.2 * bent
        bands = bent + column(between(pick[:, 1], 0.1, 0.4)) * wave(turns)
        covering = summed(above, AMPLITUDES, cover) + column(between(pick[:, 2], -0.3, 0.3))
        return torch.where(summed(places, WEIGHTS, where) > 0.05, covering, bands)

    def _image(self, pick: Tensor) -> Tensor:
        """Grey values of a crop of the model's proportions, from half of what fits into the image to all of it."""
        count = len(self._folder.files)
        numbers = (pick[:, 0] * count).long().clamp(max=count - 1)
        gathered = self._folder.gathered(numbers.tolist())
        values, start, size = (part.to(pick.device) for part in gathered)
        cells = torch.tensor(self.shape, dtype=pick.dtype, device=pick.device)
        most = (size.to(pick.dtype) / cells).amin(1)
        step = most * between(pick[:, 1], 0.5, 1.0)
        return between_cells(values, start, size, *crop(self.shape, size, step, pick[:, 2:4], pick[:, 4] < 0.5))
