"""The best k items of each query, with Numba: tiles of scores held in registers and a heap for each query."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange, types
from numpy.typing import NDArray

from .topk_tile import COLUMNS, ROWS, columns_above, lowest_bit, score_tile

_CHUNK = 1 << 16
"""Items packed at a time, a multiple of COLUMNS: 16 MB at K = 64, which a last-level cache can hold."""
_BLOCK = 16 * ROWS
"""Queries that a thread takes at a time, at most: at K = 64 they fill a part of the second-level cache."""


def _input(dtype: types.Type, ndim: int) -> types.Array:
    """A contiguous array that is only read; writable arrays are accepted as well."""
    return types.Array(dtype, ndim, "C", readonly=True)


@njit(cache=True, nogil=True)
def _worse(index, score, query, at, value, item):  # type: ignore[no-untyped-def]
    """Whether entry `at` of a query's heap is worse than (`value`, `item`)."""
    entry = score[query, at]
    return entry < value or (entry == value and index[query, at] > item)


@njit(cache=True, nogil=True)
def _replace_root(index, score, query, size, value, item):  # type: ignore[no-untyped-def]
    """Put (`value`, `item`) in the place of the root, the worst entry, and restore the order of the heap.

    The heap is the first `size` entries of row `query`. Worse is a lower score, then a higher position. Items
    come in ascending order, so one that ties with the root is worse than the root and was never offered.
    """
    hole = 0
    while 2 * hole + 1 < size:
        child = 2 * hole + 1
        if child + 1 < size and _worse(
            index, score, query, child + 1, score[query, child], index[query, child]
        ):
            child += 1
        if not _worse(index, score, query, child, value, item):
            break
        score[query, hole], index[query, hole] = score[query, child], index[query, child]
        hole = child
    score[query, hole], index[query, hole] = value, item


@njit(cache=True, nogil=True)
def _contains(ascending, low, high, value):  # type: ignore[no-untyped-def]
    """Whether `value` is among `ascending[low:high]`."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < end and ascending[low] == value


@njit(
    types.float32[:, :, ::1](_input(types.float32, 2), types.int64, types.int64),
    parallel=True, cache=True, nogil=True,
)  # fmt: skip
def _pack(items, start, stop):  # type: ignore[no-untyped-def]
    """Items `start` ... `stop - 1` as panels (n, K, COLUMNS), the last one filled with zeros."""
    width = items.shape[1]
    panels = np.zeros(((stop - start + COLUMNS - 1) // COLUMNS, width, COLUMNS), np.float32)
    for panel in prange(panels.shape[0]):
        first = start + panel * COLUMNS
        for column in range(min(COLUMNS, stop - first)):
            for k in range(width):
                panels[panel, k, column] = items[first + column, k]
    return panels


@njit(
    types.void(
        _input(types.float32, 2), types.float32[:, :, ::1], types.int64, types.int64, types.int64,
        _input(types.int64, 1), _input(types.int32, 1), types.int32[:, ::1], types.float32[:, ::1],
    ),
    parallel=True, cache=True, nogil=True,
)  # fmt: skip
def _search(queries, panels, rows, start, stop, indptr, dropped, index, score):  # type: ignore[no-untyped-def]
    """Offer items `start` ... `stop - 1` to the heaps `index`, `score` of all queries, `rows` a task."""
    for block in prange((queries.shape[0] + rows - 1) // rows):
        first = block * rows
        n = min(rows, queries.shape[0] - first)
        padded = np.zeros((rows, queries.shape[1]), np.float32)
        padded[:n] = queries[first : first + n]
        limits = np.full(rows, np.inf, np.float32)
        limits[:n] = score[first : first + n, 0]
        tile = np.empty((ROWS, COLUMNS), np.float32)
        for panel in range(panels.shape[0]):
            item = start + panel * COLUMNS
            inside = (1 << min(COLUMNS, stop - item)) - 1
            for row in range(0, n, ROWS):
                above = score_tile(padded, row, panels, panel, limits, tile)
                while above != 0:
                    r = lowest_bit(above)
                    above &= above - 1
                    query = first + row + r
                    columns = columns_above(tile, r, limits[row + r]) & inside
                    while columns != 0:
                        column = lowest_bit(columns)
                        columns &= columns - 1
                        value = tile[r, column]
                        if value > score[query, 0] and not _contains(
                            dropped, indptr[query], indptr[query + 1], item + column
                        ):
                            _replace_root(index, score, query, score.shape[1], value, item + column)
                    limits[row + r] = score[query, 0]


@njit(types.void(types.int32[:, ::1], types.float32[:, ::1]), parallel=True, cache=True, nogil=True)
def _sort(index, score):  # type: ignore[no-untyped-def]
    """Turn every heap into a list, best first."""
    for row in prange(index.shape[0]):
        for size in range(index.shape[1] - 1, 0, -1):
            item, value = index[row, size], score[row, size]
            index[row, size], score[row, size] = index[row, 0], score[row, 0]
            _replace_root(index, score, row, size, value, item)


def _rows_a_block(n_queries: int) -> int:
    """Queries a block, a multiple of ROWS: few enough that each thread gets one. No result depends on it."""
    share = -(-n_queries // get_num_threads())
    return int(min(_BLOCK, -(-share // ROWS) * ROWS))


def top_k(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    k: int,
    exclude_indptr: NDArray[np.int64] | None = None,
    exclude: NDArray[np.int32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Best `k` of `items` (N, K) for each of `queries` (Q, K) by dot product.

    `exclude[exclude_indptr[q]:exclude_indptr[q + 1]]` are the positions, ascending, that query q must not
    get. Returns `index` int32 (Q, k) and `score` float32 (Q, k), ordered by score, highest first, then by
    position, lowest first; 0.0 and -0.0 tie. A score of NaN or -inf is never listed. Rows with fewer than k
    items left end in index -1 and score -inf. The result is the same bit for bit on any number of threads
    and however the queries are cut into calls. Memory: the result, 4 K min(N, 65536) bytes for packed items
    and 4 K 128 bytes a thread; the Q x N scores are never stored.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    items = np.ascontiguousarray(items, np.float32)
    indptr = np.zeros(len(queries) + 1, np.int64) if exclude_indptr is None else exclude_indptr
    dropped = np.zeros(0, np.int32) if exclude is None else exclude
    indptr, dropped = np.ascontiguousarray(indptr, np.int64), np.ascontiguousarray(dropped, np.int32)
    index = np.full((len(queries), k), -1, np.int32)
    score = np.full((len(queries), k), -np.inf, np.float32)
    if index.size == 0:
        return index, score
    rows = _rows_a_block(len(queries))
    for start in range(0, len(items), _CHUNK):
        stop = min(start + _CHUNK, len(items))
        _search(queries, _pack(items, start, stop), rows, start, stop, indptr, dropped, index, score)
    _sort(index, score)
    return index, score
