"""Sparse products with matrices of zeros and ones (contract: kernels/reference/lists.py).

One thread makes a row, adding in the order of its list: no result depends on the number of threads. Threads are
Python's, and the code knows of none: Numba takes longer to compile what does.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.prefetch import prefetch_row
from milk_np.kernels.cpu.tasks import in_threads, row_parts

AHEAD = 16
"""Rows that are asked for before they are added: they are scattered over memory."""
RUN, PARTS = 4096, 32
"""Rows of a task, at most, and tasks, at least: lists differ in length, and threads should end together."""


def sum_lists(indptr: Ints, index: Ints, x: Floats, out: Floats) -> None:
    """`out` (n, q): sums of the rows of `x` that the lists name, in float64."""

    def part(rows: slice) -> None:
        _sum(indptr[rows.start : rows.stop + 1], index, x, out[rows])

    in_threads(part, row_parts(len(out), max(1, min(RUN, -(-len(out) // PARTS)))))


@njit(cache=True, nogil=True)
def _sum(indptr: Ints, index: Ints, x: Floats, out: Floats) -> None:
    """`sum_lists` on one thread."""
    q, last = out.shape[1], indptr[-1] - 1
    total = np.empty(q, np.float64)
    for s in range(len(out)):
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
