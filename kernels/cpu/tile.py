"""A register tile: the innermost loop of the products with rows of a feature table, in LLVM's representation.

acc[r, :] += sum_k x_r[k] w[k, :] for a few rows r and a few vectors of columns, all sums held in vector registers.
Numba can't be told to keep a two-dimensional accumulator in registers, hence this one loop by hand. The rows are
given by their addresses: rows scattered over a table are multiplied where they lie, and nothing is packed or copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from milk_np.kernels.cpu.prefetch import prefetch
from milk_np.kernels.cpu.vectors import WIDE, splat

VECTOR_BYTES = 64 if WIDE else 32
ROWS = 6
#: Vectors across a tile: ROWS x PANEL sums and a step's operands fill the 32 registers of AVX-512, or the 16 of AVX2.
PANEL = 4 if WIDE else 2

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_TYPES = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}

#: Rows by which the backward product fetches ahead. Rows are scattered: no processor guesses where the next one lies.
AHEAD = 128

Load = Callable[[Any, Any, int], Any]
Ahead = Callable[[Any, Any], None]


def _tile_intrinsic(rows: int, vectors: int, backward: bool) -> Any:
    """Intrinsic `tile(address, first, offset, w, w_row, column, acc, acc_row, steps)`, as `_rows_of` or `_columns_of`.

    Arrays: `address` (int64) of the rows of x, `ROWS` (forward) or `AHEAD` (backward) more than are multiplied; `w`
    and `acc` 2-D, C-contiguous, of one floating type. Reads rows `w_row` to `w_row + steps` of `w` and adds to rows
    `acc_row` to `acc_row + rows` of `acc`, both from column `column` on, `vectors` vectors wide.
    """

    @intrinsic
    def tile(
        typing: Any,
        address: Any,
        first: Any,
        offset: Any,
        w: Any,
        w_row: Any,
        column: Any,
        acc: Any,
        acc_row: Any,
        steps: Any,
    ) -> Any:
        i64 = types.int64
        signature = types.void(address, i64, i64, w, i64, i64, acc, i64, i64)

        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            address, w, acc = (context.make_array(sig.args[a])(context, b, args[a]) for a in (0, 3, 6))
            first, offset, w_row, column, acc_row, steps = (args[a] for a in (1, 2, 4, 5, 7, 8))
            scalar = _TYPES[sig.args[3].dtype]
            lanes = VECTOR_BYTES // (4 if scalar == ir.FloatType() else 8)
            element = _columns_of if backward else _rows_of
            load, ahead = element(b, b.gep(address.data, [first]), offset, scalar, rows)
            w_start, w_stride = _place(b, w, w_row, column)
            acc_start, acc_stride = _place(b, acc, acc_row, column)
            _multiply_add(b, ir.VectorType(scalar, lanes), rows, vectors, load, ahead,
                          w_start, w_stride, acc_start, acc_stride, steps)  # fmt: skip
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _place(b: Any, array: Any, row: Any, column: Any) -> tuple[Any, Any]:
    """Pointer to an element of a 2-D array, and the array's row length."""
    length = cgutils.unpack_tuple(b, array.shape, 2)[1]
    return b.gep(array.data, [b.add(b.mul(row, length), column)]), length


def _rows_of(b: Any, address: Any, offset: Any, scalar: Any, rows: int) -> tuple[Load, Ahead]:
    """Forward: element (r, k) is number `offset + k` of the r-th row; the rows of the next tile are fetched ahead."""
    pointer = scalar.as_pointer()
    starts = [b.gep(b.inttoptr(b.load(b.gep(address, [_INT64(r)])), pointer), [offset]) for r in range(2 * rows)]

    def ahead(b: Any, k: Any) -> None:
        for start in starts[rows:]:
            prefetch(b, b.gep(start, [k]))

    return lambda b, k, r: b.load(b.gep(starts[r], [k])), ahead


def _columns_of(b: Any, address: Any, offset: Any, scalar: Any, rows: int) -> tuple[Load, Ahead]:
    """Backward: element (r, k) is number `offset + r` of the k-th row: a tile of x transposed.

    The same elements of the row `AHEAD` further on are fetched ahead.
    """
    pointer = scalar.as_pointer()

    def place(b: Any, k: Any, r: int) -> Any:
        row = b.inttoptr(b.load(b.gep(address, [k])), pointer)
        return b.gep(row, [b.add(offset, _INT64(r))])

    def ahead(b: Any, k: Any) -> None:
        prefetch(b, place(b, b.add(k, _INT64(AHEAD)), 0))

    return lambda b, k, r: b.load(place(b, k, r)), ahead


def _multiply_add(
    b: Any,
    vector: Any,
    rows: int,
    vectors: int,
    load: Load,
    ahead: Ahead,
    w: Any,
    w_stride: Any,
    acc: Any,
    acc_stride: Any,
    steps: Any,
) -> None:
    """The loop itself. The sums are stack slots that LLVM promotes to registers."""
    scalar_bytes = 4 if vector.element == ir.FloatType() else 8
    kind = ir.FunctionType(vector, [vector] * 3)
    name = f"llvm.fma.v{vector.count}f{8 * scalar_bytes}"
    fma = cgutils.get_or_insert_function(b.module, kind, name)
    tile = [(r, v) for r in range(rows) for v in range(vectors)]
    places = {(r, v): b.gep(acc, [b.add(b.mul(acc_stride, _INT64(r)), _INT64(v * vector.count))]) for r, v in tile}
    sums = {at: cgutils.alloca_once(b, vector) for at in tile}
    for at in tile:
        b.store(_load_vector(b, places[at], vector, scalar_bytes), sums[at])
    with cgutils.for_range(b, steps) as loop:
        k = loop.index
        ahead(b, k)
        row = b.gep(w, [b.mul(k, w_stride)])
        columns = [
            _load_vector(b, b.gep(row, [_INT64(v * vector.count)]), vector, scalar_bytes) for v in range(vectors)
        ]
        for r in range(rows):
            x = splat(b, load(b, k, r), vector.count)
            for v in range(vectors):
                b.store(b.call(fma, [x, columns[v], b.load(sums[r, v])]), sums[r, v])
    for at in tile:
        place = b.bitcast(places[at], vector.as_pointer())
        b.store(b.load(sums[at]), place, align=scalar_bytes)


def _load_vector(b: Any, pointer: Any, vector: Any, align: int) -> Any:
    return b.load(b.bitcast(pointer, vector.as_pointer()), align=align)


forward_panel = _tile_intrinsic(ROWS, PANEL, backward=False)
forward_vector = _tile_intrinsic(ROWS, 1, backward=False)
backward_panel = _tile_intrinsic(ROWS, PANEL, backward=True)
backward_vector = _tile_intrinsic(ROWS, 1, backward=True)
backward_panel_row = _tile_intrinsic(1, PANEL, backward=True)
backward_vector_row = _tile_intrinsic(1, 1, backward=True)
