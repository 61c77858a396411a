"""Sparse products with matrices of zeros and ones (contract: kernels/reference/lists.py).

One thread makes a row, adding in the order of its list: no result depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.prefetch import prefetch_row

AHEAD = 16
"""Rows that are asked for before they are added: they are scattered over memory."""
RUN = 4096
"""Rows of a task: lists differ in length, and threads should end together."""


@njit(parallel=True, cache=True)
def sum_lists(indptr: Ints, index: Ints, x: Floats, out: Floats) -> None:
    """`out` (n, q): sums of the rows of `x` that the lists name, in float64."""
    n, q = out.shape
    for run in prange((n + RUN - 1) // RUN):
        total = np.empty(q, np.float64)
        last = indptr[min(n, (run + 1) * RUN)] - 1
        for s in range(run * RUN, min(n, (run + 1) * RUN)):
            for k in range(q):
                total[k] = 0
            for at in range(indptr[s], indptr[s + 1]):
                prefetch_row(x, np.int64(index[min(at + AHEAD, last)]))
                row = x[index[at]]
                for k in range(q):
                    total[k] += row[k]
            for k in range(q):
                out[s, k] = total[k]


@njit(cache=True, nogil=True)
def transpose_lists(indptr: Ints, index: Ints, n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Offsets and entries of the transposed lists, by counting."""
    offsets = np.zeros(n + 1, np.int64)
    for column in index:
        offsets[column + 1] += 1
    for column in range(n):
        offsets[column + 1] += offsets[column]
    rows, place = np.empty(len(index), np.int32), offsets[:-1].copy()
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            rows[place[index[at]]] = row
            place[index[at]] += 1
    return offsets, rows
