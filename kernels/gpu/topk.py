"""The best k items of each query (contract: kernels/reference/topk.py).

Short lists are found without a table of scores (search.py), those of wide vectors from fewer scores where bounds say
that most can't be listed (prune.py). Longer ones take the scores of some queries at a time, then a selection.
"""

from __future__ import annotations

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu import prune, search
from milk_np.kernels.gpu.launch import kernel
from milk_np.kernels.gpu.memory import empty, free_bytes

TILE, THREADS = 64, 256
MOST_ROWS = 65535 * TILE
MOST_BYTES = 1 << 28
"""Scores at a time; a quarter of what is free, where that is less."""


def top_k(
    queries: Array,
    items: Array,
    k: int,
    exclude_indptr: Array | None = None,
    exclude: Array | None = None,
) -> tuple[Array, Array]:
    """Best `k` of `items` (N, K) for each of `queries` (Q, K); see the reference for order, ties and exclusions.

    Takes arrays of either memory; returns arrays on the device. A score does not depend on how queries are cut
    into blocks. Memory: the inputs and the results. Up to k = search.MOST_K: packed items and packed queries with
    their lists, both in blocks of search.MOST_BYTES at most, and at most 8 (4 k + 192) bytes for each of the 256
    queries in work on a multiprocessor. Beyond that k: 4 N bytes for each query of a block. Where bounds pay, K N bytes
    for items and prune.MOST_BYTES for bounds.
    """
    queries, items = (cupy.ascontiguousarray(cupy.asarray(x, np.float32)) for x in (queries, items))
    Q, N = len(queries), len(items)
    indptr = cupy.zeros(Q + 1, np.int64) if exclude_indptr is None else cupy.asarray(exclude_indptr, np.int64)
    dropped = cupy.zeros(0, np.int32) if exclude is None else cupy.asarray(exclude, np.int32)
    index, score = cupy.full((Q, k), -1, np.int32), cupy.full((Q, k), -np.inf, np.float32)
    if prune.may_pay(Q, N, items.shape[1], k) and prune.pays(queries, items, k, by_all):
        prune.fill(queries, items, indptr, dropped, index, score, by_all)
    elif Q and N and k:
        by_all(queries, items, indptr, dropped, index, score)
    return index, score


def by_all(queries: Array, items: Array, indptr: Array, dropped: Array, index: Array, score: Array) -> None:
    """Lists `index` and `score` (Q, k) by all scores, Q, N and k above 0."""
    (Q, k), (N, K) = index.shape, items.shape
    if k <= search.MOST_K:
        search.search(queries, items, indptr, dropped, index, score, search.plan(Q, N, K, k))
    else:
        by_table(queries, items, indptr, dropped, index, score)


def by_table(queries: Array, items: Array, indptr: Array, dropped: Array, index: Array, score: Array) -> None:
    """Lists of any length, `index` and `score` (Q, k)."""
    (Q, k), N = index.shape, len(items)
    step = _rows_a_block(N)
    for start in range(0, Q, step):
        rows = slice(start, min(start + step, Q))
        part = _scores(queries[rows], items)
        found = np.int32(k), index[rows], score[rows]
        select = kernel("topk", "select_best")
        select.blocks(len(part), THREADS, part, np.int32(N), indptr[rows.start :], dropped, *found)


def _scores(queries: Array, items: Array) -> Array:
    """All scores (Q, N)."""
    (Q, K), N = queries.shape, len(items)
    out = empty((Q, N), np.float32)
    grid = -(-N // TILE), -(-Q // TILE)
    kernel("topk", "scores").blocks(grid, THREADS, queries, items, *map(np.int32, (Q, N, K)), out)
    return out


def _rows_a_block(N: int) -> int:
    """Queries whose scores are held at a time: memory limits them, and the height of a grid."""
    return min(MOST_ROWS, max(1, min(MOST_BYTES, free_bytes() // 4) // (4 * N)))
