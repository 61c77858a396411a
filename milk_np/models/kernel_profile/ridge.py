"""Kernel ridge regression on landmarks: from the similarities of an item's owned modalities to a vector.

With k(x) (L,) the similarities to the landmarks and K_L (L, L) those among the landmarks, K_L = C C^T, the features of
an item are f(x) = C^-1 k(x). Over training items F (n, L), targets T (n, K): A = (F^T F + noise I)^-1 F^T T, and a new
item's vector is f(x)^T A = k(x)^T coefficients. With all training items as landmarks this is exact kernel ridge
regression; with fewer, its subset of regressors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Floats
from milk_np.models.kernel_profile.limits import MOST_SETS, most_sets

Owned = NDArray[np.bool_]

MOST_OFTEN = 1024
"""Sets of owned modalities among which those that get a regression are chosen."""
JITTER = 1e-4
"""Share of its mean that is added to the diagonal of K_L: equal items leave it singular, and similarities in float32 a
little less than that."""


def jittered(among: Floats) -> Floats:
    """`among` (L, L), the landmarks' similarities, with JITTER on the diagonal."""
    out = among.copy()
    out[np.diag_indices_from(out)] += JITTER * np.trace(among) / len(among)
    return out


def owned_sets(available: Owned) -> Owned:
    """Sets of modalities (S, M) to fit a regression for, that of all modalities first.

    All there are where M allows; otherwise all modalities, each alone, and those that occur in `available` (I, M), or
    if they are too many, those that say most of its items: S is at most `most_sets` of M.
    """
    M = available.shape[1]
    if 2**M - 1 <= MOST_SETS:
        chosen = [c for size in range(M, 0, -1) for c in combinations(range(M), size)]
        sets = np.zeros((len(chosen), M), np.bool_)
        for row, members in enumerate(chosen):
            sets[row, list(members)] = True
        return sets
    always = np.vstack([np.ones((1, M), np.bool_), np.eye(M, dtype=np.bool_)])
    sets = np.unique(np.vstack([always, _most_telling(available, always, most_sets(M))]), axis=0)
    return sets[np.argsort(-sets.sum(axis=1), kind="stable")]


def _most_telling(available: Owned, always: Owned, most: int) -> Owned:
    """Sets that occur in `available` (I, M) and, with those of `always`, are at most `most`.

    One after the other, that by which the items' regressions gain most modalities in all. Only the MOST_OFTEN that
    occur most often are looked at: 2^M may.
    """
    found: Owned
    found, counts = np.unique(available[available.any(axis=1)], axis=0, return_counts=True)
    often = np.argsort(-counts, kind="stable")[:MOST_OFTEN]
    found, counts = found[often], counts[often]
    sizes = found.sum(axis=1)
    more = found[:, None] & ~found[None]
    inside: Owned = np.logical_not(more.any(axis=2))  # [a, b]: whether items that own b own all of a
    best = np.where(found.all(axis=1), sizes, np.minimum(sizes, 1))
    chosen: list[int] = []
    for _ in range(most - len(always)):
        gains = (inside * np.maximum(sizes[:, None] - best, 0)) @ counts
        if not gains.any():
            break
        chosen.append(int(np.argmax(gains)))
        best = np.maximum(best, inside[chosen[-1]] * sizes[chosen[-1]])
    return found[chosen]


def choose_sets(available: Owned, sets: Owned) -> NDArray[np.intp]:
    """For each item of `available` (n, M) the largest of `sets` that it owns whole, the first of equals."""
    fits = ~(sets[None] & ~available[:, None]).any(axis=2)
    best: NDArray[np.intp] = np.argmax(fits, axis=1)  # the sets are ordered by size
    return best


def weighted(similar: NDArray[np.float32], weights: Sequence[float], owned: Owned) -> Floats:
    """Sum over the owned modalities of weight_m * similar[m], from (M, n, L) to (n, L)."""
    total = np.zeros(similar.shape[1:])
    for weight, x, mine in zip(weights, similar, owned, strict=True):
        if mine:
            total += weight * x
    return total
