"""Users and items that a command can't serve: the rest is delivered, these are told."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError

_SHOWN = 5


@dataclass
class Rejects:
    """What was asked for and can't be delivered: kind ("user" or "item"), id, reason."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, kind: str, name: str, reason: str) -> None:
        """Note one of them."""
        self.rows.append((kind, name, reason))

    def rest(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """`numbers`, which remain; DataError with the first reason if nothing does."""
        if self.rows and not len(numbers):
            raise DataError(self.rows[0][2])
        return numbers

    def table(self) -> dict[str, NDArray[Any]]:
        """As columns, for a file."""
        names = ("kind", "id", "reason")
        return {name: np.array([row[n] for row in self.rows], np.str_) for n, name in enumerate(names)}

    def report(self, program: str, path: str | None) -> int:
        """Tell the first of them on stderr, write all to `path`; the exit code: 3 if there are any."""
        from milk_np.serving import output

        if path is not None:
            output.write_table(path, [self.table()])
        for _, _, reason in self.rows[:_SHOWN]:
            print(f"{program}: left out: {reason}", file=sys.stderr)
        if len(self.rows) > _SHOWN:
            where = path or "--rejects FILE lists all"
            print(f"{program}: left out {len(self.rows):,} in all ({where})", file=sys.stderr)
        return DataError.exit_code if self.rows else 0
