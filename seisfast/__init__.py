"""seisfast: fast, exact acoustic propagation and deep-learning seismic inversion for PyTorch."""

from importlib.metadata import PackageNotFoundError, version

from seisfast import reference, wavelets
from seisfast.boundaries import CPML, Faces, Free, Sponge
from seisfast.propagator import Storage, check, simulate
from seisfast.survey import Survey

try:
    __version__ = version("seisfast")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

__all__ = ["CPML", "Faces", "Free", "Sponge", "Storage", "Survey", "check", "reference", "simulate", "wavelets"]
