"""Convert between file formats: SEG-Y, MATLAB and raw files to .npy, records in .npy to SEG-Y."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace

from seisfast import data
from seisfast.cli.files import check_output, load_records, pick, save_array
from seisfast.cli.parser import given, needed
from seisfast.cli.segy import add_segy_arguments, is_segy, load_gathers, records_of
from seisfast.cli.surveys import survey_of_records
from seisfast.data.matlab import holds_records

DESCRIPTION = (
    "Convert a file to the format that the other verbs read, or records to SEG-Y. The names say what to do. "
    "IN.sgy OUT.npy: records, with --survey those that it would have. IN.npy OUT.sgy: records of the --survey. "
    "IN.bin OUT.npy: a velocity model of --shape. IN.mat OUT.npy: records or a velocity model. FOLDER FOLDER: the .mat "
    "files of FCNVMB or DD-Net into OpenFWI's layout. FOLDER OUT.npy: their velocity models alone."
)

RAW = (".bin", ".raw", ".dat", ".vp")
# Options that not every conversion takes; `_conversion` says which do.
OPTIONS = ("geometry", "survey", "tolerance", "traces", "index", "format", "shape", "order", "unit", "dtype", "check",
           "key", "axes", "per_file")  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("input", type=str, metavar="INPUT", help="file or folder to read")
    parser.add_argument("output", type=str, metavar="OUTPUT", help="file or folder to write")
    parser.add_argument(
        "--survey",
        type=str | None,
        default=None,
        help="seisinv, openfwi, a .json file or a data set folder: of the records to write as SEG-Y, or to resample "
        "SEG-Y onto",
    )
    add_segy_arguments(parser)
    segy = parser.add_argument_group("records to SEG-Y (.npy to .sgy)")
    segy.add_argument("--index", type=int | None, default=None, help="which model of a batch")
    segy.add_argument(
        "--format", type=Literal["ieee", "ibm"] | None, default=None, help="floating-point numbers; ieee when left out"
    )
    raw = parser.add_argument_group(f"velocity models (raw {', '.join(RAW)}, and .mat)")
    raw.add_argument("--shape", type=int, nargs=2, metavar=("NZ", "NX"), default=None, help="raw: cells of the model")
    raw.add_argument(
        "--order",
        type=Literal["zx", "xz"] | None,
        default=None,
        help="axes in the file, the last one the fastest in raw files; zx when left out",
    )
    raw.add_argument("--unit", type=Literal["m/s", "km/s"] | None, default=None, help="of the file; m/s when left out")
    raw.add_argument(
        "--dtype", type=str | None, default=None, help="raw: <f4, >f4, <f8, ... ; <f4, float32, when left out"
    )
    raw.add_argument(
        "--check",
        type=bool | None,
        default=None,
        help="raw: whether to refuse an --order that makes a rough model; true when left out",
    )
    mat = parser.add_argument_group("MATLAB files (.mat) and folders of them")
    mat.add_argument("--key", type=str | None, default=None, help="variable to read; a known one when left out")
    mat.add_argument(
        "--axes", type=str | None, default=None, help="records: order of the axes in MATLAB, 'time receivers shots'"
    )
    mat.add_argument("--per_file", type=int | None, default=None, help="folder: models in a file; 500 when left out")


def run(options: Namespace) -> None:
    """Converts what the names say."""
    if not Path(options.input).exists():
        raise FileNotFoundError(f"there is no file or folder {options.input}")
    what, takes, convert = _conversion(options)
    for name in OPTIONS:
        if options[name] is not None and name not in takes:
            raise ValueError(f"--{name} does not belong to {what}")
    print(convert(options))


def _conversion(options: Namespace) -> tuple[str, tuple[str, ...], Callable[[Namespace], str]]:
    """What is asked for in words, the options that it takes, and the function that does it."""
    source, suffix, target = options.input, Path(options.input).suffix.lower(), Path(options.output).suffix.lower()
    if Path(source).is_dir():
        if target == ".npy":
            return "velocity models of a folder", ("unit",), _mat_velocities
        return "a folder of .mat files", ("unit", "per_file"), _mat_folder
    if is_segy(source):
        return "SEG-Y to .npy", ("geometry", "survey", "tolerance", "traces"), _from_segy
    if suffix == ".npy":
        return ".npy to SEG-Y", ("survey", "index", "format"), _to_segy
    if suffix in RAW:
        return "a raw velocity model", ("shape", "order", "unit", "dtype", "check"), _raw
    if suffix == ".mat" and (options.axes is not None or holds_records(source, options.key)):
        return "records in a .mat file", ("key", "axes"), _mat_records
    if suffix == ".mat":
        return "a velocity model in a .mat file", ("key", "order", "unit"), _mat_velocity
    raise ValueError(f"INPUT must end in .sgy, .segy, .npy, .mat, {', '.join(RAW)} or be a folder, got {source}")


def _from_segy(options: Namespace) -> str:
    check_output(options.output, ".npy", "OUTPUT")
    gathers = load_gathers("INPUT", options.input, options.geometry)
    survey = survey_of_records(options.survey, gathers.records.shape[-1])
    records = records_of(gathers, survey, options)
    return f"{save_array(options.output, records)}: {list(records.shape)} of {gathers}"


def _to_segy(options: Namespace) -> str:
    if not is_segy(options.output):
        raise ValueError(f"OUTPUT must end in .sgy or .segy for records in .npy, got {options.output}")
    name = needed("--survey", options.survey, "seisinv, openfwi, a .json file or a data set folder")
    records = load_records("INPUT", options.input)
    if records.dim() == 4 and len(records) > 1:
        needed("--index", options.index, f"one of the {len(records)} models of {options.input}")
    one = pick("INPUT", records, options.index or 0, 3)
    survey = survey_of_records(name, one.shape[-1])
    file = data.write_segy(options.output, one, survey, **given(options, "format"))
    return f"{file}: {data.read_segy(file)}"


def _raw(options: Namespace) -> str:
    check_output(options.output, ".npy", "OUTPUT")
    nz, nx = needed("--shape", options.shape, "rows and columns of the model, NZ NX")
    model = data.read_raw(options.input, (nz, nx), **given(options, "order", "dtype", "unit", "check"))
    return _saved(options, torch.from_numpy(model))


def _mat_records(options: Namespace) -> str:
    check_output(options.output, ".npy", "OUTPUT")
    records = torch.from_numpy(data.read_mat_records(options.input, key=options.key, axes=options.axes))
    return f"{save_array(options.output, records)}: {list(records.shape)}"


def _mat_velocity(options: Namespace) -> str:
    check_output(options.output, ".npy", "OUTPUT")
    model = data.read_mat_velocity(options.input, key=options.key, order=options.order, **given(options, "unit"))
    return _saved(options, torch.from_numpy(model))


def _saved(options: Namespace, model: torch.Tensor) -> str:
    file = save_array(options.output, model)
    return f"{file}: {list(model.shape)}, {float(model.min()):.0f} to {float(model.max()):.0f} m/s"


def _mat_folder(options: Namespace) -> str:
    if Path(options.output).suffix:
        raise ValueError(f"OUTPUT must be a folder, or a .npy file for velocity models alone, got {options.output}")
    folder = data.convert_mat_folder(options.input, options.output, **given(options, "unit", "per_file"))
    stored = data.StoredDataset(folder)
    shots, nt, receivers = (stored.geometry[name] for name in ("shots", "samples", "receivers"))
    return f"{folder}: {len(stored)} models of {shots} shots, {nt} samples, {receivers} receivers"


def _mat_velocities(options: Namespace) -> str:
    file = data.convert_mat_velocities(options.input, options.output, **given(options, "unit"))
    models = np.load(file, mmap_mode="r")
    return f"{file}: {list(models.shape)}, {models.min():.0f} to {models.max():.0f} m/s"
