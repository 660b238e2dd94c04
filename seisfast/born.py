"""Born modelling: the derivative of the records by the velocity as a linear operator, and its transpose."""

from __future__ import annotations

import torch
from torch import Tensor

from seisfast.ops.derivatives import born
from seisfast.propagator import prepare, simulate
from seisfast.storage import Storage
from seisfast.survey import Survey


class Born:
    """The derivative of `simulate` at one velocity: a linear map from its changes to changes of the records.

    It is exact to rounding, for the discrete scheme with its layers; the transpose is that of the same matrix. Single
    scattering, in other words: `born(perturbation)` are the records of a medium whose velocity differs by an
    infinitesimal multiple of the perturbation, to first order. `born.transpose` is reverse-time migration.

    Args:
        velocity: m/s, `[nz, nx]` or `[models, nz, nx]`, as `simulate` takes it.
        survey: the acquisition.
        storage: what to keep between calls for the transpose, default `Storage()`.
        engine: as in `simulate`.
        substeps: as in `simulate`.

    Raises:
        TypeError, ValueError, MemoryError: as `simulate`.

    Source: docs/propagator; the name after the first term of Born's series in the perturbation.
    """

    def __init__(
        self, velocity: Tensor, survey: Survey, *, storage: Storage | None = None, engine: str = "auto",
        substeps: int | str = 1,
    ) -> None:  # fmt: skip
        prepare(velocity, survey, storage, engine, substeps)
        self.velocity, self.survey = velocity.detach(), survey
        self._storage, self._engine, self._substeps = storage, engine, substeps
        self._leaf: Tensor | None = None
        self._records: Tensor | None = None

    def __call__(self, perturbation: Tensor) -> Tensor:
        """Change of the records; differentiable by the perturbation.

        Args:
            perturbation: m/s, like the velocity.

        Returns:
            `[shots, time, receivers]` or `[models, shots, time, receivers]`.

        Raises:
            TypeError: a perturbation that is not a tensor.
            ValueError: one of another shape, dtype or device than the velocity.
        """
        _check_like("perturbation", perturbation, self.velocity)
        run = prepare(self.velocity, self.survey, self._storage, self._engine, self._substeps)
        batch, wavelet, *rest = run.inputs
        change = perturbation.to(batch.dtype).reshape(batch.shape)
        wavelet = wavelet.detach()
        return run.records(born(batch, change, wavelet, torch.zeros_like(wavelet), *rest, run.scheme, run.survey))

    def transpose(self, data: Tensor) -> Tensor:
        """Change of the velocity that correlates with a change of the records. The first call runs the survey once.

        Args:
            data: like the records, `[shots, time, receivers]` or `[models, shots, time, receivers]`.

        Returns:
            Like the velocity.

        Raises:
            TypeError: data that are not a tensor.
            ValueError: of another shape, dtype or device than the records.
        """
        if self._records is None or self._leaf is None:
            with torch.enable_grad():
                self._leaf = self.velocity.clone().requires_grad_()
                self._records = simulate(
                    self._leaf, self.survey, storage=self._storage, engine=self._engine, substeps=self._substeps
                )
        _check_like("data", data, self._records)
        (image,) = torch.autograd.grad(self._records, self._leaf, data, retain_graph=True)
        return image


def _check_like(name: str, given: Tensor, expected: Tensor) -> None:
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(given).__name__}")
    if given.shape != expected.shape:
        raise ValueError(f"{name} must have the shape {list(expected.shape)}, got {list(given.shape)}")
    for what in ("dtype", "device"):
        if getattr(given, what) != getattr(expected, what):
            raise ValueError(f"{name} must have the {what} {getattr(expected, what)}, got {getattr(given, what)}")
