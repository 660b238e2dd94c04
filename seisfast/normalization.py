"""The map between physical units and what a network sees: velocities in m/s and raw records."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from seisfast.arguments import whole

AGC_FLOOR = 1e-3  # of a trace's RMS: 60 dB below it
# Smallest and largest sample of each family's records (lanl/OpenFWI, dataset_config.json).
OPENFWI_DATA_RANGES: dict[str, tuple[float, float]] = {
    "FlatVel-A": (-26.95, 52.77),
    "FlatVel-B": (-27.17, 56.05),
    "CurveVel-A": (-27.11, 55.10),
    "CurveVel-B": (-29.04, 57.03),
    "FlatFault-A": (-26.10, 50.86),
    "FlatFault-B": (-24.86, 50.28),
    "CurveFault-A": (-26.48, 52.32),
    "CurveFault-B": (-24.93, 50.98),
    "Style-A": (-24.96, 48.93),
    "Style-B": (-23.76, 46.01),
}


def _signed_log(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Constants of one training set; a checkpoint stores them and prediction uses them.

    Nothing is clipped: a record beyond `data_range` maps beyond [-1, 1], and a network output beyond
    `output_range` decodes to a velocity beyond `velocity_range`.

    Attributes:
        velocity_range: (smallest, largest) velocity in m/s, mapped to the ends of `output_range`.
        output_range: (low, high) of the network's output; take it from the network's `output_range`.
        data_transform: "linear" maps `data_range` to [-1, 1]; "log" first takes `sign(d) log(1 + |d|)` of the
            records and of the two constants, as OpenFWI does.
        data_range: (smallest, largest) sample of the raw records.
        zero_last_sample: The records' last sample is set to zero before the transform. The released OpenFWI
            files have it zero, so a network trained on them, or for them, must always see it zero.
        agc: Samples in the window of an automatic gain control (see `automatic_gain`), which comes after
            `zero_last_sample` and before the transform; `data_range` is then that of gained records. None: no gain.
    """

    data_range: tuple[float, float]
    velocity_range: tuple[float, float] = (1500.0, 4000.0)
    output_range: tuple[float, float] = (0.0, 1.0)
    data_transform: Literal["linear", "log"] = "linear"
    zero_last_sample: bool = False
    agc: int | None = None

    def __post_init__(self) -> None:
        for name in ("data_range", "velocity_range", "output_range"):
            object.__setattr__(self, name, check_range(name, getattr(self, name)))
        if self.velocity_range[0] <= 0:
            raise ValueError(f"velocity_range must be positive (m/s), got {self.velocity_range}")
        if self.data_transform not in ("linear", "log"):
            raise ValueError(f'data_transform must be "linear" or "log", got {self.data_transform!r}')
        if not isinstance(self.zero_last_sample, bool):
            raise TypeError(f"zero_last_sample must be True or False, got {self.zero_last_sample!r}")
        if self.agc is not None:
            whole("agc", self.agc)

    @classmethod
    def for_records(
        cls,
        records: Tensor,
        *,
        velocity_range: tuple[float, float] = (1500.0, 4000.0),
        transform: Literal["linear", "log"] = "linear",
        output_range: tuple[float, float] = (0.0, 1.0),
        zero_last_sample: bool = False,
        agc: int | None = None,
    ) -> Normalization:
        """Take the data constants from records of the training set.

        Args:
            records: Raw records, any shape; their smallest and largest sample, after `agc`, become `data_range`.
            velocity_range: (smallest, largest) velocity of the models in m/s.
            transform: "linear" or "log".
            output_range: The network's `output_range`.
            zero_last_sample: See the class.
            agc: See the class.

        Raises:
            ValueError: The records are empty, constant or not finite.
        """
        if records.numel() == 0:
            raise ValueError(f"records must not be empty, got shape {tuple(records.shape)}")
        ends = torch.stack(torch.aminmax(records))
        if not bool(torch.isfinite(ends).all()):
            raise ValueError("records must be finite, got NaN or infinite samples")
        if agc is not None:
            whole("agc", agc)
            ends = torch.stack(torch.aminmax(_before_transform(records, zero_last_sample, agc)))
        low, high = ends.tolist()
        if low == high:
            raise ValueError(f"records must not be constant, got {low:g} in every sample")
        return cls(
            data_range=(low, high),
            velocity_range=velocity_range,
            output_range=output_range,
            data_transform=transform,
            zero_last_sample=zero_last_sample,
            agc=agc,
        )

    @classmethod
    def openfwi(
        cls,
        family: str,
        *,
        output_range: tuple[float, float] = (-1.0, 1.0),
        zero_last_sample: bool = True,
    ) -> Normalization:
        """OpenFWI's constants of one family: 1500 to 4500 m/s and the logarithm of the records.

        Args:
            family: For example "CurveFault-A".
            output_range: The network's `output_range`; OpenFWI's own networks emit [-1, 1].
            zero_last_sample: See the class.

        Raises:
            ValueError: The family is unknown.

        Source:
            lanl/OpenFWI, `dataset_config.json` and `transforms.py`.
        """
        if family not in OPENFWI_DATA_RANGES:
            raise ValueError(f"family must be one of {', '.join(OPENFWI_DATA_RANGES)}, got {family!r}")
        return cls(
            data_range=OPENFWI_DATA_RANGES[family],
            velocity_range=(1500.0, 4500.0),
            output_range=output_range,
            data_transform="log",
            zero_last_sample=zero_last_sample,
        )

    @classmethod
    def seisinv(cls, *, output_range: tuple[float, float] = (0.0, 1.0)) -> Normalization:
        """SeisInvNet's constants for its data set: 1500 to 4000 m/s, records `2 (d + 8) / 23 - 1`.

        They belong to records in the authors' units.

        Args:
            output_range: The network's `output_range`; SeisInvNet emits [0, 1].

        Source:
            aaspip/geofwi, `geofwi/train.py` and `geofwi/data.py` (comments for the SeisInv data).
        """
        return cls(data_range=(-8.0, 15.0), velocity_range=(1500.0, 4000.0), output_range=output_range)

    @classmethod
    def geofwi(cls, *, output_range: tuple[float, float] = (0.0, 1.0)) -> Normalization:
        """SeisInvNet's constants for GeoFWI: 1500 to 4500 m/s, records `2 (d + 40) / 90 - 1`.

        They belong to records in the authors' units.

        Args:
            output_range: The network's `output_range`; SeisInvNet emits [0, 1].

        Source:
            aaspip/geofwi, `geofwi/train.py` and `geofwi/data.py`.
        """
        return cls(data_range=(-40.0, 50.0), velocity_range=(1500.0, 4500.0), output_range=output_range)

    def unit_velocity(self, velocity: Tensor) -> Tensor:
        """Map velocities in m/s to [0, 1]."""
        low, high = self.velocity_range
        return (velocity - low) / (high - low)

    def encode_velocity(self, velocity: Tensor) -> Tensor:
        """Map velocities in m/s to the network's output range."""
        low, high = self.output_range
        return self.unit_velocity(velocity) * (high - low) + low

    def output_to_unit(self, output: Tensor) -> Tensor:
        """Map a network's output to [0, 1], the units of losses and metrics."""
        low, high = self.output_range
        return (output - low) / (high - low)

    def decode_velocity(self, output: Tensor) -> Tensor:
        """Map a network's output to velocities in m/s."""
        low, high = self.velocity_range
        return self.output_to_unit(output) * (high - low) + low

    def encode_records(self, records: Tensor) -> Tensor:
        """Map raw records `[..., time, receivers]` to a network's input; `data_range` becomes [-1, 1]."""
        records = _before_transform(records, self.zero_last_sample, self.agc)
        low, high = self.data_range
        if self.data_transform == "log":
            records = torch.sign(records) * torch.log1p(records.abs())
            low, high = _signed_log(low), _signed_log(high)
        return (records - low) * (2 / (high - low)) - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the constants as plain numbers, lists and strings (JSON, YAML, checkpoints)."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalization:
        """Build from what `to_dict` returned.

        Raises:
            ValueError: A key is unknown or `data_range` is missing.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"a normalization has the keys {known}, got also {', '.join(unknown)}")
        if "data_range" not in values:
            raise ValueError("a normalization needs data_range, got none")
        return cls(**values)


def automatic_gain(records: Tensor, window: int) -> Tensor:
    """Records divided by their RMS in a window around every sample: automatic gain control.

    Sample n is divided by the square root of the mean square of samples ``n - window // 2`` to
    ``n + (window - 1) // 2``, of those that are there, plus ``AGC_FLOOR^2`` of the mean square of its trace: without
    this floor, what comes before the first arrival would be amplified without limit. A trace of zeros stays zero.

    Args:
        records: `[..., time, receivers]`; sums are taken in float64.
        window: Samples, at least 1.

    Raises:
        TypeError: A window that is no integer.
        ValueError: One below 1.

    Source: the definition of seismic processing systems, such as seplib's Agc and Geopsy's.
    """
    whole("window", window)
    count = records.shape[-2]
    square = records.double().square()
    total = pad(square.cumsum(-2), (0, 0, 1, 0))
    place = torch.arange(count, device=records.device)
    first, behind = (place - window // 2).clamp_min(0), (place + (window + 1) // 2).clamp_max(count)
    mean = (total[..., behind, :] - total[..., first, :]).clamp_min(0.0) / (behind - first)[:, None]
    power = mean + AGC_FLOOR**2 * square.mean(-2, keepdim=True)
    return records * torch.where(power > 0, power, 1.0).rsqrt().to(records.dtype)


def _before_transform(records: Tensor, zero_last_sample: bool, agc: int | None) -> Tensor:
    """What `Normalization` does first.

    Raises:
        ValueError: Records without a time axis, where one is needed.
    """
    if (zero_last_sample or agc is not None) and records.ndim < 2:
        raise ValueError(f"records must be [..., time, receivers], got shape {tuple(records.shape)}")
    if zero_last_sample:
        records = torch.cat([records[..., :-1, :], torch.zeros_like(records[..., -1:, :])], dim=-2)
    return records if agc is None else automatic_gain(records, agc)


def check_range(name: str, value: Any) -> tuple[float, float]:  # noqa: ANN401
    """Return (low, high) as floats.

    Raises:
        ValueError: It is not two finite numbers in growing order; the message names the argument.
    """
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be two numbers (low, high), got {value!r}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name} must be finite with low < high, got {(low, high)}")
    return low, high
