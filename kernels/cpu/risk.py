"""Risk of the environments (contract: kernels/reference/risk.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

BLOCK = 256  # triplets whose losses are added up by one task; blocks are then added in order


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


@njit(parallel=True, cache=True, error_model="numpy")
def _forward(s: Floats, theta: Floats, slope: Floats, losses: Floats) -> None:
    """Mean of softplus(-y) into `losses`, -sigmoid(-y) / B into `slope` (E, B)."""
    E, M = theta.shape
    B = s.shape[1]
    blocks = (B + BLOCK - 1) // BLOCK
    partial = np.zeros((blocks, E))
    one = s.dtype.type(1)
    for block in prange(blocks):
        for t in range(block * BLOCK, min(B, block * BLOCK + BLOCK)):
            for e in range(E):
                y = theta[e, 0] * s[0, t]
                for m in range(1, M):
                    y += theta[e, m] * s[m, t]
                decay = math.exp(-abs(y))
                partial[block, e] += math.log1p(decay) + max(-y, s.dtype.type(0))
                slope[e, t] = -(decay if y > 0 else one) / (one + decay) / s.dtype.type(B)
    for e in range(E):
        total = 0.0
        for block in range(blocks):
            total += partial[block, e]
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
