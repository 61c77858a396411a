"""Feature rows of one modality with the ids of their items: where they are, and how they come to their places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.clean import missing_rows
from milk_np.data.importers.coded import Column, words
from milk_np.data.rows import FeatureArray, row_blocks
from milk_np.data.validation import some
from milk_np.errors import ModalityError

ID_NAMES = ("item", "item_id", "itemID", "id", "sku", "asin")
"""Names of the column or array of ids that are tried after the one that is asked for."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """n feature rows.

    Attributes
    ----------
    where : the file, for messages
    ids : n distinct ids, or None if the rows' numbers are the ids
    rows : (n, D), if they are an array
    blocks : gives them in parts, in order
    """

    where: str
    ids: Column | None
    n: int
    blocks: Callable[[], Iterator[FeatureArray]]
    rows: FeatureArray | None = None

    @classmethod
    def of_array(cls, rows: Any, where: str, ids: Column | None = None) -> Vectors:
        """Rows of an array (n, D)."""
        array = np.asarray(rows) if not isinstance(rows, np.ndarray) else rows
        if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
            raise ModalityError(
                f"{where}: expected a 2-D array of floats (items x width), got {array.dtype} of shape {array.shape}"
            )
        if ids is not None and ids.ndim != 1:
            raise ModalityError(f"{where}: expected a 1-D array of item ids, got shape {ids.shape}")
        if ids is not None and len(ids) != len(array):
            raise ModalityError(
                f"{where}: expected {len(ids)} rows, one for each item id, got {len(array)}; the ids must be in the "
                "order of the rows"
            )
        return cls(where, ids, len(array), lambda: (array[block] for block in row_blocks(*array.shape)), array)


def check_distinct(ids: Column, where: str) -> None:
    """Raise ModalityError if an id comes twice."""
    ranked = np.sort(ids)
    twice = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
    if len(twice):
        raise ModalityError(f"{where}: item ids: expected distinct ids, got {some(twice)} more than once")


def place(
    name: str, vectors: Vectors, at: NDArray[np.int64], n_items: int, kinds: Collection[str]
) -> tuple[FeatureArray, NDArray[np.bool_]]:
    """Feature rows (I, D) of all items, zeros where there is none, and which items have one (I,).

    `at` (n) is the item of each row, `kinds` the rows that mean a missing modality beside those of NaN only.
    """
    out: FeatureArray | None = None
    owned = np.zeros(n_items, np.bool_)
    start = 0
    for block in vectors.blocks():
        if out is None:
            out = np.zeros((n_items, block.shape[1]), np.float16 if block.dtype == np.float16 else np.float32)
        mine = at[start : start + len(block)]
        with np.errstate(over="ignore"):  # infinities are found when the data set is checked
            there = ~missing_rows(block, kinds)
            out[mine[there]] = block[there]
        owned[mine[there]] = True
        start += len(block)
    if out is None:
        raise ModalityError(f"{vectors.where}: features of {name}: expected rows, got none")
    return out, owned


def of_mapping(given: Mapping[str, Any], name: str, where: str, id_name: str, column: str | None) -> Vectors:
    """Vectors of arrays by name, as in an `.npz` or a dict: ids, and rows of two dimensions or one column a number."""
    known = list(given)
    at = id_column(known, id_name, where)
    ids = np.asarray(given[at])
    if ids.dtype.kind not in "USOiu":
        raise ModalityError(f"{where}: ids in {at!r}: expected texts or whole numbers, got {ids.dtype}")
    if column is None:
        flat = [
            key
            for key in known
            if key != at and np.ndim(given[key]) == 1 and np.asarray(given[key]).dtype.kind in "fiu"
        ]
        wide = [key for key in known if key != at and np.ndim(given[key]) == 2]
        column = choose(name, wide, where) if wide or not flat else None
    elif column not in given:
        raise ModalityError(f"{where}: expected an array {column!r}, got {', '.join(known)}")
    if column is not None:
        rows = np.asarray(given[column])
    else:
        rows = np.stack([np.asarray(given[key]) for key in flat], axis=1)
    if rows.dtype.kind in "iu":
        rows = rows.astype(np.float32)
    return Vectors.of_array(rows, f"{where}: features of {name}", ids)


def id_column(known: Collection[str], asked: str, where: str) -> str:
    """The name of the ids."""
    for name in (asked, *ID_NAMES, "item_ids", "ids"):
        if name in known:
            return name
    raise ModalityError(
        f"{where}: expected item ids in {asked!r}, got {', '.join(known) or 'nothing'}; name their column with "
        "--item-col (in Python: item=)"
    )


def choose(name: str, found: list[str], where: str) -> str:
    """The one of several arrays or columns of lists that has a modality's vectors."""
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    raise ModalityError(
        f"{where}: features of {name}: expected one column of vectors, or one named {name}, got "
        f"{', '.join(found) or 'none'}; say which, as in {name}={Path(where).name}:COLUMN"
    )


def same_ids(vectors: Collection[Vectors]) -> Column | None:
    """The ids that all modalities have in the same order, if they do."""
    first = next(iter(vectors)).ids
    if first is None:
        return None
    equal = all(each.ids is not None and np.array_equal(words(each.ids), words(first)) for each in vectors)
    return first if equal else None
