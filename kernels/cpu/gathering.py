"""Rows of a feature table, imputed and scaled, gathered into an array."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.half import widened


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def gather_rows(raw: Floats, fill: Floats, source: Ints, scale: Floats, rows: Ints, out: Floats) -> None:
    """Rows (n, D) of the items `rows`, from `raw` or, where the source is below 0, from `fill`."""
    for r in prange(len(rows)):
        s = source[rows[r]]
        factor = scale[rows[r]]
        if s >= 0:
            for d in range(out.shape[1]):
                out[r, d] = raw[s, d]
                out[r, d] *= factor
        else:
            for d in range(out.shape[1]):
                out[r, d] = fill[~s, d]
                out[r, d] *= factor


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def gather_half(raw: NDArray[np.uint16], fill: Floats, source: Ints, scale: Floats, rows: Ints, out: Floats) -> None:
    """`gather_rows` for float16, whose bits `raw` holds."""
    for r in prange(len(rows)):
        s = source[rows[r]]
        factor = scale[rows[r]]
        if s >= 0:
            for d in range(out.shape[1]):
                out[r, d] = widened(raw[s, d])
                out[r, d] *= factor
        else:
            for d in range(out.shape[1]):
                out[r, d] = fill[~s, d]
                out[r, d] *= factor
