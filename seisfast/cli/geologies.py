"""The options that describe a family of velocity models."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from seisfast import geology

KNOWN = [name.lower() for name in geology.NAMES + geology.OPENFWI_NAMES]


def add_geology_arguments(parser: ArgumentParser, title: str) -> None:
    """Adds --geology and its options."""
    group = parser.add_argument_group(title)
    names = ", ".join(KNOWN)
    group.add_argument(
        "--geology", type=str | None, default=None, help=f"family of random models, in any case: {names}"
    )
    group.add_argument(
        "--geology_options",
        type=dict[str, Any],
        default={},
        help="arguments of the family, for example --geology_options.shape [70,70]",
    )


def make_geology(options: Namespace) -> geology.Geology:
    """The family that the options describe.

    Raises:
        ValueError: an unknown family or option.
    """
    if options.geology.replace("_", "-").lower() not in KNOWN:
        raise ValueError(f"--geology must be one of {', '.join(KNOWN)}, got {options.geology!r}")
    try:
        return geology.build(options.geology, **options.geology_options)
    except TypeError as error:
        raise ValueError(f"--geology_options: {error}") from None
