"""Scores of a small tile of queries and items, held in vector registers: the inner loop of the top-k search.

Numba can't be told to keep a two-dimensional accumulator in registers, so this one loop is written in LLVM's
intermediate representation, which is the same for every processor; LLVM chooses the instructions.
Numba's disk cache watches the caller's file only: whoever changes this one must touch topk.py as well.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

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


@intrinsic
def score_tile(
    typingctx: Any, queries: Any, first: Any, items: Any, panel: Any, thresholds: Any, scores: Any
) -> Any:
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
    """ROWS lists of VECTORS sums over k = 0 ... width - 1 of query[r, k] * item[k, :]."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    muladd = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    before = builder.block
    body, after = builder.append_basic_block("k"), builder.append_basic_block("k.end")
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    builder.cbranch(builder.icmp_signed(">", width, _INT64(0)), body, after)
    builder.position_at_end(body)
    step = builder.phi(_INT64)
    step.add_incoming(_INT64(0), before)
    sums = [[_phi(builder, zero, before) for _ in range(VECTORS)] for _ in range(ROWS)]
    at = builder.mul(step, _INT64(COLUMNS))
    columns = [
        _load(builder, _offset(builder, item, builder.add(at, _INT64(v * LANES)))) for v in range(VECTORS)
    ]
    grown = []
    for row in range(ROWS):
        place = builder.add(builder.mul(width, _INT64(row)), step)
        value = _splat(builder, builder.load(_offset(builder, query, place)))
        grown.append([builder.call(muladd, [value, columns[v], sums[row][v]]) for v in range(VECTORS)])
    following = builder.add(step, _INT64(1))
    step.add_incoming(following, body)
    for row in range(ROWS):
        for v in range(VECTORS):
            sums[row][v].add_incoming(grown[row][v], body)
    builder.cbranch(builder.icmp_signed("<", following, width), body, after)
    builder.position_at_end(after)
    return [[_join(builder, zero, before, grown[r][v], body) for v in range(VECTORS)] for r in range(ROWS)]


def _phi(builder: Any, value: Any, block: Any) -> Any:
    phi = builder.phi(_VECTOR)
    phi.add_incoming(value, block)
    return phi


def _join(builder: Any, value: Any, block: Any, other: Any, other_block: Any) -> Any:
    phi = _phi(builder, value, block)
    phi.add_incoming(other, other_block)
    return phi


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
