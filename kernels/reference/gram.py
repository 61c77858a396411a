"""Products of blocks of items, summed in float64: what the closed form of a kernel profile adds up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats

SUM_ROWS = 256
"""Rows whose products are summed in the type of the factors; beyond, in float64."""


def multiply(a: Floats, b: Floats, out: Floats) -> None:
    """`out` (n, q) = a b, for `a` (n, p) and `b` (p, q)."""
    np.matmul(a, b, out=out)


def multiply_triangle(a: Floats, b: Floats, out: Floats) -> None:
    """`multiply` for `b` (p, p) with zeros below its diagonal."""
    multiply(a, b, out)


def add_products(a: Floats, b: Floats, out: NDArray[np.float64]) -> None:
    """Add a^T b to `out` (p, q), for `a` (n, p) and `b` (n, q); sums over SUM_ROWS rows are added up in float64."""
    for start in range(0, len(a), SUM_ROWS):
        block = slice(start, start + SUM_ROWS)
        out += a[block].T @ b[block]


def add_gram(a: Floats, out: NDArray[np.float64]) -> None:
    """Add the lower triangle of a^T a to that of `out` (p, p); what is above it may hold anything."""
    add_products(a, a, out)


def combine(own: Floats, left: Floats, z: Floats, x: Floats) -> None:
    """`x` (n, q) becomes diag(own) x + left z, for `own` (n,), `left` (n, r) and `z` (r, q)."""
    x *= own[:, None]
    x += left @ z
