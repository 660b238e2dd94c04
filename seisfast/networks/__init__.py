"""Networks from records to velocity models, all with one interface (see `Network`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seisfast.networks.base import Network
from seisfast.networks.convbaseline import ConvBaseline
from seisfast.networks.inversionnet import InversionNet
from seisfast.networks.seisinvnet import SeisInvNet

__all__ = ["NAMES", "ConvBaseline", "InversionNet", "Network", "SeisInvNet", "build"]

_NETWORKS: dict[str, type[SeisInvNet] | type[InversionNet] | type[ConvBaseline]] = {
    network.name: network for network in (SeisInvNet, InversionNet, ConvBaseline)
}
NAMES = tuple(_NETWORKS)


def build(
    name: str,
    *,
    shots: int,
    receivers: int,
    samples: int,
    shape: Sequence[int],
    **options: Any,  # noqa: ANN401
) -> Network:
    """Make a network by its name, in upper or lower case.

    Args:
        name: One of `NAMES`.
        shots: Shots of a record.
        receivers: Receivers of a shot.
        samples: Time samples of a trace.
        shape: (nz, nx), cells of the velocity model.
        **options: Further arguments of the network's class, for example width=0.25.

    Raises:
        TypeError: An option is not one of the class's arguments.
        ValueError: The name is unknown or an argument is out of its range.
    """
    if name.lower() not in _NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NAMES)}, got {name!r}")
    return _NETWORKS[name.lower()](shots, receivers, samples, shape, **options)
