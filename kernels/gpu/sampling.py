"""Triplets of a batch (contract: kernels/reference/sampling.py): one launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.kernels.gpu.launch import kernel
from milk_np.kernels.gpu.memory import empty

Array = Any


def shuffle(key: int, first: int, count: int, n: int) -> Array:
    """Elements `first` to `first + count` of the permutation of 0..n-1 that `key` names."""
    out = empty(count, np.int64)
    _kernel("shuffle").threads(count, np.uint64(key), np.int64(first), np.int32(count), np.uint64(n), out)
    return out


def draw_batch(
    shuffle_key: int,
    negative_key: int,
    first: int,
    count: int,
    pair_user: Array,
    pair_item: Array,
    indptr: Array,
    ranks: Array,
    candidates: Array,
    pool: Array,
) -> tuple[Array, Array]:
    """Users (B) and items (2B) of triplets `first` to `first + count` of an epoch."""
    users, items = empty(count, np.int32), empty(2 * count, np.int32)
    keys = np.uint64(shuffle_key), np.uint64(negative_key), np.int64(first), np.int32(count)
    pairs = np.int64(len(pair_user)), pair_user, pair_item, indptr, ranks
    free = candidates, np.int64(len(candidates)), pool, np.int64(len(pool))
    _kernel("draw_batch").threads(count, *keys, *pairs, *free, users, items)
    return users, items


def _kernel(name: str) -> Any:
    return kernel("sampling", name)
