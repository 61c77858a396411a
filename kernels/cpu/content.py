"""Content of items as the kernel profile sees it (contract: kernels/reference/content.py).

Threads are Python's, and the code knows of none: Numba takes longer to compile what does.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.half import widened
from milk_np.kernels.cpu.tasks import in_threads, row_parts
from milk_np.kernels.reference.content import SHORTEST_ROW

Float32 = NDArray[np.float32]

TASK_ROWS, SUM_ROWS = 256, 64
"""Rows of a task; those of a sum stay in the first levels of the cache."""
REORDERED = {"reassoc", "contract"}
"""Sums over a row may be those of several numbers side by side: one order for every number of threads."""


def content_rows(raw: Floats, rows: Ints, owned: NDArray[np.bool_], centre: Float32, out: Float32) -> None:
    """`out` (n, D): rows of `raw` less `centre`, of unit length."""
    half = raw.dtype == np.float16
    table, fill = (raw.view(np.uint16), _half_rows) if half else (raw, _rows)

    def part(some: slice) -> None:
        fill(table, rows[some], owned[some], centre, out[some])

    in_threads(part, row_parts(len(rows), TASK_ROWS))


@njit(cache=True, nogil=True)
def _rows(raw: Floats, rows: Ints, owned: NDArray[np.bool_], centre: Float32, out: Float32) -> None:
    for r in range(len(rows)):
        if owned[r]:
            for d in range(out.shape[1]):
                out[r, d] = raw[rows[r], d] - centre[d]
            _to_unit(out[r], _squares(out[r]))
        else:
            out[r] = 0


@njit(cache=True, nogil=True)
def _half_rows(raw: NDArray[np.uint16], rows: Ints, owned: NDArray[np.bool_], centre: Float32, out: Float32) -> None:
    """`_rows` for float16, whose bits `raw` holds."""
    for r in range(len(rows)):
        if owned[r]:
            for d in range(out.shape[1]):
                out[r, d] = widened(raw[rows[r], d]) - centre[d]
            _to_unit(out[r], _squares(out[r]))
        else:
            out[r] = 0


@njit(cache=True, fastmath=REORDERED)
def _squares(row: Float32) -> float:
    total = 0.0
    for d in range(len(row)):
        total += np.float64(row[d]) * np.float64(row[d])
    return total


@njit(cache=True, fastmath=REORDERED)
def _scaled_squares(row: Float32, factors: NDArray[np.float64]) -> float:
    total = 0.0
    for d in range(len(row)):
        scaled = np.float64(row[d]) * factors[d]
        total += scaled * scaled
    return total


@njit(cache=True, error_model="numpy")
def _to_unit(row: Float32, square: float) -> None:
    length = np.sqrt(square)
    factor = np.float32(1 / length) if length > SHORTEST_ROW else np.float32(0)
    for d in range(len(row)):
        row[d] *= factor


def whiten_rows(x: Float32, factors: Float32, inside: Float32) -> None:
    """`inside` (n, r), the rows of `x` (n, D) along r axes times their `factors` (r,), becomes of unit length."""
    largest = float(factors.max()) if len(factors) < x.shape[1] else 0.0
    inverse = 1 / factors.astype(np.float64)
    in_threads(lambda rows: _whiten(x[rows], inverse, largest, inside[rows]), row_parts(len(x), TASK_ROWS))


@njit(cache=True, nogil=True)
def _whiten(x: Float32, inverse: NDArray[np.float64], largest: float, inside: Float32) -> None:
    for i in range(len(inside)):
        square = _squares(inside[i])
        if largest:
            square += largest**2 * max(_squares(x[i]) - _scaled_squares(inside[i], inverse), 0.0)
        _to_unit(inside[i], square)


def exponentials(cosines: Float32, scale: float) -> None:
    """`cosines` become exp(scale (cosine - 1))."""
    flat = cosines.reshape(-1, cosines.shape[-1])

    def part(rows: slice) -> None:
        x = flat[rows]
        x -= np.float32(1)
        x *= np.float32(scale)
        np.exp(x, out=x)

    in_threads(part, row_parts(len(flat), TASK_ROWS))


def weighted_sum(similar: Float32, weights: NDArray[np.float32], out: Float32) -> None:
    """`out` (n, L): sum over m of weights[m] similar[m]; a weight of 0 leaves its part out."""
    some = np.flatnonzero(weights)

    def part(rows: slice) -> None:
        out[rows] = 0
        for m in some:
            out[rows] += weights[m] * similar[m, rows]

    in_threads(part, row_parts(len(out), SUM_ROWS))
