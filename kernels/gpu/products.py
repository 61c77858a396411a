"""Products of blocks of items, summed in float64 (contract: kernels/reference/products.py): cuBLAS.

A card for computing has half the speed of float32 in float64 or all of it, so that sums are in float64 throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def multiply(a: Array, b: Array, out: Array) -> None:
    """`out` (n, q) = a b."""
    _gemm("N", a, b, out, 0.0)


def add_products(a: Array, b: Array, out: Array) -> None:
    """Add a^T b to `out` (p, q)."""
    _gemm("T", a.astype(np.float64), b.astype(np.float64), out, 1.0)


def add_gram(a: Array, out: Array) -> None:
    """Add a^T a to `out` (p, p)."""
    wide = a.astype(np.float64)
    _gemm("T", wide, wide, out, 1.0)


def combine(own: Array, left: Array, z: Array, x: Array) -> None:
    """`x` (n, q) becomes diag(own) x + left z."""
    x *= own[:, None]
    if left.shape[1]:
        _gemm("N", left, z, x, 1.0)


def _gemm(transposed: str, a: Array, b: Array, out: Array, beta: float) -> None:
    """out = a b + beta out, or with a^T in the place of a; `out` is C-contiguous."""
    from cupy import cublas  # here, because it loads the library: compiling kernels alone has to work without

    if out.size:
        cublas.gemm(transposed, "N", a, b, out=out, beta=beta)
