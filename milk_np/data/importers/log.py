"""The log: pairs of user and item as a source has them, with their time, rating and split where it says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.arrow import ArrowTable, read_ids, read_values
from milk_np.data.importers.coded import Coded, coded, text_ids
from milk_np.data.importers.formats import TABLE_SUFFIXES
from milk_np.data.importers.layout import NAMES, told
from milk_np.data.importers.text_table import read_text
from milk_np.data.importers.times import Times, times_of
from milk_np.errors import DataError
from milk_np.text import nearest

RATING_NAMES = ("rating", "ratings", "stars", "score", "overall")
"""Columns that are told of when they aren't used."""


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns; without a header, their numbers from 1."""

    user: str = "user"
    item: str = "item"
    split: str | None = None
    time: str | None = None
    rating: str | None = None


@dataclass(frozen=True, eq=False)
class Log:
    """n pairs; a pair may come again.

    Attributes
    ----------
    user, item : n ids
    split : n words, optional
    time : n times, optional
    rating : (n,) float64, optional
    notes : what a user should know
    """

    user: Coded
    item: Coded
    split: Coded | None = None
    time: Times | None = None
    rating: NDArray[np.float64] | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.user)

    def where(self, kept: NDArray[np.bool_]) -> Log:
        """The pairs `kept` (n,)."""
        parts: dict[str, Any] = {
            name: value.where(kept)
            for name in ("user", "item", "split", "time")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **parts, rating=None if self.rating is None else self.rating[kept])

    def noted(self, text: str) -> Log:
        """With one more note."""
        return replace(self, notes=[*self.notes, text])


def read_log(path: Path, columns: Columns, separator: str | None = None) -> Log:
    """The log of a file or a folder of Parquet parts.

    Raises
    ------
    DataError
        If it can't be read, a column is missing, or a cell is empty or doesn't fit.
    MissingExtraError
        If Parquet is read without pyarrow.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; expected a table of interactions ({', '.join(TABLE_SUFFIXES)})")
    if path.is_dir() or path.suffix.lower() == ".parquet":
        log = arrow_log(ArrowTable.of_path(path), columns)
    else:
        log = _text_log(path, columns, separator)
    if not len(log):
        raise DataError(f"{path}: expected interactions below the header, got none")
    return log


def _text_log(path: Path, columns: Columns, separator: str | None) -> Log:
    wanted = list(dict.fromkeys(_named(columns).values()))
    found, layout = read_text(path, wanted, separator=separator)
    log = _log(str(path), columns, found, layout.header)
    usual = "\t" if {".tsv", ".inter"} & set(path.suffixes) else ","
    return log if layout.separator == usual else log.noted(f"separator of {path.name}: {told(layout.separator)}")


def arrow_log(table: ArrowTable, columns: Columns) -> Log:
    """The log of a Parquet table or a data frame."""
    named = _named(columns)
    for name in named.values():
        if name not in table.names:
            raise DataError(
                f"{table.where}: expected a column {name!r}, got {', '.join(table.names) or 'none'}"
                f"{nearest(name, table.names, 0.5)}; {NAMES} (in Python: user=, item=, ...)"
            )
    found: dict[str, Any] = {name: read_ids(table, name) for part, name in named.items() if part in ("user", "item")}
    found |= {name: read_values(table, name) for part, name in named.items() if part in ("split", "time", "rating")}
    return _log(table.where, columns, found, table.names)


def mapping_log(given: Mapping[str, Any], columns: Columns, where: str) -> Log:
    """The log of a dict of arrays."""
    found: dict[str, Any] = {}
    for part, name in _named(columns).items():
        if name not in given:
            raise DataError(f"{where}: expected {name!r} among {', '.join(map(str, given)) or 'nothing'}")
        found[name] = column_of(given[name], f"{where}: {name!r}", ids=part in ("user", "item"))
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        told_lengths = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(f"{where}: expected columns of one length, got {told_lengths}")
    return _log(where, columns, found, list(given))


def column_of(values: Any, where: str, ids: bool = True) -> Any:
    """A column given as an array or list: ids, or (`ids` false) also numbers and times."""
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if array.ndim != 1:
        raise DataError(f"{where}: expected one value a row, got an array of shape {array.shape}")
    if array.dtype.kind == "O":
        array = _of_objects(array, where)
    if not len(array):
        return coded(np.zeros(0, np.str_))
    if array.dtype.kind in "iu":
        return coded(array) if ids else array
    if array.dtype.kind in "fM" and not ids:
        return array.astype("datetime64[us]") if array.dtype.kind == "M" else array
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: expected ids as UTF-8 text, got bytes that aren't ({error})") from None
    if array.dtype.kind != "U":
        raise DataError(f"{where}: expected integers or strings, got {array.dtype}; cast the ids as they are meant")
    column = coded(array.astype(np.str_))
    text_ids(list(column.ids.astype(np.str_)), where)
    return column


def _of_objects(array: NDArray[Any], where: str) -> NDArray[Any]:
    """A list, or an array of Python's values: text, numbers or times."""
    kinds = {type(value) for value in array}
    if kinds == {str}:
        text_ids(sorted(set(array)), where)
        return array.astype(np.str_)
    if all(issubclass(kind, int | float | np.integer | np.floating) and kind is not bool for kind in kinds):
        return np.array(array.tolist())
    if all(issubclass(kind, date | np.datetime64) for kind in kinds):
        return np.array([_utc(value) for value in array], dtype="datetime64[us]")
    odd = next((n for n, value in enumerate(array) if not isinstance(value, str | int | np.integer)), 0)
    raise DataError(
        f"{where}: expected integers or strings, got {array[odd]!r} in row {odd}; fill it in or drop the row"
    )


def _utc(value: Any) -> Any:
    """A time without a zone, which is in UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if getattr(value, "tzinfo", None) is not None else value


def _named(columns: Columns) -> dict[str, str]:
    named = {part: getattr(columns, part) for part in ("user", "item", "split", "time", "rating")}
    return {part: name for part, name in named.items() if name is not None}


def _log(where: str, columns: Columns, found: Mapping[str, Any], names: Sequence[str]) -> Log:
    """The log of columns that are read, with a note on ratings that aren't used."""
    rating = None if columns.rating is None else _numbers(found[columns.rating], f"{where}: column {columns.rating!r}")
    time = None if columns.time is None else times_of(found[columns.time], f"{where}: column {columns.time!r}")
    split = None if columns.split is None else _words(found[columns.split])
    log = Log(found[columns.user], found[columns.item], split, time, rating)
    unused = [name for name in names if name.partition(":")[0].lower() in RATING_NAMES]
    if not unused or columns.rating is not None:
        return log
    return log.noted(
        f"every row counts as a pair, whatever its {unused[0]}: --rating-col {unused[0]} --min-rating X keeps those of "
        "at least X"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _words(column: Any) -> Coded:
    return column if isinstance(column, Coded) else coded(np.asarray(column))


def _numbers(column: Any, where: str) -> NDArray[np.float64]:
    try:
        values = column.ids.astype(np.float64)[column.codes] if isinstance(column, Coded) else column.astype(np.float64)
    except (ValueError, TypeError) as error:
        odd = (
            next(text for text in column.ids.tolist() if not _is_number(text)) if isinstance(column, Coded) else column
        )
        raise DataError(
            f"{where}: expected numbers such as 4 or 3.5, got {odd!r}; mend them, or name another --rating-col"
        ) from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{where}: expected numbers, got {values[bad[0]]} in row {bad[0] + 1} ({len(bad)} in all)")
    numbers: NDArray[np.float64] = values
    return numbers
