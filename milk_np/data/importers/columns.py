"""Tables of interactions: CSV and TSV (plain or gzip) and Parquet, of which a few columns are read."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.formats import TABLE_SUFFIXES
from milk_np.data.storage import read_npy
from milk_np.data.validation import some
from milk_np.errors import DataError, MissingExtraError

_CHUNK = 1 << 17

Column = NDArray[np.int64] | NDArray[np.str_]


def is_table(path: Path) -> bool:
    """Whether the name ends like a table that can be read."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def read_columns(path: Path, wanted: Sequence[str], *, optional: Sequence[str] = ()) -> dict[str, Column]:
    """Columns of a table by name, integers as int64, all else as strings. Other columns are ignored.

    A name may be followed by its type in the header, as in `user_id:token`.

    Raises
    ------
    DataError
        If the file can't be read, a column is missing, or a cell is empty (the message names the line).
    MissingExtraError
        If a Parquet file is read without pyarrow.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table of interactions ({', '.join(TABLE_SUFFIXES)})")
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_text
    columns = _guarded(path, lambda: read(path, list(wanted), list(optional)))
    if not len(next(iter(columns.values()))):
        raise DataError(f"{path}: expected interactions below the header, got none")
    return {name: as_integers(column) for name, column in columns.items()}


def as_integers(column: NDArray[Any]) -> Column:
    """The column as int64 if every value is a plain integer such as 17, else as it is ("017" isn't)."""
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    try:
        numbers = column.astype(np.int64)
    except (ValueError, OverflowError):
        return column
    return numbers if np.array_equal(numbers.astype(np.str_), column) else column


def _guarded(path: Path, read: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    try:
        return read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: can't be read ({error}); expected a complete table in UTF-8, write or copy it again"
        ) from error


def _read_text(path: Path, wanted: list[str], optional: list[str]) -> dict[str, NDArray[Any]]:
    opener: Callable[..., TextIO] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        delimiter = "\t" if "\t" in first else ","
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        at = _positions(path, header, wanted, optional)
        chunks = list(_chunks(path, csv.reader(file, delimiter=delimiter), list(at.values())))
    return {name: _join(chunks, n) for n, name in enumerate(at)}


def _join(chunks: list[list[NDArray[np.str_]]], n: int) -> NDArray[Any]:
    return np.concatenate([chunk[n] for chunk in chunks]) if chunks else np.empty(0, dtype=np.str_)


def _positions(path: Path, header: list[str], wanted: list[str], optional: list[str]) -> dict[str, int]:
    """Column numbers by name; names in the header may carry a type after a colon."""
    plain = [name.partition(":")[0] for name in header]
    found = {}
    for name in [*wanted, *optional]:
        if name in header or name in plain:
            found[name] = header.index(name) if name in header else plain.index(name)
        elif name in wanted:
            raise DataError(
                f"{path}: expected a column {name!r} in the header, got {', '.join(header) or 'no header'}; "
                "name the columns with --user-col and --item-col"
            )
    return found


def _chunks(path: Path, reader: Iterator[list[str]], at: list[int]) -> Iterator[list[NDArray[np.str_]]]:
    line = 2
    while rows := list(islice(reader, _CHUNK)):
        full = [row for row in rows if row]
        try:
            columns = [[row[n].strip() for row in full] for n in at]
        except IndexError:
            short = next(i for i, row in enumerate(rows) if row and len(row) <= max(at))
            raise DataError(
                f"{path}: line {line + short} has {len(rows[short])} columns, expected at least {max(at) + 1}"
            ) from None
        for column in columns:
            if "" in column:
                raise DataError(
                    f"{path}: an id is empty in or after line {line + column.index('')}; fill it in or delete the row"
                )
        line += len(rows)
        if full:
            yield [np.array(column, dtype=np.str_) for column in columns]


def _read_parquet(path: Path, wanted: list[str], optional: list[str]) -> dict[str, NDArray[Any]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading Parquet needs pyarrow; pip install 'milk-np[parquet]', or use CSV"
        ) from error
    try:
        names = parquet.read_schema(path).names
        at = _positions(path, names, wanted, optional)
        table = parquet.read_table(path, columns=[names[n] for n in at.values()])
    except arrow.ArrowException as error:
        raise DataError(f"{path}: can't be read as Parquet ({error}); write or copy it again") from error
    return {name: _arrow_column(path, name, table.column(names[n])) for name, n in at.items()}


def _arrow_column(path: Path, name: str, column: Any) -> NDArray[Any]:
    if column.null_count:
        raise DataError(f"{path}: column {name!r} has {column.null_count} empty cells; fill them in or delete the rows")
    values: NDArray[Any] = column.to_numpy()
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "f":
        raise DataError(f"{path}: expected integers or strings in column {name!r}, got {values.dtype}")
    return np.array([str(value) for value in values], dtype=np.str_)


def read_ids(path: Path) -> NDArray[np.str_]:
    """Ids as strings, from a text file with one per line or from a `.npy` array."""
    if path.suffix == ".npy":
        array = read_npy(path)
        if array.ndim != 1 or array.dtype.kind not in "USiu":
            raise DataError(f"{path}: expected a 1-D array of ids, got {array.dtype} of shape {array.shape}")
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(np.str_)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the item ids, one per line, in the order of the feature rows")
    text = _guarded(path, lambda: {"ids": np.array(path.read_text("utf-8-sig").splitlines(), dtype=np.str_)})
    ids = np.char.strip(text["ids"])
    blank = np.flatnonzero(ids == "")
    if len(blank):
        raise DataError(f"{path}: line {some(blank + 1)} is empty; expected one id on each line")
    return ids
