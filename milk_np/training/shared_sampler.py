"""Training triplets where each rank has the pairs of its own users: together they draw the batches of one process."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.data.share import Share
from milk_np.errors import DataError
from milk_np.rng import stream_key
from milk_np.training.sampler import negative_candidates

BATCHES_AT_ONCE = 16


class Drawn(NamedTuple):
    """This rank's triplets of a batch of B, and where those of each rank stand in it.

    Attributes
    ----------
    users, items : (n,), (2n,) int32
        Users, numbered on this rank; the positives, then the negatives.
    bounds : (ranks + 1,) int64
        Rank r has the triplets `order[bounds[r]:bounds[r + 1]]` of the batch.
    order : (B,) int64
        Places of the triplets in the batch, rank by rank, ascending in each.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    bounds: NDArray[np.int64]
    order: NDArray[np.int64]


class SharedSampler:
    """Draws this rank's triplets of the batches of `TripletSampler`, which all depend on their row alone."""

    def __init__(
        self, backend: Backend, ds: Dataset, share: Share, *, negatives: str, batch_size: int, seed: int, pool: int = 0
    ) -> None:
        """See `TripletSampler`; `ds` has the users of this rank. Batches are drawn on the host, for a device too."""
        self._kernels: Any = backend.kernels if backend.name == "cpu" else import_module("milk_np.kernels.cpu")
        self._seed, self.batch_size, self._rank = seed, batch_size, share.ranks.rank
        candidates = negative_candidates(ds, negatives)
        user, item = ds.interactions(Split.TRAIN)
        indptr, indices = ds.csr(Split.TRAIN)
        usable = (np.diff(indptr) < len(candidates))[user]
        counts = share.ranks.all_values(int(usable.sum()))
        self._bounds = np.concatenate([[0], np.cumsum(counts)])
        self.n_triplets, self.n_items = int(self._bounds[-1]), ds.n_items
        if not self.n_triplets:
            raise DataError("training pairs: no user has a negative; add items, or draw from all (--negatives all)")
        ranks = np.searchsorted(candidates, indices).astype(np.int32)
        self._arrays = (user[usable], item[usable], indptr, ranks, candidates)
        self._pool_size, self._n_candidates = min(pool, len(candidates)), len(candidates)
        self._rows: tuple[tuple[int, int], NDArray[np.int64]] = ((-1, -1), np.zeros(0, np.int64))

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.n_triplets // self.batch_size)

    def batch(self, epoch: int, step: int) -> Drawn:
        """This rank's part of batch `step` of `epoch`."""
        rows = self._shuffled(epoch, step)
        owner = np.searchsorted(self._bounds, rows, side="right") - 1
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(len(self._bounds)))
        mine = rows[order[bounds[self._rank] : bounds[self._rank + 1]]]
        key, offset = stream_key(self._seed, "negatives", epoch), int(self._bounds[self._rank])
        users, items = self._kernels.draw_shared(key, mine, offset, *self._arrays, self._pool(epoch, step))
        return Drawn(users, items, bounds, order)

    def _shuffled(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Numbers (B) of a batch's pairs among those of all ranks; of several batches at once, for speed."""
        block, place = divmod(step, BATCHES_AT_ONCE)
        if self._rows[0] != (epoch, block):
            first = block * BATCHES_AT_ONCE * self.batch_size
            count = min(BATCHES_AT_ONCE * self.batch_size, self.n_triplets - first)
            key = stream_key(self._seed, "shuffle", epoch)
            self._rows = (epoch, block), self._kernels.shuffle(key, first, count, self.n_triplets)
        return self._rows[1][place * self.batch_size : (place + 1) * self.batch_size]

    def _pool(self, epoch: int, step: int) -> NDArray[np.int64]:
        """See `TripletSampler`."""
        if not self._pool_size:
            return np.zeros(0, np.int64)
        key = stream_key(self._seed, "pool", epoch, step)
        pool: NDArray[np.int64] = self._kernels.shuffle(key, 0, self._pool_size, self._n_candidates)
        return pool
