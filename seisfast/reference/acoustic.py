"""The acoustic operator in plain torch: the whole scheme on one page, differentiable any number of times, slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from seisfast.boundaries import Sponge
from seisfast.positions import gather, spread
from seisfast.resampling import downsampled, inner_step
from seisfast.stencil import first_weights, second_weights

if TYPE_CHECKING:
    from seisfast.snapshots import Every
    from seisfast.storage import Storage
    from seisfast.survey import Survey


def simulate(
    velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto", substeps: int | str = 1,
    snapshots: Every[Any] | None = None,
) -> Any:  # noqa: ANN401 - a tensor, or two  # fmt: skip
    """Records of a survey over velocity models: the twin of `seisfast.simulate`, without its checks.

    Args:
        velocity: `[nz, nx]` or `[models, nz, nx]`, m/s.
        survey: the acquisition.
        storage: ignored; autograd keeps everything.
        engine: ignored.
        substeps: steps per sample, or "auto".
        snapshots: samples whose wavefields are returned as well, or shown to a callback.

    Returns:
        `[shots, time, receivers]` or `[models, shots, time, receivers]`, in the dtype of the velocity; with `snapshots`
        that have no callback a pair, the second `[shots, snapshots, nz, nx]` or `[models, shots, snapshots, nz, nx]`.
    """
    del storage, engine
    batched = velocity if velocity.dim() == 3 else velocity[None]
    batched = batched.to(torch.promote_types(velocity.dtype, torch.float32))
    steps = survey.substeps(float(batched.max()), float(batched.min())) if isinstance(substeps, str) else substeps
    fine = survey.refined(steps)
    like = ((batched.shape[1], batched.shape[2]), batched.device, batched.dtype)
    sources, strengths = fine.cells("sources", *like)
    receivers, weights = fine.cells("receivers", *like)
    wavelet = expand_wavelet(fine, batched, strengths)

    def given(result: Tensor) -> Tensor:
        return (result if velocity.dim() == 3 else result[0]).to(velocity.dtype)

    data = propagate(batched, wavelet, fine, sources, receivers)
    data = data if weights is None else gather(data, weights)
    data = data if steps == 1 else downsampled(data, steps)
    if snapshots is None:
        return given(data)
    nz, nx = batched.shape[1:]  # a receiver on every cell
    every = torch.cartesian_prod(torch.arange(nz), torch.arange(nx)).to(sources)[None]
    shown = propagate(batched, wavelet, fine, sources, every)
    shown = shown[:, :, inner_step(0, steps) :: steps * snapshots.samples]
    shown = shown[:, :, : snapshots.count(survey.nt)].unflatten(-1, (nz, nx)).detach()
    if snapshots.callback is None:
        return given(data), given(shown)
    for model, shots in enumerate(shown):
        for shot, fields in enumerate(shots):
            snapshots.callback(model, shot, fields.to(velocity.dtype))
    return given(data)


def expand_wavelet(survey: Survey, velocity: Tensor, weights: Tensor | None = None) -> Tensor:
    """The wavelet as `[models, shots, per_shot, time]` in the dtype and on the device of the velocity.

    With the weights of sources between cells, `[shots, per_shot, cells]`, it is that of their cells.
    """
    w = survey.array("wavelet", velocity.device, velocity.dtype)
    if w.dim() == 2:
        w = w[:, None]
    if weights is not None:
        w = spread(w.expand(*w.shape[:-3], *survey.sources.shape[:2], survey.nt), weights)
    return w.expand(velocity.shape[0], survey.shots, -1 if weights is not None else survey.sources.shape[1], survey.nt)


def propagate(velocity: Tensor, wavelet: Tensor, survey: Survey, sources: Tensor, receivers: Tensor) -> Tensor:
    """The scheme of design section 3, all shots of all models at once on fields `[models, shots, nz_p, nx_p]`.

    Args:
        velocity: `[models, nz, nx]`, m/s.
        wavelet: `[models, shots, per_shot, time]`.
        survey: everything else.
        sources: int cells (iz, ix), `[shots, per_shot, 2]`.
        receivers: int cells, `[shots or 1, receivers, 2]`.

    Returns:
        `[models, shots, time, receivers]`.
    """
    models, nz, nx = velocity.shape
    top, _, left, _ = survey.padding
    nz_p, nx_p = survey.padded_shape((nz, nx))
    like: Any = {"dtype": velocity.dtype, "device": velocity.device}
    iz = (torch.arange(nz_p, device=velocity.device) - top).clamp(0, nz - 1)
    ix = (torch.arange(nx_p, device=velocity.device) - left).clamp(0, nx - 1)
    w = ((velocity * survey.dt) ** 2)[:, iz][:, :, ix][:, None]  # (v dt)^2 on the padded grid
    sponge = survey.boundary if isinstance(survey.boundary, Sponge) else None
    profile = survey.profile((nz, nx), velocity.dtype, velocity.device)
    if sponge is not None:
        profile_z, profile_x = profile.split([nz_p, nx_p])
        column = torch.arange(nx_p, device=velocity.device)
        beside = (column < left) | (column >= left + nx)  # the side frames win in the corners
        base = torch.where(beside, profile_x, profile_z[:, None])
        slowest = velocity.amin((1, 2), keepdim=True)
        damping = base * (slowest if sponge.vmin_gradient else slowest.detach())[:, None]
    else:
        a_z, b_z, a_x, b_x = profile.split([nz_p, nz_p, nx_p, nx_p])
        a_z, b_z = a_z[:, None], b_z[:, None]
    grid = _Grid(survey, periodic=sponge is not None)

    shots, per_shot = sources.shape[:2]
    shot_of_source = torch.arange(shots, device=velocity.device)[:, None].expand(shots, per_shot)
    src, rec = sources.long(), receivers.long().expand(shots, -1, -1)
    shot_of_receiver = torch.arange(shots, device=velocity.device)[:, None].expand(rec.shape[:2])
    src_cell = (src[..., 0] + top) * nx_p + src[..., 1] + left
    strength = w.expand(models, 1, nz_p, nx_p)[:, 0, src[..., 0] + top, src[..., 1] + left]
    flat_index = shot_of_source * (nz_p * nx_p) + src_cell
    alive = torch.ones(nz_p, 1, **like)
    if survey.free_surface:
        alive[0] = 0.0

    zero = torch.zeros(models, shots, nz_p, nx_p, **like)
    u, previous = zero, zero
    psi_z, psi_x, zeta_z, zeta_x = zero, zero, zero, zero
    samples = []
    for n in range(survey.nt):
        d2z, d2x = grid.second(u, -2), grid.second(u, -1)
        if sponge is not None:
            following = 2 * u - previous - damping * (u - previous) + w * (d2z + d2x)
        else:
            psi_z = b_z * psi_z + a_z * grid.first(u, -2)
            psi_x = b_x * psi_x + a_x * grid.first(u, -1)
            curved_z = d2z + grid.first(psi_z, -2)
            curved_x = d2x + grid.first(psi_x, -1)
            zeta_z = b_z * zeta_z + a_z * curved_z
            zeta_x = b_x * zeta_x + a_x * curved_x
            following = alive * (2 * u - previous + w * (curved_z + zeta_z + curved_x + zeta_x))
        pulse = (strength * wavelet[..., n]).reshape(models, -1)
        injected = torch.zeros(models, shots * nz_p * nx_p, **like)
        injected = injected.index_add(1, flat_index.reshape(-1), pulse)
        following = following + injected.view(models, shots, nz_p, nx_p)
        samples.append(following[:, shot_of_receiver, rec[..., 0] + top, rec[..., 1] + left])
        u, previous = following, u
    return torch.stack(samples, 2)


class _Grid:
    """Differences along an axis with what lies beyond the edge: zero, the periodic image, or the odd mirror."""

    def __init__(self, survey: Survey, *, periodic: bool) -> None:
        self.reach = survey.order // 2
        self.spacing = {-2: survey.spacing[0], -1: survey.spacing[1]}
        self.weights = first_weights(survey.order), second_weights(survey.order)
        self.periodic = periodic
        self.mirror = survey.free_surface

    def _extended(self, u: Tensor, axis: int, mirror: bool) -> Tensor:
        r = self.reach
        sides = (r, r) if axis == -1 else (0, 0, r, r)
        if self.periodic:
            return pad(u.flatten(0, 1), (sides if axis == -2 else (r, r, 0, 0)), mode="circular").view(
                *u.shape[:2], *(s + 2 * r * (axis == a) for s, a in zip(u.shape[2:], (-2, -1), strict=True))
            )
        extended = pad(u, sides)
        if mirror and axis == -2:
            above = -u[..., 1 : r + 1, :].flip(-2)
            extended = torch.cat([above, extended[..., r:, :]], -2)
        return extended

    def first(self, u: Tensor, axis: int) -> Tensor:
        extended, n, r = self._extended(u, axis, False), u.shape[axis], self.reach
        terms = (
            weight * (extended.narrow(axis, r + k, n) - extended.narrow(axis, r - k, n))
            for k, weight in enumerate(self.weights[0])
            if k
        )
        return sum(terms, torch.zeros((), dtype=u.dtype, device=u.device)) / self.spacing[axis]

    def second(self, u: Tensor, axis: int) -> Tensor:
        extended, n, r = self._extended(u, axis, self.mirror), u.shape[axis], self.reach
        terms = (
            weight * (extended.narrow(axis, r + k, n) + extended.narrow(axis, r - k, n))
            for k, weight in enumerate(self.weights[1])
            if k
        )
        return sum(terms, self.weights[1][0] * u) / self.spacing[axis] ** 2
