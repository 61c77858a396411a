"""The distinct ids of a batch and where each of them stands (contract: kernels/reference/grouping.py): one launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.kernels.gpu.launch import kernel
from milk_np.kernels.gpu.memory import empty
from milk_np.kernels.reference.grouping import Groups

Array = Any

THREADS = 1024
SHARED_IDS = 8192
"""Ids whose sort keys, 4 bytes each, fit the shared memory that every device offers a block."""


def group(ids: Array, table: Array) -> Groups:
    """Group `ids` (T) by value, with room for as many distinct values as there can be: no size has to come home."""
    T, slots = len(ids), min(len(ids), len(table))
    unique, slot, start, order = (empty(n, np.int32) for n in (slots, T, slots + 1, T))
    size = 1 << max(0, T - 1).bit_length()
    sizes = np.int32(T), np.int32(slots), np.int32(size), np.int32(size.bit_length() - 1)
    arrays = table, unique, slot, start, order
    if size <= SHARED_IDS:
        kernel("grouping", "group_shared").blocks(1, THREADS, ids, *sizes, *arrays, shared=4 * size)
    else:
        keys = empty(size, np.uint64)
        kernel("grouping", "group_global").blocks(1, THREADS, ids, *sizes, *arrays, keys)
    return Groups(unique, slot, start, order)
