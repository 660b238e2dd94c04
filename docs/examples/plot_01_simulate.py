"""
Simulate a shot gather
======================

A velocity model, a survey, and the records that the receivers see.
"""

import torch

import seisfast as sf
from seisfast import plot

# %%
# Three layers, 600 m deep and 1 km wide, on cells of 10 m. Models are `[nz, nx]` in m/s, depth
# first.

velocity = torch.full((60, 100), 1800.0)
velocity[20:] = 2400.0
velocity[42:] = 3200.0

# %%
# A survey holds all that does not change from model to model: the grid, the time axis, where
# sources and receivers are, the wavelet and the boundary. Positions are cells `(iz, ix)`. What
# leaves the model is absorbed by a C-PML of 14 cells on all faces, the default.

survey = sf.Survey(
    shape=(60, 100),
    spacing=10.0,
    dt=1e-3,
    nt=900,
    sources=[(1, ix) for ix in (10, 50, 90)],
    receivers=[(1, ix) for ix in range(100)],
    wavelet=sf.wavelets.ricker(15.0, dt=1e-3, nt=900),
)
print(survey)
plot.velocity(velocity, survey=survey, title="Three layers")

# %%
# One call simulates all shots.

records = sf.simulate(velocity, survey)
print(f"[shots, time, receivers] = {list(records.shape)}")
plot.gathers(records, survey=survey, perc=97)

# %%
# The straight lines are the direct wave, the two hyperbolas below are the reflections from the
# interfaces. The sides and the bottom send nothing back.
#
# A batch of models goes through the same call. Here the lower half is slower in the second model;
# the first arrivals do not change, the deep reflection comes later.

slower = velocity.clone()
slower[20:42] = 2100.0
both = sf.simulate(torch.stack([velocity, slower]), survey)
print(f"[models, shots, time, receivers] = {list(both.shape)}")
change = (both[1] - both[0]).abs()
first = survey.dt * int((change[1, :, 50] > 1e-3 * both[0, 1].abs().max()).nonzero()[0])
print(f"above the source of shot 1, the records differ from {first:.3f} s on")
