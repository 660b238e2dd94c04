"""Tiny runs of the CUDA engines for the tools that watch a program: compute-sanitizer, and ncu with --profile.

Without it: every engine named (default all), forward and gradient, narrow and wide layers, free surface and periodic
grid, every kind of storage, compared with the CPU engine. With it: one kernel over 132 shots of 100 x 100.

The engine `features` is the feature operators: gathers in one block and through device memory, norms in both layouts,
the generator; `features-cluster` is gathers on a cluster. With --profile: 240 gathers of 32 x 1000.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import pairwise

import torch
from torch import Tensor

import seisfast as sf
from seisfast import features
from seisfast.engines import planned_engine
from seisfast.features import TraceLayer

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

# (gathers, receivers, samples, channels): on a chip with clusters the first ones fit in a block, the others need more.
GATHERS = {
    "features": ((3, 5, 43, 4), (2, 1, 2, 1), (2, 7, 64, 5)),
    "features-cluster": ((2, 33, 301, 4), (2, 9, 700, 5)),
}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 3e-2}


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


# -- the feature operators ---------------------------------------------------------------------------------------------


def noise(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Normal deviates, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def with_gradients(leaves: list[Tensor], out: Tensor) -> list[Tensor]:
    """Output and gradients, on the CPU."""
    weight = noise(*out.shape, dtype=out.dtype, seed=9).to(out.device)
    return [t.detach().double().cpu() for t in (out, *torch.autograd.grad(out, leaves, weight))]


def embedding(shape: tuple[int, ...], dtype: torch.dtype, device: str, of_records: bool) -> list[Tensor]:
    """The embedding of some gathers with weights of their own."""
    gathers, receivers, samples, c = shape
    statistics = torch.float64 if dtype == torch.float64 else torch.float32
    shapes = ((c, 1, 5, 5), (c, c, 5, 5), (1, c, 5, 5), (c,), (c,), (1,))
    leaves = [0.3 * noise(*s, dtype=statistics, seed=k).to(device).requires_grad_() for k, s in enumerate(shapes)]
    x = noise(gathers, receivers, samples, dtype=dtype, seed=7).to(device).requires_grad_(of_records)
    return with_gradients([*leaves, *([x] * of_records)], features.trace_embedding(x, leaves[:3], leaves[3:]))


def norm(shape: tuple[int, ...], dtype: torch.dtype, device: str, training: bool, channels_last: bool) -> list[Tensor]:
    """Batch norm and ReLU of maps."""
    statistics = torch.float64 if dtype == torch.float64 else torch.float32
    x = noise(*shape, dtype=dtype, seed=1).to(device)
    x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format).requires_grad_()
    mean, scale, shift = (noise(shape[1], dtype=statistics, seed=k).to(device) for k in (2, 3, 4))
    leaves = [x, scale.requires_grad_(), shift.requires_grad_()]
    return with_gradients(
        leaves, features.norm_relu(x, mean, mean.square() + 0.5, *leaves[1:], training=training, momentum=0.3)
    )


def generator(dtype: torch.dtype, device: str) -> list[Tensor]:
    """The feature generator of three shots with four receivers."""
    sizes, layers, leaves = (6 + 3 + 4 + 21, 19, 6), [], []
    for k, (wide, narrow) in enumerate(pairwise(sizes)):
        tensors = [
            noise(*s, dtype=dtype, seed=5 * k + j) for j, s in enumerate(((narrow, wide), (narrow,), (12,), (12,)))
        ]
        leaves += [t.to(device).requires_grad_() for t in tensors]
        layers.append(TraceLayer(*leaves[-4:]))
    context, traces = (
        noise(2, 3, 6, dtype=dtype, seed=90).to(device),
        noise(2, 3, 4, 21, dtype=dtype, seed=91).to(device),
    )
    leaves += [context.requires_grad_(), traces.requires_grad_()]
    return with_gradients(leaves, features.trace_mlp(context, traces, layers, (2, 3), training=True))


def close(found: list[Tensor], expected: list[Tensor], tolerance: float, what: str) -> int:
    """One run whose output is the CPU's to rounding, and whose gradients have its size; 1."""
    worst = float((found[0] - expected[0]).norm() / expected[0].norm())
    assert worst < tolerance, f"{what}: the output is {worst:.1e} off the CPU's"
    for a, b in zip(found, expected, strict=True):
        assert bool(a.isfinite().all()), f"{what}: not finite"
        if tolerance < 1e-2:  # maps in bfloat16 have other ReLUs open, see tests/test_gpu_features.py
            assert float((a - b).norm()) < 0.2 * float(b.norm()) + 0.2, f"{what}: a gradient is off the CPU's"
    return 1


def compare_features(engine: str) -> int:
    """Runs of the feature operators, each close to the CPU's; how many."""
    runs = 0
    for dtype, tolerance in TOLERANCE.items():
        for shape in GATHERS[engine]:
            for of_records in (True, False):
                found, expected = (embedding(shape, dtype, device, of_records) for device in ("cuda", "cpu"))
                runs += close(found, expected, tolerance, f"trace_embedding, {shape}, {dtype}")
        if engine == "features-cluster":
            continue
        for shape in ((3, 21, 4, 6), (2, 64, 5, 3), (40, 7, 3, 5)):
            for training in (True, False):
                for channels_last in (True, False):
                    found, expected = (
                        norm(shape, dtype, device, training, channels_last) for device in ("cuda", "cpu")
                    )
                    runs += close(found, expected, tolerance, f"norm_relu, {shape}, {dtype}, training {training}")
        found, expected = (generator(dtype, device) for device in ("cuda", "cpu"))
        runs += close(found, expected, 4 * tolerance, f"trace_mlp, {dtype}")
    return runs


def profiled_features() -> None:
    """The embedding of a batch of 12 and its gradient, twice, then the norm of the largest map, in both layouts."""
    x = torch.randn(240, 32, 1000, device="cuda")
    weights = [torch.randn(s, device="cuda", requires_grad=True) for s in ((4, 1, 5, 5), (4, 4, 5, 5), (1, 4, 5, 5))]
    biases = [torch.randn(n, device="cuda", requires_grad=True) for n in (4, 4, 1)]
    for _ in range(2):
        out = features.trace_embedding(x, weights, biases)
        torch.autograd.grad(out, [*weights, *biases], out.detach())
    maps = torch.randn(240, 64, 32, 250, device="cuda")
    scale, shift = (torch.ones(64, device="cuda", requires_grad=True) for _ in range(2))
    for layout in (torch.channels_last, torch.contiguous_format):
        leaf = maps.contiguous(memory_format=layout).requires_grad_()
        out = features.norm_relu(leaf, None, None, scale, shift, training=True)
        torch.autograd.grad(out, [leaf, scale, shift], out.detach())
    torch.cuda.synchronize()


def main() -> None:
    """Run the engines that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*SHAPES, *GATHERS]
    parser.add_argument("engines", nargs="*", default=names, metavar="engine", help=", ".join(names))
    parser.add_argument("--orders", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", ".*points per shortest wavelength")
    for engine in args.engines:
        if args.profile:
            profiled_features() if engine in GATHERS else profiled(engine)
        elif engine in GATHERS:
            print(f"{engine}: {compare_features(engine)} runs close to the CPU's", flush=True)
        else:
            print(f"{engine}: {compare(engine, args.orders)} runs equal to the CPU engine", flush=True)


if __name__ == "__main__":
    main()
