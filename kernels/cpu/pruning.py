"""Whether bounds pay in a search for the best items, decided by counting, and the search with them.

No list depends on it, nor on the processor: those of a search with bounds are those of all scores, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.cpu.byte_tile import BYTES
from milk_np.kernels.cpu.inputs import Rows, exclusions, fixed, some_rows
from milk_np.kernels.cpu.order import WIDE
from milk_np.kernels.cpu.prune import BLOCK, offer
from milk_np.kernels.cpu.quantise import Bytes
from milk_np.kernels.cpu.score_tile import COLUMNS, ROWS

Float32 = NDArray[np.float32]
Lists = tuple[NDArray[np.int32], Float32]
Search = Callable[[Float32, Float32, int, Rows], Lists]
"""The search by all scores."""

_PART = (1 << 16) // COLUMNS * COLUMNS
"""Items written in bytes at a time: 64 MB at 1,024 numbers."""
MOST = 128
"""Longest list that is pruned: scores are put where they belong one by one."""
_SAMPLE = 1024 // COLUMNS * COLUMNS
"""Items that a few queries, an eighth at most, are looked at with to decide whether it pays."""
_BOUND, _PAIR, _QUERY = 0.25, 3.0, 60.0
"""What bounds cost, as a share of scores; one score alone, in scores of a tile; what else a query costs, in these."""
_WORTH = 0.9


def may_pay(Q: int, N: int, K: int, k: int) -> bool:
    """Whether bounds are worth a look, by sizes alone."""
    return BYTES and WIDE <= K < 1 << 16 and 0 < k <= MOST and max(4 * k, 4 * COLUMNS) <= N and Q >= BLOCK


def pays(queries: Float32, items: Float32, k: int) -> bool:
    """Whether so few scores have to be made, by a count on some queries and items, that bounds pay.

    No list depends on it.
    """
    sample = min(2 * ROWS, len(queries) // 8)
    some = fixed(queries[:: len(queries) // sample][:sample], np.float32)
    few = fixed(items[:: max(1, len(items) // _SAMPLE)][:_SAMPLE], np.float32)
    part = Bytes(few)
    if not part.whole:
        return False
    shape = len(some), max(1, round(k * len(few) / len(items)))
    index, score = np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32)
    made = offer(some, few, part, 0, exclusions(len(some), None, None), index, score)
    lost = np.count_nonzero(index[:, 0] == -2) / len(some)
    share = made / (len(some) * len(few)) + lost
    return bool(_BOUND + _PAIR * share + _QUERY / len(items) < _WORTH)


def pruned(queries: Float32, items: Float32, k: int, rows: Rows, search: Search) -> Lists:
    """Lists (Q, k) of the best of `items` (N, K) by bounds, or by `search` where they don't pay or can't be had.

    `rows` are the positions that each query must not get. Everything is contiguous and read-only.
    """
    if not pays(queries, items, k):
        return search(queries, items, k, rows)
    lists = np.full((len(queries), k), -1, np.int32), np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(items), _PART):
        part = Bytes(items[start : start + _PART])
        if not part.whole:
            return search(queries, items, k, rows)
        offer(queries, items, part, start, rows, *lists)
    left = np.flatnonzero(lists[0][:, 0] == -2)
    if len(left):
        lists[0][left], lists[1][left] = search(queries[left], items, k, some_rows(rows, left))
    return lists
