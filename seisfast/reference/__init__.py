"""Plain-torch twins of the compiled operators: oracle, documentation, and the source of higher derivatives."""

from seisfast.reference.acoustic import simulate

__all__ = ["simulate"]
