"""A few tiny runs of every boundary and storage on the GPU: what compute-sanitizer watches."""

from __future__ import annotations

import torch

import seisfast as sf


def main() -> None:
    """Forward and gradient, compared with the CPU engine."""
    layers = sf.Faces(top=sf.Free(), bottom=sf.CPML(4), left=sf.CPML(3), right=sf.CPML(5))
    for boundary in (sf.CPML(4), layers, sf.Sponge(6), sf.Sponge(6, vmin_gradient=True)):
        for storage in (sf.Storage("all"), sf.Storage("checkpoint"), sf.Storage(every=2, dtype=torch.float16)):
            survey = sf.Survey(
                shape=(17, 21),
                spacing=10.0,
                dt=1e-3,
                nt=24,
                sources=[(2, 4), (9, 15)],
                receivers=[(1, ix) for ix in range(0, 21, 2)],
                wavelet=sf.wavelets.ricker(15.0, 1e-3, 24),
                boundary=boundary,
            )
            found = {}
            for device in ("cpu", "cuda"):
                velocity = torch.linspace(1800, 2600, 17)[:, None].expand(2, 17, 21).to(device).requires_grad_()
                data = sf.simulate(velocity, survey, storage=storage)
                data.square().sum().backward()
                found[device] = data.detach().cpu(), velocity.grad.cpu()
            for ours, oracle in zip(found["cuda"], found["cpu"], strict=True):
                torch.testing.assert_close(ours, oracle, rtol=1e-4, atol=1e-4 * float(oracle.abs().max()))
    print("all runs agree with the CPU engine")


if __name__ == "__main__":
    main()
