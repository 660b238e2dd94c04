"""How a network is trained: every choice in one object, checked when it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from seisfast import losses, networks
from seisfast.arguments import positive, whole
from seisfast.augmentation import Augmentation
from seisfast.normalization import check_range
from seisfast.training.precision import PRECISIONS


@dataclass(frozen=True)
class TrainingConfig:
    """Choices of one training run. The defaults are the paper's where it gives them.

    Attributes:
        network: name of the network: seisinvnet, inversionnet or convbaseline.
        network_options: options of that network, such as its width.
        loss: name of the loss: l1, l2, l2_ssim or seisinvnet_released.
        loss_options: options of that loss.
        epochs: passes over the training models.
        minutes: wall-clock budget that replaces epochs; the learning rate then follows the clock.
        batch_size: models per step.
        lr: learning rate of Adam at the start.
        power: the rate falls as (1 - progress) to this power.
        clip: largest norm of the gradient; longer ones are scaled down to it (null: never).
        precision: "float32" (exact, on a GPU too), "tf32" (GPUs only: matrix products and convolutions round their
            factors to ten bits), "bf16" (autocast), or "auto": bf16 on a GPU that has it, else float32. (With bf16 on
            a CPU torch 2.13 was seen to give NaN gradients for convolutions over very small maps; training stops
            then.)
        graph: on a GPU, capture the whole training step as a CUDA graph and replay it, which takes memory for one
            step more; false launches every operation. The CPU ignores it.
        device: "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:1".
        seed: start of all random numbers: weights, order of the models, dropout.
        data_transform: "linear" or "log" amplitudes, both scaled to [-1, 1].
        velocity_range: lowest and highest velocity in m/s that the network can give
            (null: those of the geology that made the data).
        zero_last_sample: set the last sample of every record to zero, as in the released OpenFWI files.
        agc: samples in the window of an automatic gain control of the records (null: none); part of the normalization.
        augmentation: random changes of the training data, options of Augmentation: flip, wavelet, shift, gain, noise,
            noise_band, missing, per_shot. Validation data stay as they are.
        checkpoint_minutes: an epoch that takes longer is saved this often on the way.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value outside its range, with the range.

    Source: Li et al. (2020), IEEE TGRS 58(3): Adam, rate 5e-5 falling polynomially, batches of 12, 200
    epochs.
    """

    network: str = "seisinvnet"
    network_options: dict[str, Any] = field(default_factory=dict)
    loss: str = "l2_ssim"
    loss_options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 200
    minutes: float | None = None
    batch_size: int = 12
    lr: float = 5e-5
    power: float = 0.9
    clip: float | None = 1.0
    precision: str = "auto"
    graph: bool = True
    device: str = "auto"
    seed: int = 0
    data_transform: str = "linear"
    velocity_range: tuple[float, float] | None = None
    zero_last_sample: bool = False
    agc: int | None = None
    augmentation: dict[str, Any] = field(default_factory=dict)
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name in ("network", "loss"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, getattr(self, name).lower())
        for name, allowed in (
            ("network", networks.NAMES),
            ("loss", losses.NAMES),
            ("precision", PRECISIONS),
            ("data_transform", ("linear", "log")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("network_options", "loss_options"):
            if not isinstance(getattr(self, name), dict):
                raise TypeError(f"{name} must be a dict, got {getattr(self, name)!r}")
        losses.build(self.loss, **self.loss_options)
        object.__setattr__(self, "augmentation", Augmentation.from_dict(self.augmentation).to_dict())
        if self.agc is not None:
            whole("agc", self.agc)
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            whole(name, getattr(self, name), least)
        for name in ("minutes", "lr", "clip"):
            value = getattr(self, name)
            if value is not None or name == "lr":
                positive(name, value)
        for name in ("power", "checkpoint_minutes"):
            if getattr(self, name) != 0:
                positive(name, getattr(self, name))
        if not isinstance(self.graph, bool):
            raise TypeError(f"graph must be True or False, got {self.graph!r}")
        if self.velocity_range is not None:
            limits = check_range("velocity_range", self.velocity_range)
            object.__setattr__(self, "velocity_range", limits)
        resolve_device(self.device)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and checkpoints hold them."""
        values = asdict(self)
        if self.velocity_range is not None:
            values["velocity_range"] = list(self.velocity_range)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingConfig:
        """The configuration that `to_dict` described.

        Raises:
            ValueError: an unknown name.
        """
        known = {f.name for f in fields(cls)}
        if not set(values) <= known:
            raise ValueError(f"unknown training options {sorted(set(values) - known)}; known are {sorted(known)}")
        return cls(**values)


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU when torch sees one.

    Raises:
        ValueError: a name that torch does not know, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f'device must be "auto", "cpu", "cuda" or "cuda:N", got {name!r}') from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f'device must be "auto", "cpu", "cuda" or "cuda:N", got {name!r}')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return device


def to_yaml(values: Mapping[str, Any], indent: str = "") -> str:
    """Nested plain values as YAML that every loader reads back the same."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines.append(f"{indent}{key}:\n{to_yaml(value, indent + '  ')}")
        else:
            text = json.dumps(value, ensure_ascii=False)
            if isinstance(value, float) and "e" in text and "." not in text:
                text = text.replace("e", ".0e")  # YAML 1.1 takes 5e-05 for text
            lines.append(f"{indent}{key}: {text}\n")
    return "".join(lines)
