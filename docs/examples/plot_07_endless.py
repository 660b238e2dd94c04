"""
Train on endless data
=====================

No data set on disk: every epoch draws new models and simulates their records while the network trains. A
model may be used several times before it is gone, so that less is simulated for each step.
"""

import tempfile
from pathlib import Path

import seisfast as sf
from seisfast import plot
from seisfast.prediction import load
from seisfast.training import TrainingConfig, fit

# %%
# A small survey: 32 x 32 cells of 20 m, 5 shots, 16 receivers, 256 samples of 2 ms. An epoch
# is 96 new models, each used four times; validation has models of another seed, which stay the same.

survey = sf.Survey.seisinv(shape=(32, 32), spacing=20.0, dt=2e-3, nt=256, shots=5, receivers=16, frequency=8.0)
geology = sf.geology.SeisInv(shape=(32, 32), interfaces=(1,))


def endless(repeats: int) -> sf.data.SimulatedDataset:
    """96 new models in every epoch, in batches of 12."""
    return sf.data.SimulatedDataset(geology, survey, 96, seed=0, batch_size=12, repeats=repeats)


train = endless(repeats=4)
validation = sf.data.SimulatedDataset(geology, survey, 48, seed=1, batch_size=12)
print(f"{train.count} models simulated and {len(train)} steps in an epoch")

# %%
# Four batches that were simulated one after the other make a window; every pass over it mixes its 48 models
# anew. The batches of an epoch can be asked for directly, in the middle, too: `set_epoch(3, start_batch=5)`.

train.set_epoch(3, start_batch=5)
record, velocity = next(iter(train))
print(f"records {tuple(record.shape)}, models {tuple(velocity.shape)}")

# %%
# Two runs of a narrow network that simulate the same models. With `repeats=4` a run makes four steps in place of
# one, for no more simulation.

folder = Path(tempfile.mkdtemp())
config = TrainingConfig(
    network="ConvBaseline",
    network_options={"width": 0.1, "time_stride": 5},
    loss="l2",
    data_transform="log",  # lifts the reflections beside the direct wave
    epochs=8,
    batch_size=12,
    lr=3e-3,
)
runs = {}
for repeats in (1, 4):
    run = folder / f"repeats{repeats}"
    best = fit(config, endless(repeats), validation, run, verbose=False)
    runs[f"repeats={repeats}"] = run
plot.losses(runs)

# %%
# A model that no epoch has drawn, and what the second network predicts from its record.

true = geology([5], seed=2)[0]
predicted = load(best)(sf.simulate(true, survey))
plot.comparison(true, {"ConvBaseline": predicted}, spacing=survey.spacing)
