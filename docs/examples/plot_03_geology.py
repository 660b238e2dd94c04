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
# OpenFWI's families of layers come in two versions, A the simple and B the difficult one: flat or curved
# layers, whole or cut by faults. `build` takes OpenFWI's names. Four models of each version:


def versions(family):
    return [model for version in "AB" for model in sf.geology.build(f"{family}-{version}")(range(4), seed=0)]


show(versions("FlatVel"), "FlatVel-A, below it FlatVel-B")

# %%
# Curves instead of flat layers, in version B in any order, too.

show(versions("CurveVel"), "CurveVel-A, below it CurveVel-B")

# %%
# One fault in version A, up to four in version B.

show(versions("FlatFault"), "FlatFault-A, below it FlatFault-B")

# %%
# Folded layers cut by faults.

show(versions("CurveFault"), "CurveFault-A, below it CurveFault-B")

# %%
# Any grid size will do, and any selection of models.

wide = sf.geology.CurveFault(shape=(70, 190))([3], seed=7)
plot.velocity(wide[0], spacing=10.0, title="CurveFault, model 3 of seed 7, 70 x 190 cells")
