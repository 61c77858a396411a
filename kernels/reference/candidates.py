"""A few candidates for each row of a batch: distinct negatives, and scores of rows of a table."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.reference.sampling import mix64, shuffle


def draw_distinct(key: int, rows: Ints, users: Ints, indptr: Ints, ranks: Ints, candidates: Ints, out: Ints) -> None:
    """Write distinct candidates that the user doesn't own to every row of `out` (B, N) int32.

    `ranks` are the positions in `candidates` (C) of each user's own items, sorted per user under `indptr` (U + 1). Row
    t is a function of `key`, `rows[t]` and the user `users[t]`; all sets of N free candidates are alike likely.
    Where a user has fewer than N free ones, the row has them all, then -1.
    """
    out[...] = -1
    for t, user in enumerate(users):
        own = ranks[indptr[user] : indptr[user + 1]]
        free = len(candidates) - len(own)
        with np.errstate(over="ignore"):
            own_key = int(mix64(mix64(np.uint64(rows[t])) ^ np.uint64(key)))
        r = shuffle(own_key, 0, min(free, out.shape[1]), free) if free else np.zeros(0, np.int64)
        # own[q] - q candidates before own[q] are free: the r-th free one lies beyond every q with own[q] - q <= r.
        out[t, : len(r)] = candidates[r + np.searchsorted(own - np.arange(len(own)), r, side="right")]


def candidate_dots(query: Floats, table: Floats, slots: Ints, out: Floats) -> None:
    """`out` (B, N) = q_t . table[slots[t, n]], of `query` (B, K) and `table` (n, K); 0 where the slot is negative."""
    found = np.einsum("bk,bnk->bn", query, table[slots]) if len(table) else np.zeros(out.shape, out.dtype)
    out[...] = np.where(slots >= 0, found, 0)


def candidate_dots_backward(
    dout: Floats, query: Floats, table: Floats, slots: Ints, dquery: Floats, dtable: Floats
) -> None:
    """`dquery` (B, K) and `dtable` (n, K) of `dout` (B, N), in the order of the rows of the batch."""
    there = slots >= 0
    t, n = np.nonzero(there)
    weights = dout[t, n][:, None]
    dquery[...] = dtable[...] = 0
    np.add.at(dquery, t, weights * table[slots[t, n]])
    np.add.at(dtable, slots[t, n], weights * query[t])
