"""Grey images of a folder, read when they are needed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ENDINGS = (".jpeg", ".jpg", ".png")
CACHE_BYTES = 256 * 2**20
"""Grey values that a folder keeps in memory."""


class ImageFolder:
    """The images of a folder, sorted by name.

    Args:
        path: The folder; files below it are not looked for.
        shape: (nz, nx) of the models; larger images are averaged over whole blocks of pixels as long as they keep
            a pixel for every cell.

    Attributes:
        files: Paths of the images.
        digest: SHA-256 over the names and sizes of the files, as hexadecimal digits.

    Raises:
        FileNotFoundError: When the folder does not exist.
        ValueError: When it holds no image.
    """

    def __init__(self, path: str, shape: tuple[int, int]) -> None:
        folder = Path(path)
        if not folder.is_dir():
            raise FileNotFoundError(f"images must be a folder, got {path!r}, which is none")
        self.files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
        if not self.files:
            raise ValueError(f"images must hold {', '.join(ENDINGS)} files, got {path!r} without any")
        names = "".join(f"{file.name}\0{file.stat().st_size}\n" for file in self.files)
        self.digest = hashlib.sha256(names.encode()).hexdigest()
        self._shape = shape
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def gathered(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The images that some models take, one behind the other.

        Args:
            numbers: Which image each model takes, from 0.

        Returns:
            Grey values from 0 to 255, uint8, flat; place of the first one of each model's image, int64 `[models]`;
            its rows and columns, int64 `[models, 2]`.
        """
        different = sorted(set(numbers))
        images = [self._image(number) for number in different]
        starts = np.concatenate([[0], np.cumsum([image.size for image in images])])
        order = np.searchsorted(different, numbers)
        sizes = np.array([image.shape for image in images], dtype=np.int64)
        flat = np.concatenate([image.reshape(-1) for image in images])
        return torch.from_numpy(flat), torch.from_numpy(starts[order]), torch.from_numpy(sizes[order])

    def _image(self, number: int) -> np.ndarray:
        if number in self._kept:
            self._kept.move_to_end(number)
        else:
            self._kept[number] = _reduced(_read(self.files[number]), self._shape)
            while len(self._kept) > 1 and sum(image.size for image in self._kept.values()) > CACHE_BYTES:
                self._kept.popitem(last=False)
        return self._kept[number]


def _read(file: Path) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("images need Pillow: pip install pillow") from error
    try:
        with Image.open(file) as image:
            if image.mode.startswith("I;16"):
                return (np.asarray(image) >> 8).astype(np.uint8)
            if image.mode in ("I", "F"):  # Pillow would cut their values off at 255
                raise ValueError(
                    f"images must have 8 or 16 bits of grey or colour, {str(file)!r} has mode {image.mode}"
                )
            return np.asarray(image.convert("L"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError(f"images must hold readable files, got {str(file)!r}: {error}") from error


def _reduced(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Means over square blocks, as large as leave a pixel for every cell of the model."""
    block = max(1, min(image.shape[0] // shape[0], image.shape[1] // shape[1]))
    rows, columns = (size // block for size in image.shape)
    blocks = image[: rows * block, : columns * block].reshape(rows, block, columns, block)
    total = blocks.sum((1, 3), dtype=np.int64)
    means: np.ndarray = ((2 * total + block * block) // (2 * block * block)).astype(np.uint8)
    return means
