"""Arrays as a search takes them: contiguous and read-only, so that one version of a kernel is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Offsets, and the entries of all rows."""


def fixed(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    """The array, contiguous and read-only."""
    view: NDArray[Any] = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def exclusions(Q: int, indptr: NDArray[np.int64] | None, entries: NDArray[np.int32] | None) -> Rows:
    """What each of Q queries must not get; nothing where nothing is given."""
    return (
        fixed(np.zeros(Q + 1, np.int64) if indptr is None else indptr, np.int64),
        fixed(np.zeros(0, np.int32) if entries is None else entries, np.int32),
    )


def some_rows(rows: Rows, chosen: NDArray[np.intp]) -> Rows:
    """The rows `chosen`, in that order."""
    indptr, entries = rows
    own = [entries[indptr[q] : indptr[q + 1]] for q in chosen]
    return np.cumsum([0, *map(len, own)], dtype=np.int64), np.concatenate([entries[:0], *own])
