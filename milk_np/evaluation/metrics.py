"""What top-K lists hold, counted for all users at once; the metrics' formulas are in `milk_np.settings.metrics`.

A list holds candidate positions, best first, and is padded with -1 where a user has fewer than K candidates.
Relevant candidates come as compressed rows: those of user u are `relevant[indptr[u]:indptr[u + 1]]`,
ascending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import row_blocks
from milk_np.settings.metrics import FORMULAS, Counts

PerUser = dict[str, NDArray[np.float64]]


def hits(lists: NDArray[np.int32], indptr: NDArray[np.int64], relevant: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which positions of the lists (n, K) hold a relevant candidate, (n, K) bool; empty positions never do.

    Each relevant candidate is looked up in its user's list: there are far fewer of them than positions.
    """
    user = np.repeat(np.arange(len(lists)), np.diff(indptr))
    hit = np.zeros(lists.shape, np.bool_)
    for pairs in row_blocks(len(relevant), lists.shape[1]):
        pair, place = np.nonzero(lists[user[pairs]] == relevant[pairs, None])
        hit[user[pairs][pair], place] = True
    return hit


def per_user(hit: NDArray[np.bool_], n_relevant: NDArray[np.int64], topk: Sequence[int]) -> PerUser:
    """All metrics but coverage at each K of `topk`, such as "recall@20", each (n,) float64.

    hit (n, max K) is what `hits` returns; n_relevant (n,) is at least 1. Sums run in the order of the ranks,
    so a user's value doesn't depend on the other users.
    """
    some = np.flatnonzero(hit.any(axis=1))  # most users have no hit, which makes everything 0
    out = {}
    for name, values in _with_hits(hit[some], n_relevant[some], topk).items():
        out[name] = np.zeros(len(hit))
        out[name][some] = values
    return out


def _with_hits(hit: NDArray[np.bool_], n_relevant: NDArray[np.int64], topk: Sequence[int]) -> PerUser:
    """`per_user` of users who have a hit."""
    found, gain, precision, ideal = _summed(hit)
    first = np.argmax(hit, axis=1) + 1
    out: PerUser = {}
    for k in topk:
        last, reachable = k - 1, np.minimum(n_relevant, k)
        sums = {"gain": gain[:, last], "precision": precision[:, last], "ideal": ideal[reachable - 1]}
        counts = Counts(k, hit[:, :k], found[:, last], n_relevant, first, reachable=reachable, **sums)
        out |= {f"{name}@{k}": formula(counts) for name, formula in FORMULAS.items()}
    return out


def _summed(hit: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
    """Sums over the first places, for every length of list; see `Counts`."""
    ranks = np.arange(1, hit.shape[1] + 1)
    found = np.cumsum(hit, axis=1)
    gain = np.cumsum(hit / np.log2(ranks + 1), axis=1)
    return found, gain, np.cumsum(hit * found / ranks, axis=1), np.cumsum(1 / np.log2(ranks + 1))


def averages(values: PerUser) -> dict[str, float]:
    """Mean of each metric over its users; exactly rounded sums make it independent of the users' order."""
    return {name: math.fsum(value[value != 0].tolist()) / len(value) for name, value in values.items()}


def coverage(listed: NDArray[np.int64], n_candidates: int, topk: Sequence[int]) -> dict[str, float]:
    """Share of candidates listed, from the best position (from 0) of each candidate in any list.

    listed (N,) is what `best_place` returns.
    """
    return {f"coverage@{k}": int(np.count_nonzero(listed < k)) / n_candidates for k in topk}


def best_place(lists: NDArray[np.int32], n_candidates: int) -> NDArray[np.int64]:
    """Smallest column of `lists` (n, K) at which each candidate appears, (N,); K if it appears nowhere."""
    width = lists.shape[1]
    best = np.full(n_candidates, width, np.int64)
    for place in range(width - 1, -1, -1):
        column = lists[:, place]
        best[column[column >= 0]] = place
    return best
