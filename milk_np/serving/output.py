"""Tables of results as CSV, JSON lines or Parquet, written atomically and in parts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from milk_np.display.tables import arrow_table, pyarrow_module
from milk_np.errors import SettingsError
from milk_np.files.writing import write_atomic

Table = Mapping[str, NDArray[Any]]
"""Columns of equal length by name: integers, float32 or text."""


_ROWS = 1 << 18
"""Rows of Parquet that are written together: so many ids take less than 2 GB, which is the most of a column of text."""


def write_table(path: str | Path, parts: Iterable[Table]) -> None:
    """Write the rows of all `parts`, which have the same columns, to one file; its suffix decides the format.

    `.csv` has a header line, `.jsonl` one object per row, `.parquet` needs the extra "parquet". The file
    appears when it is complete. Only one part is in memory at a time.

    Raises
    ------
    SettingsError
        For any other suffix.
    MissingExtraError
        If pyarrow is not installed.
    """
    write = writer_for(path)
    write_atomic(path, lambda file: write(file, parts))


def writer_for(path: str | Path) -> Callable[[BinaryIO, Iterable[Table]], None]:
    """The writer for a file name; called early so that a wrong name is an error before the work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise SettingsError(f"{path}: expected a name that ends in {', '.join(_WRITERS)}, got {suffix or 'none'}")
    if suffix == ".parquet":
        parquet_module()
    return _WRITERS[suffix]


def write_csv(file: TextIO, parts: Iterable[Table]) -> None:
    """Write the parts as CSV with a header line."""
    writer = csv.writer(file, lineterminator="\n")
    for number, part in enumerate(parts):
        if number == 0:
            writer.writerow(part)
        writer.writerows(_rows(part))


def _csv(file: BinaryIO, parts: Iterable[Table]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write_csv(text, parts)
    text.detach()


def _jsonl(file: BinaryIO, parts: Iterable[Table]) -> None:
    for part in parts:
        for row in _rows(part):
            line = json.dumps(dict(zip(part, row, strict=True)), ensure_ascii=False, allow_nan=False)
            file.write(line.encode() + b"\n")


def write_parquet(file: BinaryIO, parts: Iterable[Table], meta: Mapping[bytes, bytes] | None = None) -> None:
    """Write the parts as Parquet; `meta` is kept beside the columns' names."""
    parquet = parquet_module()
    writer = None
    for part in parts:
        n = len(next(iter(part.values())))
        for rows in (slice(start, start + _ROWS) for start in range(0, max(n, 1), _ROWS)):
            table = arrow_table({name: column[rows] for name, column in part.items()})
            table = table.replace_schema_metadata(dict(meta or {}))
            repeated = [name for name, column in part.items() if column.dtype.kind != "f"]
            writer = writer or parquet.ParquetWriter(file, table.schema, use_dictionary=repeated)
            writer.write_table(table)
    if writer is not None:
        writer.close()


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[Table]], None]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": write_parquet,
}


def _rows(part: Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(_shortest(column) for column in part.values()), strict=True)


def _shortest(column: NDArray[Any]) -> list[Any]:
    """Plain Python values; float32 with the fewest digits that give the same float32 when read."""
    if column.dtype == np.float32:
        return [float(text) for text in column.astype(np.str_).tolist()]
    return list(column.tolist())


def parquet_module() -> Any:
    """pyarrow's module for Parquet. Raises MissingExtraError if it isn't installed."""
    pyarrow_module("Parquet files need pyarrow, which is not installed", ", or write .csv")
    return import_module("pyarrow.parquet")
