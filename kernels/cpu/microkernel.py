"""The micro-kernel of every product: a tile of sums held in vector registers, in LLVM's representation.

sums[r, :] += sum over k of x(k, r) panel[k, :] for a few rows r and a few vectors of columns. Numba can't be told to
keep a two-dimensional sum in registers, hence this one loop by hand; LLVM chooses the instructions. A sum is one chain
of multiply-adds in the order of k: its bits depend neither on the shape of the tile nor on how k is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import register_jitable

from milk_np.kernels.cpu.vectors import VECTOR_BYTES, WIDE, splat

PERIOD = 8
"""Steps of k from one call of `ahead` to the next."""
_INT64 = ir.IntType(64)
_FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}

Element = Callable[[Any, Any, int], Any]
"""Code for x(k, r), given the builder, k and r."""
Ahead = Callable[[Any, Any], None]
"""Code that asks for memory which is needed later, given the builder and k, once in PERIOD steps."""


class Shape(NamedTuple):
    """Rows of a tile, and vectors in each. rows x vectors sums and the operands of a step must fit the registers:
    32 with AVX-512 (and, of half the width, on NEON), 16 with AVX2."""

    rows: int
    vectors: int


@register_jitable
def columns_of(shape: Shape, itemsize: int) -> int:
    """Numbers in a row of a tile."""
    return shape.vectors * VECTOR_BYTES // itemsize


SCATTERED = Shape(6, 4) if WIDE else Shape(6, 2)
"""For rows of x that lie scattered: each takes a register for its address. 64 columns are whole panels."""
PACKED = Shape(8, 3) if WIDE else Shape(4, 3)
"""For packed rows of x, and of all shapes the one with the fewest loads a multiply-add."""


class Tile:
    """The sums of one tile: stack slots, which LLVM promotes to registers.

    vector : LLVM's type of the vectors; places[r][v] : where a sum is kept before and after
    """

    def __init__(self, b: Any, shape: Shape, dtype: Any, start: Any, stride: Any) -> None:
        self.shape, self.scalar = shape, _FLOATS[dtype]
        self.bytes = 4 if self.scalar == ir.FloatType() else 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.slots = {(r, v): cgutils.alloca_once(b, self.vector) for r, v in self._all()}
        self.places = {(r, v): self._place(b, start, stride, r, v) for r, v in self._all()}

    def _all(self) -> Iterator[tuple[int, int]]:
        return ((r, v) for r in range(self.shape.rows) for v in range(self.shape.vectors))

    def _place(self, b: Any, start: Any, stride: Any, r: int, v: int) -> Any:
        return b.gep(start, [b.add(b.mul(stride, _INT64(r)), _INT64(v * self.lanes))])

    def read(self, b: Any) -> None:
        """Begin with the sums as they are kept."""
        for at, slot in self.slots.items():
            b.store(self.load(b, self.places[at]), slot)

    def clear(self, b: Any) -> None:
        """Begin with zeros."""
        for slot in self.slots.values():
            b.store(ir.Constant(self.vector, [0.0] * self.lanes), slot)

    def write(self, b: Any, added: bool = False) -> None:
        """Keep the sums, `added` to those that are kept."""
        for at, slot in self.slots.items():
            value = b.fadd(self.load(b, self.places[at]), b.load(slot)) if added else b.load(slot)
            b.store(value, b.bitcast(self.places[at], self.vector.as_pointer()), align=self.bytes)

    def load(self, b: Any, pointer: Any) -> Any:
        """A vector at `pointer`, which is only known to be aligned as one number is."""
        return b.load(b.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def multiply_add(self, b: Any, x: Element, panel: Any, steps: Any, ahead: Ahead) -> None:
        """Add `steps` products. `panel` points to (steps, columns) numbers that lie one after the other."""
        with cgutils.for_range_slice(b, _INT64(0), steps, _INT64(PERIOD)) as (first, _):
            ahead(b, first)
            end = b.add(first, _INT64(PERIOD))
            end = b.select(b.icmp_signed("<", end, steps), end, steps)
            with cgutils.for_range_slice(b, first, end, _INT64(1)) as (k, _):
                self._step(b, x, panel, k)

    def _step(self, b: Any, x: Element, panel: Any, k: Any) -> None:
        """The products of one k. On processors without fused multiply-adds LLVM rounds twice."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.bytes}"
        muladd = cgutils.get_or_insert_function(b.module, kind, name)
        row = b.gep(panel, [b.mul(k, _INT64(self.shape.vectors * self.lanes))])
        columns = [self._column(b, b.gep(row, [_INT64(v * self.lanes)])) for v in range(self.shape.vectors)]
        for r in range(self.shape.rows):
            value = splat(b, x(b, k, r), self.lanes)
            for v, column in enumerate(columns):
                slot = self.slots[r, v]
                b.store(b.call(muladd, [value, column, b.load(slot)]), slot)

    def _column(self, b: Any, pointer: Any) -> Any:
        """A vector of a panel; numbers of 16 bits are of half precision, and widened."""
        if pointer.type.pointee != ir.IntType(16):
            return self.load(b, pointer)
        half = ir.VectorType(ir.HalfType(), self.lanes)
        return b.fpext(b.load(b.bitcast(pointer, half.as_pointer()), align=2), self.vector)
