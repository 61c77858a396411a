"""The distinct ids of batches and their positions (contract: kernels/reference/grouping.py): one launch."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import kernel, row_step
from milk_np.kernels.gpu.memory import empty
from milk_np.kernels.reference.grouping import Groups

THREADS = 1024
SHARED_IDS = 8192
"""Ids whose sort keys, 4 bytes each, fit the shared memory that every device offers a block."""


def group(ids: Array, table: Array) -> Groups:
    """Group `ids` (T) by value, with room for the maximum number of distinct values, so the host needn't wait."""
    out = Groups(*(empty((1, n), np.int32) for n in widths(len(ids), len(table))))
    _group(ids[None], table[None], out, np.int64(0))
    return Groups(*(each[0] for each in out))


def group_batches(ids: Array, tables: Array, out: Groups) -> None:
    """Group each row of `ids` (G, T) by value into the same row of `out`, with a row of `tables` (G, largest id + 1).

    The rows of `ids` and of `out` may be parts of wider ones, which all lie equally far apart.
    """
    _group(ids, tables, out, np.int64(row_step(ids)))


def widths(T: int, n: int) -> tuple[int, int, int, int]:
    """Elements of the parts of the groups of `T` ids below `n`."""
    slots = min(T, n)
    return slots, T, slots + 1, T


def _group(ids: Array, tables: Array, out: Groups, apart: np.int64) -> None:
    """One block for each row of `ids`."""
    G, T = ids.shape
    size = 1 << max(0, T - 1).bit_length()
    sizes = *map(np.int32, (T, out.unique.shape[1], size, size.bit_length() - 1)), apart, np.int64(row_step(tables))
    if size <= SHARED_IDS:
        kernel("grouping", "group_shared").blocks(G, THREADS, ids, *sizes, tables, *out, shared=4 * size)
    else:
        keys = empty((G, size), np.uint64)
        kernel("grouping", "group_global").blocks(G, THREADS, ids, *sizes, tables, *out, keys)
