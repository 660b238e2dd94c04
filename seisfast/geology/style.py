"""Textures as velocity models, after OpenFWI's Style family: made from noise or from a folder of images."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from seisfast.geology.base import Geology, between, wave
from seisfast.geology.fields import Noise, between_cells, centres, column, crop, octaves, smoothed, summed, unit
from seisfast.geology.files import check_digest, check_path
from seisfast.geology.images import ImageFolder

SMOOTHING = {"A": (35, 3), "B": (70, 1)}
"""Rows of a model for one cell of reach of the running mean, and how often it runs."""

SCALES = (0.5, 0.25, 0.125, 0.0625)
"""Distances of the nodes of the noise in z, in model depths; amplitudes fall in proportion, as in photographs."""

OBJECTS = (0.5, 0.2)
"""Likewise, of the noise whose sign says where one texture covers another."""

WIDTH = 1.6
"""How much wider than high the structures are."""


@dataclasses.dataclass(frozen=True)
class Style(Geology):
    """Smooth random fields with a depth trend, in the manner of OpenFWI's Style-A and Style-B.

    Theirs: natural images, turned into velocity models by a network that transfers the style of a geological model;
    version A smooth, B with more detail; 70 x 70 cells, 1500 to 4500 m/s, 67,000 models each. Neither network nor
    images are public, and how strongly A is smoothed is not stated where we could read it.

    Ours: no network. A texture comes from an image of a folder (grey values of a random crop, mirrored in half of the
    models) or from noise: two sums of B-spline noise at nodes 1/2, 1/4, 1/8 and 1/16 of the depth apart, amplitudes in
    proportion to the distance (the falling spectrum of photographs), one of them bent into bands like strata, the other
    covering it where a third noise is positive, for the edges that things in photographs have. The texture is smoothed
    by running means (three passes of nz/35 cells on either side for A, one of nz/70 for B; standard deviations 2.4 and
    0.8 cells at 70 rows), joined with `trend` parts of depth and stretched so that its smallest value lies in the
    lowest fifth of the velocity range and its largest in the upper three tenths.

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
    inversion with field data study", IEEE TGRS 2022, arXiv 2103.04007 (the transfer of style).
    """

    shape: tuple[int, int] = (70, 70)
    velocity: tuple[float, float] = (1500.0, 4500.0)
    version: str = "A"
    images: str | None = None
    trend: float = 0.4
    digest: str | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check version and trend; the folder is looked at when the first model is made."""
        super().__post_init__()
        if self.version not in SMOOTHING:
            raise ValueError(f"version must be one of {', '.join(SMOOTHING)}, got {self.version!r}")
        if isinstance(self.trend, bool) or not isinstance(self.trend, (int, float)):
            raise TypeError(f"trend must be a number, got {self.trend!r}")
        if not 0.0 <= self.trend <= 1.0:
            raise ValueError(f"trend must lie in 0 ... 1, got {self.trend}")
        if self.images is not None:
            object.__setattr__(self, "images", check_path("images", self.images))

    def to_dict(self) -> dict[str, Any]:
        """Name and fields as plain values, with the digest of the folder as it is now.

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
            octaves(self.shape, OBJECTS, WIDTH, first=0.25),
        )

    def _draws(self) -> list[int]:
        if self.images is not None:
            return [5, 2]
        return [*(sum(noise.draws for noise in noises) for noises in self._noises), 3, 2]

    def _make(self, index: Tensor, *uniform: Tensor) -> Tensor:
        texture = self._noise(*uniform[:-1]) if self.images is None else self._image(uniform[0])
        rows, times = SMOOTHING[self.version]
        texture = unit(smoothed(texture, round(self.shape[0] / rows), times))
        z, _ = centres(self.shape, index.device)
        low, high = self.velocity
        bottom, top = column(between(uniform[-1][:, 0], 0.0, 0.2)), column(between(uniform[-1][:, 1], 0.7, 1.0))
        share = bottom + (top - bottom) * unit((1.0 - self.trend) * texture + self.trend * z)
        return (low + (high - low) * share).clamp(low, high)

    def _noise(self, cover: Tensor, below: Tensor, where: Tensor, pick: Tensor) -> Tensor:
        above, under, places = self._noises
        z, _ = centres(self.shape, cover.device)
        bent = summed(under, SCALES, below)
        turns = column(between(pick[:, 0], 1.5, 5.0)) * z + 3.0 * bent
        bands = bent + column(between(pick[:, 1], 0.03, 0.15)) * wave(turns)
        covering = summed(above, SCALES, cover) + column(between(pick[:, 2], -0.25, 0.25))
        return torch.where(summed(places, OBJECTS, where) > 0.05, covering, bands)

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
