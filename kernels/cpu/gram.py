"""Products of blocks of items, summed in float64 (contract: kernels/reference/gram.py).

A part of a product is BLAS's on one thread, and its shape is the same for any number of threads: so are the bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats
from milk_np.kernels.cpu.tasks import row_parts, side_by_side
from milk_np.kernels.reference.gram import SUM_ROWS

WORK = 1 << 26
"""Multiplications of a part: a few milliseconds."""
TRIANGLE = 128
"""Columns of a triangular matrix that are multiplied together, with the rows up to their diagonal."""
PANEL = 256
"""Columns of a sum that one thread adds up: the product of a block stays in its second-level cache."""


def multiply(a: Floats, b: Floats, out: Floats) -> None:
    """`out` (n, q) = a b."""

    def part(rows: slice) -> None:
        np.matmul(a[rows], b, out=out[rows])

    side_by_side(part, row_parts(len(a), _rows_of_work(b.size)))


def multiply_triangle(a: Floats, b: Floats, out: Floats) -> None:
    """`multiply` for `b` (p, p) with zeros below its diagonal, most of which are left out."""

    def part(rows: slice) -> None:
        for columns in row_parts(len(b), TRIANGLE):
            np.matmul(a[rows, : columns.stop], b[: columns.stop, columns], out=out[rows, columns])

    side_by_side(part, row_parts(len(a), _rows_of_work(b.size)))


def add_products(a: Floats, b: Floats, out: NDArray[np.float64]) -> None:
    """Add a^T b to `out` (p, q)."""

    def part(columns: slice) -> None:
        _add(a, b[:, columns], out[:, columns])

    side_by_side(part, row_parts(b.shape[1], PANEL))


def add_gram(a: Floats, out: NDArray[np.float64]) -> None:
    """Add the lower triangle of a^T a to that of `out` (p, p)."""

    def part(columns: slice) -> None:
        _add(a[:, columns.start :], a[:, columns], out[columns.start :, columns])

    side_by_side(part, row_parts(a.shape[1], PANEL))


def combine(own: Floats, left: Floats, z: Floats, x: Floats) -> None:
    """`x` (n, q) becomes diag(own) x + left z."""

    def part(rows: slice) -> None:
        x[rows] *= own[rows, None]
        x[rows] += left[rows] @ z

    side_by_side(part, row_parts(len(x), _rows_of_work(z.size)))


def _rows_of_work(numbers: int) -> int:
    """Rows whose product with a matrix of so many numbers is worth a thread's while."""
    return SUM_ROWS * max(1, WORK // (SUM_ROWS * max(numbers, 1)))


def _add(a: Floats, b: Floats, out: NDArray[np.float64]) -> None:
    product = np.empty(out.shape, np.result_type(a, b))
    for rows in row_parts(len(a), SUM_ROWS):
        np.matmul(a[rows].T, b[rows], out=product)
        _accumulate(product, out)


@njit(cache=True, nogil=True)
def _accumulate(product: Floats, out: NDArray[np.float64]) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += product[i, j]
