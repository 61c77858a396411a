"""A few candidates for each row of a batch (contract: kernels/reference/candidates.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.sampling import _free_candidate, _halves, _mix64
from milk_np.kernels.reference.sampling import ROUNDS

BLOCK = 16  # rows of one task

_ONE = np.uint64(1)


def draw_distinct(key: int, rows: Ints, users: Ints, indptr: Ints, ranks: Ints, candidates: Ints, out: Ints) -> None:
    """Write distinct candidates that the user doesn't own to every row of `out` (B, N) int32."""
    _distinct(np.uint64(key), rows, users, indptr, ranks, candidates, out)


def candidate_dots(query: Floats, table: Floats, slots: Ints, out: Floats) -> None:
    """`out` (B, N) = q_t . table[slots[t, n]]; 0 where the slot is negative."""
    _dots(query, table, slots, out)


def candidate_dots_backward(
    dout: Floats, query: Floats, table: Floats, slots: Ints, dquery: Floats, dtable: Floats
) -> None:
    """`dquery` (B, K) and `dtable` (n, K)."""
    _of_queries(dout, table, slots, dquery)
    starts, order = _by_slot(slots, len(table))
    _of_table(dout, query, starts, order, dtable)


@njit(parallel=True, cache=True)
def _distinct(
    key: np.uint64, rows: Ints, users: Ints, indptr: Ints, ranks: Ints, candidates: Ints, out: NDArray[np.int32]
) -> None:
    N, C = out.shape[1], len(candidates)
    for t in prange(len(users)):
        start, stop = np.int64(indptr[users[t]]), np.int64(indptr[users[t] + 1])
        free = C - (stop - start)
        count = min(free, N)
        places = np.empty(max(count, 1), np.uint64)
        if count > 0:
            _first_places(places, _round_keys(_mix64(_mix64(np.uint64(rows[t])) ^ key)), free)
        for n in range(N):
            out[t, n] = candidates[_free_candidate(np.int64(places[n]), ranks, start, stop)] if n < count else -1


@njit(cache=True)
def _round_keys(key: np.uint64) -> NDArray[np.uint64]:
    """Keys of the rounds of the permutation."""
    keys = np.empty(ROUNDS, np.uint64)
    for r in range(ROUNDS):
        keys[r] = _mix64(key + np.uint64(r))
    return keys


@njit(cache=True)
def _first_places(places: NDArray[np.uint64], keys: NDArray[np.uint64], n: int) -> None:
    """The first places of the permutation of 0..n-1, each hashed: a table of hashes doesn't pay for so few."""
    for t in range(len(places)):
        places[t] = np.uint64(t)
    _rounds_of(places, keys, n)
    outside, back = np.empty_like(places), np.empty(len(places), np.int64)
    while True:
        count = 0
        for t in range(len(places)):
            if places[t] >= np.uint64(n):
                outside[count], back[count] = places[t], t
                count += 1
        if not count:
            return
        _rounds_of(outside[:count], keys, n)
        for t in range(count):
            places[back[t]] = outside[t]


@njit(cache=True)
def _rounds_of(places: NDArray[np.uint64], keys: NDArray[np.uint64], n: int) -> None:
    """Round by round over all places, so that several are hashed at once."""
    low, high = _halves(n)
    mask = (_ONE << low) - _ONE
    for key in keys:
        for t in range(len(places)):
            top = places[t] >> low
            places[t] = (((places[t] & mask) ^ (_mix64(top ^ key) & mask)) << high) | top


@njit(parallel=True, cache=True)
def _dots(query: Floats, table: Floats, slots: Ints, out: Floats) -> None:
    B, N = slots.shape
    for block in prange((B + BLOCK - 1) // BLOCK):
        for t in range(block * BLOCK, min(B, (block + 1) * BLOCK)):
            for n in range(N):
                out[t, n] = _dot(query[t], table[slots[t, n]]) if slots[t, n] >= 0 else 0


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(a: Floats, b: Floats) -> Any:
    total = a.dtype.type(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@njit(parallel=True, cache=True)
def _of_queries(dout: Floats, table: Floats, slots: Ints, dquery: Floats) -> None:
    B, N = slots.shape
    for block in prange((B + BLOCK - 1) // BLOCK):
        for t in range(block * BLOCK, min(B, (block + 1) * BLOCK)):
            dquery[t] = 0
            for n in range(N):
                if slots[t, n] >= 0:
                    _add(dquery[t], dout[t, n], table[slots[t, n]])


@njit(cache=True)
def _by_slot(slots: Ints, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each slot's places begin in `order`, and the places in `slots`, by slot and then ascending."""
    flat = slots.reshape(-1)
    starts = np.zeros(n + 1, np.int64)
    for slot in flat:
        if slot >= 0:
            starts[slot + 1] += 1
    for j in range(n):
        starts[j + 1] += starts[j]
    place, order = starts[:-1].copy(), np.empty(starts[n], np.int64)
    for p in range(len(flat)):
        if flat[p] >= 0:
            order[place[flat[p]]] = p
            place[flat[p]] += 1
    return starts, order


@njit(parallel=True, cache=True)
def _of_table(dout: Floats, query: Floats, starts: NDArray[np.int64], order: NDArray[np.int64], dtable: Floats) -> None:
    N, n = dout.shape[1], len(dtable)
    for block in prange((n + BLOCK - 1) // BLOCK):
        for j in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            dtable[j] = 0
            for p in order[starts[j] : starts[j + 1]]:
                _add(dtable[j], dout[p // N, p % N], query[p // N])


@njit(cache=True, fastmath={"contract"})
def _add(out: Floats, weight: Any, row: Floats) -> None:
    for k in range(len(out)):
        out[k] += weight * row[k]
