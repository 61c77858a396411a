"""Original ids and the numbers used for them internally."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.columns import Column
from milk_np.data.validation import some
from milk_np.errors import DataError


def number(ids: Column) -> tuple[NDArray[np.int32], NDArray[np.str_] | None]:
    """Users numbered 0..U-1 in ascending order, and their original ids unless these are the same numbers."""
    distinct, position = np.unique(ids, return_inverse=True)
    numbered = position.astype(np.int32)
    if distinct.dtype.kind in "iu" and distinct[0] == 0 and distinct[-1] == len(distinct) - 1:
        return numbered, None
    return numbered, distinct.astype(np.str_)


def rows_of(items: Column, item_ids: NDArray[np.str_] | None, path: object) -> NDArray[np.int64]:
    """Feature rows of a table's items: the integers themselves, or positions in `item_ids`."""
    if item_ids is None:
        if items.dtype.kind == "i":
            return items.astype(np.int64)
        word = next((value for value in items.tolist() if not value.isdecimal()), str(items[0]))
        raise DataError(
            f"{path}: item ids aren't row numbers of the features (for example {word!r}), so the items' rows are "
            "unknown; give --item-ids, a file with the item id of each feature row, one per line"
        )
    return _places(items.astype(np.str_), item_ids, path)


def _places(names: NDArray[np.str_], item_ids: NDArray[np.str_], path: object) -> NDArray[np.int64]:
    order = np.argsort(item_ids, kind="stable")
    ranked = item_ids[order]
    if (ranked[1:] == ranked[:-1]).any():
        raise DataError(f"item ids: expected distinct ids, got {some(ranked[1:][ranked[1:] == ranked[:-1]])} twice")
    place = np.minimum(np.searchsorted(ranked, names), len(ranked) - 1)
    unknown = ranked[place] != names
    if unknown.any():
        absent = np.unique(names[unknown])
        raise DataError(
            f"{path}: {len(absent)} items aren't among the item ids (first {some(absent)}); "
            "expected an id and a feature row for each item"
        )
    rows: NDArray[np.int64] = order[place].astype(np.int64)
    return rows
