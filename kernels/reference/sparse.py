"""Product of a sparse matrix of weights with a dense one."""

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
