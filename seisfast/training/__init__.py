"""Training: `fit` turns a configuration and two data sets into a run folder with the best network."""

from __future__ import annotations

from seisfast.training.config import TrainingConfig
from seisfast.training.log import read_log
from seisfast.training.loop import Interrupted, fit
from seisfast.training.rehearsal import Rehearsal, rehearse

__all__ = ["Interrupted", "Rehearsal", "TrainingConfig", "fit", "read_log", "rehearse"]
