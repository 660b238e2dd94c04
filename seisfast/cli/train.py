"""Train a network on a data set, or on models that are simulated while it trains."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from seisfast.cli.geologies import add_geology_arguments, make_geology
from seisfast.cli.parser import needed
from seisfast.cli.surveys import add_survey_arguments, make_survey, simulation_device
from seisfast.training.config import TrainingConfig
from seisfast.training.distributed import first_launched, launched, own_device

DESCRIPTION = (
    "Train a network. The data are either a folder (--data), split 10:1:1 into training, validation and "
    "test models, or endless: new models are drawn from --geology and their records simulated over "
    "--survey in every epoch. A folder that does not say what recorded it, as OpenFWI's, takes --survey for the "
    "changes of --augmentation that need it. The run folder gets best.pt, last.pt, log.jsonl and config.yaml. Ctrl-C "
    "saves; the run then goes on with 'seisfast train --config RUN/config.yaml --resume'. On several GPUs or "
    "machines: 'torchrun --nproc-per-node 4 -m -- seisfast train ...'."
)


_SIZES = {"count": 1200, "validation_count": 100, "repeats": 1}  # of endless data; whole batches of 12


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_argument("--run", type=str | None, default=None, help="folder of the run, made when missing")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument(
        "--dry_run", "--dry-run", action="store_true", help="only make a few steps and print how long all would take"
    )
    stored = parser.add_argument_group("data from a folder")
    stored.add_argument(
        "--data", type=str | None, default=None, help="folder made by 'seisfast simulate', or OpenFWI's"
    )
    add_geology_arguments(parser, "endless data")
    endless = parser.add_argument_group("endless data, size")
    for name, help_text in (
        ("count", "new models per epoch"),
        ("validation_count", "models of the fixed validation set"),
        ("repeats", "times that each new model is used in an epoch, mixed with others"),
    ):
        endless.add_argument(f"--{name}", type=int, default=_SIZES[name], help=help_text)
    add_survey_arguments(parser)
    group = parser.add_argument_group("training")
    help_of = _attribute_help(TrainingConfig)
    hints = TrainingConfig.__annotations__
    for option in fields(TrainingConfig):
        kind = _TYPES[hints[option.name]]
        default = option.default if option.default_factory is MISSING else option.default_factory()
        group.add_argument(f"--{option.name}", type=kind, default=default, help=help_of[option.name])


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "int | None": int | None,
    "float": float,
    "bool": bool,
    "float | None": float | None,
    "dict[str, Any]": dict[str, Any],
    "tuple[float, float] | None": tuple[float, float] | None,
}


def run(options: Namespace) -> None:
    """Trains, or goes on with a run."""
    from seisfast import training

    folder = needed("--run", options.run, "the folder of the run")
    values = {option.name: options[option.name] for option in fields(TrainingConfig)}
    config = TrainingConfig(**values)
    train, validation, survey, settings = _data(options, config)
    if options.dry_run:
        if launched() > 1:
            raise ValueError(f"--dry-run makes its steps in one process, got {launched()}")
        print(_told(training.rehearse(config, train, validation, survey=survey), folder, config))
        return
    try:
        best = training.fit(
            config,
            train,
            validation,
            folder,
            survey=survey,
            resume=bool(options.resume),
            settings={"run": folder, **settings},
        )
    except training.Interrupted as stop:
        if not first_launched():
            raise SystemExit(130) from None  # the first process says it
        command = [*_launcher(), "seisfast", "train", "--config", str(Path(folder) / "config.yaml"), "--resume"]
        raise training.Interrupted(f"{stop}\ngo on with: {shlex.join(command)}", stop.checkpoint) from None
    if first_launched():
        print(best)


def _launcher() -> list[str]:
    """The words before a command that start as many processes as there are now on this machine."""
    if launched() == 1:
        return []
    return ["torchrun", "--nproc-per-node", os.environ.get("LOCAL_WORLD_SIZE", str(launched())), "-m", "--"]


def _told(found: Any, folder: str, config: TrainingConfig) -> str:  # noqa: ANN401 - a training.Rehearsal
    """What a dry run prints."""
    from seisfast.data.estimate import size, spent

    whose = f"{config.epochs} epochs" if config.minutes is None else f"about {found.epochs} epochs"
    return (
        f"{config.network}: {found.parameters:,} parameters; {found.models} models, {found.batches} steps in an epoch\n"
        f"{1e3 * found.step_seconds:.3g} ms a step on {found.device}, {spent(found.epoch_seconds)} an epoch with its "
        f"validation, {spent(found.seconds)} for {whose}\n"
        f"{size(found.bytes)} of checkpoints in {folder}"
    )


def _data(options: Namespace, config: TrainingConfig) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Training data, validation data, a survey for data that do not know theirs, and their entries of config.yaml."""
    from seisfast import data, geology

    if (options.data is None) == (options.geology is None):
        raise ValueError("give either --data (a folder) or --geology (endless data)")
    if options.data is not None:
        for name, default in _SIZES.items():
            if options[name] != default:
                raise ValueError(f"--{name} is for endless data (--geology), got {options[name]} with --data")
        whole = data.StoredDataset(options.data)
        train, validation, _ = geology.split(len(whole))
        parts = (data.StoredDataset(options.data, train), data.StoredDataset(options.data, validation))
        if options.survey is None:
            return *parts, None, {"data": options.data}
        return *parts, make_survey(options, whole.geometry["shape"]), {"data": options.data, **_chosen(options)}
    family = make_geology(options)
    survey = make_survey(options, family.shape)
    device = own_device(simulation_device(config.device))
    shared: dict[str, Any] = {"batch_size": config.batch_size, "device": device}
    train_set = data.SimulatedDataset(
        family, survey, options.count, seed=config.seed, repeats=options.repeats, **shared
    )
    validation_set = data.SimulatedDataset(family, survey, options.validation_count, seed=config.seed + 1, **shared)
    names = ["geology", "geology_options", *_SIZES]
    return train_set, validation_set, None, {**{name: options[name] for name in names}, **_chosen(options)}


def _chosen(options: Namespace) -> dict[str, Any]:
    """The options of the survey."""
    return {name: options[name] for name in ("survey", "survey_options", "frequency", "sources", "receivers", "depth")}


def _attribute_help(cls: type) -> dict[str, str]:
    """Name -> text of the Attributes section of a class's docstring."""
    section = re.search(r"^Attributes:\n((?: {4}.*\n)+)", inspect.getdoc(cls) or "", re.MULTILINE)
    text = section.group(1) if section else ""
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    described = {name: " ".join(words.split()).rstrip(".") for name, words in found}
    return {option.name: described.get(option.name, "") for option in fields(cls)}
