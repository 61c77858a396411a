"""A column of ids as numbers: each distinct id once, and for each row its place among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError

Column = NDArray[np.int64] | NDArray[np.str_]
"""Ids: whole numbers, or text."""

LONGEST_ID = 1000
"""Ids are kept in arrays of one width, so that a broken one of any length would cost every other one that much."""
_TABLE = 1 << 28
_SPARE = 8


@dataclass(frozen=True, eq=False)
class Coded:
    """A column of n ids.

    Attributes
    ----------
    codes : (n,) int32
        Place of each row's id among `ids`.
    ids : distinct ids, ascending
        int64 if all of them are plain whole numbers, else text.
    """

    codes: NDArray[np.int32]
    ids: Column

    def __len__(self) -> int:
        return len(self.codes)

    def values(self) -> Column:
        """The id of each row."""
        found: Column = self.ids[self.codes]
        return found

    def where(self, kept: NDArray[np.bool_]) -> Coded:
        """The rows `kept` (n,), and no ids but theirs."""
        return Coded(self.codes[kept], self.ids).compact()

    def compact(self) -> Coded:
        """Without ids that no row has."""
        used = np.bincount(self.codes, minlength=len(self.ids)) > 0
        if used.all():
            return self
        place = (np.cumsum(used) - 1).astype(np.int32)
        return Coded(place[self.codes], self.ids[used])


def coded(values: NDArray[Any]) -> Coded:
    """A column of whole numbers or text."""
    if values.dtype.kind in "iu" and len(values):
        return coded_numbers(values)
    ids, codes = np.unique(values, return_inverse=True)
    return renamed(codes, ids)


def coded_numbers(values: NDArray[Any]) -> Coded:
    """A column of whole numbers, looked up in a table where they lie close enough together."""
    low, high = int(values.min()), int(values.max())
    span = high - low + 1
    if span > min(_TABLE, _SPARE * len(values) + (1 << 20)):
        ids, codes = np.unique(values, return_inverse=True)
        return renamed(codes, ids)
    present = np.zeros(span, np.bool_)
    for block in _blocks(len(values)):
        present[_above(low, values[block])] = True
    place = np.cumsum(present, dtype=np.int32)
    place -= 1
    codes = np.empty(len(values), np.int32)
    for block in _blocks(len(values)):
        codes[block] = place[_above(low, values[block])]
    ids = np.flatnonzero(present).astype(values.dtype if values.dtype.kind == "u" else np.int64)
    return renamed(codes, ids + ids.dtype.type(low))


def _above(low: int, values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers counted from `low`, which no type is too narrow for."""
    return values - values.dtype.type(low) if values.dtype.kind == "u" else values.astype(np.int64) - low


def _blocks(n: int) -> list[slice]:
    step = 1 << 20
    return [slice(start, start + step) for start in range(0, n, step)]


def renamed(codes: NDArray[Any], ids: NDArray[Any]) -> Coded:
    """Codes of distinct `ids`, in any order, as a column of ids in ascending order."""
    known = as_ids(ids)
    order = np.argsort(known, kind="stable")
    if np.array_equal(order, np.arange(len(order))):
        return Coded(codes.astype(np.int32, copy=False), known)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Coded(place[codes], known[order])


def as_ids(ids: NDArray[Any]) -> Column:
    """Ids as int64 if every one is a plain whole number such as 17 ("017" isn't), else as text."""
    if ids.dtype.kind in "iu":
        fits = ids.dtype.kind == "i" or not len(ids) or int(ids.max()) <= np.iinfo(np.int64).max
        return ids.astype(np.int64) if fits else ids.astype(np.str_)
    try:
        numbers = ids.astype(np.int64)
    except (ValueError, OverflowError):
        return ids.astype(np.str_, copy=False)
    return numbers if np.array_equal(numbers.astype(np.str_), ids) else ids.astype(np.str_, copy=False)


def text_ids(ids: Sequence[str], where: str) -> NDArray[np.str_]:
    """Distinct ids as an array; DataError for one that the array couldn't keep as it is. `where` names the column."""
    for text in ids:
        if len(text) > LONGEST_ID:
            raise DataError(
                f"{where}: got an id of {len(text):,} characters ({text[:20]!r}...), expected at most {LONGEST_ID:,}; "
                "mend or delete its rows"
            )
        if text.endswith("\0"):
            raise DataError(
                f"{where}: the id {text!r} ends with a NUL character, which can't be kept; expected ids without: strip "
                "the padding, or replace it"
            )
    return np.array(ids, dtype=np.str_)


def row_numbers(ids: Column, where: object = "") -> NDArray[np.int64]:
    """Ids of items that are the numbers of their feature rows; DataError if they are text."""
    if ids.dtype.kind == "i":
        return ids.astype(np.int64)
    word = next((value for value in ids.tolist() if not value.isdecimal()), str(ids[0]))
    raise DataError(
        f"{where}{': ' if where else ''}item ids aren't row numbers of the features (for example {word!r}), so the "
        "items' rows are unknown; give --item-ids, a file with the item id of each feature row, one per line"
    )


def words(ids: Column) -> NDArray[np.str_]:
    """Ids as text."""
    return ids.astype(np.str_)


def union(columns: Sequence[Column]) -> Column:
    """The distinct ids of all columns, ascending: as numbers if all are, else as text."""
    alike = list(columns) if all(ids.dtype.kind == "i" for ids in columns) else [words(ids) for ids in columns]
    return cast("Column", np.unique(np.concatenate(alike)))


def places(ids: Column, among: Column) -> NDArray[np.int64]:
    """Place of each id `among` ascending ids; -1 where it isn't there. Numbers and text meet as text."""
    if not len(among):
        return np.full(len(ids), -1)
    if ids.dtype.kind != among.dtype.kind:
        text = words(among)
        order = np.argsort(text, kind="stable")
        found = places(words(ids), text[order])
        return np.where(found < 0, -1, order[found])
    place = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[place] == ids, place, -1)
