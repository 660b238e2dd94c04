"""Figures: axes the way the field draws them, one colour scale, symmetric clips, and refusals in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_data import SHAPE, SURVEY, small_survey

from seisfast import Survey, plot
from seisfast.sensitivity import Sensitivity, activation_shares, receiver_groups

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RNG = np.random.default_rng(0)
MODEL = RNG.uniform(1500.0, 4000.0, SHAPE)
RECORDS = RNG.normal(size=(2, 40, 8))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def labels(figure: Figure) -> list[str]:
    return [text for ax in figure.findobj(Axes) for text in (ax.get_xlabel(), ax.get_ylabel()) if text]


def test_a_velocity_model_has_depth_down_in_metres() -> None:
    ax = plot.velocity(MODEL, spacing=(5.0, 10.0), title="Model")
    assert isinstance(ax, Axes)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("Distance (m)", "Depth (m)", "Model")
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right, bottom, top) == (-5.0, 235.0, 97.5, -2.5)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.images[0].get_cmap().name == "viridis"
    assert "Velocity (m/s)" in labels(ax.figure)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ax.images[0].get_array(), MODEL)


def test_positions_between_cells_are_drawn_and_masked_receivers_are_not() -> None:
    places = torch.tensor([[1.5, 2.25], [1.5, 4.0], [1.5, 8.0]], requires_grad=True)
    survey = Survey(
        shape=SHAPE, spacing=(5.0, 10.0), dt=1e-3, nt=40, sources=[[1, 7.5], [1, 9]], receivers=places,
        receiver_mask=[[True, True, False]] * 2, wavelet=np.ones(40),
    )  # fmt: skip
    receivers, sources = plot.velocity(MODEL, survey=survey).collections
    np.testing.assert_array_equal(receivers.get_offsets().compressed(), [22.5, 7.5, 40.0, 7.5])
    np.testing.assert_array_equal(sources.get_offsets(), [[75.0, 5.0], [90.0, 5.0]])
    assert plot.gather(RECORDS[0, :, :3], survey=survey).get_xlabel() == "Receiver (number)"
    figure = plot.gathers(RECORDS[..., :3], survey=survey)
    assert figure.axes[0].get_title() == "Source at 75 m"


def test_a_survey_is_drawn_and_gives_the_metres() -> None:
    ax = plot.velocity(torch.from_numpy(MODEL)[None, None], survey=SURVEY, cmap="jet", colorbar=False)
    assert ax.images[0].get_cmap().name == "jet"
    receivers, sources = ax.collections
    assert len(receivers.get_offsets()) == 8
    np.testing.assert_array_equal(sources.get_offsets(), [[50.0, 10.0], [180.0, 10.0]])
    assert len(ax.figure.axes) == 1


def test_without_a_spacing_axes_count_cells() -> None:
    assert plot.velocity(MODEL).get_ylabel() == "Depth (cells)"


def test_drawing_into_given_axes_makes_no_figure() -> None:
    _, ax = pyplot.subplots()
    before = pyplot.get_fignums()
    assert plot.velocity(MODEL, ax=ax, colorbar=False) is ax
    assert plot.gather(RECORDS[0], ax=ax) is ax
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_comparison_has_one_scale_for_models_and_one_for_errors(count: int) -> None:
    predictions = {f"net {k}": MODEL + 100.0 * (k + 1) * (-1) ** k for k in range(count)}
    figure = plot.comparison(MODEL, predictions, spacing=10.0, title="Test")
    images = [(ax.get_title(), ax.images[0]) for ax in figure.axes if ax.images]
    models = [image for title, image in images if not title.startswith("Error")]
    errors = [image for title, image in images if title.startswith("Error")]
    assert (len(models), len(errors)) == (1 + count, count)
    assert {image.get_clim() for image in models} == {(MODEL.min(), MODEL.max())}
    assert len({image.get_clim() for image in errors}) == 1
    low, high = errors[0].get_clim()
    assert -low == high == pytest.approx(100.0 * count)
    assert "Error, mean 100 m/s" in [title for title, _ in images]
    assert {"Velocity (m/s)", "Predicted - true (m/s)", "Distance (m)", "Depth (m)"} <= set(labels(figure))


def test_an_exact_prediction_and_given_limits_can_be_drawn() -> None:
    figure = plot.comparison(MODEL, {"same": MODEL}, limits=(1000.0, 5000.0))
    assert figure.axes[0].images[0].get_clim() == (1000.0, 5000.0)


def test_profiles_go_down_through_chosen_columns() -> None:
    figure = plot.profiles(MODEL, {"net": MODEL + 50.0}, spacing=10.0, columns=[0, 23])
    assert [ax.get_title() for ax in figure.axes] == ["x = 0 m", "x = 230 m"]
    for ax, column in zip(figure.axes, (0, 23), strict=True):
        truth, predicted = ax.lines
        np.testing.assert_array_equal(truth.get_xdata(), MODEL[:, column])
        np.testing.assert_array_equal(predicted.get_xdata(), MODEL[:, column] + 50.0)
        np.testing.assert_array_equal(truth.get_ydata(), np.arange(20) * 10.0)
        assert ax.get_ylim() == (190.0, 0.0)
    assert len(plot.profiles(MODEL, {"net": MODEL}).axes) == 4
    assert len(plot.profiles(np.ones((1, 9)), {"net": np.ones((1, 9))}).axes) == 4


def test_a_gather_has_time_down_and_a_symmetric_clip() -> None:
    ax = plot.gather(RECORDS[0], survey=SURVEY, perc=95.0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Receiver (m)", "Time (s)")
    low, high = ax.images[0].get_clim()
    assert -low == high == pytest.approx(np.percentile(np.abs(RECORDS[0]), 95.0))
    np.testing.assert_allclose(ax.images[0].get_extent(), (-15.0, 225.0, 0.0395, -0.0005))
    assert plot.gather(RECORDS[0]).get_xlabel() == "Receiver (number)"
    assert plot.gather(np.zeros((4, 3))).images[0].get_clim() == (-1.0, 1.0)


def test_uneven_receivers_are_numbered() -> None:
    uneven = small_survey(receivers=[(1, ix) for ix in (0, 1, 2, 3, 4, 5, 6, 23)])
    assert plot.gather(RECORDS[0], survey=uneven).get_xlabel() == "Receiver (number)"
    single = small_survey(receivers=[(1, 4)])
    assert plot.gather(RECORDS[0, :, :1], survey=single).get_xlabel() == "Receiver (number)"


def test_gathers_share_their_clip() -> None:
    records = RECORDS * np.array([1.0, 10.0])[:, None, None]
    figure = plot.gathers(records, survey=SURVEY, title="Shots")
    assert [ax.get_title() for ax in figure.axes] == ["Source at 50 m", "Source at 180 m"]
    assert len({ax.images[0].get_clim() for ax in figure.axes}) == 1
    assert [ax.get_title() for ax in plot.gathers(records, shots=[1]).axes] == ["Shot 1"]
    many = plot.gathers(np.ones((20, 5, 3)))
    assert [ax.get_title() for ax in many.axes] == [f"Shot {k}" for k in (0, 5, 10, 14, 19)]


def write_log(folder: Path, values: list[float]) -> Path:
    folder.mkdir()
    rows = [
        {"epoch": k, "train_loss": v, "validation_loss": v + 0.1, "elapsed": 30.0 * k} for k, v in enumerate(values, 1)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_loss_curves_of_runs(tmp_path: Path) -> None:
    one, two = write_log(tmp_path / "a", [3.0, 1.0, 2.0]), write_log(tmp_path / "b", [0.5])
    ax = plot.losses({"A": one, "B": two / "log.jsonl"}, against="minutes")
    assert ax.get_xlabel() == "Training time (minutes)"
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "A, validation", "A, training", "B, validation", "B, training"
    ]  # fmt: skip
    best = ax.lines[2]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([1.0], [1.1])
    negative = plot.losses(write_log(tmp_path / "c", [-0.5, -0.6]))
    assert (negative.get_yscale(), negative.get_xlabel()) == ("linear", "Epoch")


def sensitivity(survey: Survey | None, active: int = 4) -> Sensitivity:
    """Maps of which the first ones are active in one column of cells each, and everywhere outside the model."""
    maps = torch.full((4, 6, 7), 9.0, dtype=torch.float64)
    maps[:, 1:5, 2:5] = 0.0
    for k in range(active):
        maps[k, 1:5, (2, 3, 3, 4)[k]] = k + 1.0
    return Sensitivity(maps, activation_shares(maps, SHAPE), receiver_groups(survey, 2, 8), SHAPE, 5, survey)


def test_feature_maps_lie_on_the_axes_of_the_model() -> None:
    found = sensitivity(SURVEY)
    figure = plot.features(found, cmap="magma", title="Maps")
    above, below, (bar,) = figure.axes[:4], figure.axes[4:8], figure.axes[8:]
    assert [ax.get_title() for ax in above] == [
        "Left\nreceivers at 0 to 30 m",
        "Middle-left\nreceivers at 60 to 90 m",
        "Middle-right\nreceivers at 120 to 150 m",
        "Right\nreceivers at 180 to 210 m",
    ]
    for k, (ax, shares) in enumerate(zip(above, below, strict=True)):
        for image in ax.images:  # 56 x 48 cells of 10 m around 24 x 20
            assert tuple(image.get_extent()) == (-165.0, 395.0, 335.0, -145.0)
            assert image.get_clim() == (0.0, 4.0), "one scale, of the cells inside the model"
            np.testing.assert_array_equal(image.get_array(), found.maps[k].numpy())
        assert ax.images[-1].get_cmap().name == "magma"
        (outline,) = ax.patches
        assert outline.get_bbox().bounds == (-5.0, -5.0, 240.0, 200.0)
        assert [line.get_xdata()[0] for line in ax.lines] == [55.0, 115.0, 175.0]
        (receivers,) = ax.collections
        np.testing.assert_array_equal(receivers.get_offsets(), [[60.0 * k, 10.0], [60.0 * k + 30.0, 10.0]])
        assert [bar.get_x() for bar in shares.patches] == [-5.0, 55.0, 115.0, 175.0]
        np.testing.assert_allclose([bar.get_height() for bar in shares.patches], 100.0 * found.shares[k])
    assert (above[0].get_ylabel(), below[0].get_xlabel()) == ("Depth (m)", "Distance (m)")
    assert (below[0].get_ylabel(), bar.get_ylabel()) == ("Share (%)", "Mean activation")


def test_feature_maps_without_a_survey_or_without_activation() -> None:
    figure = plot.features(sensitivity(None, active=3))
    assert figure.axes[0].get_title() == "Left\nreceivers 0 to 1"
    assert figure.axes[4].get_xlabel() == "Distance (cells)"
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.axes[7].texts] == ["no activation"]
    assert plot.features(sensitivity(None, active=0)).axes[0].images[0].get_clim() == (0.0, 1.0)


FIELDS = RNG.normal(size=(7, *SHAPE)) * np.array([0.0, 1.0, 9.0, 3.0, 2.0, 1.0, 0.01])[:, None, None]


@pytest.mark.parametrize("survey", [SURVEY, None])
def test_a_wavefield_moves_over_the_model_in_one_scale(survey: Survey | None, tmp_path: Path) -> None:
    animation = plot.wavefield(
        torch.from_numpy(FIELDS)[None], velocity=MODEL, survey=survey, shot=1, every=5, perc=90.0, fps=20, title="A"
    )
    (ax, bar) = pyplot.gcf().axes
    model, wave = ax.images
    seen = []

    def look(k: int, _: int) -> None:
        np.testing.assert_array_equal(wave.get_array(), FIELDS[k])
        seen.append((ax.get_title("left"), ax.get_title("right"), wave.get_clim()))

    animation.save(tmp_path / "wave.gif", writer="pillow", progress_callback=look)
    limit = np.percentile(np.abs(FIELDS), 90.0)
    time = "sample {}" if survey is None else "{} ms"
    assert seen == [("A", time.format(5 * k), (-limit, limit)) for k in range(7)]
    with Image.open(tmp_path / "wave.gif") as written:
        assert (written.n_frames, written.info["duration"]) == (7, 50)
    np.testing.assert_array_equal(model.get_array(), MODEL)
    unit = "cells" if survey is None else "m"
    assert (ax.get_xlabel(), ax.get_ylabel(), bar.get_ylabel()) == (
        f"Distance ({unit})", f"Depth ({unit})", "Velocity (m/s)"
    )  # fmt: skip
    if survey is not None:
        receivers, source = ax.collections
        assert len(receivers.get_offsets()) == 8
        np.testing.assert_array_equal(source.get_offsets(), [[180.0, 10.0]])


def test_the_wave_is_clear_where_it_is_weak() -> None:
    figure = plot.snapshots(FIELDS[2:3], velocity=MODEL, cmap="seismic")
    colours = figure.axes[0].images[1].get_cmap()(np.linspace(0.0, 1.0, 9))
    assert (np.diff(colours[:5, 3]) < 0).all()
    np.testing.assert_allclose(colours[:, 3], colours[::-1, 3], atol=0.02)
    assert colours[4, 3] < 0.02
    np.testing.assert_allclose(colours[[0, -1]], mpl.colormaps["seismic"]([0.0, 1.0]))


def test_frames_side_by_side_until_the_wave_has_left() -> None:
    figure = plot.snapshots(FIELDS, velocity=MODEL, survey=SURVEY, every=5, perc=90.0, title="Shot")
    panels = [ax for ax in figure.axes if ax.images and ax.get_title("right")]
    assert [ax.get_title("right") for ax in panels] == ["5 ms", "10 ms", "15 ms", "20 ms", "25 ms"]
    assert len({ax.images[1].get_clim() for ax in panels}) == 1
    assert len({ax.images[0].get_clim() for ax in panels}) == 1
    for ax, k in zip(panels, range(1, 6), strict=True):
        np.testing.assert_array_equal(ax.images[1].get_array(), FIELDS[k])
    flat = plot.snapshots(np.zeros((9, 4, 30)), velocity=np.full((4, 30), 2000.0))
    assert flat.axes[0].images[0].get_clim() == (1900.0, 2100.0)
    assert sum(bool(ax.images) for ax in flat.axes) == 6


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (1, [0]),
        (2, [1]),
        (4, [1, 2, 3]),
        (7, [1, 2, 3, 4, 5, 6]),
        (8, [1, 2, 4, 5, 6, 7]),
        (12, [2, 4, 6, 7, 9, 11]),
        (13, [2, 4, 6, 8, 10, 12]),
        (50, [8, 16, 25, 33, 41, 49]),
    ],
)
def test_frames_cover_the_whole_shot(count: int, shown: list[int]) -> None:
    figure = plot.snapshots(np.ones((count, 4, 5)), velocity=MODEL[:4, :5])
    panels = [ax for ax in figure.axes if ax.images and ax.get_title("right")]
    assert [ax.get_title("right") for ax in panels] == [f"sample {k}" for k in shown]


def test_a_colour_map_may_be_given_itself() -> None:
    given = mpl.colormaps["PuOr"]
    drawn = [
        plot.velocity(MODEL, cmap=given),
        plot.gather(RECORDS[0], cmap=given),
        plot.gathers(RECORDS, cmap=given).axes[0],
        plot.comparison(MODEL, {"net": MODEL}, cmap="gray", error_cmap=given).axes[2],
        plot.features(sensitivity(None), cmap=given).axes[0],
    ]
    assert [ax.images[0].get_cmap().name for ax in drawn] == ["PuOr"] * 5
    colours = [
        plot.snapshots(FIELDS, velocity=MODEL, cmap=c).axes[0].images[1].get_cmap()(np.linspace(0, 1, 9))
        for c in (given, "PuOr")
    ]
    np.testing.assert_array_equal(*colours)


def test_receivers_of_the_shot_are_drawn() -> None:
    mask = [[True] * 8, [True] * 3 + [False] * 5]
    figure = plot.snapshots(FIELDS, velocity=MODEL, survey=small_survey(receiver_mask=mask), shot=1)
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_offsets()[:, 0], [0.0, 30.0, 60.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.velocity(MODEL[0]), r"model must be \[nz, nx\], got shape \[24\]"),
        (lambda: plot.velocity(RECORDS), r"model must be \[nz, nx\], got shape \[2, 40, 8\]"),
        (lambda: plot.velocity(np.zeros((0, 3))), "model must be"),
        (lambda: plot.velocity(MODEL * np.nan), "model must be finite"),
        (lambda: plot.velocity(MODEL.astype(complex)), "model must hold real numbers"),
        (lambda: plot.velocity([["a"]]), "model must hold real numbers"),
        (lambda: plot.velocity(MODEL, spacing=0.0), "spacing must be positive metres"),
        (lambda: plot.velocity(MODEL, spacing=(10.0, float("nan"))), "spacing must be positive metres"),
        (lambda: plot.comparison(MODEL, {}), "predictions must name at least one model"),
        (lambda: plot.comparison(MODEL, {"net": MODEL[1:]}), r"predictions\['net'\] must have .* \[20, 24\]"),
        (lambda: plot.profiles(MODEL, {"net": MODEL}, columns=[24]), r"columns must lie inside .*0 to 23"),
        (lambda: plot.gather(RECORDS), r"record must be \[time, receivers\]"),
        (lambda: plot.gather(RECORDS[0, 1:], survey=SURVEY), r"the survey's .* = \[40, 8\], got \[39, 8\]"),
        (lambda: plot.gather(RECORDS[0], perc=0.0), r"perc must lie in \(0, 100\], got 0"),
        (lambda: plot.gather(RECORDS[0], perc=101.0), "perc must lie in"),
        (lambda: plot.gathers(RECORDS[0]), r"records must be \[shots, time, receivers\]"),
        (lambda: plot.gathers(RECORDS, shots=[2]), "shots must lie between 0 and 1, got 2"),
        (lambda: plot.gathers(RECORDS, shots=[]), "shots must name at least one shot"),
        (
            lambda: plot.wavefield(FIELDS[0], velocity=MODEL),
            r"fields must be \[snapshots, nz, nx\], got shape \[20, 24\]",
        ),
        (lambda: plot.wavefield(FIELDS * np.nan, velocity=MODEL), "fields must be finite"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL * np.inf), "velocity must be finite"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL[1:]), r"velocity's \[19, 24\] cells, got \[20, 24\]"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, fps=0), "fps must be positive and finite, got 0"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, every=0), "every must be an integer of at least 1, got 0"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, perc=0), r"perc must lie in \(0, 100\], got 0"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.velocity(MODEL, cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.gather(RECORDS[0], cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.gathers(RECORDS, cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.features(sensitivity(None), cmap="no"), "cmap must be known to .* no colour map 'no'"),
        (lambda: plot.comparison(MODEL, {"a": MODEL}, error_cmap="no"), "error_cmap must be known to .* map 'no'"),
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, perc=float("nan")), r"perc must lie in \(0, 100\], got nan"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, shot=-1), "shot must be an integer of at least 0, got -1"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, survey=SURVEY, shot=2), "between 0 and 1, got 2"),
        (
            lambda: plot.snapshots(FIELDS, velocity=MODEL, survey=SURVEY, every=7),
            "40 samples, got 7 wavefields, one every 7",
        ),
        (
            lambda: plot.snapshots(FIELDS[:, 1:], velocity=MODEL[1:], survey=SURVEY),
            "velocity must have the survey's 20 x 24 cells",
        ),
        (lambda: plot.losses("somewhere", against="steps"), 'against must be "epoch" or "minutes"'),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:  # noqa: ANN401
    before = pyplot.get_fignums()
    with pytest.raises(ValueError, match=message):
        call()
    assert pyplot.get_fignums() == before, "nothing is drawn before the checks"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, perc="98"), "perc must be a number, got '98'"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, perc=None), "perc must be a number, got None"),
        (lambda: plot.gather(RECORDS[0], perc=True), "perc must be a number, got True"),
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, cmap=["red"]), r"cmap must be a colour .* name, got \['red'\]"),
        (lambda: plot.velocity(MODEL, cmap=None), "cmap must be a colour map of matplotlib or its name, got None"),
        (lambda: plot.comparison(MODEL, {"net": MODEL}, error_cmap=3), "error_cmap must be a colour map .* got 3"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, survey="seisinv"), "survey must be a seisfast.Survey, got str"),
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, survey=SURVEY.to_dict()), "seisfast.Survey, got dict"),
        (lambda: plot.velocity(MODEL, survey="seisinv"), "survey must be a seisfast.Survey, got str"),
        (lambda: plot.gather(RECORDS[0], survey="seisinv"), "survey must be a seisfast.Survey, got str"),
        (lambda: plot.gathers(RECORDS, survey="seisinv"), "survey must be a seisfast.Survey, got str"),
        (lambda: plot.gathers(RECORDS, shots=[0.5]), "shots must be an integer between 0 and 1, got 0.5"),
        (lambda: plot.snapshots(FIELDS, velocity=MODEL, survey=SURVEY, shot="1"), "shot must be an integer .* got '1'"),
        (lambda: plot.wavefield(FIELDS, velocity=MODEL, every=1.5), "every must be an integer of at least 1, got 1.5"),
    ],
)
def test_what_is_of_another_kind(call: Any, message: str) -> None:  # noqa: ANN401
    before = pyplot.get_fignums()
    with pytest.raises(TypeError, match=message):
        call()
    assert pyplot.get_fignums() == before, "nothing is drawn before the checks"


def test_logs_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no training log"):
        plot.losses(tmp_path)
    with pytest.raises(ValueError, match="holds no finished epoch yet"):
        plot.losses({"A": write_log(tmp_path / "a", [])})


def test_arrays_of_every_kind_can_be_drawn() -> None:
    kinds: list[Any] = [MODEL.astype(np.float32), MODEL.astype(int), np.asfortranarray(MODEL), MODEL.tolist()]
    kinds.append(torch.from_numpy(MODEL).requires_grad_())
    drawn: list[NDArray[np.float64]] = [plot.velocity(kind).images[0].get_array() for kind in kinds]
    for values in drawn:
        np.testing.assert_allclose(values, MODEL, rtol=1e-3)
