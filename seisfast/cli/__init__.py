"""The command line: ``seisfast simulate | train | evaluate | predict | plot | convert | info``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from seisfast.cli import convert, evaluate, info, plot, predict, simulate, train
from seisfast.cli.parser import Parser
from seisfast.training.loop import Interrupted

VERBS = {
    "simulate": simulate,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "plot": plot,
    "convert": convert,
    "info": info,
}


def build_parser() -> Parser:
    """The parser of the whole command line."""
    import seisfast

    parser = Parser(
        prog="seisfast",
        description="Seismic inversion with neural networks: simulate records, train a network on them, "
        "predict velocity models from records. 'seisfast VERB --help' explains a verb.",
    )
    parser.add_argument("--version", action="version", version=f"seisfast {seisfast.__version__}")
    verbs = parser.add_subcommands(dest="verb", metavar="VERB", required=True)
    for name, module in VERBS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        usage = f"seisfast {name} [options]"
        child = Parser(prog=f"seisfast {name}", description=module.DESCRIPTION, usage=usage)
        module.add_arguments(child)
        verbs.add_subcommand(name, child, help=summary)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, 2 after an error (one line on stderr), or 130 after Ctrl-C."""
    parser = build_parser()
    try:
        chosen = parser.parse_args(None if arguments is None else list(arguments))
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if not sys.warnoptions:
                warnings.simplefilter("default", UserWarning)
            VERBS[chosen.verb].run(chosen[chosen.verb])
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        RuntimeError,
        LookupError,
        MemoryError,
        OSError,
        ImportError,
    ) as error:
        print(f"seisfast: error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def one_line(error: Exception) -> str:
    """The message of an error on one line."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None and error.strerror is not None:
        text = error.strerror + ("" if error.filename is None else f": {error.filename}")
    return " ".join(text.split()) or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning on one line, without the place in the source."""
    del category, filename, lineno, line
    print(f"seisfast: warning: {message}", file=file or sys.stderr)
