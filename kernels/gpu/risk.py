"""Risk of the environments (contract: kernels/reference/risk.py): two launches.

All losses have to be known before any gradient, so there is no way to do it in one.
"""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import kernel, real, zeros
from milk_np.kernels.gpu.memory import empty

THREADS = 256
MOST_BLOCKS = 256
"""Blocks for one environment; beyond that a thread takes several triplets."""


def risk(s: Array, theta: Array, base: float, invariance: float, losses: Array, ds: Array) -> None:
    """Losses of the environments into `losses` (E), the risk's gradient into `ds` (M, B)."""
    (E, M), B = theta.shape, s.shape[1]
    slope, weight = empty((E, B), s.dtype), empty(E, s.dtype)
    blocks = -(-B // THREADS)
    grid = min(blocks, MOST_BLOCKS)
    part, ticket = empty((E, grid), np.float64), zeros("risk", 1)
    sizes = tuple(map(np.int32, (B, M, E)))
    name, weights = real(s.dtype), (np.float64(base), np.float64(invariance))
    forward = kernel("risk", "risk_forward", REAL=name)
    forward.blocks((grid, E), THREADS, s, theta, *weights, *sizes, slope, part, ticket, losses, weight)
    kernel("risk", "risk_backward", REAL=name).blocks((blocks, M), THREADS, theta, weight, slope, *sizes, ds)
