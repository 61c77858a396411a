"""Columns for Arrow, from their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHORT = 64
"""Characters of ids that are written in one pass over all of them."""


def arrow_column(arrow: Any, column: NDArray[Any]) -> Any:
    """A column from its bytes: `pyarrow.array` would import pandas where that is installed, for half a second."""
    if column.dtype.kind == "b":  # Arrow packs bits
        return arrow.array(column.tolist(), arrow.bool_())
    if column.dtype.kind != "U":
        values = np.ascontiguousarray(column)
        return arrow.Array.from_buffers(
            arrow.from_numpy_dtype(values.dtype), len(values), [None, arrow.py_buffer(values)]
        )
    lengths, text = _utf8(column)
    ends = np.zeros(len(column) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    return arrow.Array.from_buffers(arrow.string(), len(column), [None, arrow.py_buffer(ends), arrow.py_buffer(text)])


def _utf8(words: NDArray[np.str_]) -> tuple[Any, Any]:
    """Lengths of texts in UTF-8, and their bytes one after the other; in one pass where all of them are short ASCII."""
    width = words.dtype.itemsize // 4
    if 0 < width <= _SHORT:
        codes = np.ascontiguousarray(words).view(np.uint32).reshape(-1, width)
        filled = codes != 0
        if codes.max(initial=0) < 128 and not (filled[:, 1:] & ~filled[:, :-1]).any():
            return filled.sum(axis=1), codes[filled].astype(np.uint8)
    encoded = [word.encode() for word in words.tolist()]
    return list(map(len, encoded)), b"".join(encoded)
