"""The argument parser of every verb: configuration files, plain help, and errors of one line."""

from __future__ import annotations

import re
import sys
from argparse import SUPPRESS, Action
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter


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
        text = re.sub(r'Parser key "([\w.]+)":', r"--\1:", text)
        text = re.sub(r"Does not validate against any .* Given value: ", "not a valid value: ", text)
        print(f"{name}: error: {text} (see {name} --help)", file=sys.stderr)
        self.exit(2)
