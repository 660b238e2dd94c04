"""seisfast: fast, exact acoustic propagation and deep-learning seismic inversion for PyTorch."""

from importlib.metadata import PackageNotFoundError, version

from seisfast import augmentation, cluster, conventions, data, geology, losses, metrics, networks, reference, wavelets
from seisfast.born import Born
from seisfast.boundaries import CPML, Faces, Free, Sponge
from seisfast.normalization import Normalization
from seisfast.propagator import check, simulate
from seisfast.snapshots import Every
from seisfast.storage import Storage
from seisfast.survey import Survey

try:
    __version__ = version("seisfast")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

__all__ = [
    "CPML",
    "Born",
    "Every",
    "Faces",
    "Free",
    "Normalization",
    "Sponge",
    "Storage",
    "Survey",
    "augmentation",
    "check",
    "cluster",
    "conventions",
    "data",
    "geology",
    "losses",
    "metrics",
    "networks",
    "reference",
    "simulate",
    "wavelets",
]
