"""What the blocks need on a GPU beyond CuPy's array functions. Only reached with arrays of CuPy, and then loads it.

All sums run in one fixed order, in one thread a number: no atomics, so the same bits every time. CuPy's own
`scatter_add` adds in the order in which threads come, and its sparse products need cuSPARSE.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from milk_np.nn.arrays import Array

TAKE = """
const long long row = ids[i / width];
out = row < 0 ? T(0) : table[row * width + i % width];
"""

# Positions of equal ids stand together in `ids`, which is sorted; `order` says where they stood before. The first
# position of each run sums the run, in the order in which its rows stood.
SUM_RUNS = """
const long long at = i / width, column = i % width, row = ids[at];
if (row >= 0 && (at == 0 || ids[at - 1] != row)) {
    T sum = 0;
    for (long long t = at; t < count && ids[t] == row; ++t) sum += rows[order[t] * width + column];
    out[(compact ? at : row) * width + column] = sum;
}
"""

PRODUCT = """
const long long row = i / width, column = i % width;
T sum = 0;
for (long long at = indptr[row]; at < indptr[row + 1]; ++at)
    sum += weights[at] * x[(long long)indices[at] * width + column];
out = sum;
"""


@cache
def _kernel(name: str, inputs: str, outputs: str, code: str) -> Any:
    import cupy

    return cupy.ElementwiseKernel(inputs, outputs, code, name)


def take(table: Array, ids: Array) -> Array:
    """Rows `ids` (n) of `table` (R, K); zeros for a negative id."""
    import cupy

    out = cupy.empty((len(ids), table.shape[1]), table.dtype)
    if out.size:
        run = _kernel("milk_take", "raw I ids, raw T table, int64 width", "T out", TAKE)
        run(cupy.ascontiguousarray(ids), cupy.ascontiguousarray(table), table.shape[1], out)
    return out


def sum_runs(ids: Array, order: Array, rows: Array, out: Array, compact: bool) -> None:
    """Sums of `rows` (n, K) by equal ids into `out`: by id, or where the run begins if `compact`."""
    import cupy

    inputs = "raw I ids, raw J order, raw T rows, int64 count, int64 width, bool compact"
    run = _kernel("milk_sum_runs", inputs, "raw T out", SUM_RUNS)
    rows = cupy.ascontiguousarray(rows)
    if rows.size:
        run(ids, order, rows, len(ids), rows.shape[1], np.bool_(compact), out, size=rows.size)


def product(indptr: Array, indices: Array, weights: Array, x: Array) -> Array:
    """Product of a compressed matrix of R rows and `x` (C, K): (R, K)."""
    import cupy

    out = cupy.empty((len(indptr) - 1, x.shape[1]), x.dtype)
    if out.size:
        inputs = "raw I indptr, raw J indices, raw T weights, raw T x, int64 width"
        run = _kernel("milk_product", inputs, "T out", PRODUCT)
        run(indptr, indices, weights, cupy.ascontiguousarray(x), x.shape[1], out)
    return out
