"""Show version, build, devices, and which engine a model size would run on."""

from __future__ import annotations

import platform

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = (
    "Show the version, how the extension was built, what torch sees, and with --shape which engine would "
    "simulate a model of that size. Put this into a bug report."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of this verb."""
    parser.add_argument("--shape", type=int, nargs=2, metavar=("NZ", "NX"), default=None, help="cells of a model")
    parser.add_argument("--boundary", type=str, default="cpml", help="cpml or sponge, for --shape")


def run(options: Namespace) -> None:
    """Prints the facts, one per line."""
    import torch

    import seisfast
    from seisfast import _native

    boundaries = {"cpml": seisfast.CPML, "sponge": seisfast.Sponge}
    if options.boundary not in boundaries:
        raise ValueError(f"--boundary must be cpml or sponge, got {options.boundary!r}")
    facts = {
        "seisfast": seisfast.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name.replace("_", " "): _text(value) for name, value in _native.build_info().items()},
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "devices": ", ".join(_devices()),
    }
    engine = None
    if options.shape is not None:
        from seisfast.engines import describe_engine

        nz, nx = options.shape
        engine = describe_engine((nz, nx), boundaries[options.boundary]())
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}")
    if engine is not None:
        print(f"\n{engine}")


def _devices() -> list[str]:
    import torch

    gpus = [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    return ["cpu", *gpus]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
