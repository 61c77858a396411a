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
    R = len(out)
    for run in prange((R + RUN - 1) // RUN):
        last = np.int64(indptr[min(R, (run + 1) * RUN)]) - 1
        for r in range(run * RUN, min(R, (run + 1) * RUN)):
            total = out[r]
            for k in range(len(total)):
                total[k] = 0
            for at in range(indptr[r], indptr[r + 1]):
                prefetch_row(x, np.int64(indices[min(at + AHEAD, last)]))
                _add(total, weights[at], x[indices[at]])


@njit(cache=True, fastmath={"contract"})
def _add(total: Floats, weight: float, row: Floats) -> None:
    for k in range(len(total)):
        total[k] += weight * row[k]
