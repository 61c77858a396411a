"""Scores of a tile of queries and items held in registers, and what the search asks of vectors of scores.

Numba can't be told to keep a two-dimensional sum in registers, so the loop over a tile is written in LLVM's
intermediate representation, which is the same for every processor; LLVM chooses the instructions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from milk_np.kernels.cpu.vectors import WIDE, splat

LANES = 16 if WIDE else 8
"""float32 numbers in one vector."""
VECTORS = 2
"""Vectors of items in a tile. ROWS x VECTORS sums and the operands of a step must fit the register file: 32
registers with AVX-512, 16 without."""
ROWS = 8 if WIDE else 6
"""Queries in a tile."""
COLUMNS = LANES * VECTORS
"""Items in a tile."""

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


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
def columns_above(typingctx: Any, scores: Any, row: Any, first: Any, threshold: Any) -> Any:
    """int64 whose bit c < COLUMNS is set where `scores[row, first + c]` is above `threshold`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        start = _offset(builder, array.data, builder.add(builder.mul(args[1], width), args[2]))
        limit, mask = splat(builder, args[3], LANES), _INT64(0)
        for v in range(VECTORS):
            bits = _bits_above(builder, _offset(builder, start, _INT64(v * LANES)), limit)
            mask = builder.or_(mask, builder.shl(builder.zext(bits, _INT64), _INT64(v * LANES)))
        return mask

    return types.int64(scores, types.int64, types.int64, types.float32), codegen


@intrinsic
def count_above(typingctx: Any, scores: Any, row: Any, vectors: Any, threshold: Any) -> Any:
    """How many of the first `vectors` * LANES numbers of `scores[row]` are above `threshold`, int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        start = _offset(builder, array.data, builder.mul(args[1], width))
        limit, total = splat(builder, args[3], LANES), cgutils.alloca_once_value(builder, _INT64(0))
        with cgutils.for_range(builder, args[2]) as loop:
            bits = _bits_above(builder, _offset(builder, start, builder.mul(loop.index, _INT64(LANES))), limit)
            count = builder.zext(builder.ctpop(bits), _INT64)
            builder.store(builder.add(builder.load(total), count), total)
        return builder.load(total)

    return types.int64(scores, types.int64, types.int64, types.float32), codegen


@intrinsic
def float_at(typingctx: Any, place: Any) -> Any:
    """The float32 at `place` (int32) among all in ascending order, 0.0 being at 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(_reversed_below_zero(builder, args[0]), _FLOAT)

    return types.float32(types.int32), codegen


@intrinsic
def place_of(typingctx: Any, number: Any) -> Any:
    """The `place` (int32) at which `float_at` gives the float32 `number`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _reversed_below_zero(builder, builder.bitcast(args[0], _INT32))

    return types.int32(types.float32), codegen


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Number of the lowest bit that is set in an int64 that isn't 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.int64), codegen


def _bits_above(builder: Any, pointer: Any, limit: Any) -> Any:
    """Integer of LANES bits, set where a float of the vector at `pointer` is above that of `limit`."""
    return builder.bitcast(builder.fcmp_ordered(">", _load(builder, pointer), limit), ir.IntType(LANES))


def _reversed_below_zero(builder: Any, bits: Any) -> Any:
    """int32 in the order of the floats of these bits, whose negatives run backwards; twice gives `bits` again."""
    flipped = builder.xor(bits, _INT32(0x7FFFFFFF))
    return builder.select(builder.icmp_signed("<", bits, _INT32(0)), flipped, bits)


def _offset(builder: Any, pointer: Any, elements: Any) -> Any:
    return builder.gep(pointer, [elements])


def _load(builder: Any, pointer: Any) -> Any:
    """LANES floats at `pointer`, which is only known to be aligned as a float is."""
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    value.align = 4
    return value


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
            value = splat(builder, builder.load(_offset(builder, query, place)), LANES)
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
        limit = splat(builder, builder.load(_offset(builder, threshold, _INT64(row))), LANES)
        above = builder.fcmp_ordered(">", vectors[0], limit)
        for vector in vectors[1:]:
            above = builder.or_(above, builder.fcmp_ordered(">", vector, limit))
        packed = builder.bitcast(above, ir.IntType(LANES))
        found = builder.icmp_unsigned("!=", packed, ir.IntType(LANES)(0))
        mask = builder.or_(mask, builder.select(found, _INT64(1 << row), _INT64(0)))
    return mask
