"""Triplets of batches (contract: kernels/reference/sampling.py): one launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import kernel, row_step
from milk_np.kernels.gpu.memory import empty


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
    users, items = empty((1, count), np.int32), empty((1, 2 * count), np.int32)
    keys = shuffle_key, negative_key
    draw_batches(*keys, first, count, pair_user, pair_item, indptr, ranks, candidates, pool, users, items)
    return users[0], items[0]


def draw_batches(
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
    users: Array,
    items: Array,
) -> None:
    """Triplets `first` to `first + count`, a batch in each row of `users` (G, B) and `items` (G, 2B), in one launch.

    The rows of both may be parts of wider ones, which lie equally far apart.
    """
    keys = np.uint64(shuffle_key), np.uint64(negative_key), np.int64(first), np.int32(count)
    pairs = np.int64(len(pair_user)), pair_user, pair_item, indptr, ranks
    free = candidates, np.int64(len(candidates)), pool, np.int64(len(pool))
    batches = np.int32(users.shape[1]), np.int64(row_step(users))
    _kernel("draw_batch").threads(count, *keys, *pairs, *free, *batches, users, items)


def _kernel(name: str) -> Any:
    return kernel("sampling", name)
