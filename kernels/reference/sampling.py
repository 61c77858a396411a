"""Triplets of a batch: a shuffled training pair and a uniform negative, each a pure function of key and row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Ints

ROUNDS = 6
TRIES = 32
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)


def mix64(x: Any) -> Any:
    """SplitMix64 finalizer (Steele, Lea and Flood 2014) of 64-bit words."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * MIX_A
    x = (x ^ (x >> np.uint64(27))) * MIX_B
    return x ^ (x >> np.uint64(31))


def feistel(x: NDArray[np.uint64], key: int, bits: int) -> NDArray[np.uint64]:
    """Bijection of the `bits`-wide words: an unbalanced Feistel network of `ROUNDS` keyed rounds.

    Each round replaces the low `bits // 2` bits by themselves XOR a hash of the other bits, then rotates the word.
    """
    low = np.uint64(bits // 2)
    high = np.uint64(bits) - low
    mask = (np.uint64(1) << low) - np.uint64(1)
    for r in range(ROUNDS):
        top = x >> low
        word = (x & mask) ^ (mix64(top ^ mix64(np.uint64(key) + np.uint64(r))) & mask)
        x = (word << high) | top
    return x


def shuffle(key: int, first: int, count: int, n: int) -> NDArray[np.int64]:
    """Elements `first` to `first + count` of the permutation of 0..n-1 that `key` names; needs no memory of its own.

    The network permutes the next power of two; what falls outside is sent through again (cycle walking).
    """
    bits = max(2, int(n - 1).bit_length())
    with np.errstate(over="ignore"):
        x = feistel(np.arange(first, first + count, dtype=np.uint64), key, bits)
        while (outside := x >= n).any():
            x[outside] = feistel(x[outside], key, bits)
    return x.astype(np.int64)


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
    """Users (B) and items (2B: the positives, then the negatives) of triplets `first` to `first + count` of an epoch.

    `pair_user`, `pair_item` (n) are the training pairs; `candidates` (C) the items a negative may be; `ranks` the
    positions in `candidates` of each user's own items, sorted per user under `indptr` (U+1). A negative is the r-th
    candidate that is not the user's, r uniform: found by one binary search, with no rejection.

    `pool` has positions in `candidates` that negatives are confined to, or none for no such limit. Members are tried
    at random, up to `TRIES` of them; a user who chose them all gets any candidate. As long as the pool is a uniform
    subset, each negative is uniform among the candidates that the user hasn't chosen.
    """
    rows = shuffle(shuffle_key, first, count, len(pair_user))
    users = pair_user[rows]
    negatives = draw_members(negative_key, rows, users, indptr, ranks, candidates, pool)
    return users.astype(np.int32), np.concatenate([pair_item[rows].astype(np.int32), negatives])


def draw_members(
    negative_key: int, rows: Ints, users: Ints, indptr: Ints, ranks: Ints, candidates: Ints, pool: Ints
) -> NDArray[np.int32]:
    """The negatives (B) of the pairs `rows` (B), whose users are `users` (B); see `draw_batch`."""
    with np.errstate(over="ignore"):
        words = mix64(mix64(rows.astype(np.uint64)) ^ np.uint64(negative_key))
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    negatives = np.empty(len(rows), np.int32)
    for t, user in enumerate(users):
        own = ranks[indptr[user] : indptr[user + 1]]
        member = _free_member(words[t], own, pool)
        if member is not None:
            negatives[t] = candidates[member]
            continue
        r = int(uniform[t] * (len(candidates) - len(own)))
        # own[q] - q candidates before own[q] are free: the r-th free one lies beyond every q with own[q] - q <= r.
        negatives[t] = candidates[r + np.searchsorted(own - np.arange(len(own)), r, side="right")]
    return negatives


def _free_member(word: np.uint64, own: Ints, pool: Ints) -> int | None:
    """The first of `TRIES` random members of `pool` that is not among `own`, if there is one."""
    for attempt in range(TRIES if len(pool) else 0):
        with np.errstate(over="ignore"):
            trial = mix64(word + np.uint64(attempt))
        member = int(pool[int(float(trial >> np.uint64(11)) * 2.0**-53 * len(pool))])
        if member not in own:
            return member
    return None
