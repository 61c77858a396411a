"""Detect the kind of data at a path."""

from __future__ import annotations

from pathlib import Path

from milk_np.data.importers.columns import TABLE_SUFFIXES, is_table
from milk_np.errors import DataError

FORMATS = ("data", "table", "folder", "milk", "mmrec")
"""A data set; a table; a folder of a table and .npy features; the authors' folder; MMRec's."""


def detect_format(path: Path) -> str:
    """One of FORMATS, detected from file names; if none fits, a DataError says what was looked for."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a table, a data set or a folder of raw data")
    if path.is_file():
        return _of_file(path)
    marks = (
        ("data", "meta.json"),
        ("milk", "train.txt"),
        ("mmrec", "*.inter"),
        ("folder", "interactions.*"),
    )
    for name, pattern in marks:
        if any(path.glob(pattern)):
            return name
    looked_for = ", ".join(pattern for _, pattern in marks)
    raise DataError(f"{path}: expected a folder with one of {looked_for}; got none of them")


def _of_file(path: Path) -> str:
    if path.suffix == ".npz":
        return "data"
    if is_table(path):
        return "table"
    raise DataError(f"{path}: expected a file ending in .npz, {', '.join(TABLE_SUFFIXES)}, got {path.name}")
