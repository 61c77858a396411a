"""Products of a sparse matrix with a dense one (contract: kernels/reference/sparse.py).

One thread makes a row, adding in the order of its entries: no bit depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.prefetch import prefetch_row

AHEAD = 8
"""Rows that are asked for before they are added: they are scattered over memory."""
RUN = 64
"""Rows of a task: some have hundreds of entries, most a few."""


@njit(parallel=True, cache=True, nogil=True)
def sparse_product(indptr: Ints, indices: Ints, weights: Floats, x: Floats, out: Floats) -> None:
    """`out` (R, K) = A x."""
    for run in prange((len(out) + RUN - 1) // RUN):
        _rows(run, indptr, indices, weights, out[:0], x, out)


@njit(parallel=True, cache=True, nogil=True)
def propagate(
    indptr: Ints, indices: Ints, weights: Floats, start: Floats, x: Floats, share: float, out: Floats
) -> None:
    """`out` (R, K) = share (start + A x): one pass over `start` and `out`."""
    factor = out.dtype.type(share)
    for run in prange((len(out) + RUN - 1) // RUN):
        _rows(run, indptr, indices, weights, start, x, out)
        for total in out[run * RUN : (run + 1) * RUN]:
            for k in range(len(total)):
                total[k] *= factor


@njit(cache=True)
def _rows(run: int, indptr: Ints, indices: Ints, weights: Floats, start: Floats, x: Floats, out: Floats) -> None:
    """The rows of a task: those of `start`, if it has any, with A x."""
    end = min(len(out), (run + 1) * RUN)
    last = np.int64(indptr[end]) - 1
    for r in range(run * RUN, end):
        total = out[r]
        for k in range(len(total)):
            total[k] = start[r, k] if len(start) else 0
        for at in range(indptr[r], indptr[r + 1]):
            ahead = at + AHEAD if at + AHEAD < last else last
            prefetch_row(x, np.int64(indices[ahead]))
            _add(total, weights[at], x[indices[at]])


@njit(cache=True, fastmath={"contract"})
def _add(total: Floats, weight: float, row: Floats) -> None:
    for k in range(len(total)):
        total[k] += weight * row[k]
