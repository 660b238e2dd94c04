"""
Gradient of a data misfit
=========================

Full-waveform inversion changes a model along the gradient of the misfit between simulated and
observed records. Here it is one call of `backward`, and it is exact.
"""

import torch
from matplotlib import pyplot

import seisfast as sf
from seisfast import plot

survey = sf.Survey(
    shape=(60, 80),
    spacing=10.0,
    dt=1e-3,
    nt=700,
    sources=[(1, ix) for ix in range(4, 80, 8)],
    receivers=[(1, ix) for ix in range(80)],
    wavelet=sf.wavelets.ricker(10.0, dt=1e-3, nt=700),
)

# %%
# The true model has a fast lens in a background that grows with depth; the starting model is the
# background alone.

background = (1800.0 + 15.0 * torch.arange(60.0))[:, None].repeat(1, 80)
iz, ix = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
lens = ((iz - 32) / 7) ** 2 + ((ix - 42) / 12) ** 2 < 1
true = background + 300.0 * lens

observed = sf.simulate(true, survey)

# %%
# The misfit is an ordinary torch expression.

velocity = background.clone().requires_grad_()
misfit = 0.5 * (sf.simulate(velocity, survey) - observed).square().sum()
misfit.backward()

figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
plot.velocity(true, survey=survey, ax=left, title="True model")
limit = float(velocity.grad[6:].abs().max())
image = right.imshow(-velocity.grad.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(-5, 795, 595, -5))
right.set(title="Minus gradient at the start", xlabel="Distance (m)", ylabel="Depth (m)")
figure.colorbar(image, ax=right, label="Minus gradient (1/(m/s))")

# %%
# Red asks for faster rock: it lies inside the lens, with the side lobes of the wavelet above and
# below. Close to the sources and receivers the gradient is larger still (the colours end at its
# largest value below 60 m); inversion codes scale it.
#
# Is it right? A gradient :math:`g` predicts how the misfit changes along any direction :math:`h`.
# In float64 the prediction agrees with a central difference of the misfit itself, up to the error
# of that difference.


def misfit_of(model):
    return 0.5 * (sf.simulate(model, survey) - observed.double()).square().sum()


model = background.double().requires_grad_()
(gradient,) = torch.autograd.grad(misfit_of(model), model)
direction = torch.randn(60, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    step = 1e-3
    difference = (misfit_of(model + step * direction) - misfit_of(model - step * direction)) / (2 * step)
predicted = (gradient * direction).sum()
print(f"gradient {predicted:.10g}, difference {difference:.10g}")
print(f"relative error {abs(predicted / difference - 1):.1e}")
