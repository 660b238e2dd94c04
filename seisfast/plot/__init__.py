"""Figures as the field draws them: depth and time down, metres across, m/s on the colour bar.

Every function returns matplotlib Axes or a Figure and shows nothing; matplotlib is imported when one is
called.
"""

from __future__ import annotations

from seisfast.plot.curves import losses
from seisfast.plot.dataset import dataset
from seisfast.plot.features import features
from seisfast.plot.models import comparison, profiles, velocity
from seisfast.plot.records import gather, gathers
from seisfast.plot.wavefield import snapshots, wavefield

__all__ = [
    "comparison",
    "dataset",
    "features",
    "gather",
    "gathers",
    "losses",
    "profiles",
    "snapshots",
    "velocity",
    "wavefield",
]
