"""The share of a positive among candidates (contract: kernels/reference/contrast.py).

In single precision a row that the first level of the caches holds stays there while it is scaled, its largest score
found, its powers taken and divided by their sum. In double precision NumPy works on parts that the second level holds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.powers import power_of_e
from milk_np.kernels.cpu.tasks import in_threads, row_parts
from milk_np.kernels.reference import contrast

PART = 1 << 17
"""Numbers of a part in double precision: it passes through the second level of the caches about ten times."""
SMALL = 1 << 20
"""Fewer numbers in double precision are not worth waking threads of Python for."""
LOWEST = np.finfo(np.float32).min / np.float32(2)
"""A score without a share."""


def nce(
    scores: Floats,
    temperature: float,
    positive: Ints,
    mask: NDArray[np.bool_] | None,
    slope: Floats,
    values: Floats,
) -> None:
    """Rows or parts of them side by side."""
    if scores.dtype == np.float32:
        unmasked = mask is None
        mask = np.ones((1, 1), np.bool_) if mask is None else mask
        places = np.array(positive, np.int64)  # of one type, so that one kernel is compiled
        _rows(scores, np.float32(temperature), places, mask, unmasked, slope, values)
        return

    def part(rows: slice) -> None:
        own = None if mask is None else mask[rows]
        contrast.nce(scores[rows], temperature, positive[rows], own, slope[rows], values[rows])

    parts = row_parts(len(scores), max(1, PART // scores.shape[1]))
    if scores.size < SMALL:
        for rows in parts:
            part(rows)
    else:
        in_threads(part, parts)


@njit(parallel=True, cache=True, nogil=True)
def _rows(
    scores: Floats,
    temperature: float,
    positive: Ints,
    mask: NDArray[np.bool_],
    unmasked: bool,
    slope: Floats,
    values: Floats,
) -> None:
    for t in prange(len(scores)):
        z, p = slope[t], positive[t]
        z[:] = scores[t]
        _divide(z, temperature)
        if not unmasked:
            _leave_out(mask[t], z)
        top = _largest(z)
        gap = top - z[p]
        own = power_of_e(z[p] - top)
        z[p] = -np.inf
        rest = _powers(z, top)
        total = own + rest
        _divide(z, total)
        z[p] = -rest / total
        values[t] = math.log1p(rest) if gap == 0 else math.log(total) + gap


@njit(cache=True)
def _divide(z: Floats, by: float) -> None:
    """Of one array: with two that may be the same LLVM makes no vectors."""
    for k in range(len(z)):
        z[k] /= by


@njit(cache=True)
def _leave_out(mask: NDArray[np.bool_], z: Floats) -> None:
    for k in range(len(z)):
        z[k] = z[k] if mask[k] else LOWEST


@njit(cache=True, fastmath={"nnan", "nsz"})
def _largest(z: Floats) -> Any:
    """The largest number of a row; any where one is NaN, for the sum of powers is NaN then."""
    top = z[0]
    for k in range(1, len(z)):
        top = z[k] if z[k] > top else top
    return top


@njit(cache=True, fastmath={"reassoc"})
def _powers(z: Floats, top: float) -> Any:
    """`z` becomes e^(z - top); their sum."""
    total = np.float32(0)
    for k in range(len(z)):
        z[k] = power_of_e(z[k] - top)
        total += z[k]
    return total
