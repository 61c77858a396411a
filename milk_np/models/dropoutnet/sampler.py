"""Batches of users with an item: those that the pretrained tables score highest for them, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.nn.arrays import array_module
from milk_np.nn.keyed import words
from milk_np.rng import stream_key
from milk_np.serving.ranking import blocks
from milk_np.training.pretraining.cache import Pretrained

PARTS = 10
"""Epochs of a pass over all users and their items."""


class ScoreSampler:
    """For every user with a training pair, their `top` best training items and as many random ones, once in a pass."""

    def __init__(
        self, backend: Backend, ds: Dataset, tables: Pretrained, *, top: int, batch_size: int, seed: int
    ) -> None:
        users = np.unique(ds.interactions(Split.TRAIN)[0])
        best = best_items(backend, tables, users, ds.train_items, min(top, len(ds.train_items)))
        self._kernels: Any = backend.kernels
        self._users, self._best, self._candidates = (backend.asarray(x) for x in (users, best, ds.train_items))
        self._each, self._size, self._seed = 2 * int(best.shape[1]), batch_size, seed
        self._rows = len(users) * self._each

    @property
    def batches(self) -> int:
        """Batches in a pass; the last one may be smaller."""
        return -(-self._rows // self._size)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.batches // PARTS)

    @property
    def examples(self) -> int:
        """Rows of an epoch, if none of its batches is the last of a pass."""
        return min(self._rows, self.steps * self._size)

    @property
    def rows_of_a_user(self) -> int:
        """Rows that a pass has for each user."""
        return self._each

    def place(self, epoch: int, step: int) -> tuple[int, int]:
        """The pass, from 1, and the batch of it, from 0, of step `step` of `epoch`: passes follow without a gap."""
        done, batch = divmod((epoch - 1) * self.steps + step, self.batches)
        return done + 1, batch

    def batch(self, turn: int, step: int) -> tuple[Array, Array]:
        """Users (B) and items (B) of batch `step` of the pass number `turn`."""
        first = step * self._size
        count = min(self._size, self._rows - first)
        key = stream_key(self._seed, "dropoutnet-order", turn)
        rows = self._kernels.shuffle(key, first, count, self._rows)
        xp, top = array_module(rows), self._each // 2
        other = words(xp, count, self._seed, "dropoutnet-items", turn, step) % np.uint64(len(self._candidates))
        user, place = rows // self._each, rows % self._each
        items = xp.where(place < top, self._best[user, place % top], self._candidates[other.astype(np.int64)])
        return self._users[user], items


def best_items(
    backend: Backend, tables: Pretrained, users: NDArray[np.int32], items: NDArray[np.int32], k: int
) -> NDArray[np.int32]:
    """The `k` of `items` with the highest score for each of `users` (n): (n, k)."""
    found = np.empty((len(users), k), np.int32)
    for part in blocks(len(users), tables.users.shape[1]):
        place, _ = backend.top_k(tables.users[users[part]], tables.items[items], k)
        found[part] = items[place]
    return found
