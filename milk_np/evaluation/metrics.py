"""Ranking metrics of top-K lists, for all users at once.

A list holds candidate positions, best first, and is padded with -1 where a user has fewer than K candidates.
Relevant candidates come as compressed rows: those of user u are `relevant[indptr[u]:indptr[u + 1]]`,
ascending. With h_r = 1 if the item at rank r is relevant, else 0, and R the number of relevant candidates of
a user:

recall@K    sum_{r<=K} h_r / R
ndcg@K      sum_{r<=K} h_r / log2(r + 1), over the same sum for min(K, R) hits at the head of the list
hr@K        1 if any of h_1 ... h_K is 1, else 0
mrr@K       1 / rank of the first hit, 0 if there is none within K
map@K       sum_{r<=K} h_r (h_1 + ... + h_r) / r, over min(K, R)
coverage@K  share of the candidates that appear among at least one user's first K

All but the last are averaged over users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import row_blocks
from milk_np.settings.names import METRICS

USER_METRICS = tuple(name for name in METRICS if name != "coverage")
"""Metrics with one value per user."""

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
    ranks = np.arange(1, hit.shape[1] + 1)
    found = np.cumsum(hit, axis=1)
    gain = np.cumsum(hit / np.log2(ranks + 1), axis=1)
    ideal = np.cumsum(1 / np.log2(ranks + 1))
    precision = np.cumsum(hit * found / ranks, axis=1)
    first = np.argmax(hit, axis=1) + 1
    out: PerUser = {}
    for k in topk:
        reachable = np.minimum(n_relevant, k)
        out[f"recall@{k}"] = found[:, k - 1] / n_relevant
        out[f"ndcg@{k}"] = gain[:, k - 1] / ideal[reachable - 1]
        out[f"hr@{k}"] = (found[:, k - 1] > 0).astype(np.float64)
        out[f"mrr@{k}"] = np.where(found[:, k - 1] > 0, 1 / first, 0.0)
        out[f"map@{k}"] = precision[:, k - 1] / reachable
    return out


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
