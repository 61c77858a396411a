"""The users and items that a model knows: which items are new, the training pairs, original ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset

ARRAYS = ("item_split", "seen_indptr", "seen_items")
NAMES = ("user_ids", "item_ids")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What recommending needs of the data. A model's file includes it, so that serving needs no data set.

    Attributes
    ----------
    item_split : (I,) uint8
        0 training item, 1 validation item, 2 test item, 3 item without pairs.
    seen_indptr, seen_items : (U + 1,) int64, (n,) int32
        Each user's training items, ascending, as compressed rows.
    user_ids, item_ids : (U,), (I,) str, optional
        Original ids.
    """

    item_split: NDArray[np.uint8]
    seen_indptr: NDArray[np.int64]
    seen_items: NDArray[np.int32]
    user_ids: NDArray[np.str_] | None = None
    item_ids: NDArray[np.str_] | None = None

    @classmethod
    def of(cls, ds: Dataset) -> Self:
        """The catalogue of `ds`."""
        return cls(ds.item_split, *ds.csr(Split.TRAIN), ds.user_ids, ds.item_ids)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The catalogue from what `arrays` returned."""
        return cls(*(arrays[name] for name in ARRAYS), *(arrays.get(name) for name in NAMES))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name, for saving."""
        return {name: value for name in (*ARRAYS, *NAMES) if (value := getattr(self, name)) is not None}

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.seen_indptr) - 1

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.item_split)

    def new_items(self, split: int | None = None) -> NDArray[np.int32]:
        """New items, ascending: all, or those of split 1 (validation), 2 (test) or 3 (no pairs)."""
        chosen = self.item_split > Split.TRAIN if split is None else self.item_split == split
        return np.flatnonzero(chosen).astype(np.int32)

    def interactions(self, split: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Users and items of the training pairs, sorted by user, then item; no other split is known."""
        self._only_training(split)
        users = np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.seen_indptr))
        return users, self.seen_items

    def csr(self, split: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Training items of each user as compressed rows; no other split is known."""
        self._only_training(split)
        return self.seen_indptr, self.seen_items

    def _only_training(self, split: int) -> None:
        if split != Split.TRAIN:
            raise KeyError(f"split {split}: a catalogue has training pairs only; take these from the data set")
