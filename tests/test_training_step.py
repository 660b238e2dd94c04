"""One training step on the CPU: the plain calls to the bit, results read at once or late, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from small_step import GEOMETRY, UNITS, batch, make_step, small_network, weights_of

from seisfast import losses
from seisfast.training.precision import float32_products, resolve_precision
from seisfast.training.step import NotFiniteError, TrainingStep

CPU = torch.device("cpu")


@pytest.mark.parametrize("clip", [None, 1e-3])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_step_is_the_plain_sequence_of_torch_calls(late: bool, mixed: bool, clip: float | None) -> None:
    ours, theirs = small_network(), small_network()
    step = TrainingStep(ours, UNITS, losses.build("l2_ssim", windows=[3, 5]), lr=1.0, clip=clip, mixed=mixed, late=late)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1.0, fused=True)
    loss_of = losses.build("l2_ssim", windows=[3, 5])
    expected, found = [], []
    torch.manual_seed(1)
    for k in range(3):
        step.learning_rate = 1e-3 / (k + 1)
        found += step(*batch(k), number=k)
    found += step.finish()
    torch.manual_seed(1)
    for k in range(3):
        records, velocity = batch(k)
        optimizer.param_groups[0]["lr"] = 1e-3 / (k + 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            output = theirs(UNITS.encode_records(records))
        loss = loss_of(output.float(), UNITS.unit_velocity(velocity))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
        expected.append(float(loss.detach()))
    assert [result.loss for result in found] == expected
    assert [(result.number, result.models) for result in found] == [(0, 4), (1, 4), (2, 4)]
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    assert not step.captured


def test_late_results_come_one_step_later() -> None:
    step = make_step(late=True)
    assert step.finish() == []
    assert step(*batch(0), number=1) == []
    assert [result.number for result in step(*batch(1), number=2)] == [1]
    assert [result.number for result in step(*batch(2, models=2), number=3)] == [2]
    (last,) = step.finish()
    assert (last.number, last.models) == (3, 2)
    assert step.finish() == []


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("broken", "what", "reason"),
    [
        ("records", "loss", "its records hold NaN or infinity: check the data"),
        ("velocity", "loss", "its velocities hold NaN or infinity: check the data"),
        ("loss", "loss", "the data are finite, so training diverged: lower lr or clip"),
        ("gradient", "gradient", "the data are finite, so training diverged: lower lr or clip"),
    ],
)
def test_what_is_not_finite_is_named(broken: str, what: str, reason: str, late: bool) -> None:
    plain = losses.build("l2")
    worse = {"loss": lambda loss: loss * torch.nan, "gradient": lambda loss: loss + torch.sqrt(loss * 0.0)}
    change = worse.get(broken, lambda loss: loss)
    step = make_step(lambda p, g: change(plain(p, g)), late=late)
    records, velocity = batch(0)
    if broken == "records":
        records[1, 0, 3, 2] = torch.nan
    if broken == "velocity":
        velocity[1] = torch.inf
    before = weights_of(step)

    def run() -> None:
        step(records, velocity, number=7)
        step.finish()

    with pytest.raises(NotFiniteError, match=rf"the {what} is (nan|-?inf) in batch 7; {reason}") as caught:
        run()
    assert (caught.value.what, caught.value.number, caught.value.reason) == (what, 7, reason)
    assert not math.isfinite(caught.value.value)
    if not late:
        assert torch.equal(weights_of(step), before), "stopped before the update"


def test_a_late_failure_is_raised_by_the_next_step_with_its_own_batch() -> None:
    step = make_step(late=True)
    good = batch(0)
    broken = torch.full_like(good[0], torch.nan)
    assert step(broken, good[1], number=3) == []
    with pytest.raises(NotFiniteError, match="in batch 3; its records hold NaN"):
        step(*good, number=4)


def test_the_optimizers_state_goes_on_with_the_same_bits() -> None:
    still = {"drop_rate": 0.0}
    whole, first = make_step(options=still), make_step(options=still)
    for k in range(2):
        whole(*batch(k))
        first(*batch(k))
    second = make_step(options=still)
    second.network.load_state_dict(first.network.state_dict())
    state = first.optimizer_state()
    assert state["param_groups"][0]["lr"] == first.learning_rate
    state["param_groups"][0].update(fused=True, capturable=True)  # as if a GPU's Adam had written it
    second.load_optimizer_state(state)
    for step in (whole, second):
        step(*batch(2))
    assert torch.equal(weights_of(whole), weights_of(second))


def test_prediction_is_float32_in_the_unit_range_under_autocast() -> None:
    step = make_step(mixed=True)
    maps = step.predict(batch(0)[0])
    assert maps.dtype == torch.float32
    assert maps.shape == (4, 1, *GEOMETRY["shape"])
    assert 0 <= float(maps.detach().min()) <= float(maps.detach().max()) <= 1


# precision


def test_precisions_of_the_cpu() -> None:
    assert resolve_precision("auto", CPU) == "float32"
    assert [resolve_precision(name, CPU) for name in ("float32", "bf16")] == ["float32", "bf16"]
    with pytest.raises(ValueError, match=r'precision "tf32" is arithmetic of NVIDIA GPUs, got device \'cpu\''):
        resolve_precision("tf32", CPU)


def settings() -> list[object]:
    found: list[object] = []
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            found.append(read())
        except RuntimeError:  # torch's answer to a mix of older and newer settings; only the newer ones count then
            found.append("mixed")
    for place in (torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends.mkldnn):
        for part in (place, getattr(place, "matmul", None), getattr(place, "conv", None), getattr(place, "rnn", None)):
            found.append(getattr(part, "fp32_precision", None))
    return found


def newer(place: object, value: str) -> None:
    if not hasattr(place, "fp32_precision"):
        pytest.skip("this torch has the older settings only")
    place.fp32_precision = value  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:Please use the new API settings")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("before", ["defaults", "medium", "cudnn off", "newer matmul", "newer convolution"])
def test_the_settings_of_float32_products_come_back(before: str, precision: str) -> None:
    """They are plain settings, so a machine without a GPU has them too."""
    with float32_products("tf32", torch.device("cuda")):  # so that this test leaves no trace
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        if before == "medium":
            torch.set_float32_matmul_precision("medium")
        elif before == "cudnn off":
            torch.backends.cudnn.allow_tf32 = False
        elif before == "newer matmul":
            newer(torch.backends.cuda.matmul, "tf32")
        elif before == "newer convolution":
            newer(torch.backends.cudnn.conv, "ieee")
        expected = settings()
        with float32_products(precision, CPU):
            assert settings() == expected
        with float32_products(precision, torch.device("cuda")):
            allowed = precision == "tf32"
            assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (allowed, allowed)
        after = [e if e == "mixed" else a for a, e in zip(settings(), expected, strict=True)]
        assert after == expected
