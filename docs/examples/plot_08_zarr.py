"""
A stored set and its statistics
===============================

What one wants to keep or share goes to disk: here as a Zarr group, sharded and compressed, of which any library reads
single models. Then a look at what was made, beside another family.
"""

import tempfile
from pathlib import Path

import zarr

import seisfast as sf
from seisfast import plot, statistics

# %%
# How large will it be, and how long will it take? The estimate simulates a few models; nothing is written.

folder = Path(tempfile.mkdtemp()) / "seisinv.zarr"
geology = sf.geology.SeisInv(shape=(50, 50))
survey = sf.Survey.seisinv(shape=(50, 50), spacing=20.0, dt=2e-3, nt=300, shots=4, receivers=25, frequency=8.0)
options = {"per_file": 60, "layout": "zarr", "dtype": "float16"}
found = sf.data.estimate(geology, survey, folder, 240, **options)
print(f"{found.count} models in {found.shards} shards, {found.bytes / 1e6:.1f} MB")

# %%
# Writing goes on after a kill. Records in half precision are half as large; how exact they are is stated.

sf.data.write(geology, survey, folder, 240, progress=False, **options)
print(f"differences from what was written: {sf.data.verify(folder, progress=False)}")
dataset = sf.data.StoredDataset(folder)
print(f"{len(dataset)} models, relative error of a record at most {dataset.error:.1e}")

# %%
# Zarr itself, from any language, sees arrays with named axes, a model in each chunk, and attributes that say what they
# are.

group = zarr.open_group(folder, mode="r")
print(group["records"].metadata.dimension_names, group["records"].shape, group["records"].chunks)
print({name: group.attrs["settings"][name] for name in ("seed", "dtype")}, group.attrs["units"]["velocity"])

# %%
# Statistics of the models: velocity against depth with one standard deviation, the histogram, and where interfaces
# lie; beside those of folded and faulted models, which are not stored at all.

other = sf.geology.CurveFault(shape=(50, 50))
measured = {
    "SeisInv, stored": statistics.measure(dataset, progress=False),
    "CurveFault": statistics.measure(other, count=240, spacing=20.0, progress=False),
}
plot.dataset(measured)

# %%
# And one of the records.

record, velocity = dataset[5]
plot.gathers(record, survey=survey, shots=[0, 3])
