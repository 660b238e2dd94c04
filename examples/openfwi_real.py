"""Train on simulated models in OpenFWI's geometry, then predict a genuine OpenFWI record.

    python examples/openfwi_real.py                # under 30 minutes on two cores

The training models are curved layers cut by faults (`sf.geology.CurveFault`), simulated with exactly OpenFWI's
operator. The released files have the last sample zero, so the network never sees it. The genuine sample
(`openfwi_sample/` of the data folder, see README) is only used for the test: the prediction is compared with the
published velocity, and simulated again to see how well it explains the record (the misfit, samples 0 to 998). Run it
again after an interruption: finished parts are kept, the rest goes on.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import seisfast as sf
from seisfast import evaluation, plot
from seisfast.training import TrainingConfig, fit

VELOCITY_RANGE = (1500.0, 4500.0)


def genuine(folder: Path) -> tuple[Tensor, Tensor]:
    """Record `[5, 1000, 70]` and velocity `[70, 70]` in m/s of the genuine sample.

    Raises:
        SystemExit: the files are not there, with what to do.
    """
    paths = [folder / "openfwi_sample" / name for name in ("seismic.npy", "velocity.npy")]
    for path in paths:
        if not path.is_file():
            raise SystemExit(f"{path} is not there: set SEISFAST_DATA to the data folder, see README")
    record, velocity = (torch.from_numpy(np.load(path)).float() for path in paths)
    return record[0], velocity[0, 0]


def main() -> None:
    """Simulate, train, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/openfwi_real"), help="folder of all results")
    parser.add_argument("--models", type=int, default=3000, help="models in all, split 10:1:1")
    parser.add_argument("--minutes", type=float, default=12.0, help="training time")
    args = parser.parse_args()
    start = time.perf_counter()

    def done(what: str) -> None:
        print(f"[{time.perf_counter() - start:5.0f} s] {what}", flush=True)

    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    record, truth = genuine(Path(os.environ.get("SEISFAST_DATA", default)))
    survey = sf.Survey.openfwi()

    folder = sf.data.write(sf.geology.CurveFault(), survey, args.run / "data", args.models, seed=7)
    done(f"{args.models} models simulated in {folder}")
    train, validation, _ = (sf.data.StoredDataset(folder, part) for part in sf.geology.split(args.models))

    config = TrainingConfig(
        network="inversionnet",
        network_options={"width": 0.5, "time_stride": 4},
        loss="l1",
        minutes=args.minutes,
        batch_size=16,
        lr=1e-3,
        data_transform="log",
        velocity_range=VELOCITY_RANGE,
        zero_last_sample=True,
    )
    best = fit(config, train, validation, args.run / "train", resume="auto")
    done(f"trained: {best}")

    result = evaluation.evaluate(
        {"InversionNet": best},
        [(record, truth[None])],
        training=train,
        preset="openfwi",
        misfit=1,
    )
    print(result.table())

    prediction = result.predictions["InversionNet"][0]
    again = sf.simulate(prediction.clamp(*VELOCITY_RANGE), survey)
    figures = {
        "velocity": plot.comparison(
            truth,
            {name: maps[0] for name, maps in result.predictions.items()},
            spacing=survey.spacing,
            title="Genuine OpenFWI sample",
        ),
        "record": plot.gathers(record, survey=survey, title="Genuine record"),
        "simulated_again": plot.gathers(again, survey=survey, title="Prediction, simulated again"),
    }
    for name, figure in figures.items():
        figure.savefig(args.run / f"{name}.png", dpi=150)
    np.save(args.run / "prediction.npy", prediction.numpy())
    done(f"figures and prediction.npy in {args.run}")


if __name__ == "__main__":
    main()
