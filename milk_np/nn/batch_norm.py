"""Batch normalisation (Ioffe and Szegedy 2015), its backward pass through the statistics of the batch included.

Momentum is the weight of the new batch, as in PyTorch: running = (1 - momentum) running + momentum batch. TensorFlow's
decay is 1 - momentum. Rows are normalised by the biased variance; the running variance takes the unbiased one
(PyTorch) unless `unbiased` is off (TensorFlow 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from milk_np.errors import SettingsError
from milk_np.nn.arrays import Array, array_module, compiled, host_kernels


@dataclass(frozen=True)
class RunningStats:
    """What evaluation normalises by: `mean` (K) and `var` (K), moved in place by every forward pass in training."""

    mean: Array
    var: Array
    momentum: float = 0.1
    eps: float = 1e-5
    unbiased: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise SettingsError(f"momentum of a batch norm is {self.momentum}; it must be from 0 to 1 (1 - decay)")
        if not self.eps > 0:
            raise SettingsError(f"eps of a batch norm is {self.eps}; it must be above 0")

    @classmethod
    def start(cls, K: int, dtype: DTypeLike = np.float32, xp: Any = np, **options: Any) -> RunningStats:
        """Mean 0 and variance 1."""
        return cls(xp.zeros(K, dtype), xp.ones(K, dtype), **options)

    def move(self, mean: Array, var: Array, n: int) -> None:
        """Take in the mean and biased variance of n rows; a single row has no unbiased variance: its biased one, 0."""
        var = var * (n / max(1, n - 1)) if self.unbiased else var
        for running, new in ((self.mean, mean), (self.var, var)):
            running *= 1 - self.momentum
            running += self.momentum * new


def batch_norm_forward(
    x: Array, gamma: Array | None, beta: Array | None, running: RunningStats, *, train: bool
) -> tuple[Array, Any]:
    """out (n, K) = gamma (x - mean) / sqrt(var + eps) + beta; no scale, or no shift, where it is None.

    In training mean and variance are those of the n rows, elsewhere the running ones. No rows: nothing moves.
    """
    if train and len(x) and compiled(x):
        return _compiled(x, gamma, beta, running)
    if train and len(x):
        mean = x.mean(axis=0)
        centred = x - mean
        var = (centred * centred).mean(axis=0)
        running.move(mean, var, len(x))
    else:
        centred, var = x - running.mean, running.var
    inverse = 1 / array_module(x).sqrt(var + running.eps)
    unit = centred * inverse
    out = unit if gamma is None else unit * gamma
    return out if beta is None else out + beta, (unit, inverse, gamma, beta is not None, train)


def batch_norm_backward(dout: Array, cache: Any) -> tuple[Array, Array | None, Array | None]:
    """dx (n, K), dgamma (K), dbeta (K); None for a scale or shift that isn't there."""
    unit, inverse, gamma, shifted, train = cache
    if train and len(dout) and compiled(dout, unit):
        return _compiled_back(dout, unit, inverse, gamma, shifted)
    dgamma = None if gamma is None else (dout * unit).sum(axis=0)
    dbeta = dout.sum(axis=0) if shifted else None
    dunit = dout if gamma is None else dout * gamma
    if train and len(dout):
        along = (dunit * unit).mean(axis=0)
        dunit = dunit - dunit.mean(axis=0) - unit * along
    return dunit * inverse, dgamma, dbeta


def _compiled(x: Array, gamma: Array | None, beta: Array | None, running: RunningStats) -> tuple[Array, Any]:
    """The same in one go."""
    K = x.shape[1]
    mean, var, inverse = (np.empty(K, x.dtype) for _ in range(3))
    unit, out = np.empty_like(x, order="C"), np.empty_like(x, order="C")
    scale = np.ones(K, x.dtype) if gamma is None else gamma
    shift = np.zeros(K, x.dtype) if beta is None else beta
    given = (np.ascontiguousarray(array) for array in (x, scale, shift))
    host_kernels().batch_norm(*given, running.eps, mean, var, inverse, unit, out)
    running.move(mean, var, len(x))
    return out, (unit, inverse, gamma, beta is not None, True)


def _compiled_back(
    dout: Array, unit: Array, inverse: Array, gamma: Array | None, shifted: bool
) -> tuple[Array, Array | None, Array | None]:
    scale = np.ones(len(inverse), unit.dtype) if gamma is None else gamma
    dx, dgamma, dbeta = np.empty_like(unit), np.empty_like(inverse), np.empty_like(inverse)
    dout, scale = np.ascontiguousarray(dout), np.ascontiguousarray(scale)
    host_kernels().batch_norm_backward(dout, unit, inverse, scale, dx, dgamma, dbeta)
    return dx, None if gamma is None else dgamma, dbeta if shifted else None
