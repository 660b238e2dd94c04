"""Tiny runs of the CUDA engines for the tools that watch a program: compute-sanitizer, and ncu with --profile.

Without it: every engine named (default all), forward and gradient, narrow and wide layers, free surface and periodic
grid, every kind of storage, compared with the CPU engine. With it: one kernel over 132 shots of 100 x 100.
"""

from __future__ import annotations

import argparse
import warnings

import torch

import seisfast as sf
from seisfast.propagator import planned_engine

STEPS = 14
# Two or more blocks of a cluster, and tiles, under every boundary here.
SHAPES = {"plain": (21, 26), "resident": (21, 26), "cluster": (45, 26), "tiled": (75, 97)}
BOUNDARIES = {
    "CPML(5)": sf.CPML(5),
    "wide layers under a free surface": sf.Faces(top=sf.Free(), bottom=sf.CPML(18), left=sf.CPML(3), right=sf.CPML(17)),
    "rigid": sf.CPML(0),
    "sponge": sf.Sponge(7),
}
STORAGES = (sf.Storage("all"), sf.Storage("checkpoint"), sf.Storage(every=2, dtype=torch.float16))


def survey_of(shape: tuple[int, int], boundary: sf.boundaries.Boundary, order: int) -> sf.Survey:
    """Three sources of one shot and receivers in a row, a column and twice in one cell."""
    nz, nx = shape
    return sf.Survey(
        shape=shape, spacing=10.0, dt=1e-3, nt=STEPS, order=order, boundary=boundary,
        sources=[[(2, 4), (nz // 2, nx // 2), (nz - 1, nx - 1)]],
        receivers=[(1, ix) for ix in range(0, nx, 2)] + [(iz, nx // 2) for iz in range(1, nz)] + [(1, 0)],
        wavelet=sf.wavelets.ricker(15.0, 1e-3, 200)[60 : 60 + STEPS],
    )  # fmt: skip


def results(engine: str, survey: sf.Survey, storage: sf.Storage) -> tuple[torch.Tensor, torch.Tensor]:
    """Record and gradient of two models, on the CPU."""
    nz, nx = survey.shape
    velocity = torch.linspace(1800, 2600, nz)[:, None].expand(2, nz, nx)
    velocity = velocity.to("cpu" if engine == "cpu" else "cuda", copy=True).requires_grad_()
    data = sf.simulate(velocity, survey, storage=storage, engine=engine)
    data.square().sum().backward()
    return data.detach().cpu(), velocity.grad.cpu()


def compare(engine: str, orders: list[int]) -> int:
    """Runs of one engine, each equal to the CPU's to the bit; how many."""
    runs = 0
    for name, boundary in BOUNDARIES.items():
        for order in orders:
            shape = SHAPES[engine]
            survey = survey_of(shape, boundary, order)
            found = [planned_engine(survey, shape, adjoint=a, engine=engine) for a in (False, True)]
            if any(plan["engine"] != engine for plan in found):
                print(
                    f"{engine}, order {order}, {name}: does not run here ({found[0]['reason'] or found[1]['reason']})"
                )
                continue
            for storage in STORAGES:
                for ours, cpus in zip(results(engine, survey, storage), results("cpu", survey, storage), strict=True):
                    assert torch.equal(ours, cpus), f"{engine}, order {order}, {name}, {storage} differs from the CPU"
                runs += 1
    return runs


def profiled(engine: str) -> None:
    """Forward and gradient of 132 shots once to warm up and once to be watched."""
    survey = sf.Survey.seisinv(shots=132, nt=100)
    velocity = torch.full((100, 100), 1800.0)
    velocity[30:], velocity[60:] = 2500.0, 3400.0
    for _ in range(2):
        leaf = velocity.cuda().requires_grad_()
        sf.simulate(leaf, survey, storage=sf.Storage(every=4), engine=engine).square().sum().backward()
    torch.cuda.synchronize()


def main() -> None:
    """Run the engines that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", default=list(SHAPES), metavar="engine", help=", ".join(SHAPES))
    parser.add_argument("--orders", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", ".*points per shortest wavelength")
    for engine in args.engines:
        if args.profile:
            profiled(engine)
        else:
            print(f"{engine}: {compare(engine, args.orders)} runs equal to the CPU engine", flush=True)


if __name__ == "__main__":
    main()
