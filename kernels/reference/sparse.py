"""Products of a sparse matrix of weights with a dense one."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Bools, Floats, Ints


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
    """`out` (n, K) = share (start + A x), of the rows `rows` (n): row r of A (R, C) has `weights` in the columns
    `indices`, at `indptr[r]:indptr[r + 1]`.

    `used` (C): which rows of `x` (C, K) are read; the others count as zeros. `start` (R, K), or none (0, K): zeros.
    Sums run over a row's entries in their order, from `start` on.
    """
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    whole = np.zeros((len(indptr) - 1, x.shape[1]), out.dtype)
    if len(start):
        whole += start
    np.add.at(whole, owner, weights[:, None] * np.where(used[indices, None], x[indices], 0))
    out[...] = whole[rows] * out.dtype.type(share)
