"""Products of matrices that are at hand."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats


def matmul(x: Floats, w: Floats, out: Floats) -> None:
    """`out` (n, K) = x w, of `x` (n, D), whose rows may stand apart, and `w` (D, K)."""
    np.matmul(x, w, out=out)


def matmul_transposed(x: Floats, g: Floats, out: Floats) -> None:
    """`out` (D, K) = x^T g, of `x` (n, D), whose rows may stand apart, and `g` (n, K)."""
    np.matmul(x.T, g, out=out)
