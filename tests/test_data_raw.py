"""Raw binary models: genuine files in their own order and unit, and every other reading of them refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import folds

from seisfast.data import read_raw

LAYERS = np.repeat(np.linspace(1500.0, 4500.0, 20)[:, None], 30, 1) + 100.0 * np.sin(np.arange(30) / 5.0)
SHAPE = LAYERS.shape


def stored(path: Path, values: np.ndarray = LAYERS, dtype: str = "<f4", order: str = "zx") -> Path:
    (values if order == "zx" else values.T).astype(dtype).tofile(path)
    return path


@pytest.mark.parametrize(
    ("name", "shape", "unit", "limits"),
    [
        ("marmousi2/vp_true_500x174.bin", (174, 500), "m/s", (1500.0, 4766.6)),
        ("marmousi2/vp_smooth2_500x174.bin", (174, 500), "m/s", (1500.0, 4152.93)),
        ("marmousi2/vp_start_1d_500x174.bin", (174, 500), "m/s", (1500.0, 3916.48)),
        ("marmousi_full/vp_1601x401_km_s.bin", (401, 1601), "km/s", (1028.0, 4700.0)),
        ("overthrust/vp_true_800x186.bin", (186, 800), "m/s", (2359.88, 6000.0)),
        ("overthrust/vp_smooth2_800x186.bin", (186, 800), "m/s", (2359.88, 5999.72)),
    ],
)
def test_genuine_models(
    name: str, shape: tuple[int, int], unit: str, limits: tuple[float, float], data_dir: Path, tmp_path: Path
) -> None:
    model = read_raw(data_dir / name, shape, order="xz", unit=unit)
    assert model.shape == shape
    assert model.dtype == np.float32
    assert model.flags.c_contiguous
    assert (model.min(), model.max()) == pytest.approx(limits, rel=1e-5)
    assert model[-20:].mean() > model[:20].mean() + 500.0, "depth is the first axis"
    with pytest.raises(ValueError, match=r'as rough as order "xz" does; give order="xz"'):
        read_raw(data_dir / name, shape, order="zx", unit=unit)
    # The very same model in the other order is read in that one.
    turned = stored(tmp_path / "turned.bin", model)
    np.testing.assert_array_equal(read_raw(turned, shape), model)
    if "1d" not in name:  # layers without end are as smooth in either order
        with pytest.raises(ValueError, match='give order="zx"'):
            read_raw(turned, shape, order="xz")


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["zx", "xz"])
def test_every_kind_of_number(dtype: str, order: str, tmp_path: Path) -> None:
    file = stored(tmp_path / "a.bin", dtype=dtype, order=order)
    np.testing.assert_array_equal(read_raw(file, SHAPE, order=order, dtype=dtype), LAYERS.astype(np.float32))
    kilometres = stored(tmp_path / "km.bin", LAYERS / 1e3, dtype, order)
    model = read_raw(kilometres, SHAPE, order=order, dtype=dtype, unit="km/s")
    np.testing.assert_allclose(model, LAYERS, rtol=2e-7)


def test_no_model_in_the_right_order_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(1500.0, 4000.0, (20, 30))
    stripes = np.where(np.arange(20)[:, None] % 2, 2000.0, 3000.0) + np.zeros(30)
    side_by_side = np.repeat(np.linspace(1500.0, 4500.0, 30)[None], 20, 0)
    for values in (noise, stripes, side_by_side, np.full((20, 30), 2000.0), noise[:1], noise[:, :1], noise[:, :20]):
        for order in ("zx", "xz"):
            file = stored(tmp_path / "a.bin", values, order=order)
            np.testing.assert_array_equal(read_raw(file, values.shape, order=order), values.astype(np.float32))


def test_a_rough_model_in_the_right_order_has_a_way_in(tmp_path: Path) -> None:
    steep = folds()
    file = stored(tmp_path / "a.bin", steep)
    with pytest.raises(ValueError, match=r"as rough .*or shape=\(400, 40\) if these were swapped, or check=False if"):
        read_raw(file, (40, 400))
    np.testing.assert_array_equal(read_raw(file, (40, 400), check=False), steep)
    layers = stored(tmp_path / "b.bin", order="xz")
    with pytest.raises(ValueError, match=r"shape=\(20, 30\) if these were swapped"):
        read_raw(layers, (30, 20), order="xz")
    np.testing.assert_array_equal(read_raw(layers, (30, 20)), LAYERS.T.astype(np.float32), "swapped twice, unseen")


def test_half_precision_is_no_limit(tmp_path: Path) -> None:
    file = stored(tmp_path / "a.bin", LAYERS / 1e3, "<f2")
    model = read_raw(file, SHAPE, dtype="<f2", unit="km/s")
    np.testing.assert_array_equal(model, (1e3 * (LAYERS / 1e3).astype("<f2").astype(np.float64)).astype(np.float32))
    metres = stored(tmp_path / "m.bin", LAYERS, "<f2", "xz")
    with pytest.raises(ValueError, match='give order="xz"'):
        read_raw(metres, SHAPE, dtype="<f2")


def test_bad_input_is_named_with_its_remedy(tmp_path: Path) -> None:
    good, swapped = stored(tmp_path / "a.bin"), stored(tmp_path / "swapped.bin", dtype=">f4")
    double, slow = stored(tmp_path / "double.bin", dtype="<f8"), stored(tmp_path / "km.bin", LAYERS / 1e3)
    holes, shear = LAYERS.copy(), LAYERS.copy()
    holes[3, 4], shear[:2] = np.nan, 0.0
    stored(tmp_path / "holes.bin", holes)
    stored(tmp_path / "shear.bin", shear)
    (tmp_path / "odd.bin").write_bytes(good.read_bytes()[:-1])
    cases: list[tuple[Path, Any, dict[str, Any], type[Exception], str]] = [
        (tmp_path / "none.bin", SHAPE, {}, FileNotFoundError, "there is no file"),
        (good, (20, 31), {}, ValueError, "20 x 31 numbers of 4 bytes = 2480 bytes, has 2400; shape=(20, 30) would fit"),
        (good, (10, 30), {}, ValueError, "shape=(10, 60) or shape=(20, 30) or dtype='<f8' would fit"),
        (good, (19, 31), {}, ValueError, "shape=(20, 30) would fit"),
        (double, SHAPE, {}, ValueError, "dtype='<f8' would fit"),
        (tmp_path / "odd.bin", SHAPE, {}, ValueError, "= 2400 bytes, has 2399"),
        (swapped, SHAPE, {}, ValueError, "another byte order than dtype='<f4'; give dtype='>f4'"),
        (good, SHAPE, {"dtype": ">f4"}, ValueError, "give dtype='<f4'"),
        (slow, SHAPE, {}, ValueError, 'between 300 and 10000 m/s, got 1.40038 to 4.59996 m/s; give unit="km/s"'),
        (good, SHAPE, {"unit": "km/s"}, ValueError, 'give unit="m/s"'),
        (tmp_path / "shear.bin", SHAPE, {}, ValueError, "between 300 and 10000 m/s, got 0 to"),
        (tmp_path / "holes.bin", SHAPE, {}, ValueError, "got 1 that are NaN or infinite, the first at (iz, ix) = (3"),
        (good, SHAPE, {"unit": "ft/s"}, ValueError, 'unit must be "m/s" or "km/s"'),
        (good, SHAPE, {"order": "yx"}, ValueError, 'order must be "zx" or "xz"'),
        (good, SHAPE, {"dtype": "<i4"}, TypeError, "dtype must be a floating-point type such as '<f4', got int32"),
        (good, SHAPE, {"dtype": "<c8"}, TypeError, "got complex64"),
        (good, SHAPE, {"dtype": "float33"}, TypeError, "got 'float33'"),
        (good, SHAPE, {"check": "no"}, TypeError, "check must be True or False, got 'no'"),
        (good, (20,), {}, ValueError, "shape must be (nz, nx)"),
        (good, (20, 0), {}, ValueError, "at least 1, got 0"),
        (good, (20.0, 30), {}, TypeError, "shape must be an integer"),
    ]  # fmt: skip
    for path, shape, options, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            read_raw(path, shape, **options)
