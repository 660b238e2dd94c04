"""
Train a tiny network
====================

The whole road in seconds: random models, their records, a narrow SeisInvNet, and its predictions of
models that it has never seen. For results worth showing, run the demo.
"""

import tempfile
from pathlib import Path

import seisfast as sf
from seisfast import evaluation, plot, sensitivity
from seisfast.prediction import load
from seisfast.training import TrainingConfig, fit

# %%
# A small survey: 32 x 32 cells of 20 m, 5 shots, 16 receivers, 256 samples of 2 ms.

survey = sf.Survey.seisinv(shape=(32, 32), spacing=20.0, dt=2e-3, nt=256, shots=5, receivers=16, frequency=8.0)
geology = sf.geology.SeisInv(shape=(32, 32), interfaces=(1, 2))
folder = Path(tempfile.mkdtemp())
sf.data.write(geology, survey, folder / "set", 240, progress=False)
train, validation, test = (sf.data.StoredDataset(folder / "set", part) for part in sf.geology.split(240))
print(f"{len(train)} training, {len(validation)} validation and {len(test)} test models")

# %%
# Training writes a run folder; its `best.pt` holds all that prediction needs.

config = TrainingConfig(
    network="SeisInvNet", network_options={"width": 0.25}, loss="l2_ssim", epochs=12, batch_size=10, lr=2e-3
)
best = fit(config, train, validation, folder / "run", verbose=False)
plot.losses(folder / "run")

# %%
# The first test model.

predictor = load(best)
record, true = test[0]
plot.comparison(true, {"SeisInvNet": predictor(record)}, spacing=survey.spacing)

# %%
# All test models, beside two predictions that look at no record at all: the mean of the training
# models, and the best velocity for each depth.

result = evaluation.evaluate({"SeisInvNet": predictor}, test, training=train)
print(result.table())

# %%
# Inside, every trace has a feature map of its own, aligned with the model. The mean maps of four groups
# of receivers, and the share of their activation in each quarter of the model: after seconds of training
# the groups still look alike. Nothing but training can tie them to their places.

found = sensitivity.measure(predictor, test)
print(found.table())
plot.features(found)
