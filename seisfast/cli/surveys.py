"""The options that describe a survey, shared by the verbs that simulate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from seisfast.arguments import whole
from seisfast.cli.files import load_models
from seisfast.cli.parser import OptionError, needed
from seisfast.engines import has_cuda_engine
from seisfast.survey import Survey
from seisfast.training.config import resolve_device
from seisfast.wavelets import ricker

PRESETS = ("seisinv", "openfwi")
SUBSTEPS = "steps per sample: a number, or auto, the smallest stable one"


def add_survey_arguments(parser: ArgumentParser) -> None:
    """Adds --survey and what changes it."""
    group = parser.add_argument_group("survey")
    group.add_argument(
        "--survey",
        type=str | None,
        default=None,
        help="seisinv, openfwi, or a .json file as Survey.to_dict() writes it",
    )
    group.add_argument(
        "--survey_options",
        type=dict[str, Any],
        default={},
        help="arguments of the preset, for example --survey_options.nt 800 --survey_options.shots 10",
    )
    group.add_argument("--frequency", type=float | None, default=None, help="peak of the Ricker wavelet, Hz")
    group.add_argument(
        "--sources",
        type=str | None,
        default=None,
        help="columns of the sources, START:STOP:STEP with STOP left out, for example 0:85:21",
    )
    group.add_argument(
        "--receivers",
        type=str | None,
        default=None,
        help="columns of the receivers, START:STOP:STEP, for example 95:190:3",
    )
    group.add_argument("--depth", type=int | None, default=None, help="row of the sources and receivers given so")


def simulation_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU where torch and this build of seisfast both have one."""
    auto = name == "auto" and not has_cuda_engine()
    return resolve_device("cpu" if auto else name)


def make_survey(options: Namespace, shape: tuple[int, int]) -> Survey:
    """The survey that the options describe, on models of `shape` (nz, nx).

    Raises:
        FileNotFoundError: no such survey file.
        ValueError: a name that is no preset, or options that do not fit it.
    """
    name = needed("--survey", options.survey, "seisinv, openfwi or a .json file")
    survey = named_survey(name, shape, options.survey_options, options.frequency)
    changes: dict[str, Any] = {}
    if options.depth is not None and options.sources is None and options.receivers is None:
        raise ValueError("--depth is the row of --sources and --receivers; give one of them")
    row = 1 if options.depth is None else options.depth
    if options.sources is not None:
        changes["sources"] = [[row, ix] for ix in _columns("--sources", options.sources, shape[1])]
    if options.receivers is not None:
        changes["receivers"] = [[row, ix] for ix in _columns("--receivers", options.receivers, shape[1])]
    if not changes:
        return survey
    return Survey.from_dict({**survey.to_dict(), **changes})


def named_survey(
    name: str,
    shape: tuple[int, int],
    arguments: dict[str, Any] | None = None,
    frequency: float | None = None,
) -> Survey:
    """A preset on models of `shape`, or the survey of a .json file.

    Raises:
        FileNotFoundError: no such survey file.
        ValueError: a name that is no preset, or arguments that do not fit it.
    """
    if name in PRESETS:
        values = dict(arguments or {})
        if frequency is not None:
            values["frequency"] = frequency
        try:
            if name == "seisinv":
                return Survey.seisinv(**{"shape": shape, **values})
            return Survey.openfwi(**{"nz": shape[0], "nx": shape[1], **values})
        except TypeError as error:
            raise ValueError(f"--survey_options: {str(error).partition(') ')[2] or error}") from None
    if Path(name).suffix != ".json":
        raise ValueError(f"--survey must be {', '.join(PRESETS)} or a .json file, got {name!r}")
    if arguments:
        raise ValueError("--survey_options belong to the presets; edit the file instead")
    return _file_survey(Path(name), frequency)


def found_survey(name: str | None, shape: tuple[int, int]) -> Survey | None:
    """The survey that a picture is drawn with: a preset, that of a .json file or of a data set folder, or none.

    Raises:
        FileNotFoundError: no such survey file.
        ValueError: a name that is none of these, or a folder that does not say what survey it was made with.
    """
    if name is None:
        return None
    if not Path(name).is_dir():
        return named_survey(name, shape)
    from seisfast.data import StoredDataset

    survey = StoredDataset(name).survey
    if survey is None:
        raise ValueError(f"--survey: {name} does not say what survey it was made with")
    return survey


def survey_of_records(name: str | None, receivers: int) -> Survey | None:
    """The survey of records, as `found_survey`; a preset is that of its usual models, which have these receivers.

    Raises:
        FileNotFoundError, ValueError: as `found_survey`.
    """
    return found_survey(name, (70, receivers) if name == "openfwi" else (100, 100))


def models_and_survey(options: Namespace) -> tuple[Tensor, Survey | None]:
    """The models of --velocity as `load_models` gives them, and the --survey that one of them is drawn with.

    Raises:
        FileNotFoundError, ValueError: as `load_models` and `found_survey`.
    """
    models = load_models("--velocity", options.velocity)
    return models, found_survey(options.survey, (models.shape[-2], models.shape[-1]))


def steps_per_sample(value: Any) -> int | str:  # noqa: ANN401 - what the command line or a file holds
    """The type of --substeps.

    Raises:
        OptionError: neither a number of steps nor auto.
    """
    if value == "auto":
        return "auto"
    try:
        return whole("--substeps", int(value) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise OptionError(f"must be a whole number of at least 1, or auto, got {value!r}") from None


def _file_survey(file: Path, frequency: float | None) -> Survey:
    if not file.is_file():
        raise FileNotFoundError(f"--survey: there is no file {file}")
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"--survey: {file} is not JSON: {error}") from None
    if not isinstance(description, dict):
        raise ValueError(f"--survey: {file} must hold an object as Survey.to_dict() writes it")
    survey = Survey.from_dict(description)
    if frequency is None:
        return survey
    return Survey.from_dict({**description, "wavelet": ricker(frequency, survey.dt, survey.nt).tolist()})


def _columns(option: str, text: str, nx: int) -> list[int]:
    """Columns of START:STOP:STEP, all inside the model."""
    parts = text.split(":")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] < 1):
        raise ValueError(f"{option} must be START:STOP or START:STOP:STEP in whole columns, got {text!r}")
    columns = list(range(*numbers))
    if not columns or columns[0] < 0 or columns[-1] >= nx:
        raise ValueError(f"{option} must name columns between 0 and {nx - 1}, got {text!r}")
    return columns
