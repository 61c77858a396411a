"""The best k items of wide queries, most items left out by a bound on their scores: exact, and the same bits.

Bounds come from bytes (`milk_np.kernels.cpu.quantise`), at a quarter of what scores cost. The items of the highest
bounds are scored first. What can't reach the k-th of these is left out, for good; the rest is scored.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.cpu.byte_tile import PAIRS, byte_tile, row_scores
from milk_np.kernels.cpu.inputs import Rows
from milk_np.kernels.cpu.quantise import BOUNDED, HEAD, Bytes, pack_query, rounding
from milk_np.kernels.cpu.score_tile import (
    COLUMNS,
    LANES,
    ROWS,
    columns_above,
    count_above,
    float_at,
    lowest_bit,
    place_of,
)
from milk_np.kernels.cpu.tasks import in_threads, row_parts
from milk_np.kernels.cpu.tile import packed_tile

BLOCK = 8 * ROWS
"""Queries whose bounds are held at a time."""
_CHUNK = 2048 // COLUMNS * COLUMNS
"""Items whose bounds are held at a time."""
_TASKS = 64
"""Parts of a search, about: more than threads, which may be held up."""
_BELOW = 2
"""Places from a score to one that is less: 0.0 and -0.0 are neighbours, and equal."""


@njit(cache=True, nogil=True)
def _merge(index, score, row, used, places, values, n):  # type: ignore[no-untyped-def]
    """Put the first `n` of `places` with `values` (1, ...) into the list `row`, which has `used` entries.

    Each goes where those above it end, and those that tie where their places say. Returns how many entries there are.
    `places` and `values` have room for the list, and a vector more, behind the n.
    """
    k, whole = score.shape[1], n + used
    for at in range(used):
        values[0, n + at], places[n + at] = score[row, at], index[row, at]
    vectors = (whole + LANES - 1) // LANES
    for at in range(whole, vectors * LANES):
        values[0, at] = -np.inf
    for at in range(k):
        index[row, at] = -1
    for at in range(whole):
        to, place, value = count_above(values, 0, vectors, values[0, at]), np.int32(places[at]), values[0, at]
        while to < k and index[row, to] >= 0:
            if place < index[row, to]:
                place, index[row, to] = index[row, to], place
                value, score[row, to] = score[row, to], value
            to += 1
        if to < k:
            index[row, to], score[row, to] = place, value
    return min(whole, k)


@njit(cache=True, nogil=True)
def _score_all(queries, row, items, chosen, n, values, index, score, used):  # type: ignore[no-untyped-def]
    """Score the first `n` of `chosen` and put them into the list; returns how many entries it has."""
    for at in range(n, (n + PAIRS - 1) // PAIRS * PAIRS + PAIRS):  # the last are fetched ahead
        chosen[at] = chosen[n - 1]
    for at in range(0, n, PAIRS):
        row_scores(queries, row, items, chosen, at, values[0])
    return _merge(index, score, row, used, chosen, values, n)


@njit(cache=True, nogil=True)
def _seed(bounds, r, vectors, k):  # type: ignore[no-untyped-def]
    """A bound that, if there are so many, at least k of `bounds[r]` are above, and not many more."""
    lowest = np.float32(-np.inf)
    if count_above(bounds, r, vectors, lowest) <= 2 * k:
        return lowest
    place = np.int32(-(1 << 31))
    for bits in bounds[r, : vectors * LANES].view(np.int32):
        place = max(place, bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    high = float_at(place)
    step = max(abs(high) * np.float32(0.02), np.float32(1e-30))
    while count_above(bounds, r, vectors, high - step) < k:
        step *= np.float32(3)
    low = high - step
    for _ in range(12):
        middle = low + (high - low) / 2
        above = count_above(bounds, r, vectors, middle)
        if above > 2 * k:
            low = middle
        elif above < k:
            high = middle
        else:
            return middle
    return low


@njit(cache=True, nogil=True)
def _collect(bounds, r, room, above, upto, start, chosen):  # type: ignore[no-untyped-def]
    """Write items whose bound is above `above` and not above `upto` to `chosen`; returns how many."""
    n = 0
    for first in range(0, room, COLUMNS):
        columns = columns_above(bounds, r, first, above) & ~columns_above(bounds, r, first, upto)
        while columns != 0:
            chosen[n] = start + first + lowest_bit(columns)
            columns &= columns - 1
            n += 1
    return n


@njit(cache=True, nogil=True)
def _least(score, row, used):  # type: ignore[no-untyped-def]
    """What a bound has to be above for its item to belong to the list, maybe."""
    k = score.shape[1]
    if used < k:
        return np.float32(-np.inf)
    return float_at(np.int32(place_of(score[row, k - 1]) - _BELOW))


@njit(cache=True, nogil=True)
def _bound(x, heads, offsets, by_row, panels, panel_heads, scales, first, count, bounds):  # type: ignore[no-untyped-def]
    """Bounds of a block of queries on the items of `count` panels from `first` on."""
    steps = panels.shape[1]
    flat, flat_heads = panels.reshape(panels.size), panel_heads.reshape(panel_heads.size)
    for panel in range(first, first + count):
        column, near = (panel - first) * COLUMNS, np.int64(flat.ctypes.data)
        for top in range(0, len(offsets), ROWS):
            packed_tile(heads, top * BOUNDED, flat_heads, panel * BOUNDED * COLUMNS, bounds, top, column, BOUNDED, near)
            byte_tile(
                x, top * steps, flat, panel * steps * COLUMNS, offsets, top, by_row,
                scales[first * COLUMNS :], column, bounds, steps,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _drop(bounds, r, low, stop, dropped, first, end):  # type: ignore[no-untyped-def]
    """No bound for what lies behind `stop`, and for items `dropped[first:end]`, numbered from `low`."""
    bounds[r, stop:] = -np.inf
    last = end
    while first < last:
        middle = (first + last) // 2
        if dropped[middle] < low:
            first = middle + 1
        else:
            last = middle
    while first < end and dropped[first] < low + stop:
        bounds[r, dropped[first] - low] = -np.inf
        first += 1


@njit(cache=True, nogil=True)
def _search_row(queries, row, items, low, bounds, r, room, index, score, used, chosen, values):  # type: ignore[no-untyped-def]
    """Offer items from `low` on, by their bounds, to the list of query `row`; its entries then, and scores made."""
    vectors, made, wanted, upto = room // LANES, 0, score.shape[1], np.float32(np.inf)
    while True:  # the most promising first, each time twice as many, until the others can't be listed
        above, last = _least(score, row, used), True
        if count_above(bounds, r, vectors, above) > 2 * wanted:
            seed = _seed(bounds, r, vectors, wanted)
            above, last = max(seed, above), seed <= above
        if above < upto:
            found = _collect(bounds, r, room, above, upto, low, chosen)
            if found:
                used = _score_all(queries, row, items, chosen, found, values, index, score, used)
            made += found
        if last:
            return used, made
        upto, wanted = min(upto, above), 2 * wanted


@njit(cache=True, nogil=True)
def _pack_block(queries, first, n, steps, index, share):  # type: ignore[no-untyped-def]
    """Queries `first` ... `first + n - 1` in tiles: bytes, heads, offsets, scales, and how long their lists are.

    A query that can't be written in bytes gets -2 in its list, and a length of -1.
    """
    top = (n + ROWS - 1) // ROWS * ROWS
    x, heads = np.zeros(top * steps, np.int32), np.zeros(top * BOUNDED, np.float32)
    offsets, scales, used = np.zeros(top, np.int32), np.zeros(top, np.float32), np.zeros(top, np.int64)
    shifted, q = np.empty(queries.shape[1] - HEAD, np.float32), np.zeros(4 * steps, np.int8)
    lengths = np.zeros(5, np.float32)
    for r in range(n):
        if pack_query(queries[first + r], r, x, heads, offsets, scales, share, shifted, q, lengths):
            while used[r] < index.shape[1] and index[first + r, used[r]] >= 0:
                used[r] += 1
        else:
            used[r], index[first + r, 0] = -1, -2
    return x, heads, offsets, scales, used


@njit(cache=True, nogil=True)
def _prune_block(queries, items, first, panels, heads, scales, start, indptr, dropped, index, score, share):  # type: ignore[no-untyped-def]
    """Offer items from `start` on to the lists of a block of queries; returns how many scores were made."""
    k, n, made = index.shape[1], min(BLOCK, len(queries) - first), 0
    x, packed, offsets, by_row, used = _pack_block(queries, first, n, panels.shape[1], index, share)
    size = min(_CHUNK // COLUMNS, panels.shape[0])
    most = size * COLUMNS + k + LANES + 2 * PAIRS
    bounds = np.empty((len(offsets), size * COLUMNS), np.float32)
    chosen, values = np.empty(most, np.int64), np.empty((1, most), np.float32)
    for panel in range(0, panels.shape[0], size):
        count = min(size, panels.shape[0] - panel)
        low = start + panel * COLUMNS
        stop = min(count * COLUMNS, len(items) - low)
        _bound(x, packed, offsets, by_row, panels, heads, scales, panel, count, bounds)
        for r in range(n):
            if used[r] < 0:
                continue
            _drop(bounds, r, low, stop, dropped, indptr[first + r], indptr[first + r + 1])
            used[r], more = _search_row(
                queries, first + r, items, low, bounds, r, count * COLUMNS, index, score, used[r], chosen, values
            )
            made += more
    return made


@njit(cache=True, nogil=True)
def _prune(queries, items, low, high, panels, heads, scales, start, indptr, dropped, index, score, share, made):  # type: ignore[no-untyped-def]
    """The same for blocks `low` ... `high - 1`, whose numbers of scores are written to `made`."""
    for block in range(low, high):
        made[block] = _prune_block(
            queries, items, block * BLOCK, panels, heads, scales, start, indptr, dropped, index, score, share
        )


def offer(
    queries: NDArray[np.float32], items: NDArray[np.float32], part: Bytes, start: int, rows: Rows,
    index: NDArray[np.int32], score: NDArray[np.float32],
) -> int:  # fmt: skip
    """Offer the items of `part`, those of `items` (N, K) from `start` on, to the lists `index`, `score` (Q, k).

    A part has whole panels, unless it is the last.
    Lists are sorted, best first. -2 stands first in that of a query that has to be searched for without bounds.
    Returns how many scores were made.
    """
    made = np.zeros(-(-len(queries) // BLOCK), np.int64)
    arrays, share = (part.panels, part.heads, part.scales), rounding(queries.shape[1])

    def search(blocks: slice) -> None:
        _prune(queries, items, blocks.start, blocks.stop, *arrays, start, *rows, index, score, share, made)

    in_threads(search, row_parts(len(made), max(1, len(made) // _TASKS)))
    return int(made.sum())
