"""Random changes of training data: mirrored models, noise, missing traces, other wavelets, gains and times."""

from __future__ import annotations

from seisfast.augmentation.mirror import Mirror
from seisfast.augmentation.options import Augmentation

__all__ = ["Augmentation", "Mirror"]
