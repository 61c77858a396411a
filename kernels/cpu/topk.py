"""The best k items of each query, with Numba: tiles of scores held in registers, and a buffer for each query.

What is above a query's limit goes into its buffer. A full one is cut to its best k, which raises the limit. Where to
cut is bisected by counting what lies above, whole vectors at a time: a heap takes several times as long, for each of
its changes waits for the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from milk_np.kernels.cpu.blocks import query_rows
from milk_np.kernels.cpu.inputs import Rows, exclusions, fixed
from milk_np.kernels.cpu.microkernel import PERIOD
from milk_np.kernels.cpu.order import parts_of
from milk_np.kernels.cpu.prefetch import LINE_BYTES
from milk_np.kernels.cpu.pruning import Lists, may_pay, pruned
from milk_np.kernels.cpu.score_tile import (
    COLUMNS,
    LANES,
    ROWS,
    columns_above,
    count_above,
    float_at,
    lowest_bit,
    place_of,
    rows_above,
)
from milk_np.kernels.cpu.tile import FETCHED, chained_row, chained_tile

_CHUNK = (1 << 16) // COLUMNS * COLUMNS
"""Items packed at a time, a multiple of COLUMNS: 16 MB at K = 64, which a last-level cache can hold."""
_FETCHED = FETCHED * LINE_BYTES // 4
"""Numbers that a tile fetches in PERIOD steps: of the next panel, a part for each tile of queries."""
_SPARE = 2 * COLUMNS
"""Room in a buffer, in addition to k: the buffer is cut once this many scores wait, but at least k."""
_BELOW = 2
"""Places from a score to one that is less: 0.0 and -0.0 are neighbours, and equal."""
_COUNTED = 8192
"""Lists up to this length are sorted by counting, which takes the square of it; NumPy sorts longer ones."""


@njit(cache=True, nogil=True)
def _limit_of_best(score, row, used, k, floor):  # type: ignore[no-untyped-def]
    """A limit that at most k of `score[row, :used]` are above, k if there is one, and how many are.

    None is below `floor`. Where the k-th and the next are equal no limit has k above it, and theirs is returned.
    """
    vectors = (used + LANES - 1) // LANES
    low = np.int64(place_of(floor)) - _BELOW
    high = np.int64(place_of(np.float32(np.inf)))
    above = np.int64(0)
    while high - low > 1:
        middle = (low + high) >> 1
        count = count_above(score, row, vectors, float_at(np.int32(middle)))
        if count > k:
            low = middle
        else:
            high, above = middle, count
            if count == k:
                break
    return float_at(np.int32(high)), above


@njit(cache=True, nogil=True)
def _keep_best(index, score, row, used, k, floor):  # type: ignore[no-untyped-def]
    """Keep the best k of the first `used` > k entries of buffer `row`, in their order; returns their limit.

    Of entries that tie, those of lower positions came first and are kept.
    """
    limit, above = _limit_of_best(score, row, used, k, floor)
    below, ties, to = float_at(np.int32(place_of(limit) - _BELOW)), k - above, 0
    for start in range(0, used, COLUMNS):
        columns = columns_above(score, row, start, below)
        while columns != 0:
            at = start + lowest_bit(columns)
            columns &= columns - 1
            value = score[row, at]
            if value > limit or (value == limit and ties > 0):
                ties -= value == limit
                score[row, to], index[row, to] = value, index[row, at]
                to += 1
    for at in range(k, used):
        score[row, at] = -np.inf
    return limit


@njit(cache=True, nogil=True)
def _write_sorted(places, scores, row, used, index, score, query):  # type: ignore[no-untyped-def]
    """Write the first `used` entries of buffer `row` as the list of `query`: each goes where those above it end.

    Entries that tie keep their order.
    """
    taken = np.zeros(used, np.int64)
    for at in range(used):
        rank = count_above(scores, row, (used + LANES - 1) // LANES, scores[row, at])
        to = rank + taken[rank]
        taken[rank] += 1
        index[query, to], score[query, to] = places[row, at], scores[row, at]


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


@njit(parallel=True, cache=True, nogil=True)
def _pack(items, start, stop, panels):  # type: ignore[no-untyped-def]
    """Write items `start` ... `stop - 1` as `panels` (n, K, COLUMNS), of zeros before, in the order of their chains."""
    parts = parts_of(items.shape[1])
    for panel in prange(panels.shape[0]):
        first = start + panel * COLUMNS
        for column in range(min(COLUMNS, stop - first)):
            at = 0
            for part in range(parts):
                for k in range(part, items.shape[1], parts):
                    panels[panel, at, column] = items[first + column, k]
                    at += 1


@njit(cache=True, nogil=True)
def _offer(queries, panels, first, rows, start, stop, indptr, dropped, index, score, count):  # type: ignore[no-untyped-def]
    """Offer items `start` ... `stop - 1` to the lists of up to `rows` queries from `first` on, sorted if `count`."""
    # Long on purpose: the lists of a block of queries stay in local arrays from the first tile to the last.
    k, width, parts = index.shape[1], queries.shape[1], parts_of(queries.shape[1])
    n = min(rows, queries.shape[0] - first)
    room = (min(k + max(k, _SPARE), stop) + 2 * COLUMNS - 1) // COLUMNS * COLUMNS
    packed, limits = np.zeros(rows * width, np.float32), np.empty(rows, np.float32)
    used = np.zeros(rows, np.int64)
    places, scores = np.empty((rows, room), np.int32), np.empty((rows, room), np.float32)
    for row in range(rows):
        limits[row] = score[first + row, k - 1] if row < n else np.inf
        for at in range(room):
            scores[row, at] = -np.inf
        column = 0
        for part in range(parts if row < n else 0):
            for at in range(part, width, parts):
                to = column if n == 1 else (row // ROWS * width + column) * ROWS + row % ROWS
                packed[to] = queries[first + row, at]
                column += 1
        for at in range(min(k, start) if row < n else 0):
            places[row, at], scores[row, at] = index[first + row, at], score[first + row, at]
            used[row] += index[first + row, at] >= 0
    tile, flat = np.empty((ROWS, COLUMNS), np.float32), panels.reshape(panels.size)
    for panel in range(panels.shape[0]):
        item = start + panel * COLUMNS
        inside = (1 << min(COLUMNS, stop - item)) - 1
        for top in range(0, n, ROWS):
            coming = ((panel + 1) * COLUMNS * width + top * width // (ROWS * PERIOD) * _FETCHED) * flat.itemsize
            near, done = np.int64(flat.ctypes.data) + coming, 0
            for part in range(parts):
                steps, begin = (width - part + parts - 1) // parts, (panel * width + done) * COLUMNS
                ahead = near + done // PERIOD * _FETCHED * flat.itemsize
                if n == 1:
                    chained_row(packed, done, flat, begin, tile, 0, 0, steps, ahead, part)
                else:
                    chained_tile(packed, top * width + done * ROWS, flat, begin, tile, 0, 0, steps, ahead, part)
                done += steps
            above = rows_above(tile, top, limits)
            while above != 0:
                r = lowest_bit(above)
                above &= above - 1
                row = top + r
                low, high = indptr[first + row], indptr[first + row + 1]
                columns = columns_above(tile, r, 0, limits[row]) & inside
                at = used[row]
                while columns != 0:
                    column = lowest_bit(columns)
                    columns &= columns - 1
                    if low == high or not _contains(dropped, low, high, item + column):
                        places[row, at], scores[row, at] = item + column, tile[r, column]
                        at += 1
                if at > room - COLUMNS:
                    limits[row] = _keep_best(places, scores, row, at, k, limits[row])
                    at = k
                used[row] = at
    for row in range(n):
        if used[row] > k:
            _keep_best(places, scores, row, used[row], k, limits[row])
        if count:
            _write_sorted(places, scores, row, min(k, used[row]), index, score, first + row)
            continue
        for at in range(min(k, used[row])):
            index[first + row, at], score[first + row, at] = places[row, at], scores[row, at]


@njit(parallel=True, cache=True, nogil=True)
def _search(queries, panels, share, start, stop, indptr, dropped, index, score, count):  # type: ignore[no-untyped-def]
    """Offer items `start` ... `stop - 1` to the lists `index`, `score` of all queries, `share` a task.

    Lists are in order of score if `count`, otherwise in that of position.
    """
    rows = (share + ROWS - 1) // ROWS * ROWS
    for block in prange((queries.shape[0] + rows - 1) // rows):
        _offer(queries, panels, block * rows, rows, start, stop, indptr, dropped, index, score, count)


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
    and 128 (4 K + 8 min(2 k + 128, N + 64)) bytes a thread; the Q x N scores are never stored. Of wide vectors most are
    left out by bounds, where that pays (`milk_np.kernels.cpu.prune`).
    """
    queries, items = fixed(queries, np.float32), fixed(items, np.float32)
    rows = exclusions(len(queries), exclude_indptr, exclude)
    if may_pay(len(queries), items.shape[0], items.shape[1], k):
        return pruned(queries, items, k, rows, _searched)
    return _searched(queries, items, k, rows)


def _searched(queries: NDArray[np.float32], items: NDArray[np.float32], k: int, rows: Rows) -> Lists:
    """`top_k` by all scores."""
    parts = ((packed(items[start : start + _CHUNK]), start) for start in range(0, len(items), _CHUNK))
    return top_k_packed(queries, parts, len(items), k, *rows)


def top_k_packed(
    queries: NDArray[np.float32],
    parts: Iterable[tuple[NDArray[np.float32], int]],
    n_items: int,
    k: int,
    exclude_indptr: NDArray[np.int64] | None = None,
    exclude: NDArray[np.int32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`top_k` of N items that are packed already: the same lists, bit for bit.

    `parts` are panels that `packed` made, or these as half precision (the bits, uint16), each with the number of its
    first item, in ascending order; what pads the last panel of a part lies behind the first item of the next, or behind
    `n_items`.
    """
    queries = fixed(queries, np.float32)
    indptr, dropped = exclusions(len(queries), exclude_indptr, exclude)
    index = np.full((len(queries), k), -1, np.int32)
    score = np.full((len(queries), k), -np.inf, np.float32)
    if index.size == 0:
        return index, score
    share = min(query_rows(queries.shape[1]), -(-len(queries) // get_num_threads()))
    for panels, start in parts:
        stop = min(start + len(panels) * COLUMNS, n_items)
        _search(queries, panels, share, start, stop, indptr, dropped, index, score, k <= _COUNTED)
        if k > _COUNTED:
            _sort_rows(index, score)
    return index, score


def packed(items: NDArray[np.float32]) -> NDArray[np.float32]:
    """C-contiguous `items` (n, K) float32 as panels (ceil(n / COLUMNS), K, COLUMNS), padded with zeros."""
    panels = np.zeros((-(-len(items) // COLUMNS), items.shape[1], COLUMNS), np.float32)
    _pack(fixed(items, np.float32), 0, len(items), panels)
    return panels


def _sort_rows(index: NDArray[np.int32], score: NDArray[np.float32]) -> None:
    """Sort lists (Q, k) by score in place, best first; those that tie keep their order."""
    for items, scores in zip(index, score, strict=True):
        order = np.argsort(-scores, kind="stable")
        items[:], scores[:] = items[order], scores[order]
