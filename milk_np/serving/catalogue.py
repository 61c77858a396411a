"""The users and items that a model knows: ids, the training pairs, which items it learned from, which are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.errors import DataError
from milk_np.files.schema import FLOATS, WHOLE, Field, Schema
from milk_np.serving.identity import Index
from milk_np.serving.prints import item_prints, pairs_print, training_lengths

ARRAYS = ("item_split", "seen_indptr", "seen_items")
SCHEMA: Schema = {
    "item_split": Field(WHOLE, ("I",), low=0, below=Split.UNSEEN + 1),
    "seen_indptr": Field("i", ("U+1",), offsets_of="seen_items"),
    "seen_items": Field(WHOLE, ("n",), low=0, below="I"),
    "user_ids": Field("U", ("U",), optional=True),
    "item_ids": Field("U", ("I",), optional=True),
    "trained": Field("b", ("I",), optional=True),
    "gone": Field("b", ("I",), optional=True),
    "lengths": Field(FLOATS, ("M", 5), optional=True, finite=False),
    "pairs_print": Field("U", (), optional=True),
    "item_prints": Field(WHOLE, ("I",), optional=True),
}
"""What a file has of it."""
OPTIONAL = ("user_ids", "item_ids", "trained", "gone", "lengths", "pairs_print", "item_prints")


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
        Original ids; where there are none, the numbers are the ids.
    trained : (I,) bool
        Items that the model learned from; by default those with a training pair.
    gone : (I,) bool, optional
        Items that are no longer in the data, which users' histories still name: they are never listed.
    lengths : (M, 5) float32, optional
        Quantiles of the lengths of the training items' rows; see `milk_np.serving.prints`.
    pairs_print, item_prints : text, (I,) uint32, optional
        By them users and items without ids are recognised; `item_prints` only where items have no ids.
    token : what the data set had; see `Dataset.token`
    """

    item_split: NDArray[np.uint8]
    seen_indptr: NDArray[np.int64]
    seen_items: NDArray[np.int32]
    user_ids: NDArray[np.str_] | None = None
    item_ids: NDArray[np.str_] | None = None
    trained: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    gone: NDArray[np.bool_] | None = None
    lengths: NDArray[np.float32] | None = None
    pairs_print: NDArray[np.str_] | None = None
    item_prints: NDArray[np.uint32] | None = None
    token: object = None

    def __post_init__(self) -> None:
        if len(self.trained) != self.n_items:
            object.__setattr__(self, "trained", np.bincount(self.seen_items, minlength=self.n_items) > 0)

    @classmethod
    def of(cls, ds: Dataset) -> Self:
        """The catalogue of `ds`, whose training items the model learns from."""
        return cls(
            ds.item_split,
            *ds.csr(Split.TRAIN),
            ds.user_ids,
            ds.item_ids,
            lengths=training_lengths(ds),
            pairs_print=np.array(pairs_print(ds)),
            item_prints=item_prints(ds) if ds.item_ids is None else None,
            token=ds.token,
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The catalogue from what `arrays` returned."""
        return cls(*(arrays[name] for name in ARRAYS), **{name: arrays[name] for name in OPTIONAL if name in arrays})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name, for saving."""
        return {name: value for name in (*ARRAYS, *OPTIONAL) if (value := getattr(self, name)) is not None}

    def users_part(self, rows: slice) -> dict[str, NDArray[Any]]:
        """The arrays of some users alone, by name; together with the others they are the catalogue of a shard."""
        ends = self.seen_indptr[rows.start : rows.stop + 1]
        part: dict[str, NDArray[Any]] = {
            "seen_indptr": ends - ends[0],
            "seen_items": self.seen_items[ends[0] : ends[-1]],
        }
        return part if self.user_ids is None else part | {"user_ids": self.user_ids[rows]}

    def with_items(self, ids: Sequence[str] | None, n: int) -> Catalogue:
        """The catalogue and n more items without pairs, with `ids`, or numbered on where there are no ids.

        It is for ranking, not for a file: prints and lengths are left out. Raises DataError for an id that is there
        already, twice or empty, and for no ids where the items of the data have some.
        """
        names = self.item_ids
        if ids is not None:
            if refused := next((why for why in self.items.not_new(ids) if why), ""):
                raise DataError(f"items: {refused}")
            known = np.arange(self.n_items).astype(np.str_) if names is None else names
            names = np.concatenate([known, np.asarray(ids, np.str_)])
        elif names is not None:
            raise DataError("items: expected ids for the new items, as those of the data have, got none")
        gone = None if self.gone is None else np.append(self.gone, np.zeros(n, np.bool_))
        split = np.append(self.item_split, np.full(n, Split.UNSEEN, self.item_split.dtype))
        trained = np.append(self.trained, np.zeros(n, np.bool_))
        return Catalogue(split, self.seen_indptr, self.seen_items, self.user_ids, names, trained, gone)

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.seen_indptr) - 1

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.item_split)

    @cached_property
    def users(self) -> Index:
        """Numbers of users by id."""
        return Index(self.user_ids, self.n_users, "user")

    @cached_property
    def items(self) -> Index:
        """Numbers of items by id."""
        return Index(self.item_ids, self.n_items, "item")

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Items that the model learned from, or whose pairs it has taken into histories, (I,)."""
        return self.trained | (np.bincount(self.seen_items, minlength=self.n_items) > 0)

    def new_items(self, split: int | None = None) -> NDArray[np.int32]:
        """New items, ascending: all, or those of split 1 (validation), 2 (test) or 3 (no pairs)."""
        chosen = self.item_split > Split.TRAIN if split is None else self.item_split == split
        return np.flatnonzero(chosen & self._offered).astype(np.int32)

    def all_items(self) -> NDArray[np.int32]:
        """Every item that can be listed, ascending."""
        return np.flatnonzero(self._offered).astype(np.int32)

    @property
    def _offered(self) -> NDArray[np.bool_]:
        return np.ones(self.n_items, np.bool_) if self.gone is None else ~self.gone

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
