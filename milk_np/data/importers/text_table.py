"""Text tables, plain or gzip: read row by row, so that a row that doesn't fit is an error with its line."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, islice
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from milk_np.data.importers.coded import Coded, renamed, text_ids
from milk_np.data.importers.layout import Layout, find_layout, split_header, unquoted
from milk_np.errors import DataError
from milk_np.files import refuse_special

CHUNK = 1 << 17
Rows = list[list[str]]


class _Coder:
    """Numbers the distinct values of a column in the order in which they come."""

    def __init__(self) -> None:
        self.known: defaultdict[str, int] = defaultdict(count().__next__)
        self._parts: list[NDArray[np.int32]] = []

    def add(self, values: Sequence[str]) -> None:
        self._parts.append(np.fromiter(map(self.known.__getitem__, values), np.int32, len(values)))

    def column(self, where: str) -> Coded:
        codes = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int32)
        return renamed(codes, text_ids(list(self.known), where))


@contextmanager
def reading_text(path: Path) -> Iterator[None]:
    """Name the file in the error that a damaged one raises."""
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: can't be read ({error}); expected a complete table in UTF-8, write or copy it again"
        ) from error


def read_text(
    path: Path, wanted: Sequence[str], optional: Sequence[str] = (), separator: str | None = None
) -> tuple[dict[str, Coded], Layout]:
    """Columns of a text table by name, and its layout. Other columns are ignored.

    Raises DataError for a column that is wanted and absent, a row of more or fewer columns than the header, an empty
    cell, and a quotation mark that isn't closed or swallows rows; the message names the line.
    """
    refuse_special(path)
    opener: Callable[..., TextIO] = gzip.open if path.suffix == ".gz" else open
    with reading_text(path), opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        layout = find_layout(path, file, wanted, optional, separator)
        coders = {name: _Coder() for name in layout.at}
        swallowed = _Swallowed(layout, [*wanted])
        for line, rows, several in _chunks(path, file, layout):
            for name, column in layout.at.items():
                coders[name].add(_cells(path, name, rows, column, line))
            if several:
                swallowed.look(rows, line)
    swallowed.refuse(path, coders)
    return {name: coder.column(f"{path}: column {name!r}") for name, coder in coders.items()}, layout


def _chunks(path: Path, file: TextIO, layout: Layout) -> Iterator[tuple[list[int], Rows, bool]]:
    """Rows of the right width, with the line on which each begins, and whether any takes several lines."""
    reader = _reader(file, layout)
    line = layout.lines + 1
    while True:
        before = _lines_read(reader)
        rows, problem = _some(reader)
        several = layout.quoted and _lines_read(reader) - before != len(rows)
        starts = _starts(rows, line, several)
        line = starts.pop()
        full, starts = (rows, starts) if all(rows) else _without_blank(rows, starts)
        if set(map(len, full)) - {layout.width}:
            start, row = next((start, row) for start, row in zip(starts, full, strict=True) if len(row) != layout.width)
            raise DataError(f"{path}: {_wrong_width(start, row, layout)}")
        if full:
            yield starts, full, several
        if problem is not None:
            raise DataError(
                f"{path}: line {line}: a quotation mark isn't closed, or text follows a closed one ({problem}); "
                "expected quotes around whole values, with quotes in them doubled"
            )
        if len(rows) < CHUNK:
            return


def _without_blank(rows: Rows, starts: list[int]) -> tuple[Rows, list[int]]:
    """Rows of lines that aren't blank."""
    return [row for row in rows if row], [start for start, row in zip(starts, rows, strict=True) if row]


def _some(reader: Iterator[list[str]]) -> tuple[Rows, csv.Error | None]:
    """The next rows, up to one that can't be read."""
    rows: Rows = []
    try:
        rows.extend(islice(reader, CHUNK))
    except csv.Error as error:
        return rows, error
    return rows, None


def _reader(file: TextIO, layout: Layout) -> Iterator[list[str]]:
    lines = file if layout.first is None else chain([layout.first], file)
    if layout.quoted:
        return csv.reader(lines, delimiter=layout.separator, strict=True)
    return (_split(line, layout.separator) for line in lines)


def _lines_read(reader: Iterator[list[str]]) -> int:
    """Lines that a reader of quoted values has read so far; others read one line a row."""
    return int(getattr(reader, "line_num", 0))


def _split(line: str, separator: str) -> list[str]:
    """Cells of a line in which quotation marks are text, but for a pair around a whole cell."""
    text = line.rstrip("\r\n")
    if '"' in text:
        return [unquoted(cell) for cell in text.split(separator)]
    return text.split(separator) if text else []


def _starts(rows: Rows, line: int, several: bool) -> list[int]:
    """The line on which each row begins, and the next one; values hold line breaks only if there are `several`."""
    if not several:
        return list(range(line, line + len(rows) + 1))
    starts = [line]
    for row in rows:
        line += 1 + sum(cell.count("\n") for cell in row)
        starts.append(line)
    return starts


def _wrong_width(line: int, row: list[str], layout: Layout) -> str:
    got, header = len(row), "first line" if layout.first is not None else "header"
    say = f"line {line} has {got} column{'' if got == 1 else 's'}, the {header} has {layout.width}"
    if got > layout.width:
        hint = "a value that holds the separator" + (" has to be quoted" if layout.quoted else "? Write CSV or Parquet")
        hint += ", or a column has no name in the header" if line == layout.lines + 1 else ""
    else:
        hint = "fill in the missing cells" + ("" if layout.quoted else ", and leave no line breaks in values")
    return f"{say}; {hint}"


def _cells(path: Path, name: str, rows: Rows, column: int, line: list[int]) -> list[str]:
    cells = list(map(str.strip, map(itemgetter(column), rows)))
    if "" in cells:
        at = line[cells.index("")]
        raise DataError(f"{path}: line {at}: column {name!r} is empty; fill it in or delete the row")
    return cells


class _Swallowed:
    """Finds rows inside of a quoted value: a stray quotation mark up to the next one is a value of many lines."""

    def __init__(self, layout: Layout, wanted: Sequence[str]) -> None:
        self._layout, self._wanted = layout, wanted
        self._found: list[tuple[int, list[str]]] = []

    def look(self, rows: Rows, line: list[int]) -> None:
        """Keep those lines of quoted values that could be rows."""
        for start, row in zip(line, rows, strict=True):
            for cell in row:
                for n, text in enumerate(cell.split("\n")[1:]):
                    self._keep(start + 1 + n, split_header(text, self._layout.separator))

    def _keep(self, line: int, cells: list[str]) -> None:
        at = [self._layout.at[name] for name in self._wanted]
        if max(at) < len(cells) <= self._layout.width:
            self._found.append((line, [cells[n] for n in at]))

    def refuse(self, path: Path, coders: dict[str, _Coder]) -> None:
        """Raise DataError if such a line has an id that a row of the table has too."""
        for line, cells in self._found:
            if any(cell in coders[name].known for name, cell in zip(self._wanted, cells, strict=True)):
                raise DataError(
                    f"{path}: line {line} looks like a row ({', '.join(cells)}) but stands inside of a quoted value; "
                    "expected a stray quotation mark above it to be removed or doubled"
                )
