"""Training pairs R (U, n) as lists of both sides, on a backend: sparse products by kernels of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile.need import columns_at_a_time


@dataclass(frozen=True, eq=False)
class Pairs:
    """Compressed rows of users and of items, as arrays of `backend`."""

    backend: Backend
    users: tuple[Array, Array]
    """Offsets (U + 1) int64 of the users' lists, and their training items (P,) int32 by number among these."""
    items: tuple[Array, Array]
    """Offsets (n + 1) int64 of the items' lists, and their users (P,) int32."""

    @classmethod
    def of(cls, ds: Dataset, backend: Backend) -> Self:
        """The training pairs of `ds`."""
        indptr, item = ds.csr(Split.TRAIN)
        number = np.cumsum(ds.item_split == Split.TRAIN, dtype=np.int32) - np.int32(1)
        return cls.from_lists(backend, indptr, number[item], len(ds.train_items))

    @classmethod
    def from_lists(cls, backend: Backend, indptr: Any, item: Any, n: int) -> Self:
        """The pairs of users whose lists are `item` (P,) at `indptr` (U + 1), of `n` items."""
        rows = backend.asarray(indptr, np.int64), backend.asarray(item, np.int32)
        return cls(backend, rows, backend.kernels.transpose_lists(*rows, n))

    @property
    def shape(self) -> tuple[int, int]:
        """U, n."""
        return len(self.users[0]) - 1, len(self.items[0]) - 1

    def popularity(self) -> NDArray[np.float64]:
        """Users of each item (n,)."""
        return np.diff(self.backend.to_host(self.items[0])).astype(np.float64)

    def gram_times(self, x: Array) -> None:
        """`x` (n, k) becomes R^T R x, some columns at a time."""
        step = columns_at_a_time(self.backend.name, x.itemsize * sum(self.shape))
        for first in range(0, x.shape[1], step):
            self._gram_times(x, slice(first, min(x.shape[1], first + step)))

    def _gram_times(self, x: Array, columns: slice) -> None:
        (U, n), q = self.shape, columns.stop - columns.start
        part, rows = self.backend.empty((n, q), x.dtype), self.backend.empty((U, q), x.dtype)
        part[...] = x[:, columns]
        self.backend.kernels.sum_lists(*self.users, part, rows)
        self.backend.kernels.sum_lists(*self.items, rows, part)
        x[:, columns] = part
