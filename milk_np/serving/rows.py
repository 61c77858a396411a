"""Compressed rows of numbers: what users have seen, or must not get, as positions among candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.serving.ranking import Rows

_NONE = np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class Exclusions:
    """What lists must not hold.

    Attributes
    ----------
    items : (n,) int32
        Items that no list gets.
    query, found : (m,) int32
        Pairs: the list for `query`, the number of a user, an item or a history, doesn't get `found`.
    """

    items: NDArray[np.int32] = field(default_factory=_NONE.copy)
    query: NDArray[np.int32] = field(default_factory=_NONE.copy)
    found: NDArray[np.int32] = field(default_factory=_NONE.copy)

    def candidates(self, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of the ascending `items` that some list may get."""
        return np.setdiff1d(items, self.items, assume_unique=True) if len(self.items) else items

    def rows(self, queries: NDArray[np.int32]) -> Rows | None:
        """What each of `queries` must not get, ascending; None if there are no pairs."""
        if not len(self.query):
            return None
        keys = np.unique(self.query.astype(np.int64) << 32 | self.found)
        first = np.searchsorted(keys, queries.astype(np.int64) << 32)
        counts = np.searchsorted(keys, (queries.astype(np.int64) + 1) << 32) - first
        ends = np.cumsum(counts)
        places = np.arange(int(counts.sum())) + np.repeat(first - ends + counts, counts)
        return np.concatenate([[0], ends]), (keys[places] & 0xFFFFFFFF).astype(np.int32)


def union(first: Rows | None, second: Rows | None) -> Rows | None:
    """Row by row, the entries of either."""
    if first is None or second is None:
        return second if first is None else first
    n = len(first[0]) - 1
    keys = np.union1d(_keys(first), _keys(second))
    indptr = np.searchsorted(keys, np.arange(n + 1, dtype=np.int64) << 32)
    return indptr, (keys & 0xFFFFFFFF).astype(np.int32)


def _keys(rows: Rows) -> NDArray[np.int64]:
    indptr, entries = rows
    keys: NDArray[np.int64] = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr)) << 32 | entries
    return keys


def positions(items: NDArray[np.int32], n_items: int) -> NDArray[np.int32]:
    """Position of each item in `items`, -1 if it isn't there, (I,)."""
    position = np.full(n_items, -1, np.int32)
    position[items] = np.arange(len(items), dtype=np.int32)
    return position


def inside(rows: Rows, items: NDArray[np.int32], n_items: int) -> Rows:
    """Compressed rows of items (or users) as their positions in `items`; others are left out."""
    indptr, entries = rows
    position = positions(items, n_items)[entries]
    before = np.concatenate([[0], np.cumsum(position >= 0)])
    return before[indptr], position[position >= 0]


def within(rows: Rows, block: slice) -> Rows:
    """The entries of compressed rows that lie in `block`, counted from its start."""
    indptr, entries = rows
    there = (entries >= block.start) & (entries < block.stop)
    before = np.concatenate([[0], np.cumsum(there)])
    return before[indptr], entries[there] - np.int32(block.start)


def padded(found: NDArray[Any], score: NDArray[np.float32], k: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Lists (n, at most k) as (n, k), with -1 and -inf where there are fewer candidates."""
    short = k - found.shape[1]
    if short <= 0:
        return found, score
    room = (0, 0), (0, short)
    return np.pad(found, room, constant_values=-1), np.pad(score, room, constant_values=-np.inf)
