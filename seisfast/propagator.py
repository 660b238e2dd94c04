"""`simulate`: records of a survey over velocity models, checked, routed to an engine, differentiable."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from seisfast.arguments import FLOATS, rounded_down, unwrapped, whole
from seisfast.boundaries import CPML, Sponge, faces_of
from seisfast.engines import choose_engine
from seisfast.ops.acoustic import Scheme
from seisfast.ops.derivatives import Simulate, is_transformed, refuse_forward_mode
from seisfast.planning import check_refinable, planned_scheme
from seisfast.positions import gather
from seisfast.reference.acoustic import expand_wavelet
from seisfast.resampling import downsampled
from seisfast.snapshots import Callback, Every
from seisfast.storage import Storage
from seisfast.survey import Survey
from seisfast.wavelets import BAND

DIVERGED = (
    "the wavefield diverged (is the wavelet finite and of sane amplitude, and the layer's vmax near the model's?)"
)


@overload
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: Every[Callback] | None = None,
) -> Tensor: ...  # fmt: skip
@overload
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: Every[None],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
    substeps: int | str = 1, snapshots: Every[Any] | None = None,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Record a survey over one or many velocity models with the 2-D constant-density acoustic wave equation.

    Second order in time, `survey.order` in space; the gradient with respect to the velocity, and to a wavelet or
    positions that require grad, is the exact transpose of the discrete scheme. Equivalent to
    `seisfast.reference.simulate`.

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, on the CPU or a CUDA device. float16 and bfloat16 are computed
            in float32, checks included.
        survey: the acquisition.
        storage: what to keep for the gradient, default `Storage()`.
        engine: "auto"; on CUDA also "plain", "resident", "cluster" or "tiled" (docs/engines), which fall back to
            "plain" with one warning where the grid does not fit them; on a CPU "cpu". All give equal results.
        substeps: steps per sample; above 1 the run takes steps of ``dt / substeps``, from 16 samples before the survey
            to 16 after it, the wavelet is resampled to them and the record from them, band-limited, and the gradient
            is that of the whole chain. "auto" is the smallest stable number for the fastest velocity of this call.
        snapshots: samples whose wavefields are returned as well, such as ``Every(20)``, or shown to a callback, shot by
            shot, ``Every(20, callback=...)``: then the records alone are returned.

    Returns:
        Pressure `[shots, time, receivers]`, or `[models, shots, time, receivers]` for a batch of models, in the dtype
        of the velocity; of gradient receivers its derivative, per metre. With `snapshots` a pair: these records, and
        the pressure on the model's cells, `[shots, snapshots, nz, nx]` or `[models, shots, snapshots, nz, nx]`, without
        gradient or tangent: ``fields[s, i, iz, ix]`` is what a receiver there records in sample i k (with substeps,
        before the low-pass).

    Raises:
        TypeError: a velocity that is not a floating-point tensor, another kind of survey, storage, substeps or
            snapshots.
        ValueError: a shape that is not the survey's, a velocity that is not finite and positive, a wavelet of another
            number of models, wavelet or positions that require grad on another device, a time step above the stability
            limit (with the largest stable one), ``Storage(every=...)`` beyond the Nyquist interval, an engine that does
            not run there, substeps below 1, or "auto" or a callback where the velocity cannot be read.
        MemoryError: results and what the gradient keeps exceed the memory, with how much and what to change.
        FloatingPointError: a record or wavefield that is not finite, or exceeds float16, naming the first such shot.
        RuntimeError: forward mode (`torch.func.jvp`, dual numbers) inside `torch.compile`.

    Source: C-PML as `CPML`, sponge as `Sponge`; scheme and transpose in docs/propagator.
    """
    run = prepare(velocity, survey, storage, engine, substeps, snapshots)
    if snapshots is not None and snapshots.callback is not None:
        return run.records(run.shown(snapshots.callback))
    data, fields = run.propagated(run.inputs)
    return run.records(data) if snapshots is None else (run.records(data), run.fields(fields))


@dataclass(frozen=True)
class Run:
    """A call of `simulate`, checked and ready for the operators.

    Args:
        velocity: as given.
        survey: at the inner time step.
        inputs: velocity `[models, nz, nx]`, wavelet, cells of sources and receivers, profile.
        scheme: everything about the run that is not a tensor.
        weights: of the receivers' cells, None where they are cells themselves.
        substeps: inner steps per sample.
    """

    velocity: Tensor
    survey: Survey
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    scheme: Scheme
    weights: Tensor | None
    substeps: int

    def propagated(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What the operators record of all inputs or some shots of them, and the wavefields that they put out."""
        outputs: tuple[Tensor, ...]
        if torch.compiler.is_compiling():
            refuse_forward_mode()
            outputs = torch.ops.seisfast.acoustic_forward(*inputs, *self.scheme.arguments())
        else:
            outputs = Simulate.apply(*inputs, self.scheme, self.survey)  # type: ignore[no-untyped-call]
        return outputs[0], outputs[-1]

    def shown(self, callback: Callback) -> Tensor:
        """What the operators record, in groups of shots, and the wavefields of each shot to the callback."""
        models, shots = self.inputs[1].shape[:2]
        group_shots, group_models = min(self.scheme.at_once, shots), max(1, self.scheme.at_once // shots)
        groups = [
            self._group(slice(m, m + group_models), slice(s, s + group_shots), callback)
            for m in range(0, models, group_models)
            for s in range(0, shots, group_shots)
        ]
        data: Tensor = torch.cat(groups).unflatten(0, (models, shots))
        return data

    def part(self, models: slice, shots: slice) -> Tensor:
        """The records of some shots of some models, `[models, shots, time, receivers]`, the same as those of all."""
        weights = self.weights if self.weights is None or len(self.weights) == 1 else self.weights[shots]
        records = self._on_samples(self.propagated(self._inputs_of(models, shots))[0], weights)
        _check_finite(records if self.velocity.dim() == 3 else records[0], models.start, shots.start)
        return records.to(self.velocity.dtype)

    def _inputs_of(self, models: slice, shots: slice) -> tuple[Tensor, ...]:
        velocity, wavelet, sources, receivers, profile = self.inputs
        heard = receivers if len(receivers) == 1 else receivers[shots]
        return velocity[models], wavelet[models, shots], sources[shots], heard, profile

    def _group(self, models: slice, shots: slice, callback: Callback) -> Tensor:
        data, fields = self.propagated(self._inputs_of(models, shots))
        first = models.start, shots.start
        _check_finite(data if self.velocity.dim() == 3 else data[0], *first)  # in float32: cells may exceed float16
        with temporarily_clear_interpreter_stack():  # a callback within torch.func sees ordinary tensors
            given = self.fields(unwrapped(fields), *first)
            for m, of_model in enumerate(given if self.velocity.dim() == 3 else given[None], models.start):
                for s, of_shot in enumerate(of_model, shots.start):
                    callback(m, s, of_shot)
        return data.flatten(0, 1)

    def assembled(self, data: Tensor) -> Tensor:
        """What the operators recorded on cells and inner steps, as the caller expects it: a linear map."""
        return self._as_given(self._on_samples(data, self.weights))

    def _on_samples(self, data: Tensor, weights: Tensor | None) -> Tensor:
        data = data if weights is None else gather(data, weights)
        return data if self.substeps == 1 else downsampled(data, self.substeps)

    def records(self, data: Tensor, cause: str = DIVERGED) -> Tensor:
        """The same, checked to be finite where values may be read."""
        records = self.assembled(data)
        return _check_finite(records, cause=cause) if _readable(records) else records

    def fields(self, fields: Tensor, model: int = 0, shot: int = 0) -> Tensor:
        """The wavefields that the operators put out, of shots from this one on, as the caller expects them."""
        given = self._as_given(fields.detach())
        if _readable(given):
            _check_finite(given.flatten(-2), model, shot, "wavefield")
        return given

    def _as_given(self, result: Tensor) -> Tensor:
        return (result if self.velocity.dim() == 3 else result[0]).to(self.velocity.dtype)


def prepare(
    velocity: Tensor, survey: Survey, storage: Storage | None, engine: str, substeps: int | str,
    snapshots: Every[Any] | None = None, gradient: bool | None = None, in_parts: bool = False,
) -> Run:  # fmt: skip
    """Check the arguments of `simulate`, which names what is raised, before any work is done.

    What the gradient needs is kept, by default, where autograd asks for it. All records must fit in memory, unless they
    are made `in_parts`.
    """
    if not isinstance(velocity, Tensor) or velocity.dtype not in FLOATS:
        found = velocity.dtype if isinstance(velocity, Tensor) else type(velocity).__name__
        raise TypeError(f"velocity must be a float16, bfloat16, float32 or float64 tensor, got {found}")
    if velocity.dim() not in (2, 3) or velocity.numel() == 0:
        raise ValueError(f"velocity must have shape [nz, nx] or [models, nz, nx], got {list(velocity.shape)}")
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a seisfast.Survey, got {type(survey).__name__}")
    if not isinstance(storage, Storage | None):
        raise TypeError(f"storage must be a seisfast.Storage, got {storage!r}")
    if not isinstance(snapshots, Every | None):
        raise TypeError(f"snapshots must be None or a seisfast.Every, got {snapshots!r}")
    wanted = None if isinstance(substeps, str) and substeps == "auto" else whole('substeps, unless "auto",', substeps)
    survey.fix_shape((velocity.shape[-2], velocity.shape[-1]))
    choose_engine(engine, velocity.device)
    wavelet = survey.wavelet
    for name in ("wavelet", "sources", "receivers"):
        given = getattr(survey, name)
        if given.requires_grad and given.device != velocity.device:
            raise ValueError(f"{name} requires grad on {given.device}, but velocity is on {velocity.device}")
    models = 1 if velocity.dim() == 2 else velocity.shape[0]
    if wavelet.dim() == 4 and wavelet.shape[0] not in (1, models):
        raise ValueError(f"wavelet holds {wavelet.shape[0]} models, velocity holds {models}")
    batch = (velocity if velocity.dim() == 3 else velocity[None]).to(torch.promote_types(velocity.dtype, torch.float32))
    readable = _readable(velocity)
    seen = snapshots is not None and snapshots.callback is not None
    if seen and not readable:
        raise ValueError(
            "snapshots must have no callback inside torch.compile, CUDA-graph capture and torch.func.vmap, where it "
            "cannot be called, got one"
        )
    steps = _check_values(batch.detach(), survey, wanted) if readable else wanted
    if steps is None:
        raise ValueError(
            "substeps must be a number inside torch.compile, CUDA-graph capture and torch.func.vmap, where the fastest "
            'velocity cannot be read (Survey.substeps finds the number), got "auto"'
        )
    check_refinable(batch[:1] if in_parts else batch, survey, steps)
    survey = survey.refined(steps)
    shape = (batch.shape[1], batch.shape[2])
    sources, strengths = survey.cells("sources", shape, batch.device, batch.dtype)
    receivers, weights = survey.cells("receivers", shape, batch.device, batch.dtype)
    traces = receivers.shape[1] * (2 if seen else 1) + (0 if weights is None else survey.receivers_per_shot)
    together = 0 if in_parts else traces
    scheme = planned_scheme(batch, survey, storage or Storage(), engine, together, snapshots, steps, gradient)
    inputs = (
        batch,
        expand_wavelet(survey, batch, strengths),
        sources,
        receivers,
        survey.profile(shape, batch.dtype, batch.device),
    )
    return Run(velocity, survey, inputs, scheme, weights, steps)


def check(data: Tensor) -> Tensor:
    """The records themselves when they are finite: for use after a captured or compiled `simulate`.

    Args:
        data: `[shots, time, receivers]` or `[models, shots, time, receivers]`.

    Raises:
        TypeError: no floating-point tensor.
        ValueError: another number of dimensions.
        FloatingPointError: a shot whose record is not finite.
    """
    if not isinstance(data, Tensor) or not data.is_floating_point():
        raise TypeError(f"data must be a floating-point tensor, got {getattr(data, 'dtype', type(data).__name__)}")
    if data.dim() not in (3, 4):
        raise ValueError(
            f"data must have shape [shots, time, receivers] or [models, shots, time, receivers], got {list(data.shape)}"
        )
    return _check_finite(data)


def _check_finite(data: Tensor, model: int = 0, shot: int = 0, what: str = "record", cause: str = DIVERGED) -> Tensor:
    """The data of every shot, `[..., shots, x, y]`, when they are finite; they may begin at a later model and shot."""
    total = data.detach().sum((-1, -2), dtype=torch.promote_types(data.dtype, torch.float32))
    bad = ~torch.isfinite(total)
    if bool(bad.any()):
        first = bad.nonzero()[0].tolist()
        where = f"shot {first[-1] + shot}" + (f" of model {first[0] + model}" if len(first) > 1 else "")
        narrow = "it exceeds the 65504 that float16 holds, or " if data.dtype == torch.float16 else ""
        raise FloatingPointError(f"the {what} of {where} is not finite: {narrow}{cause}")
    return data


def _readable(tensor: Tensor) -> bool:
    """Whether values may be read back here: not while compiling, capturing a CUDA graph or under torch.func.vmap."""
    if torch.compiler.is_compiling() or is_transformed(tensor):
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def _check_values(velocity: Tensor, survey: Survey, substeps: int | None) -> int:
    """One reduction, one read: finite, positive, stable; dispersion and the layer's vmax are warnings.

    Returns the substeps, those that are needed where None were asked for.
    """
    low, high = torch.stack(torch.aminmax(velocity)).tolist()
    if not (low > 0 and high < float("inf")):
        wrong = ~(torch.isfinite(velocity) & (velocity > 0))
        m, iz, ix = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"velocity must be finite and positive, got {velocity[m, iz, ix].item()} at (model, iz, ix) = "
            f"({m}, {iz}, {ix})"
        )
    limit = survey.largest_dt(high, low)
    steps = substeps or survey.substeps(high, low)
    if survey.dt / steps > limit:
        raise ValueError(
            f"{'dt' if steps == 1 else 'dt / substeps'} must not exceed {rounded_down(limit):.6g} s for velocities up "
            f"to {high:g} m/s on a spacing of {survey.spacing[0]:g} x {survey.spacing[1]:g} m at order {survey.order} "
            f'(CFL), got {survey.dt / steps:g} s; substeps="auto" takes {survey.substeps(high, low)} steps per sample'
        )
    peak = survey.peak_frequency
    if peak > 0:
        points = low / (BAND * peak * max(survey.spacing))
        if points < 3.5:
            _warn_once(
                survey,
                "dispersed",
                f"{points:.2g} points per shortest wavelength ({low:g} m/s at {BAND * peak:.3g} Hz, spacing "
                f"{max(survey.spacing):g} m): the record will be dispersed; 3.5 or more are advised",
            )
    if not isinstance(survey.boundary, Sponge):
        faces = faces_of(survey.boundary)
        fastest = [f.vmax for f in (faces.top, faces.bottom, faces.left, faces.right) if isinstance(f, CPML)]
        if high * 3 > min(fastest) * 4:
            _warn_once(
                survey,
                "vmax",
                f"the fastest velocity, {high:g} m/s, exceeds CPML vmax = {min(fastest):g} m/s by more than a "
                "third: the layer will reflect; set CPML(vmax=...)",
            )
    return steps


def _warn_once(survey: Survey, kind: str, message: str) -> None:
    """A warning, unless this survey had one of the kind: batch after batch has other velocities and the same fault.

    It points at the first caller outside of this package, and of torch where that wraps it.
    """
    if survey._cache.get(kind):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("seisfast", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
    survey._cache[kind] = True
