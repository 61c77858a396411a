"""What a command can't serve: the rest is delivered, these are told, counted and listed in a file."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError

_SHOWN = 5


@dataclass(frozen=True)
class Place:
    """Where an id was asked for: a file or an option, and the row there, from 1."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}"


@dataclass(frozen=True)
class Reject:
    """One of them: where it was asked for, what it is ("user", "item" or "history"), its id, and the reason."""

    file: str
    row: int
    kind: str
    id: str
    reason: str


@dataclass
class Rejects:
    """What was asked for and can't be delivered; `failed` of them were not said to be expected."""

    rows: list[Reject] = field(default_factory=list)
    failed: int = 0

    def add(self, place: Place, kind: str, name: str, reason: str, expected: bool = False) -> None:
        """Note one of them; what is `expected` doesn't count in the exit code."""
        self.rows.append(Reject(place.file, place.row, kind, name, reason))
        self.failed += not expected

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def suggest(self) -> bool:
        """Whether the next one is shown, so that its message may take the time to look for a similar id."""
        return len(self.rows) < _SHOWN

    def rest(self, left: int, since: int = 0) -> None:
        """DataError with the first reason noted `since` a number of rows, if nothing is `left` to serve."""
        rows = self.rows[since:]
        if rows and not left:
            more = f"; {len(rows) - 1:,} more can't be served either, so nothing is left" if len(rows) > 1 else ""
            raise DataError(rows[0].reason + more)

    def write(self, path: str | None) -> None:
        """Write them all to `path`, if there is one."""
        from milk_np.serving import output

        if path is not None:
            output.write_table(path, [self.table()])

    def table(self) -> dict[str, NDArray[Any]]:
        """As columns, for a file."""
        columns = list(zip(*map(astuple, self.rows), strict=True)) or [()] * len(fields(Reject))
        types = {"row": np.int32}
        return {
            f.name: np.array(column, types.get(f.name, np.str_))
            for f, column in zip(fields(Reject), columns, strict=True)
        }

    def report(self, program: str, path: str | None) -> int:
        """Tell the first of them and how many there are on stderr; the exit code: 3 if any was not expected."""
        for each in self.rows[:_SHOWN]:
            print(f"{program}: left out: {each.reason} ({Place(each.file, each.row)})", file=sys.stderr)
        if len(self.rows) > 1:
            counts = Counter(each.kind for each in self.rows)
            kinds = ", ".join(f"{n:,} of kind {kind}" for kind, n in counts.items())
            print(f"{program}: left out {kinds} ({path or '--rejects FILE lists all'})", file=sys.stderr)
        return DataError.exit_code if self.failed else 0
