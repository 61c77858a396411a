"""Triplets of a batch (contract: kernels/reference/sampling.py)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Ints
from milk_np.kernels.cpu.counting import count_passed
from milk_np.kernels.reference.sampling import GOLDEN, MIX_A, MIX_B, ROUNDS, TRIES

CHUNK = 512  # triplets of one task
SHORT = 256  # up to so many own items are counted, more are bisected

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
    rounds = _rounds(np.uint64(shuffle_key), len(pair_user))
    table = (pair_user, pair_item, indptr, ranks, candidates, pool)
    _draw(rounds, np.uint64(negative_key), first, *table, users, items)
    return users, items


def shuffle(key: int, first: int, count: int, n: int) -> NDArray[np.int64]:
    """Elements `first` to `first + count` of the permutation of 0..n-1 that `key` names."""
    rows = np.empty(count, np.uint64)
    _permute(rows, first, count, _rounds(np.uint64(key), n), n)
    return rows.view(np.int64)


@njit(cache=True)
def _mix64(x: np.uint64) -> np.uint64:
    x = x + GOLDEN
    x = (x ^ (x >> _S30)) * MIX_A
    x = (x ^ (x >> _S27)) * MIX_B
    return x ^ (x >> _S31)


@njit(cache=True)
def _rounds(key: np.uint64, n: int) -> NDArray[np.uint32]:
    """What each round of the network changes the low part by, for each value of the high part.

    There are few of these values, so that looking hashes up takes half as long as making them.
    """
    low, high = _halves(n)
    changes = np.empty((ROUNDS, 1 << np.int64(high)), np.uint32)
    mask = (_ONE << low) - _ONE
    for r in range(ROUNDS):
        hashed = _mix64(key + np.uint64(r))
        for top in range(changes.shape[1]):
            changes[r, top] = _mix64(np.uint64(top) ^ hashed) & mask
    return changes


@njit(cache=True)
def _permute(rows: NDArray[np.uint64], first: int, count: int, rounds: NDArray[np.uint32], n: int) -> None:
    """Places that `first` to `first + count` go to in the permutation of 0..n-1, into `rows`.

    Round by round over all of them; the few that fall outside go through again.
    """
    for t in range(count):
        rows[t] = np.uint64(first + t)
    _feistel(rows[:count], rounds, n)
    for t in range(count):
        while rows[t] >= np.uint64(n):
            _feistel(rows[t : t + 1], rounds, n)


@njit(cache=True)
def _feistel(rows: NDArray[np.uint64], rounds: NDArray[np.uint32], n: int) -> None:
    """The Feistel network on `rows`, in place."""
    low, high = _halves(n)
    mask = (_ONE << low) - _ONE
    for change in rounds:
        for t in range(len(rows)):
            top = rows[t] >> low
            rows[t] = (((rows[t] & mask) ^ np.uint64(change[top])) << high) | top


@njit(cache=True)
def _halves(n: int) -> tuple[np.uint64, np.uint64]:
    """Widths of the low and the high part of the network's words."""
    bits = 2
    while (n - 1) >> bits:
        bits += 1
    return np.uint64(bits // 2), np.uint64(bits - bits // 2)


@njit(cache=True)
def _free_candidate(r: int, ranks: Ints, start: int, stop: int) -> int:
    """Position of the r-th candidate that is not among `ranks[start:stop]` (sorted).

    Counting in a short list has no branch to mispredict, which makes it several times as fast as bisection.
    """
    if stop - start <= SHORT:
        return int(r + count_passed(ranks, start, stop, r))
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if ranks[middle] - (middle - start) <= r:
            low = middle + 1
        else:
            high = middle
    return r + low - start


@njit(cache=True)
def _below(word: np.uint64, n: int) -> int:
    """Uniform number below `n` from a random word."""
    return int(np.float64(np.int64(word >> _S11)) * 2.0**-53 * n)  # signed: processors convert it in one step


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
    for attempt in range(TRIES):
        member = int(pool[_below(_mix64(word + np.uint64(attempt)), len(pool))])
        if not _owns(member, ranks, start, stop):
            return member
    return -1


@njit(cache=True)
def draw_triplet(
    negative_key: np.uint64, row: int, user: int, indptr: Ints, ranks: Ints, candidates: Ints, pool: Ints
) -> int:
    """The negative of training pair number `row`, which is one of `user`."""
    word = _mix64(_mix64(np.uint64(row)) ^ negative_key)
    start, stop = np.int64(indptr[user]), np.int64(indptr[user + 1])
    member = _free_member(word, ranks, start, stop, pool) if len(pool) else -1
    if member < 0:
        member = _free_candidate(_below(word, len(candidates) - (stop - start)), ranks, start, stop)
    return int(candidates[member])


@njit(parallel=True, cache=True)
def _draw(
    rounds: NDArray[np.uint32],
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
    n, count, C = len(pair_user), len(users), len(candidates)
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        offset = chunk * CHUNK
        rows = np.empty(CHUNK, np.uint64)
        size = min(CHUNK, count - offset)
        _permute(rows, first + offset, size, rounds, n)
        for t in range(size):
            users[offset + t] = pair_user[rows[t]]
            items[offset + t] = pair_item[rows[t]]
            rows[t] = _mix64(_mix64(rows[t]) ^ negative_key)
        for t in range(size):
            user = users[offset + t]
            start, stop = np.int64(indptr[user]), np.int64(indptr[user + 1])
            member = _free_member(rows[t], ranks, start, stop, pool) if len(pool) else -1
            if member < 0:
                member = _free_candidate(_below(rows[t], C - (stop - start)), ranks, start, stop)
            items[count + offset + t] = candidates[member]
