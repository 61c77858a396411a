"""Rows of a feature table, imputed and scaled, gathered into an array."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints


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
    """`gather_rows` for float16, which Numba has no type for: `raw` holds its bits.

    Moving exponent and fraction to their places in a float32 leaves the number 2^-112 times too small, subnormal
    numbers included; one exact product mends it.
    """
    width = out.shape[1]
    for r in prange(len(rows)):
        s = source[rows[r]]
        factor = scale[rows[r]]
        if s >= 0:
            bits = np.empty(width, np.uint32)
            for d in range(width):
                half = np.uint32(raw[s, d])
                bits[d] = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))
            wide = bits.view(np.float32)
            for d in range(width):
                out[r, d] = wide[d] * np.float32(2.0**112)
                out[r, d] *= factor
        else:
            for d in range(width):
                out[r, d] = fill[~s, d]
                out[r, d] *= factor
