"""Tiles of products as functions for Numba: rows of x that lie scattered, and rows that are packed.

Panels of the other factor are packed: the numbers that a tile reads lie one after the other, in a 1-D array.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from milk_np.kernels.cpu.microkernel import PACKED, PERIOD, SCATTERED, Shape, Tile
from milk_np.kernels.cpu.prefetch import LINE_BYTES, prefetch
from milk_np.kernels.cpu.vectors import VECTOR_BYTES, WIDE

FETCHED = 3 if WIDE else 1
"""Cache lines that a packed tile asks for in PERIOD steps; more at a time are dropped by some processors."""
_INT64 = ir.IntType(64)
_I64 = types.int64


def _scattered_tile(shape: Shape) -> Any:
    """Intrinsic `tile(address, first, offset, panels, start, acc, row, column, steps)`.

    acc[row + r, column:] += sum over k < steps of x(k, r) panels[start + k columns:]; x(k, r) is number offset + k of
    the row at address[first + r]. `address` (int64) has twice as many rows as a tile: those of the next are fetched
    ahead. `panels` is 1-D, `acc` 2-D, both C-contiguous and of one floating type.
    """

    @intrinsic
    def tile(
        typing: Any, address: Any, first: Any, offset: Any, panels: Any, start: Any, acc: Any, row: Any, column: Any,
        steps: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            address, panels, acc = (context.make_array(sig.args[a])(context, b, args[a]) for a in (0, 3, 5))
            sums = Tile(b, shape, sig.args[3].dtype, *_place(b, acc, args[6], args[7]))
            places = b.gep(address.data, [args[1]])
            rows = [_row(b, places, r, args[2], sums.scalar) for r in range(2 * shape.rows)]

            def ahead(b: Any, k: Any) -> None:
                for start in rows[shape.rows :]:
                    prefetch(b, b.gep(start, [k]))

            sums.read(b)
            panel = b.gep(panels.data, [args[4]])
            sums.multiply_add(b, lambda b, k, r: b.load(b.gep(rows[r], [k])), panel, args[8], ahead)
            sums.write(b)
            return context.get_dummy_value()

        return types.void(address, _I64, _I64, panels, _I64, acc, _I64, _I64, _I64), codegen

    return tile


def _packed_tile(shape: Shape, add: bool, fetched: int = FETCHED) -> Any:
    """Intrinsic `tile(x, first, panels, start, acc, row, column, steps, near)`.

    acc[row + r, column:] = sum over k < steps of x[first + k rows + r] panels[start + k columns:], or += if `add`.
    `x` and `panels` are 1-D, `acc` 2-D, all C-contiguous and of one floating type. Asks for FETCHED lines in PERIOD
    steps, from the address `near` on.
    """

    @intrinsic
    def tile(
        typing: Any, x: Any, first: Any, panels: Any, start: Any, acc: Any, row: Any, column: Any, steps: Any,
        near: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums = _packed_sums(shape, fetched, add, context, b, sig, args)
            sums.write(b)
            return context.get_dummy_value()

        return types.void(x, _I64, panels, _I64, acc, _I64, _I64, _I64, _I64), codegen

    return tile


def _chained_tile(shape: Shape, fetched: int = FETCHED) -> Any:
    """Intrinsic `tile(x, first, panels, start, acc, row, column, steps, near, more)`: a packed tile.

    Its chains are added to the sums in `acc` if `more` isn't 0, and take their place if it is.
    """

    @intrinsic
    def tile(
        typing: Any, x: Any, first: Any, panels: Any, start: Any, acc: Any, row: Any, column: Any, steps: Any,
        near: Any, more: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            sums = _packed_sums(shape, fetched, False, context, b, sig, args)
            with b.if_else(b.icmp_signed("!=", args[9], _INT64(0))) as (then, otherwise):
                with then:
                    sums.write(b, added=True)
                with otherwise:
                    sums.write(b)
            return context.get_dummy_value()

        return types.void(x, _I64, panels, _I64, acc, _I64, _I64, _I64, _I64, _I64), codegen

    return tile


def _packed_sums(shape: Shape, fetched: int, add: bool, context: Any, b: Any, sig: Any, args: Any) -> Tile:
    """The sums of a packed tile, not written yet."""
    x, panels, acc = (context.make_array(sig.args[a])(context, b, args[a]) for a in (0, 2, 4))
    sums = Tile(b, shape, sig.args[0].dtype, *_place(b, acc, args[5], args[6]))
    packed, line = b.gep(x.data, [args[1]]), b.inttoptr(args[8], ir.IntType(8).as_pointer())

    def element(b: Any, k: Any, r: int) -> Any:
        return b.load(b.gep(packed, [b.add(b.mul(k, _INT64(shape.rows)), _INT64(r))]))

    def ahead(b: Any, k: Any) -> None:
        start = b.mul(k, _INT64(fetched * LINE_BYTES // PERIOD))
        for n in range(fetched):
            prefetch(b, b.gep(line, [b.add(start, _INT64(n * LINE_BYTES))]))

    (sums.read if add else sums.clear)(b)
    sums.multiply_add(b, element, b.gep(panels.data, [args[3]]), args[7], ahead)
    return sums


def _place(b: Any, array: Any, row: Any, column: Any) -> tuple[Any, Any]:
    """Pointer to an element of a 2-D array, and the array's row length."""
    length = cgutils.unpack_tuple(b, array.shape, 2)[1]
    return b.gep(array.data, [b.add(b.mul(row, length), column)]), length


def _row(b: Any, addresses: Any, r: int, offset: Any, scalar: Any) -> Any:
    """Pointer to number `offset` of the row at addresses[r]."""
    return b.gep(b.inttoptr(b.load(b.gep(addresses, [_INT64(r)])), scalar.as_pointer()), [offset])


HALF = Shape(SCATTERED.rows, SCATTERED.vectors // 2)
scattered_tile, scattered_half = _scattered_tile(SCATTERED), _scattered_tile(HALF)
packed_tile, packed_sums = _packed_tile(PACKED, False), _packed_tile(PACKED, True)
_PANEL_LINES = PERIOD * PACKED.vectors * VECTOR_BYTES // LINE_BYTES
chained_tile = _chained_tile(PACKED)
chained_row = _chained_tile(Shape(1, PACKED.vectors), _PANEL_LINES if WIDE else FETCHED)
"""For one query alone, which takes no longer than reading the panels: with AVX-512 it asks for all of the next one."""
