"""How a text table is laid out: lines before the header, separator, columns by name or, without a header, by number."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from milk_np.errors import DataError
from milk_np.text import nearest

SEPARATORS = {"\t": "tab", ",": "','", ";": "';'", "|": "'|'", "::": "'::'"}
"""Separators that are recognised, and what messages call them."""
QUOTED = (",", ";")
"""With these a value may stand in quotation marks and then hold separators and line breaks."""
NAMES = "name the columns with --user-col, --item-col, --time-col, --rating-col, --split-col"
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_NUMERIC = re.compile(r"[-+.\d][-+.:\dTZ eE]*")


@dataclass(frozen=True)
class Layout:
    """A table's separator, its columns, where the wanted ones stand, and lines read so far."""

    separator: str
    header: list[str]
    at: dict[str, int]
    lines: int
    first: str | None = None
    """The first row, if the table has no header; `header` is that row then."""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.header)

    @property
    def quoted(self) -> bool:
        """Whether values may be quoted."""
        return self.separator in QUOTED


def separator_of(text: str | None) -> str | None:
    """The separator that an option names: itself, or tab, comma, semicolon, pipe, space; None if it gives none."""
    return None if not text else _NAMED.get(text, text)


def told(separator: str) -> str:
    """A separator as messages call it."""
    return SEPARATORS.get(separator, repr(separator))


def find_layout(
    path: Path, file: TextIO, wanted: Sequence[str], optional: Sequence[str], separator: str | None = None
) -> Layout:
    """Read up to the header and find the columns. Raises DataError if one that is wanted isn't there.

    A spreadsheet's first line `sep=;` and lines that begin with # are skipped; a header may begin with #.
    """
    line, lines, separator = _preface(file, wanted, separator)
    known = [separator] if separator else list(SEPARATORS)
    for each in known:
        header = split_header(line, each)
        if all(name in header or name in _plain(header) for name in wanted) and (len(header) > 1 or len(wanted) == 1):
            return Layout(each, header, _positions(header, [*wanted, *optional]), lines)
    numbers = [name for name in (*wanted, *optional) if name.isdecimal()]
    if numbers and set(wanted) <= set(numbers):
        return _numbered(path, line, lines, known, numbers)
    raise DataError(f"{path}: {_absent(line, lines, wanted, known)}")


def _preface(file: TextIO, wanted: Sequence[str], separator: str | None) -> tuple[str, int, str | None]:
    """The first line that counts, its number, and the separator, which a line `sep=;` may name."""
    lines = 0
    for line in file:
        lines += 1
        text = line.rstrip("\r\n")
        if text.lower().startswith("sep=") and lines == 1 and len(text) > 4:
            separator = separator or text[4:]
        elif text.startswith("#") and not _is_header(text[1:], wanted):
            continue
        elif text.strip():
            return text.removeprefix("#").lstrip(" ") if text.startswith("#") else text, lines, separator
    return "", lines, separator


def _is_header(text: str, wanted: Sequence[str]) -> bool:
    return any(set(wanted) <= {*header, *_plain(header)} for header in (split_header(text, s) for s in SEPARATORS))


def split_header(line: str, separator: str) -> list[str]:
    """The cells of one line."""
    if separator in QUOTED:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    return [unquoted(name.strip()) for name in line.split(separator)] if line else []


def unquoted(cell: str) -> str:
    """A cell without the quotation marks around it."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _plain(header: Sequence[str]) -> list[str]:
    """Names of columns without the type that may follow them, as in `user_id:token`."""
    return [name.partition(":")[0] for name in header]


def _positions(header: list[str], names: Sequence[str]) -> dict[str, int]:
    plain = _plain(header)
    found = {}
    for name in names:
        if name in header or name in plain:
            found[name] = header.index(name) if name in header else plain.index(name)
    return found


def _numbered(path: Path, line: str, lines: int, known: Sequence[str], numbers: Sequence[str]) -> Layout:
    """Columns by their numbers, from 1, in a table without a header."""
    separator = max(known, key=lambda each: (len(line.split(each)), len(each)))
    cells = split_header(line, separator)
    at = {name: int(name) - 1 for name in numbers}
    if not 0 <= min(at.values()) <= max(at.values()) < len(cells):
        raise DataError(
            f"{path}: expected columns from 1 to {len(cells)} (separator {told(separator)}), got {', '.join(numbers)}"
        )
    return Layout(separator, cells, at, lines - 1, line)


def _absent(line: str, lines: int, wanted: Sequence[str], known: Sequence[str]) -> str:
    """What to do about a table that lacks a column."""
    separator = max(known, key=lambda each: (len(line.split(each)), len(each)))
    cells = split_header(line, separator)
    if cells and all(_NUMERIC.fullmatch(cell) for cell in cells):
        return (
            f"line {lines} ({line[:40]!r}) looks like data, so the table has no header; give the columns by number, "
            f"such as --user-col 1 --item-col 2 (separator {told(separator)})"
        )
    name = next(name for name in wanted if name not in cells and name not in _plain(cells))
    shown = ", ".join(cells) or "no header"
    one = len(cells) < 2 and len(wanted) > 1
    by = (
        f"no {', '.join(map(told, known))} in it: spaces are --separator space"
        if one
        else f"separator {told(separator)}"
    )
    return (
        f"expected a column {name!r} in the header, got {shown} ({by}){nearest(name, cells, 0.5)}; {NAMES}, and "
        "another separator with --separator"
    )
