"""Margins of the triplets and their backward pass (contract: kernels/reference/margins.py).

Sums over equal ids go through the groups of a batch: one thread adds up a row, in the order of the triplets.
"""

from __future__ import annotations

from numba import njit, prange

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.grouping import Groups


@njit(parallel=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def margins(P: Floats, c: Floats, users: Ints, slot: Ints, out: Floats) -> None:
    """`out` (M, B): p_u . (c^m_i - c^m_j) of every triplet and modality."""
    M, B = out.shape
    K = P.shape[1]
    for t in prange(B):
        p = P[users[t]]
        for m in range(M):
            better, worse = c[m, slot[t]], c[m, slot[B + t]]
            total = P.dtype.type(0)
            for k in range(K):
                total += p[k] * (better[k] - worse[k])
            out[m, t] = total


def margins_backward_users(c: Floats, slot: Ints, ds: Floats, by_user: Groups, out: Floats) -> None:
    """`out` (n_u, K): gradient of the rows of P."""
    _backward_users(c, slot, ds, by_user.start, by_user.order, out)


def margins_backward_items(P: Floats, users: Ints, ds: Floats, by_item: Groups, out: Floats) -> None:
    """`out` (M, n, K): gradient of `c`."""
    _backward_items(P, users, ds, by_item.start, by_item.order, out)


@njit(parallel=True, cache=True, fastmath={"contract"})
def _backward_users(c: Floats, slot: Ints, ds: Floats, start: Ints, order: Ints, out: Floats) -> None:
    M, B = ds.shape
    for s in prange(out.shape[0]):
        row = out[s]
        for k in range(len(row)):
            row[k] = 0
        for position in range(start[s], start[s + 1]):
            t = order[position]
            for m in range(M):
                g = ds[m, t]
                better, worse = c[m, slot[t]], c[m, slot[B + t]]
                for k in range(len(row)):
                    row[k] += g * (better[k] - worse[k])


@njit(parallel=True, cache=True, fastmath={"contract"})
def _backward_items(P: Floats, users: Ints, ds: Floats, start: Ints, order: Ints, out: Floats) -> None:
    M, B = ds.shape
    for s in prange(out.shape[1]):
        for m in range(M):
            row = out[m, s]
            for k in range(len(row)):
                row[k] = 0
            for position in range(start[s], start[s + 1]):
                t = order[position]
                g = ds[m, t] if t < B else -ds[m, t - B]
                p = P[users[t if t < B else t - B]]
                for k in range(len(row)):
                    row[k] += g * p[k]
