"""Datasets of records and velocities: simulated once to disk, read from disk, or simulated while training.

And the file formats of the field: SEG-Y, MATLAB and raw binary files.
"""

from __future__ import annotations

from seisfast.data.estimate import Estimate, estimate
from seisfast.data.gathers import Gathers
from seisfast.data.mat_folder import convert_mat_folder, convert_mat_velocities, find_mat_pairs
from seisfast.data.matlab import read_mat_records, read_mat_velocity
from seisfast.data.raw import read_raw
from seisfast.data.segy import read_segy
from seisfast.data.segy_write import write_segy
from seisfast.data.simulated import SimulatedDataset
from seisfast.data.stored import StoredDataset, batches
from seisfast.data.writer import verify, write

__all__ = [
    "Estimate",
    "Gathers",
    "SimulatedDataset",
    "StoredDataset",
    "batches",
    "convert_mat_folder",
    "convert_mat_velocities",
    "estimate",
    "find_mat_pairs",
    "read_mat_records",
    "read_mat_velocity",
    "read_raw",
    "read_segy",
    "verify",
    "write",
    "write_segy",
]
