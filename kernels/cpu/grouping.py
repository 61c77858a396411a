"""The distinct ids of a batch and their positions (contract: kernels/reference/grouping.py)."""

from __future__ import annotations

import numpy as np
from numba import njit

from milk_np.kernels.arrays import Ints
from milk_np.kernels.reference.grouping import Groups


def group(ids: Ints, table: Ints) -> Groups:
    """Group `ids` by value, distinct values in order of first appearance, in three passes over the batch."""
    return Groups(*_group(ids, table))


@njit(cache=True)
def _group(ids: Ints, table: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    T = len(ids)
    unique, slot = np.empty(T, np.int32), np.empty(T, np.int32)
    start, order = np.zeros(T + 1, np.int32), np.empty(T, np.int32)
    n = 0
    for t in range(T):
        s = table[ids[t]]
        if s < 0:
            s = n
            table[ids[t]] = s
            unique[s] = ids[t]
            n += 1
        slot[t] = s
        start[s + 1] += 1
    for s in range(n):
        table[unique[s]] = -1
        start[s + 1] += start[s]
    place = np.empty(n, np.int32)
    for s in range(n):
        place[s] = start[s]
    for t in range(T):
        order[place[slot[t]]] = t
        place[slot[t]] += 1
    return unique[:n], slot, start[: n + 1], order
