"""Batch normalisation (contract: kernels/reference/normalise.py).

A task takes a span of columns through all rows, so that they stay in the caches and a sum is one thread's alone: no bit
depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from milk_np.kernels.arrays import Floats

SPAN = 64
"""Columns of a task."""


@njit(parallel=True, cache=True, error_model="numpy")
def batch_norm(
    x: Floats,
    gamma: Floats,
    beta: Floats,
    eps: float,
    mean: Floats,
    var: Floats,
    inverse: Floats,
    unit: Floats,
    out: Floats,
) -> None:
    """Statistics of the rows, then `unit` and `out`."""
    K, kind = x.shape[1], x.dtype.type
    for span in prange((K + SPAN - 1) // SPAN):
        low, high = span * SPAN, min(K, span * SPAN + SPAN)
        _moments(x, mean[low:high], var[low:high], low)
        for k in range(low, high):
            inverse[k] = 1 / np.sqrt(var[k] + kind(eps))
        for r in range(len(x)):
            _scale(
                x[r, low:high], mean[low:high], inverse[low:high], gamma[low:high], beta[low:high],
                unit[r, low:high], out[r, low:high],
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _moments(x: Floats, mean: Floats, var: Floats, low: int) -> None:
    """Means and biased variances of the columns from the `low`-th on."""
    share = x.dtype.type(1 / len(x))
    mean[:] = 0
    var[:] = 0
    for r in range(len(x)):
        _add(mean, x[r, low : low + len(mean)])
    for k in range(len(mean)):
        mean[k] *= share
    for r in range(len(x)):
        _add_squares(var, x[r, low : low + len(mean)], mean)
    for k in range(len(var)):
        var[k] *= share


@njit(cache=True)
def _add(total: Floats, row: Floats) -> None:
    for k in range(len(total)):
        total[k] += row[k]


@njit(cache=True, fastmath={"contract"})
def _add_squares(total: Floats, row: Floats, mean: Floats) -> None:
    for k in range(len(total)):
        total[k] += (row[k] - mean[k]) * (row[k] - mean[k])


@njit(cache=True, fastmath={"contract"})
def _scale(row: Floats, mean: Floats, inverse: Floats, gamma: Floats, beta: Floats, unit: Floats, out: Floats) -> None:
    for k in range(len(row)):
        unit[k] = (row[k] - mean[k]) * inverse[k]
        out[k] = unit[k] * gamma[k] + beta[k]


@njit(parallel=True, cache=True, error_model="numpy")
def batch_norm_backward(
    dout: Floats, unit: Floats, inverse: Floats, gamma: Floats, dx: Floats, dgamma: Floats, dbeta: Floats
) -> None:
    """Sums over the rows, then `dx`."""
    n, K = dout.shape
    for span in prange((K + SPAN - 1) // SPAN):
        low, high = span * SPAN, min(K, span * SPAN + SPAN)
        dgamma[low:high] = 0
        dbeta[low:high] = 0
        for r in range(n):
            _add(dbeta[low:high], dout[r, low:high])
            _add_products(dgamma[low:high], dout[r, low:high], unit[r, low:high])
        for r in range(n):
            _pull(
                dout[r, low:high], unit[r, low:high], inverse[low:high], gamma[low:high],
                dgamma[low:high], dbeta[low:high], dout.dtype.type(1 / n), dx[r, low:high],
            )  # fmt: skip


@njit(cache=True, fastmath={"contract"})
def _add_products(total: Floats, a: Floats, b: Floats) -> None:
    for k in range(len(total)):
        total[k] += a[k] * b[k]


@njit(cache=True, fastmath={"contract"})
def _pull(
    dout: Floats,
    unit: Floats,
    inverse: Floats,
    gamma: Floats,
    dgamma: Floats,
    dbeta: Floats,
    share: float,
    dx: Floats,
) -> None:
    for k in range(len(dx)):
        dx[k] = (dout[k] - share * dbeta[k] - share * dgamma[k] * unit[k]) * (gamma[k] * inverse[k])
