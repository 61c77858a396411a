"""Asking for memory before it is needed: rows scattered over a table come too late otherwise.

No processor guesses where the next row of a list lies.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LINE_BYTES = 64
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


def prefetch(b: Any, pointer: Any) -> None:
    """Code that asks for the cache line at `pointer`, to be read once or twice; no address can fault."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    instruction = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    b.call(instruction, [b.bitcast(pointer, byte), _INT32(0), _INT32(2), _INT32(1)])


@intrinsic
def prefetch_line(typing: Any, address: Any) -> Any:
    """Ask for the cache line at an address (int64)."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        prefetch(b, b.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def prefetch_row(typing: Any, table: Any, row: Any) -> Any:
    """Ask for all of row `row` of a C-contiguous 2-D array."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, b, args[0])
        length = cgutils.unpack_tuple(b, array.shape, 2)[1]
        start = b.gep(array.data, [b.mul(args[1], length)])
        bytes_ = b.mul(length, array.itemsize)
        first = b.bitcast(start, ir.IntType(8).as_pointer())
        with cgutils.for_range_slice(b, _INT64(0), bytes_, _INT64(LINE_BYTES)) as (offset, _):
            prefetch(b, b.gep(first, [offset]))
        prefetch(b, b.gep(first, [b.sub(bytes_, _INT64(1))]))  # rows needn't begin where a line does
        return context.get_dummy_value()

    return types.void(table, types.int64), codegen
