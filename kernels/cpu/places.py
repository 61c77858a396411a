"""Where items stand in the order of a user's scores (contract: kernels/reference/places.py)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from milk_np.kernels.arrays import Ints


@njit(parallel=True, cache=True)
def places(scores: NDArray[np.float32], user: Ints, item: Ints, out: NDArray[np.int64]) -> None:
    """`out` (P,): place of each pair's item; equal scores share their places."""
    for p in prange(len(out)):
        row = scores[user[p]]
        own = row[item[p]]
        more = np.int32(0)
        for j in range(len(row)):
            more += np.int32(row[j] > own) + np.int32(row[j] >= own)
        out[p] = (np.int64(more) - 1) // 2
