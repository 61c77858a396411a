"""Products of a sparse matrix of weights with a dense one."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats, Ints


def sparse_product(indptr: Ints, indices: Ints, weights: Floats, x: Floats, out: Floats) -> None:
    """`out` (R, K) = A x, of x (C, K): row r of A has `weights` in the columns `indices`, at `indptr[r]:indptr[r + 1]`.

    Sums run over a row's entries in their order.
    """
    rows = np.repeat(np.arange(len(out)), np.diff(indptr))
    out[...] = 0
    np.add.at(out, rows, weights[:, None] * x[indices])


def propagate(
    indptr: Ints, indices: Ints, weights: Floats, start: Floats, x: Floats, share: float, out: Floats
) -> None:
    """`out` (R, K) = share (start + A x), with `start` (R, K) and the rest as in `sparse_product`."""
    sparse_product(indptr, indices, weights, x, out)
    out += start
    out *= out.dtype.type(share)
