"""Ids that options name, each with the place where it stands: on the command line, in a text file, in a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from errno import ENAMETOOLONG
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milk_np.cli.rejects import Place
from milk_np.errors import DataError, SettingsError
from milk_np.files import refuse_special


@dataclass(frozen=True)
class Asked:
    """Ids in the order of a file or of an option, and their rows there, from 1."""

    file: str
    rows: Sequence[int]
    ids: Sequence[str]

    def place(self, n: int) -> Place:
        """Where the n-th stands."""
        return Place(self.file, self.rows[n])

    def only(self, kept: NDArray[np.bool_]) -> Asked:
        """Those that are `kept` (n,)."""
        some = np.flatnonzero(kept).tolist()
        return Asked(self.file, [self.rows[n] for n in some], [self.ids[n] for n in some])


@dataclass(frozen=True)
class Pairs:
    """Rows of a table of items, or of pairs: `query` (the user, for one) is "" where an item stands alone."""

    query: Asked
    found: Asked


def ids_asked(text: str, option: str, column: str) -> Asked:
    """Ids separated by commas, or one per line in the file of that name, or a table's `column`."""
    lines = None if _is_parquet(text) else _lines(text)
    if _is_parquet(text) or (lines and column in [cell.strip(' "') for cell in re.split("[,\t]", lines[0])]):
        asked = pairs_asked(text, "", column).found
    else:
        words = [word.strip() for word in (text.split(",") if lines is None else lines)]
        rows = [row for row, word in enumerate(words, 1) if word]
        asked = Asked(option if lines is None else text, rows, [word for word in words if word])
    if not asked.rows:
        raise SettingsError(f"{option}: expected ids separated by commas, or a file of ids, got {text!r}")
    return asked


def histories_asked(text: str) -> tuple[Asked, list[list[str]]]:
    """Items separated by commas, or a file with one such history per line; their ids are their numbers, from 1."""
    lines = _lines(text)
    parts = [
        [word.strip() for word in line.split(",") if word.strip()] for line in ([text] if lines is None else lines)
    ]
    if not any(parts):
        raise SettingsError(f"--history: expected items separated by commas, or a file of such lines, got {text!r}")
    numbers = range(1, len(parts) + 1)
    return Asked("--history" if lines is None else text, numbers, [str(number) for number in numbers]), parts


def _is_parquet(text: str) -> bool:
    """Whether an option's text is the name of a Parquet file, or of a folder of its parts."""
    path = Path(text)
    return is_file(text) and (path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))))


def is_file(text: str) -> bool:
    """Whether an option's text is the name of a file or folder; a long list of ids isn't."""
    try:
        return Path(text).exists()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return False
        raise


def pairs_asked(path: str, query: str, found: str) -> Pairs:
    """Pairs or items of a file: a table with the columns `query` and `found`, or `found` alone, or lines of these.

    Parquet has its columns by name. Text is separated by commas or tabs; a first line that names the column `found` is
    a header, and other columns are ignored then.
    """
    if _is_parquet(path):
        return _parquet(path, query, found)
    refuse_special(path)
    lines = _lines(path)
    if lines is None:
        raise DataError(f"{path}: no such file")
    rows = [(number, _cells(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    header = rows.pop(0)[1] if rows and found in rows[0][1] else None
    cut = [(number, *_pair(path, number, cells, header, query, found)) for number, cells in rows]
    numbers = [row[0] for row in cut]
    return Pairs(Asked(path, numbers, [row[1] for row in cut]), Asked(path, numbers, [row[2] for row in cut]))


def _pair(
    path: str, number: int, cells: list[str], header: list[str] | None, query: str, found: str
) -> tuple[str, str]:
    if header is None and len(cells) in (1, 2):
        pair = ("" if len(cells) == 1 else cells[0]), cells[-1]
    elif header is not None and len(cells) == len(header):
        pair = (cells[header.index(query)] if query in header else ""), cells[header.index(found)]
    else:
        what = f"{found}, or {query},{found}" if header is None else f"{len(header)} columns, as in the header"
        raise DataError(f"{path}: line {number}: expected {what}, got {len(cells)} columns")
    if not pair[1]:
        raise DataError(f"{path}: line {number}: expected an id of kind {found}, got an empty cell")
    return pair


def _cells(path: str, number: int, line: str) -> list[str]:
    """The cells of a line, separated by tabs if it has any, else by commas."""
    try:
        (cells,) = csv.reader([line], delimiter="\t" if "\t" in line else ",", strict=True)
    except csv.Error as error:
        raise DataError(f"{path}: line {number}: {error}; expected quotes around whole values") from error
    return [cell.strip() for cell in cells]


def _parquet(path: str, query: str, found: str) -> Pairs:
    from milk_np.data.importers.arrow import ArrowTable, read_ids
    from milk_np.data.importers.coded import words

    table = ArrowTable.of_path(Path(path))
    if found not in table.names:
        raise DataError(f"{path}: expected a column {found!r}, got {', '.join(table.names)}")
    columns = [
        words(read_ids(table, name).values()).tolist() if name in table.names else [""] * table.n
        for name in (query, found)
    ]
    numbers = range(1, table.n + 1)
    return Pairs(Asked(path, numbers, columns[0]), Asked(path, numbers, columns[1]))


def _lines(text: str) -> list[str] | None:
    """Lines of the file of this name; None if there is no such file."""
    if not is_file(text) or not Path(text).is_file():
        return None
    try:
        return Path(text).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{text}: expected UTF-8 text, got {error.reason} at byte {error.start}") from None
