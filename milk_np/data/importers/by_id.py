"""Pairs and features meet by id: the items are all that any of them names, and what one lacks is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.importers.assemble import Raw, assemble
from milk_np.data.importers.coded import Column, as_ids, places, row_numbers, union, words
from milk_np.data.importers.log import Log
from milk_np.data.importers.pairs import Labels, select
from milk_np.data.importers.preparation import Preparation
from milk_np.data.importers.vectors import Vectors, check_distinct, place, same_ids
from milk_np.data.rows import FeatureArray
from milk_np.data.validation import some
from milk_np.errors import DataError, ModalityError


def data_set(
    log: Log, vectors: Mapping[str, Vectors], how: Preparation, meta: Mapping[str, Any], items: Column | None = None
) -> Dataset:
    """The data set of a log and the features of its modalities.

    Without ids of its own, a row's number is its item's id. `items` are further ids of the catalogue; with them, items
    are in the order of their ids.
    """
    if not vectors:
        raise ModalityError(
            "features: expected at least one modality, got none; give them with --features NAME=FILE.npy"
        )
    log, labels, made = select(log, how)
    if items is None and all(each.ids is None for each in vectors.values()):
        raw = _by_row(log, vectors, labels)
    else:
        raw = _by_id(log, _with_ids(vectors), labels, how, items)
    fixed, notes = how.split is not None and labels is not None, [*log.notes, *raw.notes]
    del log  # its numbers of items aren't those of the rows, and take as much memory
    return assemble(replace(raw, meta=dict(meta) | made, notes=notes, fixed=fixed), how)


def _by_row(log: Log, vectors: Mapping[str, Vectors], labels: Labels | None) -> Raw:
    """Items are the rows of the features."""
    features = {name: each.rows for name, each in vectors.items() if each.rows is not None}
    ids, n_items = log.item.ids, max(len(rows) for rows in features.values())
    rows = row_numbers(ids)
    if ids[0] < 0 or ids[-1] >= n_items:
        return Raw(log.user, rows[log.item.codes], features)  # assemble refuses it
    raw = Raw(log.user, rows.astype(np.int32)[log.item.codes], features, _spread(labels, rows, n_items))
    return _one_based(raw, ids, n_items)


def _spread(labels: Labels | None, at: NDArray[np.int64], n_items: int) -> NDArray[np.uint8] | None:
    """The split of all items from that of the log's, which are the items `at`."""
    if labels is None:
        return None
    item_split = np.full(n_items, Split.UNSEEN, np.uint8)
    item_split[at] = labels
    return item_split


def _one_based(raw: Raw, ids: Column, n_items: int) -> Raw:
    """Warn where items seem to be counted from 1 and rows from 0: every item would have its neighbour's features."""
    if ids[0] != 1 or ids[-1] < n_items - 1:
        return raw
    return raw.noted(
        f"WARNING: item 0 has no pair, and ids go from 1 to {ids[-1]}: if they count from 1, every item has its "
        "neighbour's features, since row 0 is item 0; give --item-ids with the id of each row"
    )


def _with_ids(vectors: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """All modalities by id."""
    for name, each in vectors.items():
        if each.ids is None:
            raise ModalityError(
                f"{each.where}: features of {name} have no ids, though other modalities have; give the id of each row "
                f"with --ids {name}=FILE"
            )
        check_distinct(each.ids, each.where)
    return dict(vectors)


def _by_id(log: Log, vectors: dict[str, Vectors], labels: Labels | None, how: Preparation, items: Column | None) -> Raw:
    given = [as_ids(each.ids) for each in vectors.values() if each.ids is not None]
    ids = same_ids(list(vectors.values())) if items is None else None
    if ids is None or (_unknown(log, ids)).any():
        ids = union(
            [log.item.ids, *given, *([as_ids(items)] if items is not None and len(items) else [])]
        )  # none: no wider texts
    at = _places(log.item.ids, ids)
    features, available = _placed(vectors, ids, how)
    if not available[at].any():
        raise DataError(
            f"no item of the pairs has features: ids of pairs are such as {some(log.item.ids, 3)}, those of features "
            f"{some(given[0], 3)}; expected the same ids in both"
        )
    item = at.astype(np.int32)[log.item.codes]
    split = _spread(labels, at, len(ids))
    return Raw(log.user, item, features, split, words(ids), available=available, by_id=True)


def _unknown(log: Log, ids: Column) -> NDArray[np.bool_]:
    return _places(log.item.ids, ids) < 0


def _places(asked: Column, ids: Column) -> NDArray[np.int64]:
    """Places among ids in any order; -1 for those that aren't there."""
    order = np.argsort(ids, kind="stable")
    found = places(asked, ids[order])
    return np.where(found < 0, -1, order[np.maximum(found, 0)])


def _placed(
    vectors: dict[str, Vectors], ids: Column, how: Preparation
) -> tuple[dict[str, FeatureArray], NDArray[np.bool_]]:
    """Features in the order of the items. An array whose rows are in that order already isn't copied."""
    features: dict[str, FeatureArray] = {}
    available = np.ones((len(ids), len(vectors)), np.bool_)
    for m, (name, each) in enumerate(vectors.items()):
        at = _places(as_ids(each.ids), ids) if each.ids is not None else np.arange(each.n)
        if each.rows is not None and np.array_equal(at, np.arange(len(ids))):
            features[name] = each.rows
        else:
            features[name], available[:, m] = place(name, each, at, len(ids), how.missing_rows)
    return features, available
