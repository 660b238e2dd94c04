"""The whole road in a few minutes: simulate a small SeisInv set, train SeisInvNet and a baseline, compare, report.

    python examples/demo.py            # or: make demo

Every part is a call that also works alone: `seisfast simulate`, `train`, `evaluate` do the same from the command line.
Run it again after an interruption: finished parts are kept, the rest goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import seisfast as sf
from seisfast import evaluation, report
from seisfast.training import TrainingConfig, fit

SHAPE = (64, 64)


def survey() -> sf.Survey:
    """Five shots and 16 receivers over 64 x 64 cells of 15 m, one second of record: the paper's layout, smaller."""
    return sf.Survey.seisinv(shape=SHAPE, spacing=15.0, dt=2e-3, nt=500, shots=5, receivers=16, frequency=11.0)


def main() -> None:
    """Run all parts; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="folder of all results")
    parser.add_argument("--models", type=int, default=2400, help="models in all, split 10:1:1")
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each network")
    args = parser.parse_args()
    start = time.perf_counter()

    def done(what: str) -> None:
        print(f"[{time.perf_counter() - start:4.0f} s] {what}", flush=True)

    geology = sf.geology.SeisInv(shape=SHAPE)
    folder = sf.data.write(geology, survey(), args.run / "data", args.models, seed=1)
    done(f"{args.models} models simulated, {survey().shots} shots each, in {folder}")

    train, validation, test = (sf.data.StoredDataset(folder, part) for part in sf.geology.split(args.models))
    # 11 Hz leaves nothing above 28 Hz, so every fifth sample (50 Hz) is enough; minutes are too short for dropout.
    options = {"width": 0.25, "time_stride": 5}
    networks = {
        "SeisInvNet": ("seisinvnet", {**options, "drop_rate": 0.0}),
        "ConvBaseline": ("convbaseline", options),
    }
    best = {}
    for name, (network, chosen) in networks.items():
        config = TrainingConfig(
            network=network,
            network_options=chosen,
            minutes=args.minutes,
            batch_size=8,
            lr=4e-3,
            data_transform="log",  # lifts the reflections beside the direct wave
        )
        best[name] = fit(config, train, validation, args.run / network, resume="auto")
        done(f"{name} trained for {args.minutes:g} minutes: {best[name]}")

    result = evaluation.evaluate(best, test, training=train)
    print(result.table())
    page = report.write(result, args.run / "report.html")
    done(f"open {page}")


if __name__ == "__main__":
    main()
