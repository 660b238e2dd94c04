"""`seisfast simulate --velocity`: the models of one file, part by part, into one file of records or a comparison."""

from __future__ import annotations

import contextlib
import sys
import time

import torch
from jsonargparse import Namespace
from torch import Tensor

from seisfast.cli.files import check_output, growing_array, load_array, load_models
from seisfast.cli.surveys import make_survey, simulation_device
from seisfast.data.progress import model_bar
from seisfast.engines import choose_engine, planned_engine
from seisfast.evaluation import filled_samples
from seisfast.in_parts import simulate_in_parts
from seisfast.survey import Survey


def run(options: Namespace) -> None:
    """Simulates, writes and compares, no more at a time than fits in memory."""
    if options.output is None and options.compare is None:
        raise ValueError("give --output (a .npy file), --compare (records), or both")
    if options.output is not None:
        output = check_output(options.output, ".npy")
        if output.exists() and output.samefile(options.velocity):
            raise ValueError(f"--output must be another file than --velocity, got {output} for both")
    dtype = torch.float32 if options.dtype == "float32" else torch.float64
    velocity = load_models("--velocity", options.velocity).to(simulation_device(options.device), dtype)
    survey = make_survey(options, (int(velocity.shape[-2]), int(velocity.shape[-1])))
    shape = [*velocity.shape[:-2], survey.shots, survey.nt, survey.receivers_per_shot]
    comparison = None if options.compare is None else _Comparison(options.compare, shape)
    parts = simulate_in_parts(velocity, survey, engine=options.engine, substeps=options.substeps)
    print(f"{survey}, engine {_engine(options.engine, survey, velocity)}", file=sys.stderr)
    start = time.perf_counter()
    shots = survey.shots * (1 if velocity.dim() == 2 else len(velocity))
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(model_bar("simulate", shots, unit="shots"))
        append = None
        if options.output is not None:
            append = stack.enter_context(growing_array(options.output, shape, dtype))
        for of_models, of_shots, records in parts:
            if append is not None:
                append(records)
            if comparison is not None:
                comparison.add(records.cpu(), of_models, of_shots)
            advance(records.shape[0] * records.shape[1])
    print(f"{shots} shots in {time.perf_counter() - start:.2f} s", file=sys.stderr)
    if options.output is not None:
        print(f"{options.output}: {shape} {options.dtype}")
    if comparison is not None:
        print(comparison.told())


def _engine(asked: str, survey: Survey, velocity: Tensor) -> str:
    """The engine that the run gets."""
    engine = choose_engine(asked, velocity.device)
    shape = (int(velocity.shape[-2]), int(velocity.shape[-1]))
    return engine if engine == "cpu" else planned_engine(survey, shape, dtype=velocity.dtype, engine=engine)["engine"]


class _Comparison:
    """The relative L2 difference to the records of a file, part by part: see `evaluation.relative_error`.

    Raises:
        ValueError: records of another shape than the simulation will have, or that are zero everywhere.
    """

    def __init__(self, path: str, shape: list[int]) -> None:
        reference = load_array("--compare", path)
        if reference.dim() == 4 and len(shape) == 3 and reference.shape[0] == 1:
            reference = reference[0]
        if list(reference.shape) != shape:
            raise ValueError(
                f"--compare: the records must be {shape} for this survey, {path} has {list(reference.shape)}"
            )
        if not bool(reference.any()):
            raise ValueError(f"--compare: the records must not be zero everywhere, as in {path}")
        self.path, self.samples, self.all_samples = path, filled_samples(reference), shape[-2]
        self.reference = reference if reference.dim() == 4 else reference[None]
        self.difference = self.energy = 0.0

    def add(self, records: Tensor, models: slice, shots: slice) -> None:
        """Counts the records of some shots of some models."""
        true = self.reference[models, shots, : self.samples].double()
        self.energy += float(true.square().sum())
        self.difference += float((records[..., : self.samples, :].double() - true).square().sum())

    def told(self) -> str:
        """The result in words."""
        whole = self.samples == self.all_samples
        left_out = "" if whole else " (the last sample of every trace is zero there and is left out)"
        error = (self.difference / self.energy) ** 0.5
        return f"relative L2 error to {self.path}: {error:.2e} over samples 0 to {self.samples - 1}{left_out}"
