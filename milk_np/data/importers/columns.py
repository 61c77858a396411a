"""Columns of a table by name, and files of ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.coded import Column, as_ids
from milk_np.data.importers.formats import TABLE_SUFFIXES
from milk_np.data.importers.text_table import read_text, reading_text
from milk_np.data.storage import read_npy
from milk_np.data.validation import some
from milk_np.errors import DataError


def read_columns(path: Path, wanted: Sequence[str], *, optional: Sequence[str] = ()) -> dict[str, Column]:
    """Columns of a text table by name, whole numbers as int64, all else as strings. Other columns are ignored.

    A name may be followed by its type in the header, as in `user_id:token`. Raises DataError as `read_text` does.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table of interactions ({', '.join(TABLE_SUFFIXES)})")
    columns, _ = read_text(path, wanted, optional)
    if columns and not len(next(iter(columns.values()))):
        raise DataError(f"{path}: expected interactions below the header, got none")
    return {name: column.values() for name, column in columns.items()}


def read_id_file(path: Path) -> Column:
    """Distinct ids, from a text file with one per line or from a `.npy` array."""
    if path.suffix == ".npy":
        array = read_npy(path)
        if array.ndim != 1 or array.dtype.kind not in "USiu":
            raise DataError(f"{path}: expected a 1-D array of ids, got {array.dtype} of shape {array.shape}")
        return as_ids(np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the item ids, one per line, in the order of the feature rows")
    with reading_text(path):
        lines = path.read_text("utf-8-sig").splitlines()
    ids: NDArray[np.str_] = np.char.strip(np.array(lines, dtype=np.str_))
    blank = np.flatnonzero(ids == "")
    if len(blank):
        raise DataError(f"{path}: line {some(blank + 1)} is empty; expected one id on each line")
    return as_ids(ids)
