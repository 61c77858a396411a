"""Training triplets: every training pair once per epoch, in random order, each with a new uniform negative."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import DataError
from milk_np.rng import stream_key

BATCHES_AT_ONCE = 16


def usable_pairs(ds: Dataset, negatives: str) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The items that `negatives` ("train" or "all") are drawn from, and which training pairs can have one.

    Raises DataError if none can.
    """
    candidates = negative_candidates(ds, negatives)
    user, _ = ds.interactions(Split.TRAIN)
    usable = (np.diff(ds.csr(Split.TRAIN)[0]) < len(candidates))[user]
    if not usable.any():
        raise DataError(
            f"training pairs: every user has chosen all {len(candidates)} items that negatives are drawn from, so "
            "there is nothing to learn; add items, or draw negatives from all items (--negatives all)"
        )
    return candidates, usable


def negative_candidates(ds: Dataset, negatives: str) -> NDArray[np.int32]:
    """Training items for "train"; for "all" all that somebody could have chosen: a negative would push down others."""
    if negatives == "train":
        return ds.train_items
    return np.flatnonzero(ds.item_split != Split.UNSEEN).astype(np.int32)


class TripletSampler:
    """Draws batches that depend on the seed, the epoch and the row alone."""

    def __init__(
        self, backend: Backend, ds: Dataset, *, negatives: str, batch_size: int, seed: int, pool: int = 0
    ) -> None:
        """`negatives` are drawn from the "train" items or from "all" items, including new ones.

        With a `pool`, a batch's negatives come from that many candidates, drawn again for every batch: each negative
        is still uniform, but a batch has fewer distinct items.
        Pairs of a user who chose every candidate have no negative and are left out.
        """
        self._kernels: Any = backend.kernels
        self._seed, self.batch_size = seed, batch_size
        candidates, usable = usable_pairs(ds, negatives)
        user, item = ds.interactions(Split.TRAIN)
        indptr, indices = ds.csr(Split.TRAIN)
        self.n_triplets, self.n_users, self.n_items = int(usable.sum()), ds.n_users, ds.n_items
        ranks = np.searchsorted(candidates, indices).astype(np.int32)
        place = backend.asarray
        pairs = place(user[usable]), place(item[usable])
        self._arrays = (*pairs, backend.offsets(indptr), place(ranks), place(candidates))
        self._pool_size, self._n_candidates = min(pool, len(candidates)), len(candidates)
        # Waking the threads takes longer than drawing a batch. A pool serves one batch; a device has no such threads.
        self._at_once = 1 if pool or backend.name != "cpu" else BATCHES_AT_ONCE
        self._drawn: tuple[tuple[int, int], tuple[Array, Array]] = ((-1, -1), (None, None))
        self._no_pool = backend.asarray(np.zeros(0, np.int64))

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.n_triplets // self.batch_size)

    @property
    def examples(self) -> int:
        """Triplets of an epoch."""
        return self.n_triplets

    def batch(self, epoch: int, step: int) -> tuple[Array, Array]:
        """Users (B) and items (2B: positives, then negatives) of batch `step` of `epoch`."""
        if self._at_once == 1:
            return self._draw(epoch, step, 1)
        block, place = divmod(step, self._at_once)
        if self._drawn[0] != (epoch, block):
            self._drawn = (epoch, block), self._draw(epoch, block * self._at_once, self._at_once)
        users, items = self._drawn[1]
        mine = slice(place * self.batch_size, min((place + 1) * self.batch_size, len(users)))
        return users[mine], np.concatenate([items[: len(users)][mine], items[len(users) :][mine]])

    def size(self, step: int) -> int:
        """Triplets of batch `step` of an epoch."""
        return min(self.batch_size, self.n_triplets - step * self.batch_size)

    def fill(self, epoch: int, step: int, users: Array, items: Array) -> None:
        """Draw batches of one size from `step` on into the rows of `users` (G, B) and `items` (G, 2B), on a device."""
        first, count = step * self.batch_size, users.size
        keys = (stream_key(self._seed, stream, epoch) for stream in ("shuffle", "negatives"))
        pool = self._pool(epoch, step)
        self._kernels.replay.draw_batches(*keys, first, count, *self._arrays, pool, users, items)

    @property
    def pooled(self) -> bool:
        """Whether each batch has a pool of negatives of its own."""
        return self._pool_size > 0

    def _draw(self, epoch: int, step: int, batches: int) -> tuple[Array, Array]:
        """Users and items of `batches` batches from `step` on, as of one."""
        first = step * self.batch_size
        count = min(batches * self.batch_size, self.n_triplets - first)
        shuffle_key = stream_key(self._seed, "shuffle", epoch)
        negative_key = stream_key(self._seed, "negatives", epoch)
        pool = self._pool(epoch, step)
        users, items = self._kernels.draw_batch(shuffle_key, negative_key, first, count, *self._arrays, pool)
        return users, items

    def _pool(self, epoch: int, step: int) -> Array:
        """Positions of the candidates that the batch's negatives are limited to; empty for no limit."""
        if not self._pool_size:
            return self._no_pool
        key = stream_key(self._seed, "pool", epoch, step)
        return self._kernels.shuffle(key, 0, self._pool_size, self._n_candidates)
