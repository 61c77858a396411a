"""The arrays of a data set and values derived from them: sizes, training and new items, pairs by user."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.order import pairs_ascend
from milk_np.data.rows import FeatureArray, row_blocks
from milk_np.data.storage import FEATURE
from milk_np.errors import SettingsError


class Split(IntEnum):
    """What a pair or an item is for; new items are those of VALIDATION, TEST and UNSEEN."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNSEEN = 3
    """Items without any pair: recommended, but never trained on, drawn as negatives, masked or evaluated."""


PAIRS_HASH = "pairs_hash"
"""Where `meta` has the hash of all pairs and user ids of a data set in shards, of which an object may hold some."""
_OF_USERS = ("user", "item", "split", "user_ids")
PAIR_SPLITS = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""What a pair can be for."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """Interactions of U users with I items that have M modalities, unchecked.

    Attributes
    ----------
    user, item : (n,) int32
        Distinct pairs; users and items are numbered from 0.
    split : (n,) uint8
        0 train, 1 valid, 2 test: the split of the pair's item.
    item_split : (I,) uint8
        0 training item, 1 validation item, 2 test item, 3 item without pairs. New items are 1, 2 and 3: they have no
        training pair.
    modalities : M names
    features : for each name (I, D_m) float16 or float32
        Raw rows, neither imputed nor normalised; row i is item i. A memory map if the data set is a folder.
    available : (I, M) bool
        Which item has which modality; at least one per item. Rows of missing ones are never read.
    user_ids, item_ids : (U,), (I,) str, optional
        Original ids.
    meta : dict
        JSON values: `name`, how the set was made, and `n_users` if there are users without pairs after the last id.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    split: NDArray[np.uint8]
    item_split: NDArray[np.uint8]
    modalities: tuple[str, ...]
    features: dict[str, FeatureArray] = field(repr=False)
    available: NDArray[np.bool_]
    user_ids: NDArray[np.str_] | None = None
    item_ids: NDArray[np.str_] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the data set, "unnamed" if it has none."""
        return str(self.meta.get("name", "unnamed"))

    @cached_property
    def n_users(self) -> int:
        """Number of users U, including those without any pair."""
        if self.user_ids is not None:
            return len(self.user_ids)
        return int(self.meta.get("n_users") or int(self.user.max()) + 1)

    @property
    def n_items(self) -> int:
        """Number of items I, including new ones."""
        return len(self.item_split)

    @property
    def given_split(self) -> bool:
        """Whether the data brought their split of new items: by time, by a column, or as a folder or file has it. One
        that was drawn has a seed."""
        return "split_seed" not in self.meta and self.meta.get("made") != "synthetic"

    @property
    def n_modalities(self) -> int:
        """Number of modalities M."""
        return len(self.modalities)

    @property
    def train_items(self) -> NDArray[np.int32]:
        """Ids of the training items, ascending."""
        return np.flatnonzero(self.item_split == Split.TRAIN).astype(np.int32)

    def new_items(self, split: int | None = None) -> NDArray[np.int32]:
        """New items of a split (1 validation, 2 test, 3 without pairs), ascending; all of them when `split` is None."""
        if split not in (None, *Split) or split == Split.TRAIN:
            raise SettingsError(f"split: expected 1 (valid), 2 (test), 3 (no pairs) or None (all), got {split!r}")
        chosen = self.item_split > Split.TRAIN if split is None else self.item_split == split
        return np.flatnonzero(chosen).astype(np.int32)

    def all_items(self) -> NDArray[np.int32]:
        """Numbers of all items, ascending."""
        return np.arange(self.n_items, dtype=np.int32)

    @property
    def evaluated_items(self) -> NDArray[np.int32]:
        """Validation and test items, ascending: the candidates of an evaluation. An item without pairs isn't one, since
        no list could ever be right to have it."""
        return np.flatnonzero(evaluated(self.item_split)).astype(np.int32)

    def interactions(self, split: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Users and items of the pairs of a split (0, 1 or 2), sorted by user, then item."""
        if split not in PAIR_SPLITS:
            raise SettingsError(f"split: expected 0 (train), 1 (valid) or 2 (test), got {split!r}")
        chosen = self.split == split
        user, item = self.user[chosen], self.item[chosen]
        if pairs_ascend(user, item):  # the importers sort them
            return user, item
        key = user.astype(np.int64) * self.n_items + item
        key.sort()
        user, item = np.divmod(key, self.n_items)
        return user.astype(np.int32), item.astype(np.int32)

    def csr(self, split: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Pairs of a split by user: indptr (U + 1) int64 and item ids (n) int32, ascending in each row."""
        user, item = self.interactions(split)
        indptr = np.zeros(self.n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(user, minlength=self.n_users), out=indptr[1:])
        return indptr, item

    @cached_property
    def token(self) -> object:
        """Something that this set alone has, for a model to know it by; a copy has another."""
        return object()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all arrays in hexadecimal, without `meta`. Tables show its first 16 digits.

        A data set in shards has the hash of all of them, whichever are loaded.
        """
        stored = self.meta.get(PAIRS_HASH)
        digest = hashlib.sha256(str(stored).encode() if stored else b"")
        for key, array in self.arrays().items():
            if stored and key in _OF_USERS:
                continue
            digest.update(f"{key} {array.dtype.str} {array.shape};".encode())
            for block in row_blocks(len(array), array.shape[1] if array.ndim > 1 else 1):
                digest.update(np.ascontiguousarray(array[block]).data.cast("B") if array.size else b"")
        return digest.hexdigest()

    def arrays(self) -> dict[str, Any]:
        """The arrays by name, in the order in which they are stored."""
        named: dict[str, Any] = {"user": self.user, "item": self.item, "split": self.split}
        named |= {"item_split": self.item_split, "available": self.available}
        named["modalities"] = np.array(self.modalities, dtype=np.str_)
        named |= {FEATURE + name: self.features[name] for name in self.modalities}
        ids = {"user_ids": self.user_ids, "item_ids": self.item_ids}
        return named | {key: array for key, array in ids.items() if array is not None}


def evaluated(item_split: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which items are validation or test items, (I,)."""
    chosen: NDArray[np.bool_] = (item_split == Split.VALIDATION) | (item_split == Split.TEST)
    return chosen


def without_pairs(item_split: NDArray[np.uint8], item: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """`item_split` (I,) in which the training items that have no pair in `item` (n) are UNSEEN."""
    lonely = (item_split == Split.TRAIN) & (np.bincount(item, minlength=len(item_split)) == 0)
    return np.where(lonely, np.uint8(Split.UNSEEN), item_split)
