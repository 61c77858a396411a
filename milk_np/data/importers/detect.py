"""Detect the kind of data at a path."""

from __future__ import annotations

from pathlib import Path

from milk_np.data.importers.formats import FORMATS
from milk_np.errors import DataError


def detect_format(path: Path) -> str:
    """One of FORMATS, detected from file names; if none fits, a DataError says what was looked for."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a table, a data set or a folder of raw data")
    if path.is_file():
        return _of_file(path)
    marks = {name: each.mark for name, each in FORMATS.items() if each.mark}
    for name, pattern in marks.items():
        if any(path.glob(pattern)):
            return name
    raise DataError(f"{path}: expected a folder with one of {', '.join(marks.values())}; got none of them")


def _of_file(path: Path) -> str:
    for name, each in FORMATS.items():
        if path.name.lower().endswith(each.suffixes):
            return name
    suffixes = ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
    raise DataError(f"{path}: expected a file ending in {suffixes}, got {path.name}")
