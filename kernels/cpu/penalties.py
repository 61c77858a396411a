"""Alignment of the modalities and the regulariser (contract: kernels/reference/penalties.py).

One thread: they take a hundredth of a step, and parallel code takes Numba a second longer to compile.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.grouping import Groups

SUMS = {"reassoc", "contract", "nsz"}
"""Sums may be taken in vectors: a row's in its own type, that of the rows in float64."""


@njit(cache=True)
def _mine(rows: Ints, owned: NDArray[np.bool_], slot: Ints) -> NDArray[np.bool_]:
    """(n, M) which modalities each row has; none if it is no triplet's positive."""
    n, M = len(rows), owned.shape[1]
    mine = np.zeros((n, M), np.bool_)
    for t in range(len(slot) // 2):
        for m in range(M):
            mine[slot[t], m] = owned[rows[slot[t]], m]
    return mine


@njit(cache=True)
def _pair_scales(mine: NDArray[np.bool_], K: int) -> Floats:
    """(M, M) one over the number of elements that each pair of modalities compares; 0 where there are none."""
    n, M = mine.shape
    count = np.zeros((M, M))
    for r in range(n):
        for a in range(M):
            for b in range(a + 1, M):
                if mine[r, a] and mine[r, b]:
                    count[a, b] += 1
    for a in range(M):
        for b in range(M):
            count[a, b] = 1 / (count[a, b] * K) if count[a, b] else 0.0
    return count


@njit(cache=True, fastmath=SUMS)
def alignment(
    c: Floats, rows: Ints, owned: NDArray[np.bool_], slot: Ints, weight: float, dc: Floats, term: Floats
) -> None:
    """Mean squared difference between available modalities into `term`; adds its weighted gradient to `dc`."""
    M, n, K = c.shape
    mine = _mine(rows, owned, slot)
    scales = _pair_scales(mine, K)
    term[0] = 0
    for r in range(n):
        for a in range(M):
            for b in range(a + 1, M):
                if mine[r, a] and mine[r, b]:
                    step = c.dtype.type(2 * weight * scales[a, b])
                    total = c.dtype.type(0)
                    for k in range(K):
                        difference = c[a, r, k] - c[b, r, k]
                        total += difference * difference
                        dc[a, r, k] += step * difference
                        dc[b, r, k] -= step * difference
                    term[0] += total * scales[a, b]


def regulariser(
    P: Floats,
    c: Floats,
    by_user: Groups,
    by_item: Groups,
    weight: float,
    dP: Floats,
    dc: Floats,
    term: Floats,
) -> None:
    """Mean of |p_u|^2 + |z_i|^2 + |z_j|^2 into `term`, its weighted gradient onto `dP` and `dc`."""
    B = len(by_user.slot)
    total = _regularise_users(P, by_user.unique, by_user.start, 2 * weight / B, dP)
    total += _regularise_items(c, by_item.start, 2 * weight / (B * len(c)), dc)
    term[0] = total / B


@njit(cache=True, fastmath=SUMS)
def _regularise_users(P: Floats, users: Ints, start: Ints, step: float, dP: Floats) -> float:
    sum_of_squares = 0.0
    for s in range(len(users)):
        p = P[users[s]]
        count = start[s + 1] - start[s]
        factor = P.dtype.type(step * count)
        total = P.dtype.type(0)
        for k in range(len(p)):
            total += p[k] * p[k]
            dP[s, k] += factor * p[k]
        sum_of_squares += count * total
    return sum_of_squares


@njit(cache=True, fastmath=SUMS)
def _regularise_items(c: Floats, start: Ints, step: float, dc: Floats) -> float:
    M, n, K = c.shape
    sum_of_squares = 0.0
    share = c.dtype.type(1 / M)
    z = np.empty(K, c.dtype)
    for r in range(n):
        count = start[r + 1] - start[r]
        factor = c.dtype.type(step * count)
        for m in range(M):
            row = c[m, r]
            for k in range(K):
                z[k] = row[k] if m == 0 else z[k] + row[k]
        total = c.dtype.type(0)
        for k in range(K):
            z[k] *= share
            total += z[k] * z[k]
        for m in range(M):
            row = dc[m, r]
            for k in range(K):
                row[k] += factor * z[k]
        sum_of_squares += count * total
    return sum_of_squares
