"""Batches of training pairs, each with distinct negatives that its user hasn't chosen."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.kernels.reference.sampling import mix64
from milk_np.rng import stream_key
from milk_np.training.sampler import usable_pairs

Ids = NDArray[np.int32]


class Pairs(NamedTuple):
    """B pairs of an epoch: users and items (B), and the numbers (B) by which further draws are keyed."""

    users: Ids
    items: Ids
    rows: NDArray[np.int64]


class CandidateSampler:
    """Every training pair once an epoch, in an order that depends on seed and epoch alone; drawn on the host.

    Pairs of a user who chose every training item have no negative and are left out.
    """

    def __init__(self, backend: Backend, ds: Dataset, *, batch_size: int, seed: int) -> None:
        self._kernels: Any = backend.kernels if backend.name == "cpu" else import_module("milk_np.kernels.cpu")
        self._seed, self._size = seed, batch_size
        self.candidates, usable = usable_pairs(ds, "train")
        user, item = ds.interactions(Split.TRAIN)
        self._user, self._item = user[usable], item[usable]
        self.indptr, self.histories = ds.csr(Split.TRAIN)
        self._ranks = np.searchsorted(self.candidates, self.histories).astype(np.int32)
        self.examples = len(self._user)
        order = np.lexsort((user, item))
        self._item_users = user[order]
        self._item_indptr = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=ds.n_items))])
        self._users, self.n_users = np.arange(ds.n_users, dtype=np.int32), ds.n_users
        self.active = np.unique(self._user)

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.examples // self._size)

    def batch(self, epoch: int, step: int) -> Pairs:
        """Batch `step` of `epoch`."""
        first = step * self._size
        count = min(self._size, self.examples - first)
        rows = self._kernels.shuffle(stream_key(self._seed, "shuffle", epoch), first, count, self.examples)
        return Pairs(self._user[rows], self._item[rows], rows)

    def negatives(self, users: Ids, rows: NDArray[np.int64], count: int, stream: str, epoch: int) -> Ids:
        """`count` distinct training items (B, count) that the `users` (B) haven't chosen, each row keyed by `rows` (B).

        A user with fewer of them gets them all, then -1.
        """
        out = np.empty((len(users), count), np.int32)
        key = stream_key(self._seed, stream, epoch)
        self._kernels.draw_distinct(key, rows, users, self.indptr, self._ranks, self.candidates, out)
        return out

    def of_users(self, users: Ids, rows: NDArray[np.int64], stream: str, epoch: int) -> Ids:
        """A training item (B) of each of `users` (B), uniform over those that the user has chosen."""
        first, last = self.indptr[users], self.indptr[users + 1]
        with np.errstate(over="ignore"):
            word = mix64(mix64(rows.astype(np.uint64)) ^ np.uint64(stream_key(self._seed, stream, epoch)))
        place = first + (word % (last - first).astype(np.uint64)).astype(np.int64)
        return np.asarray(self.histories[place], np.int32)

    def some_users(self, count: int, stream: str, epoch: int, step: int) -> Ids:
        """`count` distinct users who have a pair that can be learned from, or all of them if there are fewer."""
        n = len(self.active)
        key = stream_key(self._seed, stream, epoch, step)
        return np.asarray(self.active[self._kernels.shuffle(key, 0, min(count, n), n)], np.int32)

    def other_users(self, items: Ids, rows: NDArray[np.int64], stream: str, epoch: int) -> Ids:
        """A user (B) for each of `items` (B), uniform over those who haven't chosen it; -1 if all have."""
        out = np.empty((len(items), 1), np.int32)
        key = stream_key(self._seed, stream, epoch)
        self._kernels.draw_distinct(key, rows, items, self._item_indptr, self._item_users, self._users, out)
        return out[:, 0]


def numbered(items: Ids, n_items: int) -> tuple[Ids, Ids]:
    """Distinct ids (n) of `items` (any shape, below `n_items`), ascending, and the place of each among them.

    A negative item stays -1 and isn't counted.
    """
    seen = np.zeros(n_items + 1, np.bool_)
    seen[items] = True  # -1 is the last place, which is no item
    ids = np.flatnonzero(seen[:-1]).astype(np.int32)
    place = np.full(n_items + 1, -1, np.int32)
    place[ids] = np.arange(len(ids), dtype=np.int32)
    return ids, place[items]
