"""Products of a sparse matrix with a dense one (contract: kernels/reference/sparse.py).

One thread makes a row, adding in the order of its entries: no bit depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from milk_np.kernels.arrays import Bools, Floats, Ints
from milk_np.kernels.cpu.prefetch import prefetch_row

AHEAD = 8
"""Rows that are asked for before they are added: they are scattered over memory."""
RUN = 64
"""Rows of a task: some have hundreds of entries, most a few."""


@njit(parallel=True, cache=True, nogil=True)
def sparse_product(
    indptr: Ints,
    indices: Ints,
    weights: Floats,
    rows: Ints,
    used: Bools,
    start: Floats,
    x: Floats,
    share: float,
    out: Floats,
) -> None:
    """`out` (n, K) = share (start + A x), of the rows `rows`."""
    factor = out.dtype.type(share)
    for run in prange((len(out) + RUN - 1) // RUN):
        end = min(len(out), (run + 1) * RUN)
        for place in range(run * RUN, end):
            r, total = rows[place], out[place]
            following = indptr[rows[place + 1] if place + 1 < end else r + 1]
            for k in range(len(total)):
                total[k] = start[r, k] if len(start) else 0
            _add_row(indptr[r], indptr[r + 1], following, indices, weights, used, x, total)
            for k in range(len(total)):
                total[k] *= factor


@njit(cache=True)
def _add_row(
    first: int, stop: int, following: int, indices: Ints, weights: Floats, used: Bools, x: Floats, total: Floats
) -> None:
    """Add entries `first` to `stop`; after them come those from `following` on, which are asked for ahead: a row has
    often fewer entries than AHEAD."""
    for at in range(first, stop):
        ahead = at + AHEAD
        if ahead >= stop:
            ahead = min(following + ahead - stop, len(indices) - 1)
        if used[indices[ahead]]:
            prefetch_row(x, np.int64(indices[ahead]))
        if used[indices[at]]:
            _add(total, weights[at], x[indices[at]])


@njit(cache=True, fastmath={"contract"})
def _add(total: Floats, weight: float, row: Floats) -> None:
    for k in range(len(total)):
        total[k] += weight * row[k]
