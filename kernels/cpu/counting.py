"""Counting along a short sorted list, whole vectors at a time and without a branch to mispredict."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from milk_np.kernels.cpu.vectors import splat

NUMBERS = 16
"""Numbers compared at a time; LLVM makes of them the vectors that the processor has."""
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def count_passed(typingctx: Any, ascending: Any, start: Any, stop: Any, r: Any) -> Any:
    """How many of q = 0 ... stop - start - 1 have ascending[start + q] - q <= r.

    So many members of the sorted list lie before the r-th number that isn't in it. Nothing outside of the list is read.
    """
    if ascending.layout != "C" or not ascending.dtype.signed:
        return None  # Numba then refuses the call
    signature = types.int64(ascending, types.int64, types.int64, types.int64)

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, b, args[0])
        number = array.data.type.pointee
        vector = ir.VectorType(number, NUMBERS)
        lanes = ir.Constant(vector, list(range(NUMBERS)))
        kind = ir.FunctionType(vector, [vector.as_pointer(), _INT32, ir.VectorType(ir.IntType(1), NUMBERS), vector])
        name = f"llvm.masked.load.v{NUMBERS}i{number.width}.p0"
        load = cgutils.get_or_insert_function(b.module, kind, name)
        limit, total = splat(b, _cast(b, args[3], number), NUMBERS), cgutils.alloca_once_value(b, _INT64(0))
        length = b.sub(args[2], args[1])
        with cgutils.for_range_slice(b, _INT64(0), length, _INT64(NUMBERS)) as (first, _):
            left = b.sub(length, first)
            left = b.select(b.icmp_signed("<", left, _INT64(NUMBERS)), left, _INT64(NUMBERS))
            inside = b.icmp_signed("<", lanes, splat(b, _cast(b, left, number), NUMBERS))
            place = b.bitcast(b.gep(array.data, [b.add(args[1], first)]), vector.as_pointer())
            loaded = b.call(load, [place, _INT32(number.width // 8), inside, ir.Constant(vector, None)])
            shifted = b.sub(b.sub(loaded, lanes), splat(b, _cast(b, first, number), NUMBERS))
            passed = b.and_(inside, b.icmp_signed("<=", shifted, limit))
            count = b.zext(b.ctpop(b.bitcast(passed, ir.IntType(NUMBERS))), _INT64)
            b.store(b.add(b.load(total), count), total)
        return b.load(total)

    return signature, codegen


def _cast(b: Any, value: Any, number: Any) -> Any:
    """An int64 as `number`, which is as wide or narrower."""
    return b.trunc(value, number) if number.width < 64 else value
