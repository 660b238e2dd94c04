"""
Watch a wave
============

The records say what arrives at the receivers. Wavefields say where it comes from.
"""

import torch
from tqdm import tqdm

import seisfast as sf
from seisfast import geology, plot

# %%
# A model with bent layers and a fault, and a shot in the middle of it.

velocity = geology.CurveFault(shape=(70, 140))([7])[0]
survey = sf.Survey.seisinv(shape=(70, 140), nt=600, shots=7)
records, fields = sf.simulate(velocity, survey, snapshots=sf.Every(20))
print(f"[shots, snapshots, nz, nx] = {list(fields.shape)}")
plot.snapshots(fields[3], velocity=velocity, survey=survey, shot=3, every=20)

# %%
# Red and blue are the sign of the pressure, the model is grey. Where the front meets a faster layer
# it bends and runs ahead, and part of it returns. All frames have one colour scale, which ends at
# the 98th percentile of the amplitude, so that the direct wave does not hide what is weaker.
#
# ``plot.wavefield`` with the same arguments is an animation, and
# ``seisfast plot wavefield --velocity model.npy --survey seisinv --output wave.gif`` makes one of a file.
#
# Wavefields of many shots fill the memory. With a callback they are shown shot by shot and
# forgotten; the records are the same. Here each adds its energy to a map of where the waves have
# been, and moves a progress bar.

energy = torch.zeros_like(velocity)

with tqdm(total=survey.shots, unit=" shots") as bar:

    def add(model, shot, fields):
        energy.add_(fields.square().sum(0))
        bar.update()

    again = sf.simulate(velocity, survey, snapshots=sf.Every(20, callback=add))

print(f"records equal: {torch.equal(again, records)}")
decibels = 10 * (energy / energy.max()).log10()
ax = plot.velocity(decibels, survey=survey, cmap="magma", limits=(-24.0, 0.0), colorbar=False)
ax.set_title("Energy of all shots")
ax.figure.colorbar(ax.images[0], ax=ax, label="Energy (dB)", shrink=0.7)
