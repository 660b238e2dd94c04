"""What the absorbing layer reflects: the tables of docs/layer.rst. Run ``python bench/bench_layer.py`` (minutes).

Two measures, both against a model so large that nothing returns. The record error is the relative L2 difference over
40 receivers across the model, in the row of the source. The reflection at an angle is the L2 amplitude of what a face
returns over what a rigid edge returns, at a receiver as far from the edge as the source; the source and the receiver
lie 20 cells deep, so the angle is that at the model edge. Order 4 unless it says so, float32; deepwave runs at the
largest stable Courant number, which keeps its step the same, and is left out when it is not installed.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

import seisfast as sf

try:
    import deepwave
except ImportError:
    deepwave = None

warnings.filterwarnings("ignore", message=".*points per shortest wavelength")


class Quadratic(sf.CPML):
    """The profile that this one replaced: sigma grows with the square of the depth, R = 1e-5."""

    def coefficients(self, spacing: float, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """As `CPML.coefficients`."""
        depth = np.arange(1, self.width + 1) / self.width
        sigma = -3 * self.vmax * math.log(1e-5) / (2 * self.width * spacing) * depth**2
        alpha = math.pi * self.frequency / 2 * (1 - depth)
        b = np.exp(-(sigma + alpha) * dt)
        return sigma / (sigma + alpha) * (b - 1), b


@dataclass(frozen=True)
class Case:
    """A model, the cells `[depth, column]` of its shots, and what the layer is told."""

    name: str
    velocity: Tensor
    depth: int = 2
    columns: tuple[int, ...] = (50, 2)
    wavelet: float = 15.0  # Hz
    told: float = 15.0  # Hz
    order: int = 4
    nt: int = 1000
    free: bool = False

    def survey(self, layer: sf.CPML, margin: int = 0) -> sf.Survey:
        """The acquisition, moved into a model that is larger by `margin` cells on its absorbing faces."""
        row = self.depth + (0 if self.free else margin)
        spread = np.round(np.linspace(0, self.velocity.shape[1] - 1, 40)).astype(int) + margin
        return sf.Survey(
            spacing=10.0, dt=1e-3, nt=self.nt, sources=[(row, ix + margin) for ix in self.columns],
            receivers=[(row, int(ix)) for ix in spread], wavelet=sf.wavelets.ricker(self.wavelet, 1e-3, self.nt),
            order=self.order, boundary=sf.Faces(sf.Free(), layer, layer, layer) if self.free else layer,
        )  # fmt: skip

    def extended(self) -> Tensor:
        """The record of a model 250 cells larger."""
        top = 0 if self.free else 250
        large = torch.nn.functional.pad(self.velocity[None, None], (250, 250, top, 250), mode="replicate")[0, 0]
        return sf.simulate(large, self.survey(sf.CPML(20, frequency=self.told), 250))

    def ours(self, kind: type[sf.CPML], width: int) -> Tensor:
        """The record with a layer of this kind."""
        return sf.simulate(self.velocity, self.survey(kind(width, frequency=self.told)))


def deepwave_record(velocity: Tensor, survey: sf.Survey, told: float, width: list[int], fastest: float) -> Tensor:
    """Deepwave's record in our convention."""
    arguments = sf.conventions.to_deepwave(velocity, survey)
    changes = {"pml_width": width, "pml_freq": told, "max_vel": fastest}
    return sf.conventions.record_from_deepwave(deepwave.scalar(**arguments | changes)[-1])


def errors(record: Tensor, expected: Tensor) -> list[float]:
    """Relative L2 difference of every shot."""
    return [float((a - b).norm() / b.norm()) for a, b in zip(record.double(), expected.double(), strict=True)]


def constant(velocity: float, nz: int = 100, nx: int = 100) -> Tensor:
    return torch.full((nz, nx), velocity, dtype=torch.float32)


def record_table(cases: list[Case]) -> None:
    """One line per case and shot."""
    print(
        "| case | shot at column | quadratic, 14 | 14 | 20 | deepwave 20, vmax 4500 | deepwave 20, vmax of the model |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        expected = case.extended()
        columns = [errors(case.ours(*layer), expected) for layer in ((Quadratic, 14), (sf.CPML, 14), (sf.CPML, 20))]
        for fastest in (4500.0, float(case.velocity.max())):
            if deepwave is None or case.free:
                columns.append([math.nan] * len(case.columns))
                continue
            survey = case.survey(sf.CPML())
            columns.append(errors(deepwave_record(case.velocity, survey, case.told, [20] * 4, fastest), expected))
        for column, row in zip(case.columns, zip(*columns, strict=True), strict=True):
            print(f"| {case.name} | {column} | " + " | ".join(f"{error:.1e}" for error in row) + " |", flush=True)


def angle_table(velocity: float, frequencies: tuple[float, ...], angles: tuple[int, ...]) -> None:
    """Reflection of the top face; the layer is told 15 Hz."""
    depth, side = 20, 60
    offsets = [round(2 * depth * math.tan(math.radians(angle))) for angle in angles]
    nx, nt = 2 * side + offsets[-1], round(1e3 * (10 * math.hypot(2 * depth, offsets[-1]) / velocity + 0.5))
    rest = sf.CPML(20)

    def survey(frequency: float, top: sf.CPML, above: int = 0) -> sf.Survey:
        return sf.Survey(
            spacing=10.0, dt=1e-3, nt=nt, sources=[(depth + above, side)],
            receivers=[(depth + above, side + offset) for offset in offsets],
            wavelet=sf.wavelets.ricker(frequency, 1e-3, nt), boundary=sf.Faces(top, rest, rest, rest),
        )  # fmt: skip

    small, above = constant(velocity, depth + side, nx), 300
    large = constant(velocity, depth + side + above, nx)
    print("| layer | wavelet | " + " | ".join(f"{angle} deg" for angle in angles) + " |")
    print("|---" * (len(angles) + 2) + "|")
    for frequency in frequencies:
        none = sf.simulate(large, survey(frequency, rest, above))[0].double()
        rigid = sf.simulate(small, survey(frequency, sf.CPML(0)))[0].double() - none

        def line(name: str, found: Tensor, none: Tensor, rigid: Tensor = rigid, frequency: float = frequency) -> None:
            ratios = (found.double() - none).norm(dim=0) / rigid.norm(dim=0)
            print(f"| {name} | {frequency:g} Hz | " + " | ".join(f"{ratio:.1e}" for ratio in ratios) + " |", flush=True)

        for name, top in (("quadratic, 14", Quadratic(14)), ("14", sf.CPML(14)), ("20", sf.CPML(20))):
            line(name, sf.simulate(small, survey(frequency, top))[0], none)
        if deepwave is None:
            continue
        for name, fastest in (("deepwave 20, vmax 4500", 4500.0), ("deepwave 20, vmax of the model", velocity)):
            found, alone = (
                deepwave_record(model, survey(frequency, rest, more), 15.0, [20] * 4, fastest)[0]
                for model, more in ((small, 0), (large, above))
            )
            line(name, found, alone.double())


def main() -> None:
    gradient = torch.linspace(1500, 4000, 100)[:, None].repeat(1, 100)
    four = [Case("2500 m/s", constant(2500)), Case("gradient 1500-4000 m/s", gradient)]
    print("Record error, sources and receivers on row 2, then on row 1\n")
    record_table(four + [replace(case, depth=1) for case in four])
    print("\nRecord error elsewhere\n")
    record_table([
        Case("1500 m/s", constant(1500)),
        Case("4500 m/s", constant(4500)),
        Case("2500 m/s, 5 Hz", constant(2500), wavelet=5.0, told=5.0, nt=1200),
        Case("4500 m/s, 5 Hz", constant(4500), wavelet=5.0, told=5.0, nt=1200),
        Case("4500 m/s, 30 Hz", constant(4500), wavelet=30.0, told=30.0, nt=800),
        Case("2500 m/s, 7.5 Hz, layer told 15", constant(2500), wavelet=7.5),
        Case("gradient, 7.5 Hz, layer told 15", gradient, wavelet=7.5),
        Case("4000 m/s, 30 Hz, layer told 15", constant(4000), wavelet=30.0, nt=800),
        Case("2500 m/s, source and receivers on row 50", constant(2500), depth=50, columns=(50,)),
        Case("2500 m/s, order 2", constant(2500), order=2),
        Case("2500 m/s, order 8", constant(2500), order=8),
        Case("2500 m/s, 40 x 300 cells", constant(2500, 40, 300), columns=(20,), nt=1600),
        Case("2500 m/s, free top", constant(2500), free=True),
        Case("gradient, free top", gradient, free=True),
    ])  # fmt: skip
    for velocity in (2500.0, 4500.0):
        print(f"\nReflection at an angle, {velocity:g} m/s\n")
        angle_table(velocity, (5.0, 15.0, 25.0), (0, 30, 60, 75, 80, 85))


if __name__ == "__main__":
    main()
