"""The best k items of wide queries, most left out by a bound on their scores (contract: kernels/reference/topk.py).

No list depends on it: those of a search with bounds are those of all scores, bit for bit. Whether bounds pay is decided
by counting the scores that they leave on a few queries and items, and the costs below, which are counted operations
and bytes of an H100, not measured times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import WARP, access, kernel
from milk_np.kernels.gpu.memory import empty, free_bytes

TILE, DEPTH, THREADS = 128, 64, 256
"""As in prune.cu."""
LOST = -2
MOST = 128
"""Longest list that bounds serve."""
NARROW, WIDE = 256, 4096
"""Widths K that they may serve: below, a table of bounds takes as long as all scores; above, a query needs too much
shared memory."""
LEAST_ITEMS, LEAST_QUERIES = 4096, 128
MOST_BYTES = 1 << 28
"""Bounds at a time; a quarter of what is free, where that is less."""
SAMPLE_QUERIES, SAMPLE_ITEMS = 64, 4096
"""What a decision looks at."""
PRODUCT, FOURS, TABLE, PAIR, QUERY = 0.07, 0.5, 154.0, 30.0, 1500.0
"""In scores of 1,024 numbers of a search by all (40 ps at 51 TFLOP/s): a bound's product of bytes at .4 of the rate of
int8 matrix units (2.6 ps), and where there are none, four bytes at a time; divided by K, its share of a table that is
written once and read twice (6 ps for 20 bytes); one score alone, whose 4 KB come from memory (1.2 ns); a query's share
of what its block does once (60 ns)."""
ROOM = 1024
"""Of the items of a span that bounds may leave, on the average: half of what a block of prune.cu has room for."""
WORTH = 0.9

Search = Callable[[Array, Array, Array, Array, Array, Array], None]
"""A search by all scores: queries, items, indptr and entries of what is excluded, index and score (Q, k) to fill."""


class Rounded(NamedTuple):
    """Rows of a table in bytes, filled up to whole tiles."""

    bytes: Array
    """(rows, width) int8, as int32."""
    sizes: Array
    """(rows, 4) float32: s, |s q|, |e|, |v|."""
    beyond: Array
    """(1) int32, 1 if a row can't be rounded."""


def may_pay(Q: int, N: int, K: int, k: int) -> bool:
    """Whether bounds are worth a look, by sizes alone."""
    sizes = NARROW <= K <= WIDE and 0 < k <= MOST and Q >= LEAST_QUERIES and max(LEAST_ITEMS, 4 * k) <= N
    return sizes and cost(k / N, N, K) < WORTH


def pays(queries: Array, items: Array, k: int, search: Search) -> bool:
    """Whether so few scores are left, on some queries and items, that bounds pay.

    Lists of the sample have to be those of `search`, or bounds aren't used: a device that makes other lists is not to
    be trusted with them.
    """
    some = queries[:: max(1, len(queries) // SAMPLE_QUERIES)][:SAMPLE_QUERIES].copy()
    few = items[:: max(1, len(items) // SAMPLE_ITEMS)][:SAMPLE_ITEMS].copy()
    nothing = cupy.zeros(len(some) + 1, np.int64), cupy.zeros(0, np.int32)
    shape = len(some), max(1, round(k * len(few) / len(items)))
    mine, plain = ((cupy.full(shape, -1, np.int32), cupy.full(shape, -np.inf, np.float32)) for _ in range(2))
    made = _bounded(some, few, *nothing, *mine)
    search(some, few, *nothing, *plain)
    if made is None or not all(bool((a == b).all()) for a, b in zip(mine, plain, strict=True)):
        return False
    share, span = int(made[0]) / (len(some) * len(few)), _sizes(len(queries), len(items))[0]
    if share * span > ROOM:  # more of a span's items would be left than a block has room for
        return False
    return cost(share, len(items), items.shape[1], PRODUCT if matrix_units() else FOURS) < WORTH


def matrix_units() -> bool:
    """Whether the device multiplies bytes in matrix units, as prune.cu does from compute capability 8.0 on."""
    return int(cupy.cuda.Device().compute_capability) >= 80


def cost(share: float, N: int, K: int, product: float = PRODUCT) -> float:
    """Of a bounded search of N items of K numbers, of which a `share` is scored, in searches by all scores.

    `product` is what a bound takes.
    """
    return product + TABLE / K + PAIR * share + QUERY * 1024 / K / N


def fill(
    queries: Array, items: Array, indptr: Array, exclude: Array, index: Array, score: Array, search: Search
) -> None:
    """Lists `index`, `score` (Q, k), which are empty, by bounds, or by `search` where they can't be had."""
    if _bounded(queries, items, indptr, exclude, index, score) is None:
        return search(queries, items, indptr, exclude, index, score)
    lost = cupy.flatnonzero(index[:, 0] == LOST)
    if not len(lost):
        return
    ends, rows = cupy.asnumpy(indptr), cupy.asnumpy(lost)
    lengths = (ends[1:] - ends[:-1])[rows]
    places = np.concatenate([np.arange(ends[row], ends[row + 1]) for row in rows])
    some = cupy.asarray(np.concatenate([[0], np.cumsum(lengths)])), exclude[cupy.asarray(places)]
    found = index[lost], score[lost]
    search(queries[lost], items, *some, *found)
    index[lost], score[lost] = found


def _bounded(queries: Array, items: Array, indptr: Array, exclude: Array, index: Array, score: Array) -> Array | None:
    """Fill lists by bounds; LOST stands first in those that have to be searched for otherwise.

    Returns how many scores were made (1), None if items can't be rounded.
    """
    made = cupy.zeros(1, np.uint64)
    span, rows = _sizes(len(queries), len(items))
    for first in range(0, len(items), span):
        some = items[first : first + span]
        rounded = quantised(some)
        if int(rounded.beyond[0]):
            return None
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            lists = indptr[start:], exclude, index[part], score[part]
            _list(queries[part], some, rounded, first, *lists, made)
    return made


def _sizes(Q: int, N: int) -> tuple[int, int]:
    """Items and queries whose bounds are held at a time: whole tiles."""
    budget = min(MOST_BYTES, free_bytes() // 4)
    span = min(N, max(TILE, budget // (4 * TILE) // TILE * TILE))
    return span, min(-(-Q // TILE) * TILE, max(TILE, budget // (4 * span) // TILE * TILE))


def quantised(table: Array) -> Rounded:
    """Rows (n, K) as bytes."""
    n, K = table.shape
    rows, width = -(-n // TILE) * TILE, -(-K // DEPTH) * DEPTH
    out = Rounded(empty((rows, width // 4), np.int32), empty((rows, 4), np.float32), cupy.zeros(1, np.int32))
    run = kernel("prune", "quantise")
    run.blocks(-(-rows * WARP // THREADS), THREADS, table, *map(np.int32, (n, rows, K, width)), *out)
    return out


def bounds_of(queries: Rounded, items: Rounded, Q: int, N: int, K: int) -> Array:
    """Bounds (Q, N) on the scores of vectors of K numbers."""
    out, width = empty((Q, N), np.float32), 4 * queries.bytes.shape[1]
    grid = -(-N // TILE), -(-Q // TILE)
    sizes = *map(np.int32, (Q, N, width)), np.float32((K + 64) * 2.0**-24)
    kernel("prune", "bound").blocks(grid, THREADS, *queries[:2], *items[:2], *sizes, out)
    return out


def _list(
    queries: Array, items: Array, rounded: Rounded, first: int, indptr: Array, exclude: Array, index: Array,
    score: Array, made: Array,
) -> None:  # fmt: skip
    """Offer `items`, of which the first is item `first`, to the lists of `queries`."""
    (Q, K), N, mine = queries.shape, len(items), quantised(queries)
    table = bounds_of(mine, rounded, Q, N, K)
    run = kernel("prune", "list_bounded", VEC=4 if access(K, items) == 4 else 1)
    where = np.int32(N), np.int64(first), np.int32(K), indptr, exclude, np.int32(index.shape[1])
    run.blocks(Q, THREADS, table, queries, mine.sizes, items, *where, index, score, made, shared=4 * K)
