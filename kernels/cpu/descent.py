"""Steps of gradient descent and L2 penalties (contract: kernels/reference/descent.py): one pass, no temporaries."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from milk_np.kernels.arrays import Floats

BLOCK = 4096


def momentum_step(param: Floats, grad: Floats, velocity: Floats, momentum: float, lr: float) -> None:
    """One step on `param` in place."""
    kind = param.dtype.type
    move = _move if param.size <= BLOCK else _momentum  # waking threads takes longer than a small array
    move(param.ravel(), grad.ravel(), velocity.ravel(), kind(momentum), kind(lr))


def add_penalty(param: Floats, grad: Floats, weight: float) -> float:
    """The gradient of the penalty added to `grad`."""
    twice = param.dtype.type(2 * weight)
    if param.size <= BLOCK:
        return float(_add_scaled(param.ravel(), grad.ravel(), twice))
    squares = np.zeros(-(-param.size // BLOCK))
    _penalty(param.ravel(), grad.ravel(), twice, squares)
    return float(squares.sum())


@njit(parallel=True, cache=True)
def _momentum(p: Floats, g: Floats, v: Floats, momentum: float, lr: float) -> None:
    for block in prange((len(p) + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(len(p), block * BLOCK + BLOCK)
        _move(p[low:high], g[low:high], v[low:high], momentum, lr)


@njit(cache=True)
def _move(p: Floats, g: Floats, v: Floats, momentum: float, lr: float) -> None:
    for k in range(len(p)):
        v[k] = momentum * v[k] + g[k]
        p[k] -= lr * v[k]


@njit(parallel=True, cache=True)
def _penalty(p: Floats, g: Floats, weight: float, squares: Floats) -> None:
    for block in prange((len(p) + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(len(p), block * BLOCK + BLOCK)
        squares[block] = _add_scaled(p[low:high], g[low:high], weight)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _add_scaled(p: Floats, g: Floats, weight: float) -> float:
    total = p.dtype.type(0)
    for k in range(len(p)):
        g[k] += weight * p[k]
        total += p[k] * p[k]
    return np.float64(total)
