"""From raw pairs and features to a data set: missing rows, duplicates, k-core, new items, numbering, precision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split, without_pairs
from milk_np.data.dataset import Dataset
from milk_np.data.importers.clean import MISSING_ROWS, as_half, missing_rows, zeroed
from milk_np.data.importers.coded import Coded, Column, coded, words
from milk_np.data.importers.distinct import distinct_pairs
from milk_np.data.importers.preparation import Preparation
from milk_np.data.rows import FeatureArray
from milk_np.data.split import k_core, split_new_items
from milk_np.data.validation import as_features, some
from milk_np.errors import DataError, ModalityError, SettingsError

__all__ = ["Preparation", "Raw", "assemble"]


@dataclass(frozen=True, eq=False)
class Raw:
    """What an importer has read.

    Attributes
    ----------
    user : n ids, or an array of them
        Numbers of users if `user_count` is given.
    item : (n,) whole numbers
        Feature rows of the items.
    features : for each modality (I, D_m)
    item_split : (I,) uint8, optional
        The data's own split of new items.
    user_ids, item_ids : (U,), (I,) str, optional
        Original ids; those of users only with `user_count`.
    user_count : int, optional
        Number of users U, if they are already numbered.
    available : (I, M) bool, optional
    notes : list of str
        Decisions of the importer that a user should know.
    by_id : bool
        Users keep their ids even where these are the numbers 0 to U - 1.
    fixed : bool
        The split stays with a k-core too: it was asked for.
    """

    user: Coded | Column
    item: NDArray[np.integer[Any]]
    features: dict[str, FeatureArray]
    item_split: NDArray[np.uint8] | None = None
    item_ids: NDArray[np.str_] | None = None
    user_ids: NDArray[np.str_] | None = None
    user_count: int | None = None
    available: NDArray[np.bool_] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_id: bool = False
    fixed: bool = False

    @property
    def users(self) -> Coded:
        """The users' ids."""
        return self.user if isinstance(self.user, Coded) else coded(self.user)

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(next(iter(self.features.values())))

    def noted(self, text: str) -> Raw:
        """With one more note."""
        return replace(self, notes=[*self.notes, text])


def assemble(raw: Raw, how: Preparation) -> Dataset:
    """The data set made of `raw` as `how` says.

    Raises
    ------
    DataError, ModalityError, SettingsError
        If ids don't match the features, pairs repeat, the k-core is empty, or an option is invalid.
    """
    raw = _choose_modalities(raw, how)
    _check_items(raw)
    raw = _without_featureless(_mark_missing(raw, how), how)
    raw, merged = _merge(replace(raw, user=raw.users), how)
    raw = _core(_drop_split(raw, how), how)
    user, user_ids = _number_users(raw, how)
    item_split, split = _split(raw, user, how)
    features = {name: as_half(rows, name) if how.half else rows for name, rows in raw.features.items()}
    available = raw.available if raw.available is not None else _all(raw)
    meta = _meta(raw, how, merged)
    item, names = raw.item.astype(np.int32, copy=False), tuple(features)
    return Dataset(user, item, split, item_split, names, features, available, user_ids, raw.item_ids, meta)


def _all(raw: Raw) -> NDArray[np.bool_]:
    return np.ones((raw.n_items, len(raw.features)), dtype=np.bool_)


def _choose_modalities(raw: Raw, how: Preparation) -> Raw:
    features = {name: as_features(rows, name) for name, rows in raw.features.items()}
    if not features:
        raise ModalityError(
            "features: expected at least one modality, got none; give them with --features NAME=FILE.npy"
        )
    names = tuple(features) if how.modalities is None else how.modalities
    unknown = [name for name in names if name not in features]
    if unknown or not names:
        raise ModalityError(
            f"modalities: expected names among {', '.join(features)}, got {', '.join(unknown) or 'none'}"
        )
    rows = {name: len(features[name]) for name in names}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise ModalityError(
            f"features: expected as many rows in each modality, one per item, got {counts}; give the ids of the rows "
            "where modalities have items of their own (--ids NAME=FILE)"
        )
    columns = [list(features).index(name) for name in names]
    available = None if raw.available is None else raw.available[:, columns]
    return replace(raw, features={name: features[name] for name in names}, available=available)


def _mark_missing(raw: Raw, how: Preparation) -> Raw:
    """Set the rows that mean a missing modality to zero and mark them as not available."""
    unknown = [kind for kind in how.missing_rows if kind not in MISSING_ROWS]
    if unknown:
        raise SettingsError(f"missing rows: expected {' or '.join(MISSING_ROWS)}, got {', '.join(unknown)}")
    available = _all(raw) if raw.available is None else raw.available.copy()
    features = {}
    for m, (name, rows) in enumerate(raw.features.items()):
        gone = missing_rows(rows, how.missing_rows) & available[:, m]
        available[gone, m] = False
        features[name] = zeroed(rows, gone) if gone.any() else rows
    natural = raw.meta | ({} if available.all() or "protocol" in raw.meta else {"natural_missing": True})
    return replace(raw, features=features, available=available, meta=natural)


def _check_items(raw: Raw) -> None:
    name, rows = next(iter(raw.features.items()))
    low, high = int(raw.item.min()), int(raw.item.max())
    if low < 0:
        raise DataError(f"item: expected ids from 0, the row numbers of the features, got {low}")
    if high >= len(rows):
        start = "; ids may start at 1 while rows are counted from 0" if low == 1 and high == len(rows) else ""
        raise ModalityError(
            f"feature_{name}: expected at least {high + 1} rows, since an item id is the number of its row "
            f"(largest id {high}), got {len(rows)}{start}; give --item-ids with the id of each row"
        )


def _without_featureless(raw: Raw, how: Preparation) -> Raw:
    """Without the items that have no modality at all; an error unless that is asked for."""
    available = raw.available if raw.available is not None else _all(raw)
    bare: NDArray[np.bool_] = ~np.any(available, axis=1, keepdims=True)[:, 0]
    if not bare.any():
        return raw
    theirs = bare[raw.item]
    names = np.arange(len(bare)) if raw.item_ids is None else raw.item_ids
    told = f"{int(bare.sum()):,} items without any of {', '.join(raw.features)}"
    if not how.drop_featureless:
        raise ModalityError(
            f"features: got {told} (such as {some(names[bare])}), which have {int(theirs.sum()):,} pairs; expected at "
            "least one modality for each: --drop-featureless leaves these items out"
        )
    if bare.all() or theirs.all():
        raise DataError(f"features: {told}, so no pair is left; expected ids of features that are those of the pairs")
    return _of_items(raw, ~bare, ~theirs).noted(f"left out {told}, and their {int(theirs.sum()):,} pairs")


def _of_items(raw: Raw, items: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> Raw:
    """Some items and pairs; without ids of their own, items keep their numbers as ids."""
    place = (np.cumsum(items) - 1).astype(np.int32)
    chosen = np.flatnonzero(items)
    ids = chosen.astype(np.str_) if raw.item_ids is None else raw.item_ids[chosen]
    return replace(
        raw,
        user=_users_of(raw, pairs),
        item=place[raw.item[pairs]],
        features={name: rows[chosen] for name, rows in raw.features.items()},
        item_ids=ids,
        available=None if raw.available is None else raw.available[chosen],
        item_split=None if raw.item_split is None else raw.item_split[chosen],
    )


def _users_of(raw: Raw, pairs: NDArray[np.bool_]) -> Coded:
    """Users of some pairs. Where they are numbered already, those without pairs keep their numbers."""
    users = raw.users
    return users.where(pairs) if raw.user_count is None else Coded(users.codes[pairs], users.ids)


def _merge(raw: Raw, how: Preparation) -> tuple[Raw, int]:
    """Distinct pairs, sorted by user, then item, and how many were dropped."""
    users = raw.users
    user, item, repeated = distinct_pairs(users.codes, raw.item, raw.n_items)
    if repeated and not how.merge_duplicates:
        pairs = ", ".join(f"({users.ids[u]}, {_item_name(raw, i)})" for u, i in repeated.first)
        raise DataError(
            f"user and item: {repeated.pairs:,} duplicate pairs, first (user, item) {pairs}; expected each pair once, "
            "merge them with --merge-duplicates"
        )
    return replace(raw, user=Coded(user, users.ids), item=item), repeated.pairs


def _item_name(raw: Raw, item: int) -> object:
    return item if raw.item_ids is None else raw.item_ids[item]


def _drop_split(raw: Raw, how: Preparation) -> Raw:
    """Drop the data's own split if a k-core or a share of new items requires a new one."""
    if raw.item_split is None or raw.fixed or (how.new_items is None and how.k_core == 0):
        return raw
    return replace(raw, item_split=None).noted("the data's own split was replaced")


def _core(raw: Raw, how: Preparation) -> Raw:
    """The k-core; items outside of it are removed from the features, and item ids keep the original numbers."""
    if how.k_core == 0:
        return raw
    keep = k_core(raw.users.codes, raw.item, how.k_core)
    if not keep.any():
        raise DataError(f"k-core: no user and item has {how.k_core} pairs within the core; use a smaller k")
    items = np.bincount(raw.item[keep], minlength=raw.n_items) > 0
    users = raw.users.where(keep)
    return replace(_of_items(raw, items, keep), user=users)


def _number_users(raw: Raw, how: Preparation) -> tuple[NDArray[np.int32], NDArray[np.str_] | None]:
    """Users numbered from 0; the numbers of a data set stay as they are unless a k-core drops users."""
    users = raw.users
    if raw.user_count is not None:
        if how.k_core == 0:
            return users.values().astype(np.int32), raw.user_ids
        if raw.user_ids is not None:
            return users.codes, raw.user_ids[users.ids]
    count = len(users.ids)
    counted = users.ids.dtype.kind == "i" and count and users.ids[0] == 0 and users.ids[-1] == count - 1
    return users.codes, None if counted and not raw.by_id else words(users.ids)


def _split(raw: Raw, user: NDArray[np.int32], how: Preparation) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if raw.item_split is not None:
        return without_pairs(raw.item_split, raw.item), raw.item_split[raw.item]
    if how.share == 0:
        item_split = without_pairs(np.zeros(raw.n_items, np.uint8), raw.item)
        return item_split, np.full(len(user), Split.TRAIN, np.uint8)
    return split_new_items(user, raw.item, raw.n_items, fraction=how.share, seed=how.split_seed)


def _meta(raw: Raw, how: Preparation, merged: int) -> dict[str, Any]:
    meta = dict(raw.meta)
    if how.name is not None:
        meta["name"] = how.name
    if raw.item_split is None:
        meta |= {"new_items": how.share, "split_seed": how.split_seed}
    if how.k_core:
        meta["k_core"] = how.k_core
    elif raw.user_count is not None:
        meta["n_users"] = raw.user_count
    if merged:
        meta["merged_duplicates"] = merged
    if raw.notes:
        meta["notes"] = list(raw.notes)
    return meta
