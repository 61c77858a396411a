"""Sparse products with matrices of zeros and ones, which are lists of columns: users' items, items' users."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints


def sum_lists(indptr: Ints, index: Ints, x: Floats, out: Floats) -> None:
    """`out` (n, q): row s sums the rows `index[indptr[s]:indptr[s + 1]]` of `x` (m, q), in float64."""
    for s in range(len(out)):
        out[s] = x[index[indptr[s] : indptr[s + 1]]].sum(axis=0, dtype=np.float64)


def transpose_lists(indptr: Ints, index: Ints, n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Offsets (n + 1) and entries of the transposed lists: of each of `n` columns the rows that name it, ascending."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))]).astype(np.int64)
    return offsets, rows[np.argsort(index, kind="stable")]
