"""Distinct pairs, in order: one sort of whole numbers, in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 22


class Repeated(NamedTuple):
    """How many pairs came again, and the first few of them."""

    pairs: int
    first: list[tuple[int, int]]

    def __bool__(self) -> bool:
        return self.pairs > 0


def distinct_pairs(
    user: NDArray[np.int32], item: NDArray[np.integer[Any]], n_items: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], Repeated]:
    """Each pair once, sorted by user, then item."""
    key = user.astype(np.int64)
    key *= n_items
    key += item
    again = _repeats(key)
    if again is None:
        key.sort()
        again = _repeats(key)
    first: list[tuple[int, int]] = []
    if again is not None and len(again):
        first = [divmod(value, n_items) for value in np.unique(key[again[:50]])[:3].tolist()]
        key = np.delete(key, again)
    return *_parts(key, n_items), Repeated(0 if again is None else len(again), first)


def _repeats(key: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Places of keys that equal the one before; None if keys aren't in order."""
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(key) - 1, _BLOCK):
        part = key[start : start + _BLOCK + 1]
        if (part[1:] < part[:-1]).any():
            return None
        same = np.flatnonzero(part[1:] == part[:-1])
        if len(same):
            found.append(same + (start + 1))
    return np.concatenate(found)


def _parts(key: NDArray[np.int64], n_items: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    user, item = np.empty(len(key), np.int32), np.empty(len(key), np.int32)
    for start in range(0, len(key), _BLOCK):
        block = slice(start, start + _BLOCK)
        user[block], item[block] = np.divmod(key[block], n_items)
    return user, item
