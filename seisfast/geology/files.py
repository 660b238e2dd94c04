"""Names and digests of the files that some families read."""

from __future__ import annotations

import os


def check_path(name: str, path: object) -> str:
    """Return a path as text, else raise.

    Raises:
        TypeError: When it is no path.
        ValueError: When it is empty.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {type(path).__name__}")
    if not str(path):
        raise ValueError(f"{name} must be a path, got an empty one")
    return str(path)


def check_digest(name: str, path: str, expected: str | None, found: str) -> None:
    """Raise ValueError when something on the disk is not what a description was made for."""
    if expected is not None and expected != found:
        raise ValueError(
            f"{name} has changed: {path} has the digest {found[:16]}, the description says {expected[:16]} "
            f"(leave digest out to make other models from it)"
        )
