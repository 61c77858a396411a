"""Numbers zeroed at random (contract: kernels/reference/masking.py): one pass, no mask in memory."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats
from milk_np.kernels.cpu.sampling import _mix64
from milk_np.kernels.reference.sampling import GOLDEN

WORDS = 1024
"""Words of a task, four numbers each."""


def mask_numbers(key: int, kept: int, factor: float, x: Floats, out: Floats) -> None:
    """`out`, C-contiguous, from `x`."""
    _mask(np.uint64(key), np.uint32(kept), x.dtype.type(factor), np.ascontiguousarray(x).reshape(-1), out.reshape(-1))


@njit(parallel=True, cache=True)
def _mask(key: np.uint64, kept: np.uint32, factor: float, x: Floats, out: Floats) -> None:
    n = len(x)
    for task in prange((n + 4 * WORDS - 1) // (4 * WORDS)):
        words = np.empty(WORDS, np.uint64)
        first = task * WORDS
        for w in range(WORDS):
            words[w] = _mix64(key + GOLDEN * np.uint64(first + w))
        low = 4 * first
        _use(words.view(np.uint16), kept, factor, x[low : min(n, low + 4 * WORDS)], out[low : min(n, low + 4 * WORDS)])


@njit(cache=True)
def _use(lanes: NDArray[np.uint16], kept: np.uint32, factor: float, x: Floats, out: Floats) -> None:
    zero = x.dtype.type(0)
    for t in range(len(x)):
        out[t] = factor * x[t] if np.uint32(lanes[t]) < kept else zero
