"""Arrays from and to .npy files, and the parts of a data set."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seisfast.files import replace_file, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("train", "validation", "test")


def load_array(option: str, path: str) -> Tensor:
    """The real numbers of a .npy file, in C order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .npy file, or not real numbers.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{option}: there is no file {file}")
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{option}: {file} is not a .npy array: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.size == 0:
        raise ValueError(f"{option}: {file} must hold one array of real numbers")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array, order="C"))


def save_array(path: str, values: Tensor) -> Path:
    """Writes a .npy file that is never half there.

    Raises:
        ValueError: a name that does not end in .npy.
    """
    file = check_output(path, ".npy")
    buffer = io.BytesIO()
    np.save(buffer, values.detach().cpu().numpy())
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, buffer.getvalue())
    return file


@contextlib.contextmanager
def growing_array(path: str, shape: Sequence[int], dtype: torch.dtype) -> Iterator[Callable[[Tensor], object]]:
    """What appends tensors, in C order, to a .npy file of this shape; the file has its name when all are written.

    Raises:
        ValueError: a name that does not end in .npy.
    """
    file = check_output(path, ".npy")
    file.parent.mkdir(parents=True, exist_ok=True)
    descr = np.lib.format.dtype_to_descr(torch.empty(0, dtype=dtype).numpy().dtype)
    with replacing(file) as written:
        header = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(written, header)
        yield lambda part: written.write(part.to("cpu", dtype).contiguous().numpy().data)


def check_output(path: str, suffix: str, option: str = "--output") -> Path:
    """The path of an output file, when its name ends as it must."""
    file = Path(path)
    if file.suffix != suffix:
        raise ValueError(f"{option}: the name must end in {suffix}, got {path}")
    return file


def load_models(option: str, path: str) -> Tensor:
    """Velocity models in m/s: `[nz, nx]`, or `[models, nz, nx]` from that shape or `[models, 1, nz, nx]`.

    Raises:
        ValueError: another shape.
    """
    values = load_array(option, path)
    if values.dim() == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dim() not in (2, 3):
        raise ValueError(
            f"{option}: {path} must hold [nz, nx], [models, nz, nx] or [models, 1, nz, nx], "
            f"got shape {list(values.shape)}"
        )
    return values


def load_records(option: str, path: str) -> Tensor:
    """Records, `[shots, time, receivers]` or a batch of them.

    Raises:
        ValueError: another shape.
    """
    values = load_array(option, path)
    if values.dim() not in (3, 4):
        raise ValueError(
            f"{option}: {path} must hold [shots, time, receivers] or a batch of them, got shape {list(values.shape)}"
        )
    return values


def pick(option: str, values: Tensor, index: int, dims: int) -> Tensor:
    """One item of a batch; an array without a batch axis is the item itself.

    Raises:
        ValueError: an item that is not there.
    """
    if values.dim() == dims:
        return values
    if not 0 <= index < len(values):
        raise ValueError(f"--index must lie between 0 and {len(values) - 1} for {option}, got {index}")
    return values[index]


def split_range(folder: str, split: str) -> range:
    """The models of a part of a data set: test, validation, train or all.

    Raises:
        FileNotFoundError, ValueError: no data set there, or one too small for parts.
    """
    from seisfast import data, geology

    count = len(data.StoredDataset(folder))
    return range(count) if split == "all" else dict(zip(PARTS, geology.split(count), strict=True))[split]


def draw_without_window() -> None:
    """Makes matplotlib draw into files only, so that it needs no display."""
    import matplotlib

    matplotlib.use("Agg")


def figure_of(ax: Axes) -> Figure:
    """The figure that axes are drawn in."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    return figure
