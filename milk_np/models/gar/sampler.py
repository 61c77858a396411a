"""Triplets of a uniform user, a uniform item of theirs and a uniform training item."""

from __future__ import annotations

import numpy as np

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.nn.arrays import array_module
from milk_np.nn.keyed import words


class UserSampler:
    """As many triplets an epoch as there are training pairs, in whole batches; users are drawn with replacement."""

    def __init__(self, backend: Backend, ds: Dataset, *, batch_size: int, seed: int) -> None:
        indptr, items = ds.csr(Split.TRAIN)
        users = np.flatnonzero(np.diff(indptr)).astype(np.int32)
        self._arrays = [backend.asarray(x) for x in (users, indptr.astype(np.int64), items, ds.train_items)]
        self.batch_size, self._seed, self._pairs = batch_size, seed, len(items)

    @property
    def steps(self) -> int:
        """Batches in an epoch: a last one that would be smaller is left out, unless it is the only one."""
        return max(1, self._pairs // self.batch_size)

    @property
    def examples(self) -> int:
        """Triplets of an epoch."""
        return self.steps * self.batch_size

    def batch(self, epoch: int, step: int) -> tuple[Array, Array, Array]:
        """Users, items they chose, and drawn items, chosen or not: (B) each."""
        users, indptr, items, candidates = self._arrays
        drawn = words(array_module(users), 3 * self.batch_size, self._seed, "gar-triplets", epoch, step)
        which, mine, other = drawn.reshape(3, -1)
        user = users[_below(which, len(users))]
        degree = (indptr[user + 1] - indptr[user]).astype(np.uint64)
        chosen = items[indptr[user] + (mine % degree).astype(np.int64)]
        return user, chosen, candidates[_below(other, len(candidates))]


def _below(drawn: Array, n: int) -> Array:
    """Numbers from 0 to n - 1."""
    return (drawn % np.uint64(n)).astype(np.int64)
