"""Risk of the environments (contract: kernels/reference/risk.py).

One thread: it takes a hundredth of a step, and parallel code takes Numba a second longer to compile.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from milk_np.kernels.arrays import Floats


def risk(s: Floats, theta: Floats, base: float, invariance: float, losses: Floats, ds: Floats) -> None:
    """Losses of the environments into `losses` (E), the risk's gradient into `ds` (M, B)."""
    slope = np.empty((len(theta), s.shape[1]), s.dtype)
    _forward(s, theta, slope, losses)
    _backward(theta, slope, _weights(losses, base, invariance).astype(s.dtype), ds)


def _weights(losses: Floats, base: float, invariance: float) -> Floats:
    """w_e, the derivative of the risk by each environment's loss."""
    E = len(losses)
    weights = np.full(E, base)
    if E > 1:
        weights += 2 * invariance / (E - 1) * (losses - losses.mean())
    return weights


@njit(cache=True, error_model="numpy")
def _forward(s: Floats, theta: Floats, slope: Floats, losses: Floats) -> None:
    """Mean of softplus(-y) into `losses`, -sigmoid(-y) / B into `slope` (E, B)."""
    E, M = theta.shape
    B = s.shape[1]
    zero, one = s.dtype.type(0), s.dtype.type(1)
    for e in range(E):
        total = 0.0
        for t in range(B):
            y = theta[e, 0] * s[0, t]
            for m in range(1, M):
                y += theta[e, m] * s[m, t]
            decay = math.exp(-abs(y))
            total += math.log1p(decay) + max(-y, zero)
            slope[e, t] = -(decay if y > 0 else one) / (one + decay) / s.dtype.type(B)
        losses[e] = total / B


@njit(cache=True)
def _backward(theta: Floats, slope: Floats, weights: Floats, ds: Floats) -> None:
    E, M = theta.shape
    for m in range(M):
        row = ds[m]
        row[:] = 0
        for e in range(E):
            factor, other = theta[e, m] * weights[e], slope[e]
            for t in range(len(row)):
                row[t] += factor * other[t]
