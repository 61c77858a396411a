"""Histories: the items that users who weren't in training have chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError
from milk_np.serving.ranking import Rows

Ids = NDArray[np.integer[Any]]


def compressed(histories: Sequence[Ids], n_items: int) -> Rows:
    """Distinct items of each history as compressed rows; DataError for one that isn't in the data."""
    rows = [_checked(number, np.asarray(history), n_items) for number, history in enumerate(histories)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return indptr, np.concatenate([np.empty(0, np.int32), *rows])


def _checked(number: int, history: NDArray[Any], n_items: int) -> NDArray[np.int32]:
    if history.ndim != 1 or (len(history) and history.dtype.kind not in "iu"):
        raise DataError(
            f"histories: expected item numbers, history {number} is an array of {history.dtype}, shape {history.shape}"
        )
    if len(history) and not 0 <= int(history.min()) <= int(history.max()) < n_items:
        raise DataError(f"histories: expected numbers from 0 to {n_items - 1}, history {number} has others")
    return np.unique(history).astype(np.int32)
