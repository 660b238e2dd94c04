"""Wavefields beside the records: a receiver on every cell records the same, whatever else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_survey import BOUNDARIES, NT, relative, shots, small_velocity, small_wavelet
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

import seisfast as sf
from seisfast.ops.acoustic import kept_bytes

pytestmark = pytest.mark.filterwarnings("ignore:.*points per shortest wavelength")
SHAPE = (14, 17)


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


@pytest.mark.parametrize("samples", [2**31 - 1, 2**32, 2**32 + 1, 2**63])
@pytest.mark.parametrize("substeps", [1, 3])
def test_an_interval_beyond_the_survey(samples: int, substeps: int) -> None:
    """Beyond the numbers of the extension, too: the first sample alone."""
    velocity, survey = small_velocity(*SHAPE), shots("cpml")
    fields = sf.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(samples))[1]
    assert fields.shape == (3, 1, *SHAPE)
    assert torch.equal(fields, sf.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(NT))[1])


def test_substeps_show_no_more_than_asked_for() -> None:
    """Steps after the survey, which the low-pass needs, are not shown, and not kept either."""
    fields = sf.simulate(small_velocity(*SHAPE), shots("cpml"), substeps=3, snapshots=sf.Every(1))[1]
    assert fields.is_contiguous()
    assert fields.untyped_storage().nbytes() == fields.numel() * 8 == 3 * NT * 14 * 17 * 8


@pytest.mark.parametrize("shown", ["returned", "callback"])
def test_a_wavefield_beyond_float16_is_an_error(shown: str) -> None:
    """The record is finite: its receiver is far from the source."""
    wavelet = 3000 * small_wavelet(3)
    survey = shots("cpml", wavelet=wavelet, sources=[(3, 1), (3, 2), (3, 3)], receivers=[(13, 16)])
    velocity = small_velocity(*SHAPE).half()
    assert torch.isfinite(sf.simulate(velocity, survey)).all()
    seen: list[int] = []
    every: Any = sf.Every(3) if shown == "returned" else sf.Every(3, lambda m, s, fields: seen.append(s))
    with pytest.raises(FloatingPointError, match=r"the wavefield of shot 0 .* exceeds the 65504 that float16 holds"):
        sf.simulate(velocity, survey, snapshots=every)
    assert not seen


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
        ((9, "show"), TypeError, r"Every callback must be callable as callback\(model, shot, fields\), got 'show'"),
    ],
)
def test_what_is_refused(snapshots: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    def every() -> Any:  # noqa: ANN401
        return sf.Every(*snapshots) if isinstance(snapshots, tuple) else sf.Every(snapshots)

    with pytest.raises(error, match=message):
        sf.simulate(small_velocity(*SHAPE), shots("cpml"), snapshots=snapshots if snapshots == 20 else every())


def test_memory_counts_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sf.planning, "free_memory", lambda _: 2 * 3 * 70 * 14 * 17 * 8)
    velocity = small_velocity(*SHAPE)
    sf.simulate(velocity, shots("cpml"), snapshots=sf.Every(1))
    with pytest.raises(MemoryError, match="for the results"):
        sf.simulate(velocity.expand(3, -1, -1), shots("cpml"), snapshots=sf.Every(1))


# -- shown to a callback -------------------------------------------------------------------------------------------


class Watch:
    """A callback that keeps what it sees."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []
        self.fields: list[Tensor] = []

    def __call__(self, model: int, shot: int, fields: Tensor) -> None:
        assert not fields.requires_grad
        self.places.append((model, shot))
        self.fields.append(fields.clone())


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many threads torch says it has: the shots of a group on a CPU."""
    return lambda count: monkeypatch.setattr(torch, "get_num_threads", lambda: count)


OFF_GRID: dict[str, Any] = {"receivers": [[2.2, 3.0], [5.0, 6.3]], "sources": [[1.3, 2.2], [4.0, 5.0], [7.7, 8.8]]}
OFF_GRID["wavelet"] = small_wavelet(2, 3, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("changes", [{}, {"wavelet": small_wavelet(1)[0]}, {"receivers": [(3, 4), (5, 6)]}, OFF_GRID])
@pytest.mark.parametrize(("count", "substeps"), [(1, 1), (2, 1), (3, 1), (5, 3), (6, 1)])
def test_a_callback_sees_the_same(
    threads: Callable[[int], None], changes: dict[str, Any], count: int, substeps: int, dtype: torch.dtype
) -> None:
    survey, velocity = shots("cpml", **changes), small_velocity(2, *SHAPE).to(dtype)
    data, fields = sf.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(9))
    threads(count)
    watch = Watch()
    shown = sf.simulate(velocity, survey, substeps=substeps, snapshots=sf.Every(9, callback=watch))
    assert watch.places == [(m, s) for m in range(2) for s in range(3)]
    assert torch.equal(shown, data)
    assert torch.equal(torch.stack(watch.fields).unflatten(0, (2, 3)), fields)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_of_one_model(threads: Callable[[int], None], boundary: str) -> None:
    threads(2)
    watch, twins, velocity = Watch(), Watch(), small_velocity(*SHAPE)
    data, fields = sf.simulate(velocity, shots(boundary), snapshots=sf.Every(20))
    assert torch.equal(sf.simulate(velocity, shots(boundary), snapshots=sf.Every(20, watch)), data)
    assert watch.places == [(0, 0), (0, 1), (0, 2)]
    assert torch.equal(torch.stack(watch.fields), fields)
    sf.reference.simulate(velocity, shots(boundary), snapshots=sf.Every(20, twins))
    assert twins.places == watch.places
    assert relative(torch.stack(watch.fields), torch.stack(twins.fields)) < 1e-12


@pytest.mark.parametrize("storage", [sf.Storage("all"), sf.Storage("checkpoint")])
def test_the_gradient_is_that_of_one_call(threads: Callable[[int], None], storage: sf.Storage) -> None:
    threads(2)

    def gradients(snapshots: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        leaves = small_velocity(2, *SHAPE), small_wavelet(2, 3, 1), torch.tensor([[2.2, 3.0], [5.0, 6.3]])
        velocity, wavelet, receivers = (leaf.double().requires_grad_() for leaf in leaves)
        survey = shots("cpml", **{**OFF_GRID, "wavelet": wavelet, "receivers": receivers})
        data = sf.simulate(velocity, survey, storage=storage, snapshots=snapshots)
        return torch.autograd.grad(data.square().sum(), (velocity, wavelet, receivers))

    alone, shown = gradients(None), gradients(sf.Every(20, Watch()))
    assert relative(shown[0], alone[0]) < 1e-14  # a sum over shots
    assert torch.equal(shown[1], alone[1])
    assert torch.equal(shown[2], alone[2])


@pytest.mark.parametrize(
    ("limit", "gradient"),
    [("threads", False), ("threads", True), ("free memory", False), ("memory", False), ("memory", True)],
)
def test_one_group_of_fields_at_a_time(
    threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, limit: str, gradient: bool
) -> None:
    velocity, survey = small_velocity(3, *SHAPE), shots("cpml")
    velocity.requires_grad_(gradient)
    one, storage = NT * 14 * 17 * 8, sf.Storage("checkpoint")
    kept = sf.planning.planned_scheme(velocity, survey, storage)
    threads(2 if limit == "threads" else 100)
    if limit == "free memory":
        monkeypatch.setattr(sf.planning, "free_memory", lambda _: 4 * 2 * one)
    elif limit == "memory":
        used = kept_bytes(kept, 3, 3, SHAPE, NT, torch.float64)
        storage = sf.Storage("checkpoint", memory=used + 2 * 2 * one)
    seen: list[StorageWeakRef] = []

    def watch(model: int, shot: int, fields: Tensor) -> None:
        place, owner = 2 * model + shot // 2, fields.untyped_storage()
        assert owner.nbytes() == (one if shot == 2 else 2 * one)
        if shot != 1:
            seen.append(StorageWeakRef(owner))
        assert [ref.expired() for ref in seen] == [True] * place + [False]

    data = sf.simulate(velocity, survey, storage=storage, snapshots=sf.Every(1, watch))
    assert len(seen) == 6
    assert data.requires_grad == gradient


def test_whole_models_share_a_group(threads: Callable[[int], None]) -> None:
    threads(7)
    sizes: list[int] = []

    def watch(model: int, shot: int, fields: Tensor) -> None:
        del model, shot
        sizes.append(fields.untyped_storage().nbytes() // (4 * 14 * 17 * 8))

    sf.simulate(small_velocity(3, *SHAPE), shots("cpml"), snapshots=sf.Every(20, watch))
    assert sizes == [6] * 6 + [3] * 3


def test_memory_counts_the_fields_of_one_group(threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    threads(1)
    velocity, field = small_velocity(*SHAPE), 14 * 17 * 8
    monkeypatch.setattr(sf.planning, "free_memory", lambda _: 70 * field + 3 * 70 * 2 * 5 * 8)
    sf.simulate(velocity, shots("cpml"), snapshots=sf.Every(1, Watch()))
    monkeypatch.setattr(sf.planning, "free_memory", lambda _: 70 * field + 3 * 70 * 2 * 5 * 8 - 1)
    with pytest.raises(MemoryError, match="for the results"):
        sf.simulate(velocity, shots("cpml"), snapshots=sf.Every(1, Watch()))


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_a_callback_raises_ends_the_call(threads: Callable[[int], None], error: BaseException) -> None:
    threads(1)
    places = []

    def full(model: int, shot: int, fields: Tensor) -> None:
        del fields
        places.append((model, shot))
        if shot == 1:
            raise error

    leaf, survey = small_velocity(*SHAPE).requires_grad_(), shots("cpml")
    with pytest.raises(type(error)) as found:
        sf.simulate(leaf, survey, snapshots=sf.Every(20, full))
    assert found.value is error
    assert places == [(0, 0), (0, 1)]
    assert leaf.grad is None
    assert torch.isfinite(sf.simulate(leaf, survey)).all()


def test_a_shot_that_is_not_finite_is_not_shown(threads: Callable[[int], None]) -> None:
    threads(1)
    wavelet = small_wavelet(2, 3, 2).float()
    wavelet[1, 2] = 3e38
    for velocity, survey, where, before in (
        (small_velocity(2, *SHAPE), shots("cpml", wavelet=wavelet), "shot 2 of model 1 is", 5),
        (small_velocity(*SHAPE), shots("cpml", wavelet=wavelet[1]), "shot 2 is", 2),
    ):
        watch = Watch()
        with pytest.raises(FloatingPointError, match=f"the record of {where} not finite"):
            sf.simulate(velocity.float(), survey, snapshots=sf.Every(20, watch))
        assert len(watch.places) == before


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, on first use of jvp
def test_transforms_and_what_cannot_call() -> None:
    survey, velocity = shots("cpml"), small_velocity(*SHAPE)
    seen = []

    def shown(v: Tensor) -> Tensor:
        return sf.simulate(v, survey, snapshots=sf.Every(20, lambda m, s, f: seen.append((2 * f).numpy())))

    data, tangent = torch.func.jvp(shown, (velocity,), (velocity,))
    expected = torch.func.jvp(lambda v: sf.simulate(v, survey), (velocity,), (velocity,))
    assert torch.equal(data, expected[0])
    assert torch.equal(tangent, expected[1])
    assert len(seen) == 3
    refused = r"snapshots must have no callback inside torch\.compile, CUDA-graph capture and torch\.func\.vmap"
    with pytest.raises(ValueError, match=refused):
        torch.func.vmap(shown)(velocity[None])
    with pytest.raises(ValueError, match=refused):
        torch.compile(shown, backend="aot_eager")(velocity)
    with pytest.raises(Exception, match=refused):
        torch.compile(shown, backend="aot_eager", fullgraph=True)(velocity)
    assert len(seen) == 3
