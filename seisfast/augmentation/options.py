"""`Augmentation`: which random changes training data get, how large they are, and their random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from seisfast.arguments import real, whole
from seisfast.augmentation.filters import delayed, emptied, filtered, frequencies, rotated, stretched
from seisfast.augmentation.mirror import Mirror
from seisfast.augmentation.noise import noisy, with_gaps
from seisfast.geology.base import between, check_seed, derived_seed, uniforms
from seisfast.survey import Survey

_DRAWS = ("flip", "wavelet", "shift", "gain", "noise", "missing")  # in this order; each has random numbers of its own
_BY_SHOT = ("shift", "gain", "missing")
_RANGES: dict[str, tuple[float, float]] = {
    "shift": (-math.inf, math.inf),  # a record's length is known to `check`
    "gain": (-200.0, 200.0),
    "noise": (-200.0, 200.0),
    "noise_band": (0.0, math.inf),
    "missing": (0.0, 1.0),
}
_LARGEST_STRETCH = 30.0  # percent


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training data, all off unless they are asked for.

    They come in the order of the attributes. Every value is drawn evenly from its range, for each model of an epoch
    anew, from random numbers that depend on the seed of the epoch and on the number of the model in it: not on the
    batch, the process or the device that the model falls to, nor on which other changes are on. A range whose ends are
    equal fixes the value.

    Attributes:
        flip: probability that model and record are mirrored from side to side, exactly (see `Mirror`).
        wavelet: largest rotation of the wavelet's phase in degrees, up to 180, and largest change of its peak frequency
            in percent, up to 30, both ways: an exact filter on the record up to 20 dB of gain and a wavelet's length
            before its end (see `augmentation.filters`).
        shift: range of the time shift in samples, later ones positive, fractions by Fourier series; zeros move in.
        gain: range of the amplification in dB.
        noise: range of the signal-to-noise ratio in dB, ``10 log10(sum signal^2 / sum noise^2)`` over all traces of all
            shots of a model: of Gaussian noise that is as strong in every shot, and is not put on a trace that is zero
            throughout.
        noise_band: lowest and highest frequency of the noise in Hz; no other is left (null: white noise).
        missing: range of the share of the receivers that are set to zero, rounded to whole receivers, never all.
        per_shot: those of shift, gain and missing that are drawn for each shot anew, not for each model.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value outside its range, with the range; `noise_band` without noise, or `per_shot` of a change
            that is off.

    Source: the signal-to-noise ratio of energies, in dB, is that of Liu and Li (1997) as in Madagascar's papers;
    mirrored models and records: Li et al. (2020), IEEE TGRS 58(3), and OpenFWI's users.
    """

    flip: float = 0.0
    wavelet: tuple[float, float] | None = None
    shift: tuple[float, float] | None = None
    gain: tuple[float, float] | None = None
    noise: tuple[float, float] | None = None
    noise_band: tuple[float, float] | None = None
    missing: tuple[float, float] | None = None
    per_shot: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "flip", real("flip", self.flip))
        if not 0.0 <= self.flip <= 1.0:
            raise ValueError(f"flip must be a probability between 0 and 1, got {self.flip:g}")
        for name, limits in _RANGES.items():
            if getattr(self, name) is not None:
                put(self, name, _range(name, getattr(self, name), limits))
        if self.wavelet is not None:
            put(self, "wavelet", _changes(self.wavelet))
        if self.noise_band is not None and self.noise is None:
            raise ValueError(f"noise_band needs noise, which is off, got {self.noise_band}")
        if self.noise_band is not None and self.noise_band[0] == self.noise_band[1]:
            raise ValueError(f"noise_band must be (low, high) with low < high, got {self.noise_band}")
        if self.missing is not None and self.missing[1] == 1.0:
            raise ValueError(f"missing must leave some receivers, got a share of {self.missing[1]:g}")
        put(self, "per_shot", self._by_shot())

    def _by_shot(self) -> tuple[str, ...]:
        names = self.per_shot
        if isinstance(names, str) or not isinstance(names, (tuple, list)) or not set(names) <= set(_BY_SHOT):
            raise ValueError(f"per_shot must list some of {', '.join(_BY_SHOT)}, got {names!r}")
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"per_shot must name changes that are on, got {name}, which is off")
        return tuple(name for name in _BY_SHOT if name in names)

    # -- as plain values -------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What is on, as plain numbers and lists (JSON, YAML, checkpoints); empty where nothing is."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        changed = {
            name: value for name, value in values.items() if value != type(self).__dataclass_fields__[name].default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Augmentation:
        """Build from what `to_dict` returned.

        Raises:
            TypeError: not a dict.
            ValueError: an unknown name, or a value that is refused.
        """
        if not isinstance(values, dict):
            raise TypeError(f"augmentation must be a dict of its options, got {values!r}")
        known = [option.name for option in fields(cls)]
        unknown = [str(name) for name in values if name not in known]
        if unknown:
            raise ValueError(f"augmentation has the options {', '.join(known)}, got also {', '.join(unknown)}")
        return cls(**values)

    # -- on data ---------------------------------------------------------------------------------------------------

    def check(self, survey: Survey | None, samples: int) -> None:
        """Whether these changes can be made to records of so many samples.

        Args:
            survey: that the data were recorded with, None where it is unknown.
            samples: in a record.

        Raises:
            ValueError: a flip, noise_band or change of the peak frequency without a survey, a band without a frequency
                of the record, a wavelet without a peak frequency, or a shift by more than a record.
        """
        stretch = self.wavelet is not None and self.wavelet[1] > 0
        needs = {"flip": self.flip > 0, "the wavelet's peak frequency": stretch, "noise_band": self.noise_band}
        for name, needed in needs.items():
            if needed and survey is None:
                raise ValueError(f"augmentation needs the survey for {name}, and these data do not say theirs; give it")
        if self.shift is not None and max(map(abs, self.shift)) >= samples:
            raise ValueError(f"shift must be less than the {samples} samples of a record, got {self.shift}")
        if survey is None:
            return
        if stretch and survey.peak_frequency == 0:
            raise ValueError("wavelet must be (degrees, 0) for a survey whose wavelet has no peak frequency")
        if self.noise_band is not None:
            low, high = self.noise_band
            step, highest = 1.0 / (samples * survey.dt), 0.5 / survey.dt
            if high > highest * (1 + 1e-9) or math.ceil(low / step) > math.floor(high / step):
                raise ValueError(
                    f"noise_band must lie below {highest:g} Hz and hold a multiple of {step:g} Hz, got {(low, high)}"
                )

    def __call__(
        self,
        records: Tensor,
        velocity: Tensor,
        *,
        numbers: Sequence[int] | range,
        seed: int,
        survey: Survey | Mirror | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A batch with these changes; the given one stays as it is.

        Args:
            records: raw records, float32 or float64 `[batch, shots, time, receivers]`.
            velocity: m/s, `[batch, 1, nz, nx]`, on the same device.
            numbers: of the models in the epoch.
            seed: of the epoch, 0 to 2**63 - 1, such as `geology.base.derived_seed` makes.
            survey: what recorded the data, which `check` says when it is needed; a `Mirror` of it saves finding at
                every call which shots change places.

        Returns:
            Records and velocity, of the same shapes.

        Raises:
            TypeError: another kind of survey, or arrays that are not floating point.
            ValueError: shapes that do not fit each other or the survey, or what `check` and `Mirror` refuse.
        """
        known = survey.survey if isinstance(survey, Mirror) else survey
        _check_batch(records, velocity, numbers, known)
        check_seed(seed)
        self.check(known, records.shape[2])
        draw = _Draw([int(number) for number in numbers], seed, records.shape[1])
        if self.flip and known is not None:
            mirror = survey if isinstance(survey, Mirror) else Mirror(known, (velocity.shape[2], velocity.shape[3]))
            records, velocity = mirror(records, velocity, draw("flip")[:, 0] < self.flip)
        if self.wavelet is not None or self.shift is not None:
            later = self._later(draw, records.device)
            records = filtered(records, self._response(draw, known, records.shape[2], later))
            records = records if self.shift is None else emptied(records, later)
        if self.gain is not None:
            decibels = draw.between("gain", self.gain, "gain" in self.per_shot)
            records = records * (10.0 ** (decibels / 20.0)).to(records)[:, :, None, None]
        if self.noise is not None:
            band = None if self.noise_band is None or known is None else _turns(self.noise_band, known.dt)
            decibels = draw.between("noise", self.noise)[:, 0]
            records = noisy(records, decibels, draw.numbers, draw.key("noise"), band)
        if self.missing is not None:
            sets, receivers = records.shape[1] if "missing" in self.per_shot else 1, records.shape[3]
            uniform = draw("missing", sets * (receivers + 1)).unflatten(1, (sets, receivers + 1))
            records = with_gaps(records, between(uniform[..., 0], *self.missing), uniform[..., 1:])
        return records, velocity

    def _later(self, draw: _Draw, device: torch.device) -> Tensor:
        """The shift in samples, `[batch, shots or 1]`."""
        return draw.between("shift", self.shift or (0.0, 0.0), "shift" in self.per_shot).to(device)

    def _response(self, draw: _Draw, survey: Survey | None, samples: int, later: Tensor) -> Tensor:
        """Of wavelet and shift together, `[batch, shots or 1, frequencies]`."""
        turns = frequencies(samples, later.device)
        response = delayed(turns, later[..., None])
        if self.wavelet is not None:
            degrees, percent = self.wavelet
            sides = (2.0 * draw("wavelet", 2).double() - 1.0).to(later.device)[:, None]
            response = response * rotated(degrees * sides[..., :1])
            if percent > 0 and survey is not None:
                factor = 1.0 + percent / 100.0 * sides[..., 1:]
                response = response * stretched(turns / survey.dt, factor, survey.peak_frequency)
        return response


class _Draw:
    """The random numbers of the models of a batch, on the CPU."""

    def __init__(self, numbers: list[int], seed: int, shots: int) -> None:
        self.numbers, self.seed, self.shots = numbers, seed, shots

    def key(self, name: str) -> int:
        """Of a change in this epoch."""
        return derived_seed(self.seed, _DRAWS.index(name))

    def __call__(self, name: str, count: int = 1) -> Tensor:
        """Numbers in [0, 1) for a change, float32 `[batch, count]`."""
        return uniforms(self.numbers, self.key(name), count)

    def between(self, name: str, ends: tuple[float, float], by_shot: bool = False) -> Tensor:
        """A value for each model, or shot, float64 `[batch, 1 or shots]`."""
        return between(self(name, self.shots if by_shot else 1).double(), *ends)


def _turns(band: tuple[float, float], dt: float) -> tuple[float, float]:
    """A band in Hz in cycles per sample, wider by rounding."""
    return band[0] * dt * (1 - 1e-9), band[1] * dt * (1 + 1e-9)


def _range(name: str, value: Any, limits: tuple[float, float]) -> tuple[float, float]:  # noqa: ANN401
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers (low, high), got {value!r}")
    low, high = (real(name, end) for end in value)
    if not (math.isfinite(low) and math.isfinite(high) and limits[0] <= low <= high <= limits[1]):
        raise ValueError(
            f"{name} must be finite (low, high), low <= high, from {limits[0]:g} to {limits[1]:g}, got {(low, high)}"
        )
    return low, high


def _changes(value: Any) -> tuple[float, float]:  # noqa: ANN401
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"wavelet must be two numbers (degrees, percent), got {value!r}")
    degrees, percent = (real("wavelet", end) for end in value)
    if not (0.0 <= degrees <= 180.0 and 0.0 <= percent <= _LARGEST_STRETCH):
        raise ValueError(
            f"wavelet must be (degrees, percent) of 0 to 180 and 0 to {_LARGEST_STRETCH:g}, got {(degrees, percent)}"
        )
    return degrees, percent


def _check_batch(records: Tensor, velocity: Tensor, numbers: Sequence[int] | range, survey: Survey | None) -> None:
    for name, values in (("records", records), ("velocity", velocity)):
        if not isinstance(values, Tensor) or values.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be a float32 or float64 tensor, got {getattr(values, 'dtype', type(values))}")
    if records.dim() != 4 or velocity.dim() != 4 or velocity.shape[1] != 1 or len(records) != len(velocity):
        raise ValueError(
            "records and velocity must be [batch, shots, time, receivers] and [batch, 1, nz, nx], "
            f"got {list(records.shape)} and {list(velocity.shape)}"
        )
    if len(numbers) != len(records):
        raise ValueError(f"numbers must name the {len(records)} models of the batch, got {len(numbers)}")
    for number in numbers:
        whole("numbers", number, 0)
    if survey is None:
        return
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a seisfast.Survey or a Mirror of one, got {type(survey).__name__}")
    wanted = (survey.shots, survey.nt, survey.receivers_per_shot)
    if tuple(records.shape[1:]) != wanted:
        raise ValueError(
            f"records must have the survey's [shots, time, receivers] = {list(wanted)}, got {list(records.shape[1:])}"
        )
