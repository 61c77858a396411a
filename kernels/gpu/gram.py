"""Products of blocks of items, summed in float64 (contract: kernels/reference/gram.py): cuBLAS.

A card for computing has half the speed of float32 in float64 or all of it, so that sums are in float64 throughout.
"""

from __future__ import annotations

import cupy
import numpy as np

from milk_np.kernels.arrays import Array

SMALL = 1 << 16
BATCH_ROWS = 512


def multiply(a: Array, b: Array, out: Array) -> None:
    """`out` (n, q) = a b."""
    _gemm("N", a, b, out, 0.0)


def multiply_triangle(a: Array, b: Array, out: Array) -> None:
    """`multiply` for `b` (p, p) with zeros below its diagonal."""
    multiply(a, b, out)


def add_products(a: Array, b: Array, out: Array) -> None:
    """Add a^T b to `out` (p, q)."""
    _add(a.astype(np.float64), b.astype(np.float64), out)


def add_gram(a: Array, out: Array) -> None:
    """Add a^T a to `out` (p, p)."""
    wide = a.astype(np.float64)
    _add(wide, wide, out)


def _add(a: Array, b: Array, out: Array) -> None:
    """Add a^T b; a small result of many rows is the sum of many products, which keep the whole device busy."""
    n = len(a)
    batch = n // BATCH_ROWS if out.size <= SMALL else 0
    whole = batch * BATCH_ROWS
    if batch > 1:
        parts = [x[:whole].reshape(batch, BATCH_ROWS, x.shape[1]) for x in (a, b)]
        out += cupy.matmul(parts[0].transpose(0, 2, 1), parts[1]).sum(axis=0)
        a, b = a[whole:], b[whole:]
    if len(a):
        _gemm("T", a, b, out, 1.0)


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
