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
from milk_np.models.kernel_profile.limits import MOST_SETS

Owned = NDArray[np.bool_]

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

    All there are where M allows; otherwise those that occur in `available` (I, M), and each modality alone.
    """
    M = available.shape[1]
    if 2**M - 1 <= MOST_SETS:
        chosen = [c for size in range(M, 0, -1) for c in combinations(range(M), size)]
        sets = np.zeros((len(chosen), M), np.bool_)
        for row, members in enumerate(chosen):
            sets[row, list(members)] = True
        return sets
    found = np.vstack([np.ones((1, M), np.bool_), np.eye(M, dtype=np.bool_), available])
    sets = np.unique(found, axis=0)
    return sets[np.argsort(-sets.sum(axis=1), kind="stable")]


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
