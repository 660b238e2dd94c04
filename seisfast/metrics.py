"""The five metrics of velocity maps: MAE, MSE, SSIM, MSSSIM, and soft F of the interfaces.

The field's conventions disagree: the SSIM of one pair of maps lies between 0.55 and 0.86 by the choice of
window, padding and range alone. So a preset names one convention whole, and numbers of different presets
never share a table.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from seisfast.normalization import check_range
from seisfast.similarity import check_maps, msssim, ssim

__all__ = ["PRESETS", "Preset", "evaluate", "interfaces", "msssim", "soft_f", "soft_f_of_edges", "ssim"]

_CHUNK = 64  # maps worked on at a time in float64


@dataclass(frozen=True)
class Preset:
    """One convention: where errors and SSIM are measured, and how.

    Attributes:
        velocity_range: (low, high) in m/s that the convention maps to [0, 1]; `evaluate` can override it.
        error_unit: Units of MAE and MSE, for the head of a table.
        error_space: "unit" ([0, 1]), "symmetric" ([-1, 1]) or "truth" (see `evaluate`).
        ssim_space: "unit", "truth" or "physical" (m/s).
        ssim: Arguments of `similarity.ssim`.
        msssim: Arguments of `similarity.msssim`, which is always taken on [0, 1] maps.
        source: Where the convention is read from.
    """

    velocity_range: tuple[float, float]
    error_unit: str
    error_space: str
    ssim_space: str
    ssim: Mapping[str, Any]
    source: str
    msssim: Mapping[str, Any] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "seisinv": Preset(
            velocity_range=(1500.0, 4000.0),
            error_unit="[0, 1]",
            error_space="unit",
            ssim_space="unit",
            ssim={"padding": "valid"},
            msssim={"mapped": True, "repeat_last_level": True},
            source="aaspip/geofwi, geofwi/train.py",
        ),
        "openfwi": Preset(
            velocity_range=(1500.0, 4500.0),
            error_unit="[-1, 1]",
            error_space="symmetric",
            ssim_space="unit",
            ssim={"padding": "zero"},
            source="lanl/OpenFWI, test.py and pytorch_ssim.py",
        ),
        "fansmale": Preset(
            velocity_range=(1500.0, 4500.0),
            error_unit="[0, 1] by the truth's own range",
            error_space="truth",
            ssim_space="truth",
            ssim={"padding": "valid", "sigma": None, "data_range": 2.0, "sample_covariance": True},
            source="FanSmale/ddnet, model_test.py; FanSmale/FSS-FWI, metrics.py",
        ),
        "fcnvmb": Preset(
            velocity_range=(1500.0, 4500.0),
            error_unit="[0, 1]",
            error_space="unit",
            ssim_space="physical",
            ssim={"padding": "zero", "data_range": 255.0},
            source="YangFangShu/FCNVMB-Deep-learning-based-seismic-velocity-model-building, func/utils.py",
        ),
    }
)


def evaluate(
    prediction: Tensor | npt.NDArray[Any],
    target: Tensor | npt.NDArray[Any],
    *,
    preset: str = "seisinv",
    velocity_range: tuple[float, float] | None = None,
    edges: bool = True,
) -> dict[str, float]:
    """Compare predicted with true velocities, both in m/s.

    Everything is computed in float64 map by map and averaged over the maps, so a result does not depend on how
    the maps were batched. Nothing is clipped, except where the "fansmale" convention does.

    | preset | MAE, MSE | SSIM |
    |---|---|---|
    | seisinv | [0, 1] maps | Gaussian 11, sigma 1.5, windows inside the map |
    | openfwi | [-1, 1] maps | the same window on [0, 1] maps, zero padding |
    | fansmale | each map scaled **by its truth's** smallest and largest velocity, prediction clipped at 0 | uniform 11, L = 2, sample covariance |
    | fcnvmb | [0, 1] maps (the convention has none) | Gaussian 11 with zero padding on m/s with L = 255 |

    MSSSIM is that of the released code for "seisinv" (mapped terms, last level four times) and the textbook's
    elsewhere; it and soft F are always taken on [0, 1] maps.

    Args:
        prediction: Velocities in m/s, `[maps, 1, nz, nx]`, `[maps, nz, nx]` or `[nz, nx]`, at least 16 x 16 cells.
        target: The true velocities, the same maps.
        preset: "seisinv", "openfwi", "fansmale" or "fcnvmb".
        velocity_range: (low, high) in m/s of the [0, 1] maps; None takes the preset's own.

        edges: Compute soft F, which needs scikit-image.

    Returns:
        mae, mse, ssim, msssim and (with edges) soft_f in the preset's units (`PRESETS[preset].error_unit`), and mae_ms and
        rmse_ms in m/s.

    Raises:
        ImportError: scikit-image, whose Canny detector soft F needs, is not installed.
        ValueError: The preset is unknown, the shapes differ, a value is NaN or infinite, or, for "fansmale", a
            true map is constant.

    Source:
        The repositories named by `PRESETS`.
    """  # noqa: E501
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    convention = PRESETS[preset]
    bounds = convention.velocity_range if velocity_range is None else velocity_range
    bounds = check_range("velocity_range", bounds)
    if edges:
        _import_canny()
    true = _as_maps("target", target)
    predicted = _as_maps("prediction", prediction)
    if predicted.shape != true.shape:
        raise ValueError(
            f"prediction and target must have the same shape, got {list(predicted.shape)} and {list(true.shape)}"
        )
    sums: dict[str, float] = {}
    for p, g in zip(torch.split(predicted, _CHUNK), torch.split(true, _CHUNK), strict=True):
        for name, value in _measure(p.double(), g.double(), convention, bounds, edges).items():
            sums[name] = sums.get(name, 0.0) + value * len(p)
    means = {name: total / len(true) for name, total in sums.items()}
    means["rmse_ms"] = math.sqrt(means.pop("mse_ms"))
    return means


def soft_f(prediction: Tensor, target: Tensor) -> float:
    """Soft F-measure of the interfaces, the mean over maps.

    Predicted interfaces are the Canny edges (scikit-image's defaults) of the [0, 1] map; true ones are the
    cells where the piecewise constant truth changes. A perfect prediction does not score 1: see
    `soft_f_of_edges`.

    Args:
        prediction: Predicted [0, 1] maps `[..., nz, nx]`.
        target: True maps of the same shape.

    Returns:
        The mean F-measure; a map without interfaces, or where none is hit, counts 0.

    Raises:
        ImportError: scikit-image is not installed.
        TypeError: The maps are not floating-point tensors.
        ValueError: The shapes differ or a value is not finite.

    Source:
        aaspip/geofwi, `geofwi/train.py`.
    """
    canny = _import_canny()
    prediction, target = check_maps(prediction, target, ("prediction", "target"))
    for name, maps in (("prediction", prediction), ("target", target)):
        _check_finite(name, maps)
    images = prediction[:, 0].detach().cpu().double().numpy()
    true_edges = interfaces(target[:, 0]).cpu()
    scores = [
        soft_f_of_edges(torch.from_numpy(canny(image)), edges) for image, edges in zip(images, true_edges, strict=True)
    ]
    return sum(scores) / len(scores)


def interfaces(velocity: Tensor, step: float = 0.0) -> Tensor:
    """Cells of maps `[..., nz, nx]` from which the next cell below or to the right differs by more than `step`.

    The last row and column take their neighbour's value, as in the released code, whose maps are piecewise constant and
    whose step is 0; a larger one leaves out velocities that grow with depth within a layer.

    Source:
        aaspip/geofwi, `geofwi/train.py`.
    """
    changes = torch.zeros(velocity.shape, dtype=torch.bool, device=velocity.device)
    changes[..., :-1, :] |= velocity.diff(dim=-2).abs() > step
    changes[..., :-1] |= velocity.diff(dim=-1).abs() > step
    if velocity.shape[-2] > 1:
        changes[..., -1, :] = changes[..., -2, :]
    if velocity.shape[-1] > 1:
        changes[..., -1] = changes[..., -2]
    return changes


def soft_f_of_edges(predicted: Tensor, true: Tensor) -> float:
    """Soft F-measure of two binary edge maps `[nz, nx]`.

    The predicted edges are blurred and scaled to [0, 1]; TP is their sum over true edges, precision TP over
    the number of predicted cells, recall TP over the number of true cells. So a perfect edge map scores about
    0.8, not 1, and precision may exceed 1.

    Source:
        aaspip/geofwi, `geofwi/train.py`, `SoftIOU`.
    """
    edges, truth = predicted.double(), true.bool()
    count, truths = float(edges.sum()), int(truth.sum())
    # The square root of an outer product of integrals of a Gaussian over cells of one standard deviation.
    ends = torch.arange(-3.5, 4.0, dtype=torch.float64)
    weights = torch.special.ndtr(ends).diff().sqrt()
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    padded = F.pad(edges[None, None], (3, 3, 3, 3), mode="replicate")
    blurred = F.conv2d(padded, kernel[None, None])[0, 0]
    low, high = blurred.aminmax()
    if count == 0 or truths == 0 or low == high:
        return 0.0
    hits = float(((blurred - low) / (high - low))[truth].sum())
    # 2 P R / (P + R) with P = hits / count and R = hits / truths.
    return 2 * hits / (count + truths)


def _measure(
    prediction: Tensor, target: Tensor, preset: Preset, bounds: tuple[float, float], edges: bool
) -> dict[str, float]:
    """The metrics of float64 maps `[maps, nz, nx]` in m/s, means over the maps."""
    low, high = bounds
    spaces: dict[str, tuple[Tensor, Tensor]] = {
        "physical": (prediction, target),
        "unit": ((prediction - low) / (high - low), (target - low) / (high - low)),
    }
    spaces["symmetric"] = (2 * spaces["unit"][0] - 1, 2 * spaces["unit"][1] - 1)
    if "truth" in (preset.error_space, preset.ssim_space):
        spaces["truth"] = _scaled_by_truth(prediction, target)
    p, g = spaces[preset.error_space]
    return {
        "mae": float((p - g).abs().mean()),
        "mse": float((p - g).square().mean()),
        "ssim": float(ssim(*spaces[preset.ssim_space], **preset.ssim)),
        "msssim": float(msssim(*spaces["unit"], **preset.msssim)),
        **({"soft_f": soft_f(*spaces["unit"])} if edges else {}),
        "mae_ms": float((prediction - target).abs().mean()),
        "mse_ms": float((prediction - target).square().mean()),
    }


def _scaled_by_truth(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps scaled by the smallest and largest true velocity of each, the prediction at least 0."""
    low, high = target.amin(dim=(1, 2), keepdim=True), target.amax(dim=(1, 2), keepdim=True)
    if bool((low == high).any()):
        raise ValueError('preset "fansmale" scales by the truth\'s range, but a target map is constant')
    return ((prediction - low) / (high - low)).clamp(min=0), (target - low) / (high - low)


def _as_maps(name: str, values: Tensor | npt.NDArray[Any]) -> Tensor:
    """Return `[maps, nz, nx]`; ValueError names what is wrong."""
    maps = torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        found = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
        raise TypeError(f"{name} must be a floating-point tensor or array in m/s, got {found}")
    shape = list(maps.shape)
    if maps.ndim == 2:
        maps = maps[None]
    elif maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.ndim != 3 or maps.numel() == 0:
        raise ValueError(f"{name} must be [maps, 1, nz, nx], [maps, nz, nx] or [nz, nx], got {shape}")
    _check_finite(name, maps)
    return maps.detach()


def _check_finite(name: str, maps: Tensor) -> None:
    finite = torch.isfinite(maps).flatten(1).all(dim=1)
    if not bool(finite.all()):
        first = int((~finite).nonzero()[0, 0])
        raise ValueError(f"{name} must be finite, got NaN or infinite values, first in map {first}")


def edges_available() -> bool:
    """Whether scikit-image, which soft F needs, is installed."""
    return importlib.util.find_spec("skimage") is not None


def _import_canny() -> Callable[..., Any]:
    try:
        from skimage.feature import canny
    except ImportError as error:
        raise ImportError('soft F needs the Canny detector of scikit-image: pip install "seisfast[metrics]"') from error
    return canny
