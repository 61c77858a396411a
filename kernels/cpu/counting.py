"""Counting along a short sorted list, whole vectors at a time and without a branch to mispredict."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Numbers compared at a time; LLVM makes of them the vectors that the processor has."""
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def count_passed(typingctx: Any, ascending: Any, start: Any, stop: Any, r: Any) -> Any:
    """How many of q = 0 ... stop - start - 1 have ascending[start + q] - q <= r.

    So many members of the sorted list lie before the r-th number that isn't in it. Nothing outside of the list is read.
    """
    signature = types.int64(ascending, types.int64, types.int64, types.int64)

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, b, args[0])
        number = array.data.type.pointee
        vector = ir.VectorType(number, LANES)
        lanes = ir.Constant(vector, list(range(LANES)))
        kind = ir.FunctionType(vector, [vector.as_pointer(), _INT32, ir.VectorType(ir.IntType(1), LANES), vector])
        name = f"llvm.masked.load.v{LANES}i{number.width}.p0"
        load = cgutils.get_or_insert_function(b.module, kind, name)
        limit, total = _splat(b, _cast(b, args[3], number)), cgutils.alloca_once_value(b, _INT64(0))
        length = b.sub(args[2], args[1])
        with cgutils.for_range_slice(b, _INT64(0), length, _INT64(LANES)) as (first, _):
            left = b.sub(length, first)
            left = b.select(b.icmp_signed("<", left, _INT64(LANES)), left, _INT64(LANES))
            inside = b.icmp_signed("<", lanes, _splat(b, _cast(b, left, number)))
            place = b.bitcast(b.gep(array.data, [b.add(args[1], first)]), vector.as_pointer())
            loaded = b.call(load, [place, _INT32(number.width // 8), inside, ir.Constant(vector, None)])
            shifted = b.sub(b.sub(loaded, lanes), _splat(b, _cast(b, first, number)))
            passed = b.and_(inside, b.icmp_signed("<=", shifted, limit))
            count = b.zext(b.ctpop(b.bitcast(passed, ir.IntType(LANES))), _INT64)
            b.store(b.add(b.load(total), count), total)
        return b.load(total)

    return signature, codegen


def _cast(b: Any, value: Any, number: Any) -> Any:
    """An int64 as `number`, which is as wide or narrower."""
    return b.trunc(value, number) if number.width < 64 else value


def _splat(b: Any, scalar: Any) -> Any:
    """A vector with `scalar` in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    lanes = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return b.shuffle_vector(b.insert_element(undefined, scalar, _INT32(0)), undefined, lanes)
