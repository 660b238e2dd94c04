"""Wavefields beside the records: a receiver on every cell records the same, whatever else is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_survey import BOUNDARIES, NT, small_survey, small_velocity, small_wavelet

import seisfast as sf

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
SHAPE = (14, 17)


def shots(boundary: str, **changes: object) -> sf.Survey:
    return small_survey(boundary, **{"wavelet": small_wavelet(3, 2), **changes})


def everywhere(boundary: str) -> sf.Survey:
    """The same with a receiver on every cell (but those of a free surface, where the pressure is zero)."""
    first = int(boundary == "free")
    return shots(boundary, receivers=[(iz, ix) for iz in range(first, 14) for ix in range(17)])


@pytest.mark.parametrize("samples", [1, 7, 69, 100])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_fields_are_what_receivers_record(boundary: str, samples: int) -> None:
    velocity = small_velocity(2, *SHAPE)
    data, fields = sf.simulate(velocity, shots(boundary), snapshots=sf.Every(samples))
    assert torch.equal(data, sf.simulate(velocity, shots(boundary)))
    shown = sf.simulate(velocity, everywhere(boundary))[:, :, ::samples].unflatten(-1, (-1, 17))
    if boundary == "free":
        shown = torch.nn.functional.pad(shown, (0, 0, 1, 0))
    assert fields.shape == (2, 3, -(-NT // samples), *SHAPE)
    assert torch.equal(fields, shown)
    assert fields.abs().max() > 0


@pytest.mark.parametrize(
    "storage", [sf.Storage("all"), sf.Storage("checkpoint"), sf.Storage(every=3, dtype=torch.float16)]
)
def test_beside_a_gradient(storage: sf.Storage) -> None:
    survey = shots("cpml")
    leaf, alone = (small_velocity(*SHAPE).requires_grad_() for _ in range(2))
    data, fields = sf.simulate(leaf, survey, storage=storage, snapshots=sf.Every(10))
    assert not fields.requires_grad
    assert torch.equal(fields, sf.simulate(leaf.detach(), survey, snapshots=sf.Every(10))[1])
    data.square().sum().backward()
    sf.simulate(alone, survey, storage=storage).square().sum().backward()
    assert leaf.grad is not None
    assert alone.grad is not None
    assert torch.equal(leaf.grad, alone.grad)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "receivers": [[2.2, 3.0], [5.0, 6.3]],
            "sources": [[1.3, 2.2], [4.0, 5.0], [7.7, 8.8]],
            "wavelet": small_wavelet(3),
        },
    ],
)
@pytest.mark.parametrize("substeps", [1, 3])
def test_the_twin_shows_the_same(changes: dict[str, Any], substeps: int) -> None:
    survey, velocity = shots("free", **changes), small_velocity(*SHAPE)
    for ours, twins in zip(
        sf.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(23)),
        sf.reference.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(23)),
        strict=True,
    ):
        assert ours.shape == twins.shape
        assert torch.allclose(ours, twins, rtol=0, atol=1e-12 * float(twins.abs().max()))


def test_half_types_compilation_and_transforms() -> None:
    survey, velocity = shots("cpml"), small_velocity(*SHAPE)
    fields = sf.simulate(velocity.float(), survey, snapshots=sf.Every(9))[1]
    half = sf.simulate(velocity.bfloat16(), survey, snapshots=sf.Every(9))[1]
    assert half.dtype == torch.bfloat16
    assert half.shape == fields.shape

    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return sf.simulate(v, survey, snapshots=sf.Every(9))

    assert torch.equal(compiled(velocity.float())[1], fields)
    both = torch.stack([velocity, velocity + 10])
    mapped = torch.func.vmap(lambda v: sf.simulate(v, survey, snapshots=sf.Every(9)))(both)[1]
    assert torch.equal(mapped, sf.simulate(both, survey, snapshots=sf.Every(9))[1])


@pytest.mark.parametrize(
    ("snapshots", "error", "message"),
    [
        (20, TypeError, r"snapshots must be None or a seisfast\.Every, got 20"),
        (0, ValueError, "Every samples must be .* got 0"),
        (1.5, TypeError, "Every samples must be an integer of at least 1, got 1.5"),
    ],
)
def test_what_is_refused(snapshots: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=message):
        sf.simulate(
            small_velocity(*SHAPE), shots("cpml"), snapshots=snapshots if snapshots == 20 else sf.Every(snapshots)
        )


def test_memory_counts_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sf.storage, "free_memory", lambda _: 2 * 3 * 70 * 14 * 17 * 8)
    velocity = small_velocity(*SHAPE)
    sf.simulate(velocity, shots("cpml"), snapshots=sf.Every(1))
    with pytest.raises(MemoryError, match="for the results"):
        sf.simulate(velocity.expand(3, -1, -1), shots("cpml"), snapshots=sf.Every(1))
