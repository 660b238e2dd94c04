"""The options that describe a family of velocity models."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from seisfast import geology


def add_geology_arguments(parser: ArgumentParser, title: str) -> None:
    """Adds --geology and its options."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--geology", type=str | None, default=None, help="family of random models: seisinv or curvefault"
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
    known = {name.lower() for name in geology.NAMES}
    if options.geology.lower() not in known:
        raise ValueError(f"--geology must be one of {', '.join(sorted(known))}, got {options.geology!r}")
    try:
        return geology.build(options.geology, **options.geology_options)
    except TypeError as error:
        raise ValueError(f"--geology_options: {error}") from None
