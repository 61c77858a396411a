"""The share of a positive among candidates (contract: kernels/reference/contrast.py).

In single precision a row stays in the first level of the caches while it is scaled, its largest score found, its powers
taken and divided by their sum; in double precision NumPy works on parts that the second level holds.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.powers import power_of_e
from milk_np.kernels.cpu.tasks import in_threads, row_parts
from milk_np.kernels.reference import contrast

PART = 1 << 17
"""Numbers of a part: it passes through the second level of the caches about ten times."""
SMALL = 1 << 20
"""Fewer numbers are not worth waking threads for."""
LANES = 32
"""Largest scores that are followed side by side."""
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
        everything = mask is None
        mask = np.ones((1, 1), np.bool_) if mask is None else mask
        places = np.array(positive, np.int64)  # of one type, so that one kernel is compiled
        _rows(scores, np.float32(temperature), places, mask, everything, slope, values)
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
    everything: bool,
    slope: Floats,
    values: Floats,
) -> None:
    for t in prange(len(scores)):
        z, p = slope[t], positive[t]
        top = _scaled(scores[t], temperature, z) if everything else _owned(scores[t], mask[t], temperature, z)
        gap = top - z[p]
        own = power_of_e(z[p] - top)
        z[p] = LOWEST
        rest = _powers(z, top)
        total = own + rest
        _divide(z, total)
        z[p] = -rest / total
        values[t] = math.log1p(rest) if gap == 0 else math.log(total) + gap


@njit(cache=True)
def _scaled(x: Floats, temperature: float, z: Floats) -> float:
    """`z` becomes x / temperature; the largest number in it.

    Several are followed side by side, for LLVM may not change their order.
    """
    tops = np.full(LANES, -np.inf, z.dtype)
    whole = len(z) // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            number = x[start + lane] / temperature
            z[start + lane] = number
            tops[lane] = number if number > tops[lane] else tops[lane]
    for k in range(whole, len(z)):
        z[k] = x[k] / temperature
        tops[0] = max(tops[0], z[k])
    return tops.max()


@njit(cache=True)
def _owned(x: Floats, mask: NDArray[np.bool_], temperature: float, z: Floats) -> float:
    """The same of the scores that `mask` counts; the others are so low that they have no share."""
    top = np.float32(-np.inf)
    for k in range(len(z)):
        z[k] = x[k] / temperature if mask[k] else LOWEST
        top = max(top, z[k])
    return top


@njit(cache=True, fastmath={"reassoc"})
def _powers(z: Floats, top: float) -> float:
    """`z` becomes e^(z - top); their sum."""
    total = np.float32(0)
    for k in range(len(z)):
        z[k] = power_of_e(z[k] - top)
        total += z[k]
    return total


@njit(cache=True)
def _divide(z: Floats, by: float) -> None:
    factor = np.float32(1) / by
    for k in range(len(z)):
        z[k] *= factor
