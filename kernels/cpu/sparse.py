"""Product of a sparse matrix with a dense one (contract: kernels/reference/sparse.py).

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
        last = np.int64(indptr[min(len(out), (run + 1) * RUN)]) - 1
        for r in range(run * RUN, min(len(out), (run + 1) * RUN)):
            total = out[r]
            for k in range(len(total)):
                total[k] = 0
            _add_entries(indptr[r], indptr[r + 1], last, indices, weights, x, total)


@njit(parallel=True, cache=True, nogil=True)
def propagate(
    indptr: Ints, indices: Ints, weights: Floats, start: Floats, x: Floats, share: float, out: Floats
) -> None:
    """`out` (R, K) = share (start + A x): one pass over `start` and `out`."""
    factor = out.dtype.type(share)
    for run in prange((len(out) + RUN - 1) // RUN):
        last = np.int64(indptr[min(len(out), (run + 1) * RUN)]) - 1
        for r in range(run * RUN, min(len(out), (run + 1) * RUN)):
            total = out[r]
            for k in range(len(total)):
                total[k] = start[r, k]
            _add_entries(indptr[r], indptr[r + 1], last, indices, weights, x, total)
            for k in range(len(total)):
                total[k] *= factor


@njit(cache=True)
def _add_entries(begin: int, end: int, last: int, indices: Ints, weights: Floats, x: Floats, total: Floats) -> None:
    """Add the rows of `x` that a row's entries name; those of the entries until `last` may be wanted soon."""
    for at in range(begin, end):
        ahead = at + AHEAD if at + AHEAD < last else last
        prefetch_row(x, np.int64(indices[ahead]))
        _add(total, weights[at], x[indices[at]])


@njit(cache=True, fastmath={"contract"})
def _add(total: Floats, weight: float, row: Floats) -> None:
    for k in range(len(total)):
        total[k] += weight * row[k]
