"""Where items stand in the order of a user's scores (contract: kernels/reference/places.py)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from milk_np.kernels.arrays import Ints
from milk_np.kernels.cpu.tasks import in_threads, row_parts

TASK_PAIRS = 1024


def places(scores: NDArray[np.float32], user: Ints, item: Ints, out: NDArray[np.int64]) -> None:
    """`out` (P,): place of each pair's item; equal scores share their places."""
    in_threads(lambda pairs: _places(scores, user[pairs], item[pairs], out[pairs]), row_parts(len(out), TASK_PAIRS))


@njit(cache=True, nogil=True)
def _places(scores: NDArray[np.float32], user: Ints, item: Ints, out: NDArray[np.int64]) -> None:
    for p in range(len(out)):
        row = scores[user[p]]
        own = row[item[p]]
        more = np.int32(0)
        for j in range(len(row)):
            more += np.int32(row[j] > own) + np.int32(row[j] >= own)
        out[p] = (np.int64(more) - 1) // 2
