"""Triplets of a batch (contract: kernels/reference/sampling.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.reference.sampling import GOLDEN, MIX_A, MIX_B, ROUNDS, TRIES

Ints = NDArray[np.integer[Any]]

_ONE = np.uint64(1)
_S11, _S27, _S30, _S31 = (np.uint64(x) for x in (11, 27, 30, 31))


def draw_batch(
    shuffle_key: int,
    negative_key: int,
    first: int,
    count: int,
    pair_user: Ints,
    pair_item: Ints,
    indptr: Ints,
    ranks: Ints,
    candidates: Ints,
    pool: Ints,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Users (B) and items (2B) of triplets `first` to `first + count` of an epoch."""
    users, items = np.empty(count, np.int32), np.empty(2 * count, np.int32)
    keys = round_keys(np.uint64(shuffle_key))
    table = (pair_user, pair_item, indptr, ranks, candidates, pool)
    _draw(keys, np.uint64(negative_key), first, *table, users, items)
    return users, items


def shuffle(key: int, first: int, count: int, n: int) -> NDArray[np.int64]:
    """Elements `first` to `first + count` of the permutation of 0..n-1 that `key` names."""
    order: NDArray[np.int64] = _shuffle(round_keys(np.uint64(key)), first, count, n)
    return order


@njit(cache=True, inline="always")
def _mix64(x: np.uint64) -> np.uint64:
    x = x + GOLDEN
    x = (x ^ (x >> _S30)) * MIX_A
    x = (x ^ (x >> _S27)) * MIX_B
    return x ^ (x >> _S31)


@njit(cache=True)
def round_keys(key: np.uint64) -> NDArray[np.uint64]:
    """Keys of the Feistel rounds."""
    keys = np.empty(ROUNDS, np.uint64)
    for r in range(ROUNDS):
        keys[r] = _mix64(key + np.uint64(r))
    return keys


@njit(cache=True)
def _permuted(x: np.uint64, keys: NDArray[np.uint64], n: np.uint64, low: np.uint64, high: np.uint64) -> np.uint64:
    """Place that `x` goes to in the permutation of 0..n-1."""
    mask = (_ONE << low) - _ONE
    while True:
        for r in range(ROUNDS):
            top = x >> low
            x = (((x & mask) ^ (_mix64(top ^ keys[r]) & mask)) << high) | top
        if x < n:
            return x


@njit(cache=True)
def _halves(n: int) -> tuple[np.uint64, np.uint64]:
    """Widths of the low and the high part of the network's words."""
    bits = 2
    while (n - 1) >> bits:
        bits += 1
    return np.uint64(bits // 2), np.uint64(bits - bits // 2)


@njit(cache=True)
def _shuffle(keys: NDArray[np.uint64], first: int, count: int, n: int) -> NDArray[np.int64]:
    low, high = _halves(n)
    out = np.empty(count, np.int64)
    for t in range(count):
        out[t] = _permuted(np.uint64(first + t), keys, np.uint64(n), low, high)
    return out


@njit(cache=True)
def _free_candidate(r: int, ranks: Ints, start: int, stop: int) -> int:
    """Position of the r-th candidate that is not among `ranks[start:stop]` (sorted)."""
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if ranks[middle] - (middle - start) <= r:
            low = middle + 1
        else:
            high = middle
    return r + low - start


@njit(cache=True, inline="always")
def _below(word: np.uint64, n: int) -> int:
    """Uniform number below `n` from a random word."""
    return int(np.float64(word >> _S11) * 2.0**-53 * n)


@njit(cache=True)
def _owns(member: int, ranks: Ints, start: int, stop: int) -> bool:
    """Whether `member` is among `ranks[start:stop]` (sorted)."""
    while start < stop:
        middle = (start + stop) >> 1
        if ranks[middle] == member:
            return True
        if ranks[middle] < member:
            start = middle + 1
        else:
            stop = middle
    return False


@njit(cache=True)
def _free_member(word: np.uint64, ranks: Ints, start: int, stop: int, pool: Ints) -> int:
    """The first of `TRIES` random members of `pool` that is not among `ranks[start:stop]`, or -1."""
    if len(pool) == 0:
        return -1
    for attempt in range(TRIES):
        member = int(pool[_below(_mix64(word + np.uint64(attempt)), len(pool))])
        if not _owns(member, ranks, start, stop):
            return member
    return -1


@njit(parallel=True, cache=True)
def _draw(
    keys: NDArray[np.uint64],
    negative_key: np.uint64,
    first: int,
    pair_user: Ints,
    pair_item: Ints,
    indptr: Ints,
    ranks: Ints,
    candidates: Ints,
    pool: Ints,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> None:
    n, count = len(pair_user), len(users)
    low, high = _halves(n)
    for t in prange(count):
        row = _permuted(np.uint64(first + t), keys, np.uint64(n), low, high)
        user = pair_user[row]
        start, stop = indptr[user], indptr[user + 1]
        word = _mix64(_mix64(row) ^ negative_key)
        users[t] = user
        items[t] = pair_item[row]
        member = _free_member(word, ranks, start, stop, pool)
        if member < 0:
            r = _below(word, len(candidates) - (stop - start))
            member = _free_candidate(r, ranks, start, stop)
        items[count + t] = candidates[member]
