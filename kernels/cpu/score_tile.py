"""What the search asks of vectors of scores, in LLVM's representation; the tiles are those of all packed products."""

from __future__ import annotations

from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from milk_np.kernels.cpu.microkernel import PACKED
from milk_np.kernels.cpu.vectors import VECTOR_BYTES, splat

ROWS, VECTORS = PACKED
"""Queries in a tile, and vectors of items."""
LANES = VECTOR_BYTES // 4
"""float32 numbers in one vector."""
COLUMNS = LANES * VECTORS
"""Items in a tile."""

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


@intrinsic
def rows_above(typingctx: Any, scores: Any, first: Any, thresholds: Any) -> Any:
    """int64 whose bit r < ROWS is set where `scores[r, :COLUMNS]` has one above `thresholds[first + r]`, never NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [context.make_array(sig.args[a])(context, builder, args[a]) for a in (0, 2)]
        start, threshold = arrays[0].data, _offset(builder, arrays[1].data, args[1])
        mask = _INT64(0)
        for r in range(ROWS):
            limit = splat(builder, builder.load(_offset(builder, threshold, _INT64(r))), LANES)
            vectors = [_offset(builder, start, _INT64(r * COLUMNS + v * LANES)) for v in range(VECTORS)]
            found = reduce(builder.or_, (_bits_above(builder, vector, limit) for vector in vectors))
            above = builder.icmp_unsigned("!=", found, ir.IntType(LANES)(0))
            mask = builder.or_(mask, builder.select(above, _INT64(1 << r), _INT64(0)))
        return mask

    return types.int64(scores, types.int64, thresholds), codegen


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
