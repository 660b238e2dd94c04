"""Datasets of records and velocities: simulated once to disk, read from disk, or simulated while training."""

from __future__ import annotations

from seisfast.data.estimate import Estimate, estimate
from seisfast.data.simulated import SimulatedDataset
from seisfast.data.stored import StoredDataset, batches
from seisfast.data.writer import verify, write

__all__ = ["Estimate", "SimulatedDataset", "StoredDataset", "batches", "estimate", "verify", "write"]
