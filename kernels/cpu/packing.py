"""Factors of a product, packed: numbers that a tile reads one after the other lie one after the other."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats
from milk_np.kernels.cpu.microkernel import PACKED, SCATTERED, columns_of
from milk_np.kernels.cpu.tile import HALF
from milk_np.kernels.cpu.vectors import VECTOR_BYTES

_INT64 = ir.IntType(64)
ROWS = PACKED.rows


class _Kept(threading.local):
    """Memory that a thread keeps from call to call: the system takes longer to give new pages than packing takes."""

    def __init__(self) -> None:
        self.arrays: dict[Any, Floats] = {}


_KEPT = _Kept()


def kept(use: str, size: int, like: Floats) -> Floats:
    """This thread's array for `use`, 1-D, of the type of `like`, with anything in it; the next call gives it again."""
    key = use, like.dtype
    if size > len(_KEPT.arrays.get(key, ())):
        _KEPT.arrays[key] = zeros(size, like)
    return _KEPT.arrays[key][:size]


@register_jitable
def zeros(size: int, like: Floats) -> Floats:
    """1-D, of the type of `like`, beginning where a vector does: others would lie across two cache lines."""
    store = np.zeros(size + VECTOR_BYTES // like.itemsize, like.dtype)
    skip = -np.int64(store.ctypes.data) % VECTOR_BYTES // like.itemsize
    return store[skip : skip + size]


def packed_weight(weight: Floats) -> Floats:
    """Panels of `weight` (D, K) for scattered tiles, one after the other, and zeros that fill up the last one.

    They have as many columns as a tile, the last one maybe half as many. The thread's next call overwrites them.
    """
    half = columns_of(HALF, weight.itemsize)
    columns = -(-weight.shape[1] // half) * half
    panels = kept("panels", len(weight) * columns, weight)
    _pack_weight(weight, columns, panels)
    return panels


def packed_gradient(g: Floats, scale: Floats) -> Floats:
    """Rows of `g` (n, K) times `scale` (n) for packed tiles: ROWS columns of it a panel, zeros in the last one."""
    panels: Floats = zeros(-(-g.shape[1] // ROWS) * len(g) * ROWS, g)
    _pack_gradient(g, scale.astype(g.dtype), panels)
    return panels


@njit(cache=True, nogil=True)
def _pack_weight(weight: Floats, columns: int, panels: Floats) -> None:
    D, K = weight.shape
    whole = columns_of(SCATTERED, weight.itemsize)
    for first in range(0, columns, whole):
        width = min(whole, columns - first)
        panel = panels[first * D : (first + width) * D].reshape(D, width)
        for d in range(D):
            if first + whole <= K:
                row, part = panel[d], weight[d, first:]
                for k in range(whole):  # from 0 to what is known when this is compiled: otherwise no vectors come
                    row[k] = part[k]
            else:
                row, part = panel[d], weight[d, first:]
                for k in range(len(part)):
                    row[k] = part[k]
                for k in range(len(part), width):
                    row[k] = 0


@njit(cache=True, nogil=True)
def _pack_gradient(g: Floats, scale: Floats, panels: Floats) -> None:
    n, K = g.shape
    for r in range(n):
        factor, at = scale[r], r * ROWS
        for first in range(0, K // ROWS * ROWS, ROWS):
            row, part = panels[at:], g[r, first:]
            for k in range(ROWS):
                row[k] = part[k] * factor
            at += n * ROWS
        for k in range(K % ROWS):
            panels[at + k] = g[r, K // ROWS * ROWS + k] * factor


@njit(cache=True)
def pack_rows(
    addresses: NDArray[np.int64], first: int, count: int, low: int, width: int, depth: int, x: Floats
) -> None:
    """Columns low ... low + width - 1 of the rows at `addresses`, `count` from `first` on, as panels of `depth` rows.

    What fills up the last panel is left as it is.
    """
    columns = columns_of(PACKED, x.itemsize)
    for r in range(count):
        row, at = addresses[first + r] + low * x.itemsize, r * columns
        for _ in range(width // columns):
            _copy_columns(row, x, at)
            row += columns * x.itemsize
            at += depth * columns
        if width % columns:
            _copy(row, x, at, width % columns)


@intrinsic
def _copy_columns(typing: Any, address: Any, x: Any, at: Any) -> Any:
    """Copy a row of a panel from `address` to x[at:]."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[1])(context, b, args[1])
        vector = ir.VectorType(ir.IntType(8), VECTOR_BYTES).as_pointer()
        bytes_ = ir.IntType(8).as_pointer()
        source, target = b.inttoptr(args[0], bytes_), b.bitcast(b.gep(array.data, [args[2]]), bytes_)
        for v in range(PACKED.vectors):
            offset = [_INT64(v * VECTOR_BYTES)]
            b.store(
                b.load(b.bitcast(b.gep(source, offset), vector), align=1), b.bitcast(b.gep(target, offset), vector), 1
            )
        return context.get_dummy_value()

    return types.void(types.int64, x, types.int64), codegen


@intrinsic
def _copy(typing: Any, address: Any, x: Any, at: Any, count: Any) -> Any:
    """Copy `count` numbers from `address` to x[at:]."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[1])(context, b, args[1])
        target = b.gep(array.data, [args[2]])
        cgutils.raw_memcpy(b, target, b.inttoptr(args[0], target.type), args[3], sig.args[1].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(types.int64, x, types.int64, types.int64), codegen
