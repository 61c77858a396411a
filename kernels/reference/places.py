"""Where items stand in the order of a user's scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Ints


def places(scores: NDArray[np.float32], user: Ints, item: Ints, out: NDArray[np.int64]) -> None:
    """`out` (P,): from 0, the place of each pair's item among its user's `scores` (U, candidates); equal ones share."""
    for p in range(len(out)):
        row, own = scores[user[p]], scores[user[p], item[p]]
        out[p] = (np.count_nonzero(row > own) + np.count_nonzero(row >= own) - 1) // 2
