"""The split of new items, and the k-core of the interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Split
from milk_np.errors import DataError, SettingsError
from milk_np.rng import generator


def split_new_items(
    user: NDArray[np.integer[Any]],
    item: NDArray[np.integer[Any]],
    n_items: int,
    *,
    fraction: float = 0.2,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make a share of the items new: half validation, half test items, together with all their pairs.

    Items without any pair are new items that are neither: they can be recommended, but can't be evaluated.

    Returns
    -------
    item_split : (I,) uint8
        0 training item, 1 validation item, 2 test item, 3 item without pairs.
    split : (n,) uint8
        The same for the pairs.
    """
    candidates = np.flatnonzero(np.bincount(item, minlength=n_items))
    item_split = draw_new_items(candidates, n_items, fraction, seed)
    split: NDArray[np.uint8] = item_split[item]
    return item_split, split


def draw_new_items(candidates: NDArray[np.integer[Any]], n_items: int, fraction: float, seed: int) -> NDArray[np.uint8]:
    """Split (I,) in which `round(fraction * candidates)` items are new, half validation (1), half test (2).

    Items that aren't among the candidates have no pairs (3).
    """
    if not 0 < fraction < 1:
        raise SettingsError(f"new items: expected a share between 0 and 1, got {fraction}")
    n_new = round(fraction * len(candidates))
    if n_new < 2 or n_new >= len(candidates):
        raise DataError(
            f"{len(candidates)} items with interactions are too few to make {fraction:.0%} of them new; "
            "expected at least one validation, one test and one training item"
        )
    drawn = generator(seed, "new-items").permutation(candidates)[:n_new]
    item_split = np.full(n_items, Split.UNSEEN, dtype=np.uint8)
    item_split[candidates] = Split.TRAIN
    item_split[drawn[: n_new // 2]] = Split.VALIDATION
    item_split[drawn[n_new // 2 :]] = Split.TEST
    return item_split


def split_from_labels(
    item: NDArray[np.integer[Any]], label: NDArray[np.integer[Any]], n_items: int
) -> NDArray[np.uint8] | None:
    """Item split (I,) of pairs labelled 0 train, 1 valid, 2 test, or None if an item has pairs of two labels.

    Items without pairs are UNSEEN (3).
    """
    low = np.full(n_items, 3, dtype=np.int64)
    high = np.full(n_items, -1, dtype=np.int64)
    np.minimum.at(low, item, label)
    np.maximum.at(high, item, label)
    seen = high >= 0
    if (low[seen] != high[seen]).any():
        return None
    return np.where(seen, high, Split.UNSEEN).astype(np.uint8)


def k_core(user: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]], k: int) -> NDArray[np.bool_]:
    """Pairs (n,) to keep so that each remaining user and item has at least `k` of them."""
    if k < 0:
        raise SettingsError(f"k-core: expected k >= 0, got {k}")
    kept = np.arange(len(user))
    while len(kept):
        enough = (np.bincount(user[kept])[user[kept]] >= k) & (np.bincount(item[kept])[item[kept]] >= k)
        if enough.all():
            break
        kept = kept[enough]
    keep = np.zeros(len(user), dtype=np.bool_)
    keep[kept] = True
    return keep
