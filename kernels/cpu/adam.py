"""Adam, for whole arrays and by rows (contract: kernels/reference/adam.py): one pass, no temporaries."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.prefetch import prefetch_row
from milk_np.kernels.reference.adam import BETA1, BETA2, EPSILON, rates

BLOCK = 4096
AHEAD = 4  # rows by which a scattered row is fetched before it is used


def adam(param: Floats, grad: Floats, first: Floats, second: Floats, lr: float, step: int) -> None:
    """One step on `param` in place."""
    kind = param.dtype.type
    size, epsilon = rates(lr, step)
    move = _update if param.size <= BLOCK else _adam  # waking threads takes longer than a small array
    move(param.ravel(), grad.ravel(), first.ravel(), second.ravel(), kind(size), kind(epsilon))


def adam_rows(
    table: Floats, grad: Floats, first: Floats, second: Floats, seen: Ints, rows: Ints, lr: float, step: int
) -> None:
    """Step number `step` on the distinct rows `rows` of `table`."""
    kind = table.dtype.type
    size, epsilon = rates(lr, step)
    _adam_rows(table, grad, first, second, seen, rows, kind(size), kind(epsilon), step)


@njit(cache=True, error_model="numpy")
def _update(p: Floats, g: Floats, m: Floats, v: Floats, size: float, epsilon: float) -> None:
    kind = p.dtype.type
    b1, a1 = kind(BETA1), kind(1 - BETA1)
    b2, a2 = kind(BETA2), kind(1 - BETA2)
    for k in range(len(p)):  # from 0 on: with any other start Numba allows for negative indices, and no vectors come
        m[k] = b1 * m[k] + a1 * g[k]
        v[k] = b2 * v[k] + a2 * g[k] * g[k]
        p[k] -= size * m[k] / (np.sqrt(v[k]) + epsilon)


@njit(parallel=True, cache=True, error_model="numpy")
def _adam(p: Floats, g: Floats, m: Floats, v: Floats, size: float, epsilon: float) -> None:
    for block in prange((len(p) + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min(len(p), block * BLOCK + BLOCK)
        _update(p[low:high], g[low:high], m[low:high], v[low:high], size, epsilon)


@njit(parallel=True, cache=True, error_model="numpy")
def _adam_rows(
    table: Floats,
    grad: Floats,
    first: Floats,
    second: Floats,
    seen: Ints,
    rows: Ints,
    size: float,
    epsilon: float,
    step: int,
) -> None:
    for s in prange(len(rows)):
        _ask_for(rows[min(s + AHEAD, len(rows) - 1)], table, first, second)
        row = rows[s]
        _update(table[row], grad[s], first[row], second[row], size, epsilon)
        seen[row] = step


@njit(parallel=True, cache=True, error_model="numpy")
def adam_catch_up(table: Floats, first: Floats, second: Floats, seen: Ints, rows: Ints, lr: float, step: int) -> None:
    """Bring the distinct rows `rows` of `table` to where dense Adam has them after `step` steps."""
    for s in prange(len(rows)):
        _ask_for(rows[min(s + AHEAD, len(rows) - 1)], table, first, second)
        row = rows[s]
        _idle(table[row], first[row], second[row], seen[row] + 1, step, lr)
        seen[row] = max(np.int64(seen[row]), np.int64(step))


@njit(cache=True)
def _ask_for(row: int, table: Floats, first: Floats, second: Floats) -> None:
    """Have a row and its moments fetched."""
    prefetch_row(table, row)
    prefetch_row(first, row)
    prefetch_row(second, row)


@njit(cache=True, error_model="numpy")
def _idle(p: Floats, m: Floats, v: Floats, start: int, stop: int, lr: float) -> None:
    """Steps `start` to `stop` of a row without a gradient; from the first one that moves nothing, of m and v alone."""
    kind = p.dtype.type
    b1, b2 = kind(BETA1), kind(BETA2)
    for t in range(start, stop + 1):
        root = np.sqrt(1 - BETA2**t)
        size, epsilon = kind(lr * root / (1 - BETA1**t)), kind(EPSILON * root)
        moved = 0
        for k in range(len(p)):
            m[k] *= b1
            v[k] *= b2
            new = p[k] - size * m[k] / (np.sqrt(v[k]) + epsilon)
            moved += new != p[k]
            p[k] = new
        if not moved:
            rest1, rest2 = kind(BETA1 ** (stop - t)), kind(BETA2 ** (stop - t))
            for k in range(len(p)):
                m[k] *= rest1
                v[k] *= rest2
            break
