"""Lists for users or items, as arrays and as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.display.tables import Tabular

Names = Callable[[NDArray[np.int32]], NDArray[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Ranked(Tabular):
    """Lists for some users or items; as a table, a row for each place of a list that isn't padding.

    Attributes
    ----------
    query : (n,) int32, or str
        The users or items that the lists are for: numbers, or ids.
    found : (n, k) int32, or str
        The lists, best first, padded with -1, or with empty text where they hold ids.
    score : (n, k) float32
        Scores, -inf where padded.
    query_kind, found_kind : str
        What they are, such as "user" and "item": the names of the columns.
    """

    query: NDArray[Any]
    found: NDArray[Any]
    score: NDArray[np.float32]
    query_kind: str = "query"
    found_kind: str = "found"

    def named(self, query: Names, found: Names, query_kind: str = "query", found_kind: str = "found") -> Ranked:
        """The same lists with ids in place of numbers: `query` and `found` give the ids of numbers."""
        return Ranked(query(self.query), found(self.found), self.score, query_kind, found_kind)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns `query_kind`, "rank" (from 1), `found_kind` and "score"."""
        return dict(zip((self.query_kind, "rank", self.found_kind, "score"), self.rows(), strict=True))

    def __repr__(self) -> str:
        return f"<{len(self.query):,} lists of up to {self.found.shape[1]}: {self.found_kind} by {self.query_kind}>"

    def rows(self) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[Any], NDArray[np.float32]]:
        """Query, rank (from 1), found item or user, and score, one entry per list position that isn't padding."""
        filled = ~np.isneginf(self.score)
        row, place = np.nonzero(filled)
        return self.query[row], (place + 1).astype(np.int32), self.found[filled], self.score[filled]
