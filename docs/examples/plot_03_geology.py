"""
Random geology
==============

Networks learn from many models. The generators draw them from a seed: model `i` of a seed is always
the same, whichever batch it is drawn in.
"""

from matplotlib import pyplot

import seisfast as sf
from seisfast import plot


def show(models, title):
    figure, axes = pyplot.subplots(2, 4, figsize=(10, 5), layout="constrained")
    for model, ax in zip(models, axes.flat, strict=True):
        plot.velocity(model, spacing=10.0, ax=ax, limits=(1500, 4500), colorbar=False)
        ax.label_outer()
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="Velocity (m/s)")
    figure.suptitle(title)


# %%
# The SeisInv family of Li et al. (2020): one to four gently undulating interfaces in equal parts,
# constant velocity per layer, growing with depth.

geology = sf.geology.SeisInv()
models = geology(range(8), seed=0)
print(f"{list(models.shape)}, {models.min():.0f} to {models.max():.0f} m/s")
show(models, "SeisInv, one to four interfaces")

# %%
# Folded layers cut by faults, after OpenFWI's CurveFault.

show(sf.geology.CurveFault()(range(8), seed=0), "CurveFault")

# %%
# Any grid size will do, and any selection of models.

wide = sf.geology.CurveFault(shape=(70, 190))([3], seed=7)
plot.velocity(wide[0], spacing=10.0, title="CurveFault, model 3 of seed 7, 70 x 190 cells")
