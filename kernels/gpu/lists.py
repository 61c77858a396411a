"""Sparse products with matrices of zeros and ones (contract: kernels/reference/lists.py)."""

from __future__ import annotations

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import access, kernel, lanes, real
from milk_np.kernels.gpu.memory import empty

THREADS = 256
LONG = 64
"""Mean length of lists that several groups of lanes share."""


def sum_lists(indptr: Array, index: Array, x: Array, out: Array) -> None:
    """`out` (n, q): sums of the rows of `x` that the lists name, in float64."""
    n, q = out.shape
    vec = access(q, x, out)
    each = lanes(q, vec)
    share = THREADS // each if len(index) > LONG * n else 1
    run = kernel("lists", "sum_lists", REAL=real(x.dtype), VEC=vec)
    rows = THREADS // each // share
    run.blocks(-(-n // rows), THREADS, indptr, index, x, out, np.int64(n), *map(np.int32, (q, each, share)))


def transpose_lists(indptr: Array, index: Array, n: int) -> tuple[Array, Array]:
    """Offsets and entries of the transposed lists, by a stable sort of the columns."""
    count, offsets = len(index), cupy.zeros(n + 1, np.int64)
    if not count:
        return offsets, empty(0, np.int32)
    rows = empty(count, np.int32)
    kernel("lists", "row_of_entry").threads(count, indptr, *map(np.int64, (len(indptr) - 1, count)), rows)
    order = cupy.argsort(index, kind="stable")
    kernel("lists", "first_entries").threads(count + 1, index[order], *map(np.int64, (count, n)), offsets)
    return offsets, rows[order]
