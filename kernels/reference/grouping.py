"""The distinct ids of a batch and their positions, so that sums over equal ids need no atomics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from milk_np.kernels.arrays import Ints


class Groups(NamedTuple):
    """`ids` (T) in terms of its n distinct values: `ids == unique[slot]`.

    `order[start[s]:start[s + 1]]` are the positions of `unique[s]`, ascending.

    A device can't report the number of distinct values to its host without synchronising. Its arrays may therefore
    have padding rows: after the n distinct values, `unique` is -1 and `start` is T, which makes the groups of
    those rows empty. The other kernels of that device skip such rows, or set them to zero.
    """

    unique: Any  # (n or more) int32
    slot: Any  # (T) int32
    start: Any  # (rows of `unique` + 1) int32
    order: Any  # (T) int32


def group(ids: Ints, table: Ints) -> Groups:
    """Group `ids` (T) by value, distinct values in order of first appearance.

    `table` (largest id + 1) is scratch, -1 everywhere before and after.
    """
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first)
    rank = np.empty(len(unique), np.int32)
    rank[by_appearance] = np.arange(len(unique))
    slot = rank[inverse]
    start = np.concatenate([[0], np.cumsum(np.bincount(slot, minlength=len(unique)))])
    order = np.argsort(slot, kind="stable")
    return Groups(
        unique[by_appearance].astype(np.int32),
        slot.astype(np.int32),
        start.astype(np.int32),
        order.astype(np.int32),
    )
