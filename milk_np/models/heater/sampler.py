"""Batches of training pairs and of drawn non-pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.nn.arrays import array_module
from milk_np.nn.keyed import words
from milk_np.rng import stream_key


class PointSampler:
    """Every training pair once an epoch, and for each `drawn` uniform training items, chosen or not, as non-pairs."""

    def __init__(self, backend: Backend, ds: Dataset, *, drawn: int, batch_size: int, seed: int) -> None:
        user, item = ds.interactions(Split.TRAIN)
        self._kernels: Any = backend.kernels
        self._user, self._item, self._candidates = (backend.asarray(x) for x in (user, item, ds.train_items))
        self._fold, self._size, self._seed = drawn + 1, batch_size, seed
        self.examples = len(user) * self._fold

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.examples // self._size)

    def batch(self, epoch: int, step: int) -> tuple[Array, Array, Array]:
        """Users (B), items (B) and labels (B): 1 for a pair, 0 for a drawn item."""
        first = step * self._size
        count = min(self._size, self.examples - first)
        rows = self._kernels.shuffle(stream_key(self._seed, "heater-order", epoch), first, count, self.examples)
        xp = array_module(rows)
        other = words(xp, count, self._seed, "heater-drawn", epoch, step) % np.uint64(len(self._candidates))
        pair, mine = rows // self._fold, rows % self._fold == 0
        items = xp.where(mine, self._item[pair], self._candidates[other.astype(np.int64)])
        return self._user[pair], items, mine.astype(np.float32)
