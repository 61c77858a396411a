"""From raw interactions and features to a data set: duplicates, k-core, new items, numbering, precision."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import without_pairs
from milk_np.data.dataset import Dataset
from milk_np.data.importers.clean import MISSING_ROWS, as_half, missing_rows, zeroed
from milk_np.data.importers.columns import Column
from milk_np.data.importers.numbering import number
from milk_np.data.rows import FeatureArray
from milk_np.data.split import k_core, split_new_items
from milk_np.data.validation import as_features
from milk_np.errors import DataError, ModalityError, SettingsError


@dataclass(frozen=True)
class Preparation:
    """How raw data are prepared.

    Attributes
    ----------
    k_core : int
        Keep users and items with at least this many pairs; 0 keeps all.
    new_items : float, optional
        Share of the items that become new; None keeps the data's own split, or takes 0.2 if there is none.
    split_seed : int
        Random seed of the choice of new items.
    merge_duplicates : bool
        Count repeated pairs once instead of raising an error.
    half : bool
        Store features as float16.
    modalities : names to keep, in that order; None keeps all
    missing_rows : among "nan" and "zero"
        Feature rows that mean a missing modality: those with a NaN, those of zeros only.
    name : str, optional
        Name of the data set.
    """

    k_core: int = 0
    new_items: float | None = None
    split_seed: int = 0
    merge_duplicates: bool = False
    half: bool = False
    modalities: tuple[str, ...] | None = None
    missing_rows: Collection[str] = ()
    name: str | None = None


@dataclass(frozen=True, eq=False)
class Raw:
    """What an importer has read.

    Attributes
    ----------
    user : (n,) int64 or str
        Original ids, or numbers of users if `user_count` is given.
    item : (n,) int64
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
    """

    user: Column
    item: NDArray[np.int64]
    features: dict[str, FeatureArray]
    item_split: NDArray[np.uint8] | None = None
    item_ids: NDArray[np.str_] | None = None
    user_ids: NDArray[np.str_] | None = None
    user_count: int | None = None
    available: NDArray[np.bool_] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assemble(raw: Raw, how: Preparation) -> Dataset:
    """The data set made of `raw` as `how` says.

    Raises
    ------
    DataError, ModalityError, SettingsError
        If ids don't match the features, pairs repeat, the k-core is empty, or an option is invalid.
    """
    raw = _choose_modalities(raw, how)
    raw = _mark_missing(raw, how)
    _check_items(raw)
    raw, merged = _merge(raw, how)
    raw = _core(_drop_split(raw, how), how)
    user, user_ids = _number_users(raw, how)
    item_split, split = _split(raw, user, how)
    features = {name: as_half(rows, name) if how.half else rows for name, rows in raw.features.items()}
    available = raw.available if raw.available is not None else _all(raw)
    meta = _meta(raw, how, merged)
    item = raw.item.astype(np.int32)
    names = tuple(features)
    return Dataset(user, item, split, item_split, names, features, available, user_ids, raw.item_ids, meta)


def _all(raw: Raw) -> NDArray[np.bool_]:
    n_items = len(next(iter(raw.features.values())))
    return np.ones((n_items, len(raw.features)), dtype=np.bool_)


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
        raise ModalityError(f"features: expected as many rows in each modality, one per item, got {counts}")
    columns = [list(features).index(name) for name in names]
    available = None if raw.available is None else raw.available[:, columns]
    return replace(raw, features={name: features[name] for name in names}, available=available)


def _mark_missing(raw: Raw, how: Preparation) -> Raw:
    """Set the rows that mean a missing modality to zero and mark them as not available."""
    unknown = [kind for kind in how.missing_rows if kind not in MISSING_ROWS]
    if unknown:
        raise SettingsError(f"missing rows: expected {' or '.join(MISSING_ROWS)}, got {', '.join(unknown)}")
    if not how.missing_rows:
        return raw
    available = _all(raw) if raw.available is None else raw.available.copy()
    features = {}
    for m, (name, rows) in enumerate(raw.features.items()):
        gone = missing_rows(rows, how.missing_rows)
        available[gone, m] = False
        features[name] = zeroed(rows, gone) if gone.any() else rows
    natural = raw.meta | ({} if available.all() else {"natural_missing": True})
    return replace(raw, features=features, available=available, meta=natural)


def _check_items(raw: Raw) -> None:
    name, rows = next(iter(raw.features.items()))
    low, high = int(raw.item.min()), int(raw.item.max())
    if low < 0:
        raise DataError(f"item: expected ids from 0, the row numbers of the features, got {low}")
    if high >= len(rows):
        raise ModalityError(
            f"feature_{name}: expected at least {high + 1} rows, since an item id is the number of its row "
            f"(largest id {high}), got {len(rows)}; give --item-ids with the id of each row"
        )


def _merge(raw: Raw, how: Preparation) -> tuple[Raw, int]:
    """Distinct pairs, sorted by user, then item, and how many were dropped."""
    _, user = np.unique(raw.user, return_inverse=True)
    n_items = int(raw.item.max()) + 1
    _, first = np.unique(user * n_items + raw.item, return_index=True)
    dropped = len(user) - len(first)
    if dropped and not how.merge_duplicates:
        again = np.setdiff1d(np.arange(len(user)), first)[:3]
        pairs = ", ".join(f"({raw.user[n]}, {raw.item[n]})" for n in again.tolist())
        raise DataError(
            f"user and item: {dropped} duplicate pairs, first (user, item) {pairs}; expected each pair once, "
            "merge them with --merge-duplicates"
        )
    return replace(raw, user=raw.user[first], item=raw.item[first]), dropped


def _drop_split(raw: Raw, how: Preparation) -> Raw:
    """Drop the data's own split if a k-core or a share of new items requires a new one."""
    if raw.item_split is None or (how.new_items is None and how.k_core == 0):
        return raw
    return replace(raw, item_split=None, notes=[*raw.notes, "the data's own split was replaced"])


def _core(raw: Raw, how: Preparation) -> Raw:
    """The k-core; items outside of it are removed from the features, and item ids keep the original numbers."""
    if how.k_core == 0:
        return raw
    _, user = np.unique(raw.user, return_inverse=True)
    keep = k_core(user, raw.item, how.k_core)
    if not keep.any():
        raise DataError(f"k-core: no user and item has {how.k_core} pairs within the core; use a smaller k")
    items, item = np.unique(raw.item[keep], return_inverse=True)
    ids = items.astype(np.str_) if raw.item_ids is None else raw.item_ids[items]
    features = {name: rows[items] for name, rows in raw.features.items()}
    available = None if raw.available is None else raw.available[items]
    return replace(raw, user=raw.user[keep], item=item, features=features, item_ids=ids, available=available)


def _number_users(raw: Raw, how: Preparation) -> tuple[NDArray[np.int32], NDArray[np.str_] | None]:
    """Users numbered from 0; the numbers of a data set stay as they are unless a k-core drops users."""
    if raw.user_count is None:
        return number(raw.user)
    if how.k_core == 0:
        return raw.user.astype(np.int32), raw.user_ids
    return number(raw.user if raw.user_ids is None else raw.user_ids[raw.user.astype(np.int64)])


def _split(raw: Raw, user: NDArray[np.int32], how: Preparation) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if raw.item_split is not None:
        return without_pairs(raw.item_split, raw.item), raw.item_split[raw.item]
    n_items = len(next(iter(raw.features.values())))
    return split_new_items(user, raw.item, n_items, fraction=share_of_new(how), seed=how.split_seed)


def share_of_new(how: Preparation) -> float:
    """Share of the items that are drawn as new."""
    return 0.2 if how.new_items is None else how.new_items


def _meta(raw: Raw, how: Preparation, merged: int) -> dict[str, Any]:
    meta = dict(raw.meta)
    if how.name is not None:
        meta["name"] = how.name
    if raw.item_split is None:
        meta |= {"new_items": share_of_new(how), "split_seed": how.split_seed}
    if how.k_core:
        meta["k_core"] = how.k_core
    elif raw.user_count is not None:
        meta["n_users"] = raw.user_count
    if merged:
        meta["merged_duplicates"] = merged
    if raw.notes:
        meta["notes"] = list(raw.notes)
    return meta
