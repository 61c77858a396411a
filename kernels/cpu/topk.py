"""The best k items of each query, with Numba: tiles of scores held in registers and a heap for each query.

Numba can't be told to keep a two-dimensional sum in registers, so the loop over a tile is written in LLVM's
intermediate representation, which is the same for every processor; LLVM chooses the instructions.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_FEATURES = llvm.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))

LANES = 16 if _WIDE else 8
"""float32 numbers in one vector."""
VECTORS = 2
"""Vectors of items in a tile. ROWS x VECTORS sums and the operands of a step must fit the register file: 32
registers with AVX-512, 16 without."""
ROWS = 8 if _WIDE else 6
"""Queries in a tile."""
COLUMNS = LANES * VECTORS
"""Items in a tile."""

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_CHUNK = 1 << 16
"""Items packed at a time, a multiple of COLUMNS: 16 MB at K = 64, which a last-level cache can hold."""
_BLOCK = 16 * ROWS
"""Queries that a thread takes at a time, about: at K = 64 they fill a part of the second-level cache."""


@intrinsic
def score_tile(typingctx: Any, queries: Any, first: Any, items: Any, panel: Any, thresholds: Any, scores: Any) -> Any:
    """Score ROWS queries against COLUMNS items; tell whether a score is above its query's threshold.

    queries (n, K) float32, rows `first` ... `first + ROWS - 1` are read; items (panels, K, COLUMNS)
    float32, of which `panel` is read; thresholds (n,) float32, read at the same rows; scores (ROWS,
    COLUMNS) float32 is written. Returns an int64 whose bit r is set where row r has a score above
    thresholds[first + r] (never for NaN). Each score is one chain of multiply-adds in the order of K: it
    doesn't depend on how the work is cut up.
    """
    signature = types.int64(queries, types.int64, items, types.int64, thresholds, scores)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [context.make_array(sig.args[a])(context, builder, args[a]) for a in (0, 2, 4, 5)]
        query_array, item_array, threshold_array, score_array = arrays
        width = cgutils.unpack_tuple(builder, query_array.shape, 2)[1]
        query = _offset(builder, query_array.data, builder.mul(args[1], width))
        stride = builder.mul(width, _INT64(COLUMNS))
        item = _offset(builder, item_array.data, builder.mul(args[3], stride))
        threshold = _offset(builder, threshold_array.data, args[1])
        sums = _products(builder, query, item, width)
        _store(builder, score_array.data, sums)
        return _above(builder, threshold, sums)

    return signature, codegen


@intrinsic
def columns_above(typingctx: Any, scores: Any, row: Any, threshold: Any) -> Any:
    """int64 whose bit c is set where `scores[row, c]` of a tile is above `threshold`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        start = _offset(builder, array.data, builder.mul(args[1], _INT64(COLUMNS)))
        limit, mask = _splat(builder, args[2]), _INT64(0)
        for v in range(VECTORS):
            vector = _load(builder, _offset(builder, start, _INT64(v * LANES)))
            bits = builder.bitcast(builder.fcmp_ordered(">", vector, limit), ir.IntType(LANES))
            mask = builder.or_(mask, builder.shl(builder.zext(bits, _INT64), _INT64(v * LANES)))
        return mask

    return types.int64(scores, types.int64, types.float32), codegen


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Number of the lowest bit that is set in an int64 that isn't 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.int64), codegen


def _offset(builder: Any, pointer: Any, elements: Any) -> Any:
    return builder.gep(pointer, [elements])


def _load(builder: Any, pointer: Any) -> Any:
    """LANES floats at `pointer`, which is only known to be aligned as a float is."""
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    value.align = 4
    return value


def _splat(builder: Any, scalar: Any) -> Any:
    """A vector with `scalar` in every lane."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, scalar, _INT32(0))
    lanes = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(single, undefined, lanes)


def _products(builder: Any, query: Any, item: Any, width: Any) -> list[list[Any]]:
    """ROWS lists of VECTORS sums over k = 0 ... width - 1 of query[r, k] * item[k, :].

    The sums are stack slots, which LLVM promotes to registers.
    """
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    muladd = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(VECTORS)] for _ in range(ROWS)]
    for slot in (slot for slots in sums for slot in slots):
        builder.store(zero, slot)
    with cgutils.for_range(builder, width) as loop:
        start = _offset(builder, item, builder.mul(loop.index, _INT64(COLUMNS)))
        columns = [_load(builder, _offset(builder, start, _INT64(v * LANES))) for v in range(VECTORS)]
        for row, slots in enumerate(sums):
            place = builder.add(builder.mul(width, _INT64(row)), loop.index)
            value = _splat(builder, builder.load(_offset(builder, query, place)))
            for slot, column in zip(slots, columns, strict=True):
                builder.store(builder.call(muladd, [value, column, builder.load(slot)]), slot)
    return [[builder.load(slot) for slot in slots] for slots in sums]


def _store(builder: Any, scores: Any, sums: list[list[Any]]) -> None:
    for row, vectors in enumerate(sums):
        for v, vector in enumerate(vectors):
            place = _offset(builder, scores, _INT64(row * COLUMNS + v * LANES))
            builder.store(vector, builder.bitcast(place, _VECTOR.as_pointer())).align = 4


def _above(builder: Any, threshold: Any, sums: list[list[Any]]) -> Any:
    """int64 with bit r set where a sum of row r is above threshold[r]."""
    mask = _INT64(0)
    for row, vectors in enumerate(sums):
        limit = _splat(builder, builder.load(_offset(builder, threshold, _INT64(row))))
        above = builder.fcmp_ordered(">", vectors[0], limit)
        for vector in vectors[1:]:
            above = builder.or_(above, builder.fcmp_ordered(">", vector, limit))
        packed = builder.bitcast(above, ir.IntType(LANES))
        found = builder.icmp_unsigned("!=", packed, ir.IntType(LANES)(0))
        mask = builder.or_(mask, builder.select(found, _INT64(1 << row), _INT64(0)))
    return mask


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
        if child + 1 < size and _worse(index, score, query, child + 1, score[query, child], index[query, child]):
            child += 1
        if not _worse(index, score, query, child, value, item):
            break
        score[query, hole], index[query, hole] = score[query, child], index[query, child]
        hole = child
    score[query, hole], index[query, hole] = value, item


@njit(cache=True, nogil=True)
def _sort(index, score, query):  # type: ignore[no-untyped-def]
    """Turn the heap of a query into a list, best first."""
    for size in range(index.shape[1] - 1, 0, -1):
        item, value = np.int64(index[query, size]), score[query, size]
        index[query, size], score[query, size] = index[query, 0], score[query, 0]
        _replace_root(index, score, query, size, value, item)


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
        _input(types.int64, 1), _input(types.int32, 1), types.int32[:, ::1], types.float32[:, ::1], types.boolean,
    ),
    parallel=True, cache=True, nogil=True,
)  # fmt: skip
def _search(queries, panels, share, start, stop, indptr, dropped, index, score, last):  # type: ignore[no-untyped-def]
    """Offer items `start` ... `stop - 1` to the heaps `index`, `score` of all queries, `share` a task.

    After the `last` items the heaps become lists.
    """
    rows = (share + ROWS - 1) // ROWS * ROWS
    for block in prange((queries.shape[0] + rows - 1) // rows):
        first = block * rows
        n = min(rows, queries.shape[0] - first)
        padded = np.zeros((rows, queries.shape[1]), np.float32)
        limits = np.empty(rows, np.float32)
        for row in range(rows):
            limits[row] = score[first + row, 0] if row < n else np.inf
            for k in range(queries.shape[1] if row < n else 0):
                padded[row, k] = queries[first + row, k]
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
        if last:
            for row in range(n):
                _sort(index, score, np.int64(first + row))


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
    share = min(_BLOCK, -(-len(queries) // get_num_threads()))
    for start in range(0, len(items), _CHUNK):
        stop = min(start + _CHUNK, len(items))
        panels, last = _pack(items, start, stop), stop == len(items)
        _search(queries, panels, share, start, stop, indptr, dropped, index, score, last)
    return index, score
