"""Draws the accuracy of the scheme for docs/propagator: dispersion in space and in time, measured and predicted.

python docs/figures/accuracy.py              into docs/_static/propagator/, as SVG
python docs/figures/accuracy.py FOLDER png   somewhere else, as PNG
"""

from __future__ import annotations

import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from saving import save

import seisfast as sf
from seisfast.stencil import second_weights
from seisfast.wavelets import BAND

SPEED, PEAK = 2000.0, 10.0  # m/s, Hz
WAVE = SPEED / PEAK  # m, the wavelength of the peak frequency
ORDERS = {2: "#8a8f98", 4: "#d9822b", 6: "#3b8f4a", 8: "#1f5fa8"}
MEASURED = {  # points per shortest wavelength, by distance in wavelengths of the peak frequency
    10: {2: (3, 4, 6, 10, 16, 28), 4: (2.5, 3, 4, 6, 9, 13), 6: (2.5, 3, 4, 6, 9), 8: (2.5, 3, 4, 5, 7)},
    50: {4: (4, 6), 6: (3, 4, 6), 8: (3, 4, 5)},
}
LINES = {10: ("-", None), 50: ("--", "white")}  # of a distance: its line, the face of its dots
INK = "#1d2530"
COURANT = {10: (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5), 50: (0.2, 0.4)}
IN_SUBSTEPS = (0.1, 0.2, 0.3, 0.4, 0.5)


def survey_of(points: float, waves: float, order: int, courant: float) -> tuple[sf.Survey, int]:
    """One trace `waves` wavelengths down a row, on a grid so large that no edge is heard; and its distance in cells."""
    h = WAVE / (BAND * points)
    cells = round(waves * WAVE / h)
    dt = courant * h / SPEED
    beta = (np.pi * PEAK * (dt * torch.arange(round(3 / PEAK / dt)) - 1.5 / PEAK)) ** 2
    pulse = (1 - 2 * beta) * torch.exp(-beta)  # a Ricker wavelet without the steps at its ends
    nt = len(pulse) + math.ceil(cells / courant)
    travelled = courant * nt * (1 + 0.5 * (np.pi * courant / points) ** 2)  # cells, with the lead that the step gives
    beside, across = math.ceil((travelled - cells) / 2), math.ceil(math.sqrt(travelled**2 - cells**2) / 2)
    survey = sf.Survey(
        shape=(2 * across + 1, cells + 2 * beside + 1), spacing=h, dt=dt, nt=nt, sources=[(across, beside)],
        receivers=[(across, beside + cells)], wavelet=torch.nn.functional.pad(pulse, (0, nt - len(pulse))), order=order,
        boundary=sf.CPML(8, frequency=PEAK, vmax=SPEED),
    )  # fmt: skip
    return survey, cells


def run(survey: sf.Survey, substeps: int = 1) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # below 3.5 points
        velocity = torch.full(survey.shape, SPEED, dtype=torch.float64)
        return sf.simulate(velocity, survey, substeps=substeps)[0, :, 0].numpy()


def line_source(survey: sf.Survey, cells: int, wavenumber: np.ndarray) -> np.ndarray:
    """The record of a 2-D Green's function with these wavenumbers at the frequencies of `frequencies`."""
    x = torch.from_numpy(np.maximum(wavenumber * cells * survey.spacing[1], 1e-9))
    green = (-1j * torch.special.bessel_j0(x) - torch.special.bessel_y0(x)).numpy() / 4 * survey.spacing[1] ** 2
    length = 8 * survey.nt
    spectrum = np.fft.rfft(survey.wavelet.numpy(), length) * green
    return np.fft.irfft(spectrum * np.exp(1j * frequencies(survey) * survey.dt), length)[: survey.nt]  # d[n] = u[n+1]


def frequencies(survey: sf.Survey) -> np.ndarray:
    return 2 * np.pi * np.fft.rfftfreq(8 * survey.nt, survey.dt)


def stepped(omega: np.ndarray, dt: float) -> np.ndarray:
    """The frequency whose wavenumber the time step gives to `omega`."""
    return 2 / dt * np.sin(omega * dt / 2)


def on_the_grid(wavenumber: np.ndarray, h: float, order: int) -> np.ndarray:
    """The wavenumber along an axis at which the second difference is that of the exact wavenumber."""
    weights = second_weights(order)
    kh = np.linspace(0, np.pi, 200_001)
    symbol = -weights[0] - 2 * sum(w * np.cos(k * kh) for k, w in enumerate(weights) if k)
    return np.interp((wavenumber * h) ** 2, symbol, kh) / h


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def space_error(points: float, waves: int, order: int, measured: bool) -> float:
    """Of the record, against the exact one seen through the same time step: what is left is the grid's."""
    survey, cells = survey_of(points, waves, order, 0.5)
    exact = stepped(frequencies(survey), survey.dt) / SPEED
    found = run(survey) if measured else line_source(survey, cells, on_the_grid(exact, survey.spacing[1], order))
    return relative(found, line_source(survey, cells, exact))


def time_error(courant: float, waves: int, measured: bool, substeps: int = 1) -> float:
    """Of the record at 4 points, against that in smaller steps: what is left is the time step's."""
    survey, cells = survey_of(4, waves, 8, courant)
    if measured:
        return relative(run(survey, substeps), run(survey, 16 * substeps))
    omega = frequencies(survey)
    return relative(*(line_source(survey, cells, k / SPEED) for k in (stepped(omega, survey.dt), omega)))


def whole_error(points: float, waves: float, order: int, courant: float, substeps: int = 1) -> float:
    """Of the record, against the exact one: the grid's and the time step's together."""
    survey, cells = survey_of(points, waves, order, courant)
    return relative(run(survey, substeps), line_source(survey, cells, frequencies(survey) / SPEED))


def needed(waves: int, order: int, bound: float) -> float:
    """Points per shortest wavelength for this error of the record, predicted."""
    low, high = 2.0, 150.0
    while high / low > 1.005:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if space_error(middle, waves, order, False) > bound else (low, middle)
    return high


def accuracy() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.4), width_ratios=(3, 2), layout="constrained")
    axis = np.geomspace(2.4, 40, 60)
    for waves, (line, face) in LINES.items():
        for order, colour in ORDERS.items():
            left.loglog(axis, [space_error(g, waves, order, False) for g in axis], line, color=colour, linewidth=1)
            points = MEASURED[waves].get(order, ())
            errors = [space_error(g, waves, order, True) for g in points]
            left.loglog(points, errors, "o", color=colour, markersize=4.5, markerfacecolor=face or colour)
            found = (f"{g:g}: {e:.2e}" for g, e in zip(points, errors, strict=True))
            bounds = (f"{needed(waves, order, bound):.3g}" for bound in (0.1, 1e-2))
            print(f"{waves} wavelengths, order {order}:", *found, "; points for 10 %, 1 %:", *bounds)
        numbers = COURANT[waves]
        errors = [time_error(c, waves, True) for c in numbers]
        predicted = [time_error(c, waves, False) for c in COURANT[10]]
        right.loglog(COURANT[10], predicted, line, color=INK, linewidth=1)
        right.loglog(numbers, errors, "o", color=INK, markersize=4.5, markerfacecolor=face or INK)
        found = (f"{c:g}: {e:.2e}" for c, e in zip(numbers, errors, strict=True))
        print(f"{waves} wavelengths, Courant number:", *found, "; predicted:", *(f"{e:.2e}" for e in predicted))
    errors = [time_error(c, 10, True, 4) for c in IN_SUBSTEPS]
    right.loglog(IN_SUBSTEPS, errors, "s", color="#c8553d", markersize=4.5)

    both = {c: whole_error(4, 10, 4, c) for c in (0.1, 0.35, 0.5)}
    presets = {1500 * k: whole_error(4 * k, 10 / k, 4, 0.15 * k) for k in (1, 2, 3)}
    print("order 4, 4 points, 10 wavelengths, the whole error by Courant number:", both)
    print("10 m, 1 ms, 15 Hz, after 1 km, by velocity:", presets)
    print("   at 1500 m/s with order 8 and 4 substeps:", whole_error(4, 10, 8, 0.15, 4))

    for order, where in {2: (11, 0.3), 4: (9.4, 1.05e-2), 6: (9.3, 4.4e-4), 8: (3.62, 2.2e-3)}.items():
        left.annotate(f"order {order}", where, color=ORDERS[order], fontsize=9)
    left.axvline(3.5, color="#c9ced6", linewidth=0.8, zorder=0)
    left.annotate("below: a warning", (3.4, 1.5e-4), rotation=90, fontsize=8, color="#5b6673", ha="right")
    left.set(xlabel="points per shortest wavelength (2.5 peak frequencies)", ylabel="relative L2 error of a trace",
             title="The grid alone", ylim=(1e-4, 6), xlim=(2.4, 40))  # fmt: skip
    left.set_xticks([2.5, 3, 4, 6, 8, 10, 15, 20, 30, 40], ["2.5", *map(str, (3, 4, 6, 8, 10, 15, 20, 30, 40))])
    right.set(xlabel="Courant number, v dt / dx, at 4 points", title="The time step alone", ylim=(1e-4, 6))
    right.set_xticks(COURANT[10], list(map(str, COURANT[10])))
    for axes in (left, right):
        axes.minorticks_off()
        axes.axhline(1e-2, color=INK, linewidth=0.8, zorder=0)
        axes.grid(which="major", color="#e9ebee", zorder=-1)
    shown = [
        Line2D([], [], color=INK, linestyle=line, marker="o", markersize=4.5, markerfacecolor=face or INK, linewidth=1)
        for line, face in LINES.values()
    ]
    names = [f"after {waves} wavelengths of the peak frequency" for waves in LINES]
    left.legend(shown, names, frameon=False, fontsize=8.5, loc="upper right")
    four = Line2D([], [], color="#c8553d", marker="s", markersize=4.5, linestyle="")
    right.legend([four], ["after 10, substeps=4"], frameon=False, fontsize=8.5, loc="lower right")
    return figure


if __name__ == "__main__":
    save({"accuracy": accuracy}, "propagator")
