"""Checks of a data set when it is made: all other code trusts the arrays.

Each error names the array, what was expected, what was found, and what to do.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Arrays, Split
from milk_np.data.order import all_distinct, pairs_ascend
from milk_np.data.rows import FeatureArray, non_finite_rows
from milk_np.errors import DataError, ModalityError

SPLITS = ("train", "valid", "test", "without pairs")
_LARGEST_ID = np.iinfo(np.int32).max
_USERS, _USERS_PER_PAIR = 1_000_000, 100
"""Users that a set may have: so many, and more for each pair. A number beyond is a mistake that would cost memory."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def some(values: NDArray[Any], limit: int = 5) -> str:
    """The first few values, for a message."""
    shown = ", ".join(str(v) for v in values[:limit].tolist())
    return shown + (", ..." if len(values) > limit else "")


def as_ids(values: Any, name: str) -> NDArray[np.int32]:
    """A 1-D integer array as int32; values must be in 0..2^31-1."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{name}: expected a 1-D integer array, got {array.dtype} of shape {array.shape}")
    bad = np.flatnonzero((array < 0) | (array > _LARGEST_ID))
    if len(bad):
        raise DataError(
            f"{name}: expected ids from 0 to {_LARGEST_ID}, got {some(array[bad])} at position {some(bad)} "
            f"({len(bad)} in all); number users and items from 0"
        )
    return np.ascontiguousarray(array, dtype=np.int32)


def as_item_split(values: Any) -> NDArray[np.uint8]:
    """The split of the items as uint8; beside those of pairs, 3 is an item without pairs."""
    return as_split(values, "item_split", most=Split.UNSEEN)


def as_split(values: Any, name: str, length: int | None = None, most: int = Split.TEST) -> NDArray[np.uint8]:
    """A 1-D array of 0 (train), 1 (valid) and 2 (test), up to `most`, as uint8."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{name}: expected a 1-D integer array, got {array.dtype} of shape {array.shape}")
    if length is not None and len(array) != length:
        raise DataError(f"{name}: expected one value per pair ({length}), got {len(array)}")
    bad = np.flatnonzero((array < 0) | (array > most))
    if len(bad):
        known = ", ".join(f"{n} ({SPLITS[n]})" for n in range(most + 1))
        raise DataError(f"{name}: expected {known}, got {some(array[bad])} at position {some(bad)}")
    return np.ascontiguousarray(array, dtype=np.uint8)


def as_available(values: Any) -> NDArray[np.bool_]:
    """Availability as a Boolean array; integers 0 and 1 are accepted too."""
    array = np.asarray(values)
    if array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise ModalityError(f"available: expected booleans (items x modalities), got {array.dtype}")
    return np.ascontiguousarray(array)


def as_names(values: Any, name: str) -> NDArray[np.str_] | None:
    """Original ids as a 1-D array of strings, or None."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "OT":  # as data frames hand texts over
        array = np.array([as_text(value, place, name) for place, value in enumerate(array.tolist())], np.str_)
    if array.ndim != 1 or array.dtype.kind not in "Uiu":
        raise DataError(f"{name}: expected a 1-D array of strings, got {array.dtype} of shape {array.shape}")
    return array.astype(np.str_, copy=False)


def as_text(value: object, place: int, name: str) -> str:
    """One id of a column of Python objects; DataError unless it is a text or a whole number."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{name}: expected ids, texts or whole numbers, got {value!r} at place {place}; leave it out")


def as_features(values: Any, modality: str) -> FeatureArray:
    """Raw features as (I, D_m) float16 or float32 in rows; such an array, or memory map, isn't copied."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:
        raise ModalityError(
            f"feature_{modality}: expected a 2-D float16 or float32 array (items x width), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.dtype in (np.float16, np.float32) and array.dtype.isnative:
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        narrow: FeatureArray = np.ascontiguousarray(array, dtype=np.float32)
    return narrow


def validate(ds: Arrays, check_features: bool = True) -> None:
    """Raise DataError or ModalityError unless the arrays of `ds` are consistent.

    `check_features=False` skips the pass that looks for NaN and infinities.
    """
    check_pairs(ds.user, ds.item, ds.split, ds.item_split)
    check_ids(ds)
    check_modalities(ds.modalities, ds.features, ds.n_items)
    check_available(ds.available, ds.n_items, ds.modalities)
    if check_features:
        for modality in ds.modalities:
            check_finite(ds.features[modality], modality)


def check_pairs(
    user: NDArray[np.int32], item: NDArray[np.int32], split: NDArray[np.uint8], item_split: NDArray[np.uint8]
) -> None:
    """Check that pairs are distinct, in range, and in the split of their item."""
    if len(user) != len(item):
        raise DataError(f"user and item: expected equal lengths, got {len(user)} and {len(item)}")
    if len(item_split) == 0:
        raise DataError("item_split: expected one value per item, got none")
    if not (item_split == Split.TRAIN).any():
        raise DataError("item_split: expected training items (0), got none; a model needs them to learn from")
    outside = np.flatnonzero(item >= len(item_split))
    if len(outside):
        raise DataError(
            f"item: expected ids below {len(item_split)} (the length of item_split), "
            f"got {some(item[outside])} at position {some(outside)} ({len(outside)} in all)"
        )
    _check_split(item, split, item_split)
    _check_distinct(user, item, len(item_split))


def _check_split(item: NDArray[np.int32], split: NDArray[np.uint8], item_split: NDArray[np.uint8]) -> None:
    if not (split == Split.TRAIN).any():
        raise DataError("split: expected training pairs (0), got none")
    wrong = np.flatnonzero(split != item_split[item])
    if len(wrong) == 0:
        return
    leaked = wrong[split[wrong] == 0]
    if len(leaked):
        raise DataError(
            f"split: {len(leaked)} training pairs are on new items (first items {some(item[leaked])}); "
            "expected none: move these pairs to valid or test, or mark the items 0 in item_split"
        )
    at = wrong[0]
    raise DataError(
        f"split: expected each pair in the split of its item, got {len(wrong)} that aren't, first at "
        f"position {at}: item {item[at]} is {SPLITS[item_split[item[at]]]} in item_split, "
        f"{SPLITS[split[at]]} in split; leave such pairs out, or change item_split"
    )


def _check_distinct(user: NDArray[np.int32], item: NDArray[np.int32], n_items: int) -> None:
    if pairs_ascend(user, item):
        return
    key = user.astype(np.int64) * n_items + item
    key.sort()
    repeated = key[1:][key[1:] == key[:-1]]
    if len(repeated):
        pairs = ", ".join(f"({k // n_items}, {k % n_items})" for k in np.unique(repeated[:50])[:3].tolist())
        raise DataError(
            f"user and item: {len(repeated)} duplicate pairs, first (user, item) {pairs}; expected each pair "
            "once, merge them with milk-prepare --merge-duplicates"
        )


def check_ids(ds: Arrays) -> None:
    """Check that the number of users and the original ids agree with the pairs."""
    stated = ds.meta.get("n_users")
    if stated is not None and (isinstance(stated, bool) or not isinstance(stated, int) or stated < 1):
        raise DataError(f"meta n_users: expected a positive integer, got {stated!r}")
    most = _USERS + _USERS_PER_PAIR * len(ds.user)
    if ds.user_ids is None and max(int(ds.user.max()) + 1, stated or 0) > most:
        raise DataError(
            f"user and meta n_users: expected at most {most:,} users for {len(ds.user):,} pairs, got "
            f"{max(int(ds.user.max()) + 1, stated or 0):,}; number users from 0 without gaps, or give user_ids"
        )
    if int(ds.user.max()) >= ds.n_users:
        source = "user_ids" if ds.user_ids is not None else "meta n_users"
        raise DataError(
            f"user: expected ids below {ds.n_users} (from {source}), got {ds.user.max()}; "
            "add the missing users there or renumber the pairs"
        )
    for name, ids, count in (("user_ids", ds.user_ids, ds.n_users), ("item_ids", ds.item_ids, ds.n_items)):
        if ids is None:
            continue
        if len(ids) != count:
            raise DataError(f"{name}: expected {count} ids, got {len(ids)}")
        if not all_distinct(ids):
            raise DataError(f"{name}: expected distinct ids, got {len(ids) - len(np.unique(ids))} repeated ones")


def check_modalities(names: tuple[str, ...], features: dict[str, FeatureArray], n_items: int) -> None:
    """Check that there is one feature array per modality name, with one row per item."""
    if not names:
        raise ModalityError("modalities: expected at least one name, got none; add features, for example feature_image")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ModalityError(f"modalities: expected names of letters, digits, '_', '.', '-', got {name!r}")
    if len(set(names)) != len(names):
        raise ModalityError(f"modalities: expected distinct names, got {', '.join(names)}")
    if set(features) != set(names):
        raise ModalityError(
            f"features: expected arrays for {', '.join(names)}, got {', '.join(sorted(features)) or 'none'}"
        )
    for name in names:
        check_rows(len(features[name]), name, n_items)


def check_rows(rows: int, modality: str, n_items: int) -> None:
    """Check the number of rows: row i of the features is item i."""
    if rows != n_items:
        raise ModalityError(
            f"feature_{modality}: expected {n_items} rows, one per item (row i is item i), got {rows}; "
            + ("give the missing items a row and mark it missing" if rows < n_items else "drop the rows of other items")
        )


def check_available(available: NDArray[np.bool_], n_items: int, names: tuple[str, ...]) -> None:
    """Check that availability is (I, M) and that each item has at least one modality."""
    if available.shape != (n_items, len(names)):
        raise ModalityError(
            f"available: expected shape ({n_items}, {len(names)}), items x modalities ({', '.join(names)}), "
            f"got {available.shape}"
        )
    empty = np.flatnonzero(~available.any(axis=1))
    if len(empty):
        raise ModalityError(
            f"available: {len(empty)} items miss all of {', '.join(names)} (first {some(empty)}); "
            "expected at least one per item: remove these items, which have no content to recommend them by"
        )


def check_finite(rows: FeatureArray, modality: str) -> None:
    """Check for NaN and infinity, in blocks of rows."""
    bad = non_finite_rows(rows)
    if len(bad):
        raise ModalityError(
            f"feature_{modality}: {len(bad)} rows hold NaN or infinite values (first rows {some(bad)}); "
            "expected finite numbers, or NaN in the whole row of an item that lacks the modality: fix the features, or "
            "let any NaN mean that (milk-prepare --missing-rows nan)"
        )
