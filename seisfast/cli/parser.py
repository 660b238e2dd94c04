"""The argument parser of every verb: configuration files, plain help, errors of one line, and what was given."""

from __future__ import annotations

import inspect
import re
import sys
from argparse import SUPPRESS, Action, ArgumentTypeError
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

Value = TypeVar("Value")


class OptionError(ArgumentTypeError, ValueError):
    """What the type of an option raises: its words are shown from the command line and from a file."""


def needed(option: str, value: Value | None, what: str) -> Value:
    """The value of an option that must be given.

    Raises:
        ValueError: it was left out.
    """
    if value is None:
        raise ValueError(f"{option} is needed: {what}")
    return value


def given(options: Namespace, *names: str) -> dict[str, Any]:
    """Those of these options that were given: the rest keep the defaults of the function that takes them."""
    return {name: options[name] for name in names if options[name] is not None}


def default_of(function: Callable[..., object], name: str) -> str:
    """The default of an argument, for the help of an option that is passed on only where it is given."""
    return f"{inspect.signature(function).parameters[name].default:g} when left out"


class PlainHelp(DefaultHelpFormatter):
    """Help that shows a default where there is one, and leaves types to the words."""

    def _expand_help(self, action: Action) -> str:
        default = action.default
        told = default is None or default is False or default == {} or default == SUPPRESS
        return (action.help or "") if told else f"{action.help} (default: {default})"


class Parser(ArgumentParser):
    """jsonargparse's parser with plain help, and errors on one line with exit code 2."""

    def __init__(self, prog: str, description: str, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(prog=prog, description=description, formatter_class=PlainHelp, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints one line to stderr and exits with code 2."""
        parser = getattr(ex, "subcommand_parser", None) or self
        name = parser.prog.replace(" [options]", "")
        text = re.sub(r"<class '(\w+)'>", r"\1", " ".join(message.split()))
        text = re.sub(r"^argument (--\w+):", r"\1:", text)
        text = re.sub(r'Parser key "([\w.]+)":', r"--\1:", text)
        text = re.sub(r"Does not validate against any .* Given value: ", "not a valid value: ", text)
        print(f"{name}: error: {text} (see {name} --help)", file=sys.stderr)
        self.exit(2)
