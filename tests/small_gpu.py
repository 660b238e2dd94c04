"""What the tests of the CUDA engines share: grids that each engine takes, one call on an engine, which engines ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from small_survey import noise, small_survey, small_wavelet
from torch import Tensor

import seisfast as sf
from seisfast import _native
from seisfast.engines import planned_engine

CUDA = torch.device("cuda")
READY = torch.cuda.is_available() and bool(_native.build_info()["cuda"])
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(not READY, reason="needs a CUDA device and an extension built with CUDA"),
    pytest.mark.filterwarnings("ignore:.*points per shortest wavelength"),
    pytest.mark.filterwarnings("ignore:simulate runs on the plain engine"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),  # torch's own, on first use of jvp
]
ENGINES = ("plain", "resident", "cluster", "tiled")  # in the order of csrc/acoustic/tile.h
# Odd sizes; two blocks of a cluster, and two tiles or more, under every boundary and order of small_survey.
SHAPES = {"plain": (31, 37), "resident": (31, 37), "cluster": (45, 37), "tiled": (97, 131)}


class Launch(NamedTuple):
    """One range of shots handed to the extension for a CUDA device."""

    engine: str
    task: str
    first: int
    count: int


@contextmanager
def launches() -> Iterator[list[Launch]]:
    """The launches on CUDA inside this block, in order."""
    seen: list[Launch] = []
    run = _native.acoustic_run

    def watched(params: dict[str, Any], dtype: str, task: str, threads: int, stream: int) -> None:
        if params["cuda"]:
            seen.append(Launch(ENGINES[params["tiling"][0]], task, params["first"], params["count"]))
        run(params, dtype, task, threads, stream)

    with mock.patch.object(_native, "acoustic_run", watched):
        yield seen


def is_hopper() -> bool:
    """Whether this is the chip that the grids here were chosen for."""
    return torch.cuda.get_device_capability() == (9, 0)


def needs(engine: str, survey: sf.Survey, shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> None:
    """Skip, with the reason, where this chip does not run the engine in both directions; a Hopper chip must."""
    for adjoint in (False, True):
        found = planned_engine(survey, shape, dtype=dtype, adjoint=adjoint, engine=engine)
        if found["engine"] != engine:
            message = f"{engine} does not run {'the adjoint of ' * adjoint}{shape}: {found['reason']}"
            pytest.fail(message) if is_hopper() else pytest.skip(message)


def spread(shape: tuple[int, int], rows: int, columns: int) -> list[tuple[int, int]]:
    """Cells all over the model, its last row and column included, its first row left out (it may be free)."""
    nz, nx = shape
    z = [1 + i * (nz - 2) // (rows - 1) for i in range(rows)]
    x = [i * (nx - 1) // (columns - 1) for i in range(columns)]
    return [(iz, ix) for iz in z for ix in x]


def busy_survey(boundary: str | sf.boundaries.Boundary, shape: tuple[int, int], **changes: object) -> sf.Survey:
    """One shot whose twelve sources reach the whole model in NT steps, receivers all over it, some cells twice.

    For three models with wavelets of their own, so that no gradient is summed outside the engine.
    """
    cells = spread(shape, 4, 5)
    settings: dict[str, object] = {
        "shape": shape,
        "sources": [spread(shape, 3, 4)],
        "receivers": [*cells, cells[7], cells[3], cells[7], (shape[0] - 1, shape[1] - 1)],
        "wavelet": small_wavelet(3, 1, 12),
    }
    return small_survey(boundary, **{**settings, **changes})


def device_of(engine: str) -> torch.device:
    """Where an engine runs."""
    return torch.device("cpu") if engine == "cpu" else CUDA


def run(
    engine: str, survey: sf.Survey, velocity: Tensor, storage: sf.Storage | None = None, expected: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(record, gradient of the velocity, gradient of the wavelet) of one engine, brought to the CPU.

    Asserts that nothing but the engine, or the `expected` one, ran.
    """
    device, dtype = device_of(engine), velocity.dtype
    leaf = velocity.detach().to(device, copy=True).requires_grad_()
    wavelet = survey.wavelet.detach().to(device, dtype, copy=True).requires_grad_()
    own = survey._replaced(wavelet=wavelet)
    with launches() as seen:
        data = sf.simulate(leaf, own, storage=storage, engine=engine)
        assert data.device.type == device.type
        weights = noise(*data.shape, dtype=dtype).to(device)
        grads = torch.autograd.grad(data, (leaf, wavelet), weights)
    assert {launch.engine for launch in seen} == (set() if engine == "cpu" else {expected or engine})
    return data.detach().cpu(), grads[0].cpu(), grads[1].cpu()


def assert_equal(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    """To the bit, and not because nothing happened."""
    for name, a, b in zip(
        ("record", "gradient of the velocity", "gradient of the wavelet"), ours, theirs, strict=False
    ):
        assert bool(b.any()), f"the {name} is zero"
        different = (a != b).sum().item()
        assert torch.equal(a, b), f"the {name} differs in {different} of {b.numel()} values"
