"""
Shot gathers in SEG-Y files
===========================

Measured records come as SEG-Y: traces with headers that say where they were made. Here a file is
written and read back, and a survey is made of it.
"""

import tempfile
from pathlib import Path

import torch

import seisfast as sf
from seisfast import plot

# %%
# Three layers and three shots. The receivers are 12.5 m apart and the cells 10 m, so most of them
# lie between cells.


def layers(spacing):
    depth = torch.arange(0.0, 600.0, spacing)[:, None].expand(-1, int(1000 / spacing) + 1)
    return 1800.0 + 600.0 * (depth >= 200.0) + 800.0 * (depth >= 420.0)


survey = sf.Survey(
    shape=(60, 101),
    spacing=10.0,
    dt=1e-3,
    nt=800,
    sources=[(1, ix) for ix in (10, 50, 90)],
    receivers=[(1.0, 1.25 * k) for k in range(81)],
    wavelet=sf.wavelets.ricker(15.0, dt=1e-3, nt=800),
)
records = sf.simulate(layers(10.0), survey)

# %%
# The positions in the file are those of the survey, in metres. Reading it gives the same samples,
# and the positions `(x, z)`.

with tempfile.TemporaryDirectory() as folder:
    file = sf.data.write_segy(Path(folder) / "line.sgy", records, survey)
    gathers = sf.data.read_segy(file)
print(gathers)
print(f"samples equal: {torch.equal(gathers.records, records)}")
print(f"second receiver at (x, z) = {gathers.receivers[0, 1].tolist()} m")
plot.gathers(gathers.records, survey=survey, perc=97)

# %%
# Whoever gets such a file has no survey. The gathers make one, on cells of any size; where the
# headers are empty, ``read_segy(file, geometry=...)`` takes the positions from a dict or a JSON
# file. Here the cells are half as wide, and a source in a cell of a quarter of the area is four
# times as strong.

wavelet = 4.0 * sf.wavelets.ricker(15.0, dt=1e-3, nt=800)
fine = gathers.survey(shape=(120, 201), spacing=5.0, wavelet=wavelet)
simulated = sf.simulate(layers(5.0), fine, substeps="auto")
measured = gathers.onto(fine)
print(fine)
far = torch.from_numpy(abs(gathers.receivers[1, :, 0] - gathers.sources[1, 0]) > 50.0)
difference = (simulated - measured)[1, :, far].norm() / measured[1, :, far].norm()
print(f"simulated and measured differ by {100 * difference:.1f} % beyond 50 m from the source")

figure = plot.gathers(torch.stack([measured[1], simulated[1], simulated[1] - measured[1]]), perc=97)
for ax, title in zip(figure.axes, ("measured", "simulated", "difference"), strict=True):
    ax.set_title(title)

# %%
# The interfaces are a quarter of a cell deeper in the finer model, so the reflections do not quite
# cancel. At the source itself the field depends on the size of the cells.
#
# A network wants the records of the survey that it was trained for. `onto` gives them: other
# samples in time, band-limited, and the nearest traces or those interpolated between two. They are
# what a simulation in steps of 2 ms gives, with every second sample of the same wavelet.

coarse = sf.Survey(
    spacing=10.0,
    dt=2e-3,
    nt=400,
    sources=[(1, ix) for ix in (10, 50, 90)],
    receivers=[(1, ix) for ix in range(0, 101, 5)],
    wavelet=sf.wavelets.ricker(15.0, dt=1e-3, nt=800)[::2].clone(),
)
found = gathers.onto(coarse, traces="linear")
wanted = sf.simulate(layers(10.0), coarse, substeps=2)
print(f"[shots, time, receivers] = {list(found.shape)}")
print(f"they differ from a simulation by {100 * (found - wanted).norm() / wanted.norm():.3f} %")
