"""SEG-Y: genuine files, headers as the standard has them in both byte orders, round trips, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_segy import line, noise, segy_file
from small_survey import noise as deviates

import seisfast as sf
from seisfast.data import Gathers, read_segy, write_segy

segyio = pytest.importorskip("segyio", reason="the extra io is not installed")

SHOTS, GROUPS = (100, 300), (0, 120, 240, 360, 480)
TRACES = noise(10)
SPREAD = {"shots": [[5.0, 0.0], [9.0, 0.0]], "receivers": [[2.0 * k, 1.0] for k in range(5)]}


def small_survey(**changes: object) -> sf.Survey:
    settings: dict[str, Any] = {
        "shape": (8, 40), "spacing": (5.0, 12.5), "dt": 1e-3, "nt": 30, "sources": [(2, 3), (2, 30)],
        "receivers": [(1, ix) for ix in range(0, 40, 4)], "wavelet": torch.zeros(30),
    }  # fmt: skip
    return sf.Survey(**{**settings, **changes})


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wl1", "wl4", "wl8"])
def test_genuine_files(name: str, data_dir: Path, tmp_path: Path) -> None:
    file = data_dir / "segy" / f"{name}.sgy"
    with pytest.raises(
        ValueError, match=r"no positions of sources in SourceX .*give a geometry: \{\"shots\": \[\[x, z\]"
    ):
        read_segy(file)
    described = {"shots": [[-0.1, 0.0]], "receivers": [[0.02 * k, 0.05] for k in range(64)], "dt": 13e-6}
    (tmp_path / "g.json").write_text(json.dumps(described))
    gathers = read_segy(file, geometry=tmp_path / "g.json")
    assert gathers.records.shape == (1, 780, 64)
    assert gathers.dt == 13e-6
    assert read_segy(file, geometry={**described, "dt": None}).dt == 13e-6, "the headers have it"
    np.testing.assert_allclose(gathers.receivers[0, 63], [1.26, 0.05])
    # IBM numbers by their definition: sign, exponent of 16, and 24 bits below the point.
    words = np.frombuffer(file.read_bytes()[3600:], ">u4").reshape(64, -1)[:, 60:].astype(np.int64)
    value = (words & 0xFFFFFF) / 2.0**24 * 16.0 ** ((words >> 24 & 0x7F) - 64) * np.where(words >> 31, -1, 1)
    np.testing.assert_array_equal(gathers.records[0].numpy().T, value.astype(np.float32))
    assert gathers.records.std() > 1.0


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize(
    ("scalar", "metres"), [(0, 1.0), (1, 1.0), (10, 10.0), (-10, 0.1), (-100, 0.01), (-10000, 0.0001)]
)
def test_headers_and_scalars(order: str, scalar: int, metres: float, tmp_path: Path) -> None:
    headers = [{**words, 69: -scalar, 71: scalar} for words in line(SHOTS, GROUPS)]
    gathers = read_segy(segy_file(tmp_path / "a.sgy", TRACES, headers, order=order, interval=2000))
    assert gathers.dt == 2e-3
    assert torch.equal(gathers.records, torch.from_numpy(TRACES.reshape(2, 5, 30)).mT)
    depth = 10.0 if scalar == 0 else 10.0 / metres  # the scalar of depths is the other one
    np.testing.assert_allclose(gathers.sources, [[x * metres, depth] for x in SHOTS], rtol=1e-12)
    np.testing.assert_allclose(gathers.receivers, 2 * [[[x * metres, depth] for x in GROUPS]], rtol=1e-12)
    assert gathers.mask.all()


def test_every_kind_of_sample(tmp_path: Path) -> None:
    headers = line(SHOTS, GROUPS)
    for code, dtype in ((2, np.int32), (3, np.int16), (5, np.float32), (6, np.float64), (8, np.int8)):
        traces = np.clip(np.round(30 * TRACES), -128, 127).astype(dtype)
        gathers = read_segy(segy_file(tmp_path / "a.sgy", traces, headers, code=code))
        assert torch.equal(gathers.records, torch.from_numpy(traces.astype(np.float32).reshape(2, 5, 30)).mT)
    ibm = np.array([[0xC276A000, 0x41100000, 0x40800000, 0x42640000, 0]] * 10, np.uint32)
    gathers = read_segy(segy_file(tmp_path / "a.sgy", ibm, headers, code=1))
    assert gathers.records[1, :, 2].tolist() == [-118.625, 1.0, 0.5, 100.0, 0.0]


def test_elevations_feet_and_delay(tmp_path: Path) -> None:
    headers = [{**words, 45: 25, 41: 30, 109: 500, 215: -10} for words in line(SHOTS, GROUPS)]
    gathers = read_segy(segy_file(tmp_path / "a.sgy", TRACES, headers, words={3255: 2, 3501: 256}))
    np.testing.assert_allclose(gathers.sources, [[100 * 0.3048, -15 * 0.3048], [300 * 0.3048, -15 * 0.3048]])
    np.testing.assert_allclose(gathers.receivers[1, 4], [480 * 0.3048, -30 * 0.3048])
    assert gathers.start == pytest.approx(0.05)


@pytest.mark.parametrize("order", [">", "<"])
def test_words_of_revision_1_say_nothing_before_it(order: str, tmp_path: Path) -> None:
    headers = [{**words, 109: 4, 215: 7} for words in line(SHOTS, GROUPS)]
    for texts in (0, -1, 12):
        gathers = read_segy(segy_file(tmp_path / "a.sgy", TRACES, headers, order=order, words={3505: texts}))
        assert gathers.start == 4e-3
        assert torch.equal(gathers.records, torch.from_numpy(TRACES.reshape(2, 5, 30)).mT)
    assert read_segy(segy_file(tmp_path / "a.sgy", TRACES, headers, order=order, words={3501: 256})).start == 28e-3


def test_only_the_words_that_are_used_must_lie_along_x(tmp_path: Path) -> None:
    headers = [{**words, 77: 900 * words[9]} for words in line(SHOTS, GROUPS)]
    sources = segy_file(tmp_path / "a.sgy", TRACES, headers)
    assert read_segy(sources, geometry={"shots": SPREAD["shots"]}).receivers[0, 4, 0] == 480.0
    with pytest.raises(ValueError, match="SourceY differ by 900, SourceX by 200; give a geometry with the distance"):
        read_segy(sources, geometry={"receivers": SPREAD["receivers"]})
    headers = [{**words, 85: 3 * words[81]} for words in line(SHOTS, GROUPS)]
    groups = segy_file(tmp_path / "b.sgy", TRACES, headers)
    assert read_segy(groups, geometry={"receivers": SPREAD["receivers"]}).sources[1, 0] == 300.0
    with pytest.raises(ValueError, match="GroupY differ by 1440, GroupX by 480"):
        read_segy(groups, geometry={"shots": SPREAD["shots"]})


def test_shots_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    plain = line(SHOTS, GROUPS)
    point = [{**words, 9: 7, 17: words[9] + 3} for words in plain]
    place = [{**words, 9: 7} for words in plain]
    mixed = [plain[k] for k in (0, 5, 1, 6, 2, 7, 3, 8, 4, 9)]
    numbered = [{**words, 9: 90 - words[9]} for words in plain]
    wanted = torch.from_numpy(TRACES.reshape(2, 5, 30)).mT
    for headers in (plain, point, place, numbered):
        gathers = read_segy(segy_file(tmp_path / "a.sgy", TRACES, headers))
        assert torch.equal(gathers.records, wanted)
        assert gathers.sources[:, 0].tolist() == list(SHOTS)
    gathers = read_segy(segy_file(tmp_path / "a.sgy", TRACES, mixed))
    assert torch.equal(gathers.records[1].mT, torch.from_numpy(TRACES[1::2]))


def test_irregular_shots_and_dead_traces(tmp_path: Path) -> None:
    headers = [*line([100], GROUPS)[:2], *({**words, 9: 2} for words in line([300], GROUPS))]
    headers[3][29] = 2
    traces = noise(7)
    gathers = read_segy(segy_file(tmp_path / "a.sgy", traces, headers))
    assert gathers.mask.tolist() == [[True, True, False, False, False], [True, False, True, True, True]]
    assert gathers.records.shape == (2, 30, 5)
    assert np.isnan(gathers.receivers[0, 2:]).all()
    assert not gathers.records[0, :, 2:].any()
    assert not gathers.records[1, :, 1].any()
    assert torch.equal(gathers.records[1, :, 2:].mT, torch.from_numpy(traces[4:]))
    assert "4 traces missing" in repr(gathers)
    # What is masked is not in the file.
    written = read_segy(write_segy(tmp_path / "b.sgy", gathers))
    assert written.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert written.receivers[1, :, 0].tolist() == [0.0, 240.0, 360.0, 480.0]


def test_a_geometry_fills_or_replaces_headers(tmp_path: Path) -> None:
    bare = segy_file(tmp_path / "bare.sgy", TRACES, [{}] * 10, interval=0)
    gathers = read_segy(bare, geometry={**SPREAD, "dt": 2.5e-4})
    assert (gathers.dt, gathers.records.shape) == (2.5e-4, (2, 30, 5))
    assert gathers.sources.tolist() == SPREAD["shots"]
    assert gathers.receivers[1].tolist() == SPREAD["receivers"]
    uneven = {"shots": SPREAD["shots"], "receivers": [[[0, 0]] * 3, [[1, 0]] * 7], "dt": 1e-3}
    gathers = read_segy(bare, geometry=uneven)
    assert gathers.mask.sum(1).tolist() == [3, 7]
    assert torch.equal(gathers.records[1].mT, torch.from_numpy(TRACES[3:]))
    full = segy_file(tmp_path / "full.sgy", TRACES, line(SHOTS, GROUPS))
    assert read_segy(full, geometry={"dt": 3e-3}).dt == 3e-3
    assert read_segy(full, geometry={"origin": [100, 10]}).extent == ((-100.0, 0.0), (380.0, 0.0))
    assert read_segy(full, geometry={"shots": SPREAD["shots"]}).sources.tolist() == SPREAD["shots"]
    assert read_segy(full, geometry={"receivers": SPREAD["receivers"]}).sources[:, 0].tolist() == list(SHOTS)
    one = [{**words, 9: 1, 73: 0} for words in line(SHOTS, GROUPS)]
    assert read_segy(segy_file(tmp_path / "one.sgy", TRACES, one)).records.shape == (1, 30, 10)
    parted = segy_file(tmp_path / "parted.sgy", TRACES, [{**words, 73: 50} for words in one])
    assert read_segy(parted, geometry={"traces_per_shot": 2}).records.shape == (5, 30, 2)


def test_samples_beyond_float32_are_refused(tmp_path: Path) -> None:
    file = segy_file(tmp_path / "a.sgy", 1e39 * TRACES.astype(np.float64), line(SHOTS, GROUPS), code=6)
    with pytest.raises(ValueError, match="must hold finite samples"):
        read_segy(file)


def test_without_segyio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = segy_file(tmp_path / "a.sgy", TRACES, line(SHOTS, GROUPS))
    gathers = read_segy(file)
    monkeypatch.setitem(sys.modules, "segyio", None)
    with pytest.raises(ImportError, match=r"SEG-Y files need segyio: pip install 'seisfast\[io\]'"):
        read_segy(file)
    with pytest.raises(ImportError, match="need segyio"):
        write_segy(tmp_path / "b.sgy", gathers)


@pytest.mark.parametrize("order", [">", "<"])
def test_bad_files_are_named(order: str, tmp_path: Path) -> None:
    good = line(SHOTS, GROUPS)
    file = segy_file(tmp_path / "good.sgy", TRACES, good, order=order)
    content = file.read_bytes()
    holes = TRACES.copy()
    holes[6, 2] = np.nan
    for name, data in {
        "cut": content[:-1], "headers": content[:3600], "short": content[:3599], "empty": b"",
        "text": b"no SEG-Y file but words " * 400,
    }.items():  # fmt: skip
        (tmp_path / f"{name}.sgy").write_bytes(data)

    def changed(change: dict[int, int], count: int = 10) -> list[dict[int, int]]:
        return [{**words, **(change if k < count else {})} for k, words in enumerate(good)]

    cases: list[tuple[str, dict[str, Any], str]] = [
        ("cut", {}, "truncated, or its traces are not of 30 samples (byte 3221): it has 9 traces of 360 bytes and 359"),
        ("headers", {}, "truncated, or its traces are not of 30 samples (byte 3221): it has 0 traces"),
        ("short", {}, "is not a SEG-Y file, or truncated: it has 3599 bytes"),
        ("empty", {}, "is not a SEG-Y file, or truncated: it has 0 bytes"),
        ("text", {}, "is not a SEG-Y file: its sample format (byte 3225) is"),
        ("code", {"code": 4}, "has samples of format 4 (byte 3225), not one of [1, 2, 3, 5, 6, 8]"),
        ("none", {"words": {3221: 0}}, "must say how many samples a trace has (byte 3221), got 0"),
        ("more", {"words": {3221: 29}}, "its traces are not of 29 samples"),
        ("texts", {"words": {3501: 256, 3505: -1}}, "variable number of text headers (byte 3505)"),
        ("dt", {"interval": 0}, 'says no sample interval (bytes 3217 of the file and 117 of the traces are 0); give'),
        ("dts", {"headers": changed({117: 500})}, "several sample intervals (bytes 3217 of the file, 117"),
        ("nt", {"headers": changed({115: 28}, 3)}, "must have 30 samples in every trace, got one of 28"),
        ("nan", {"traces": holes}, "must hold finite samples, got NaN or infinity in trace 6"),
        ("zero", {"headers": changed({41: 0, 49: 0, 73: 0, 81: 0})}, "no positions of sources in SourceX and Sour"),
        ("gx", {"headers": changed({81: 0})}, 'no positions of receivers in GroupX and ReceiverGroupElevation; give a'),
        ("sx", {"headers": changed({73: 0, 49: 0})}, "no positions of sources in SourceX and SourceDepth; give a"),
        ("depth", {"headers": changed({73: 0})}, "no positions of sources in SourceX and SourceDepth; give a"),
        ("moved", {"headers": changed({73: 90}, 2)}, 'several sources in the shot with FieldRecord 1; give a geometry'),
        ("degrees", {"headers": changed({89: 2})}, "positions in degrees or seconds of arc (byte 89 is 2)"),
        ("across", {"headers": changed({85: 100}, 1)}, "does not run along x: SourceY and GroupY differ by 100"),
        ("late", {"headers": changed({109: 4}, 1)}, "at one time, got delays (byte 109) of 0 to 4 ms"),
        ("dead", {"headers": changed({29: 3})}, "has no live trace"),
    ]  # fmt: skip
    for name, change, message in cases:
        path = tmp_path / f"{name}.sgy"
        if change:
            settings = {"traces": TRACES, "headers": good, "order": order, **change}
            segy_file(path, settings.pop("traces"), settings.pop("headers"), **settings)
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            read_segy(path)
        assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_segy(tmp_path / "nowhere.sgy")


def test_bad_geometries_are_named(tmp_path: Path) -> None:
    file = segy_file(tmp_path / "a.sgy", TRACES, [{}] * 10)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    points = SPREAD["receivers"]
    cases: list[tuple[Any, type[Exception], str]] = [
        (tmp_path / "none.json", FileNotFoundError, "geometry: there is no file"),
        (tmp_path / "broken.json", ValueError, "broken.json is not JSON"),
        (tmp_path / "list.json", ValueError, 'must hold an object, {"shots"'),
        ([1], TypeError, 'geometry must be a dict or a JSON file, {"shots"'),
        ({"sources": [[0, 0]]}, ValueError, "geometry has the unknown keys ['sources']; it is"),
        ({"shots": [0, 0]}, ValueError, "geometry: shots must be finite positions [x, z]"),
        ({"shots": []}, ValueError, "geometry: shots must be finite positions"),
        ({"shots": [[0, None]]}, ValueError, "geometry: shots must be finite positions"),
        ({"receivers": [[[0, 0]], [[0, "a"]]]}, ValueError, "geometry: receivers[1] must be finite positions"),
        ({"origin": 5}, ValueError, "geometry: origin must be finite positions"),
        ({"dt": 0}, ValueError, "geometry: dt must be positive and finite, got 0"),
        ({"dt": "1"}, TypeError, "geometry: dt must be a number"),
        ({"traces_per_shot": 2.5}, TypeError, "geometry: traces_per_shot must be an integer"),
        ({"traces_per_shot": 3}, ValueError, "must fit the 10 traces of the file, got 3 traces per shot"),
        ({**SPREAD, "shots": [[0, 0]]}, ValueError, "must fit the 10 traces of the file, got 1 shots, 5 receivers"),
        ({**SPREAD, "receivers": points[:4]}, ValueError, "got 2 shots, 4 receivers"),
        ({**SPREAD, "receivers": [points, points[:4]]}, ValueError, "got 2 shots, 5 + 4 receivers"),
        ({**SPREAD, "traces_per_shot": 10}, ValueError, "got 2 shots, 5 receivers, 10 traces per shot"),
        ({"receivers": points, "traces_per_shot": 2}, ValueError, "must be the number of receivers, 5, got 2"),
        ({"shots": [[0, 0]] * 3}, ValueError, "must fit the 10 traces of the file, got 3 shots"),
        ({"shots": [[0, 0]] * 11}, ValueError, "must fit the 10 traces of the file, got 11 shots"),
        ({"receivers": points}, ValueError, "no positions of sources in SourceX"),
        ({"shots": SPREAD["shots"]}, ValueError, "no positions of receivers in GroupX"),
    ]  # fmt: skip
    for geometry, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            read_segy(file, geometry=geometry)


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endian", ["big", "little"])
@pytest.mark.parametrize("format", ["ieee", "ibm"])
def test_round_trip(format: str, endian: str, tmp_path: Path) -> None:
    survey, records = small_survey(), deviates(2, 30, 10, dtype=torch.float32)
    kept = records.clone()
    file = write_segy(tmp_path / "new" / "a.sgy", records, survey, format=format, endian=endian)
    assert torch.equal(records, kept), "what is written is left as it was"
    assert [path.name for path in file.parent.iterdir()] == ["a.sgy"]
    gathers = read_segy(file)
    if format == "ieee":
        assert torch.equal(gathers.records, records)
    else:
        error = ((gathers.records - records).abs() / records.abs()).max()
        assert 0 < error <= 9.5e-7
    assert (gathers.dt, gathers.start) == (survey.dt, 0.0)
    np.testing.assert_array_equal(gathers.sources, [[37.5, 10.0], [375.0, 10.0]])
    np.testing.assert_array_equal(gathers.receivers[1], [[12.5 * ix, 5.0] for ix in range(0, 40, 4)])


def test_the_headers_are_those_of_the_standard(tmp_path: Path) -> None:
    file = write_segy(tmp_path / "a.sgy", deviates(2, 30, 10), small_survey())
    content = file.read_bytes()
    assert len(content) == 3600 + 20 * (240 + 4 * 30)
    assert content[:1].decode("cp037") == "C"
    assert "SEISFAST" in content[:80].decode("cp037")

    def word(byte: int, size: int, trace: int = 12) -> int:
        begin = byte - 1 + (0 if byte > 3200 else 3600 + trace * 360)
        return int.from_bytes(content[begin : begin + size], "big", signed=True)

    two = {3213: 10, 3217: 1000, 3221: 30, 3225: 5, 3255: 1, 3501: 256, 3503: 1, 3505: 0, 29: 1, 69: 1, 71: -10, 89: 1,
           109: 0, 115: 30, 117: 1000}  # fmt: skip
    four = {1: 13, 5: 13, 9: 2, 13: 3, 17: 2, 37: -275, 41: -5, 49: 10, 73: 3750, 81: 1000}
    assert {byte: word(byte, 2) for byte in two} == two
    assert {byte: word(byte, 4) for byte in four} == four


@pytest.mark.parametrize("step", [1.0, 0.5, 6.25, 0.001, 1 / 3])
def test_positions_are_as_fine_as_they_must(step: float, tmp_path: Path) -> None:
    places = np.array([[1000.0 + step * k, step * k] for k in range(5)])
    gathers = Gathers(deviates(1, 8, 5), 1e-3, places[:1], places)
    found = read_segy(write_segy(tmp_path / "a.sgy", gathers))
    exact = step != 1 / 3
    np.testing.assert_allclose(found.receivers[0], places, rtol=0, atol=1e-12 if exact else 5.1e-5)


def test_a_survey_with_masked_receivers(tmp_path: Path) -> None:
    mask = torch.rand(2, 10, generator=torch.Generator().manual_seed(0)) > 0.4
    survey = small_survey(receiver_mask=mask)
    records = deviates(2, 30, 10, dtype=torch.float32) * mask[:, None]
    gathers = read_segy(write_segy(tmp_path / "a.sgy", records, survey))
    assert gathers.mask.sum() == mask.sum()
    assert torch.equal(gathers.onto(survey), records)


def test_what_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    records, survey = deviates(2, 30, 10), small_survey()
    far = Gathers(deviates(1, 8, 2), 1e-3, [[0, 0]], [[0, 0], [3e9, 0]])  # type: ignore[arg-type]
    several = small_survey(sources=[[(1, 1), (1, 2)], [(1, 3), (1, 4)]])
    cases: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
        (records, None, {}, TypeError, "records must be Gathers, or an array with survey="),
        (Gathers.of(records, survey), survey, {}, TypeError, "survey belongs to records in an array"),
        (records[:, :29], survey, {}, ValueError, "receivers] = [2, 30, 10], got shape [2, 29, 10]"),
        (records[None], survey, {}, ValueError, "got shape [1, 2, 30, 10]"),
        (records / 0, survey, {}, ValueError, "records must be finite"),
        (records + 1j, survey, {}, TypeError, "records must be real numbers, got torch.complex128"),
        (records, several, {}, ValueError, "survey must have one source in each shot, got 2"),
        (records, small_survey(dt=1.0005e-3 / 3), {}, ValueError,
         "dt must be a whole number of microseconds in a SEG-Y file, got 333.5"),
        (records, small_survey(dt=0.04), {}, ValueError, "dt must be at most 32767 microseconds in a"),
        (records, survey, {"format": "ascii"}, ValueError, 'format must be "ieee" or "ibm", got \'ascii\''),
        (records, survey, {"endian": "middle"}, ValueError, 'endian must be "big" or "little"'),
        (far, None, {}, ValueError, "positions must lie within 2e9 m along x in a SEG-Y file, got 3e+09 m"),
        (Gathers(torch.zeros(1, 32768, 1), 1e-3, [[0, 0]], [[0, 0]]), None, {}, ValueError, "at most 32767 samples"),  # type: ignore[arg-type]
        (Gathers(torch.zeros(1, 8, 1), 1e-3, [[0, 0]], [[0, 0]], start=1e-4), None, {}, ValueError,  # type: ignore[arg-type]
         "start must be a whole number of milliseconds"),
    ]  # fmt: skip
    for values, given, options, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            write_segy(tmp_path / "a.sgy", values, given, **options)
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder.sgy").mkdir()
    with pytest.raises(IsADirectoryError, match=r"path must be a file to write, got the folder .*folder\.sgy"):
        write_segy(tmp_path / "folder.sgy", records, survey)
    assert not list(tmp_path.glob(".*"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_segy(tmp_path / "a.sgy", deviates(2, 30, 10), small_survey())
    before = file.read_bytes()
    monkeypatch.setattr(segyio.tools, "create_text_header", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_segy(file, deviates(2, 30, 10, seed=9), small_survey())
    assert [path.name for path in tmp_path.iterdir()] == ["a.sgy"]
    assert file.read_bytes() == before
