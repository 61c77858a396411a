"""Original ids of users and items, and the numbers that the engine uses for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from milk_np.data.validation import as_text
from milk_np.errors import DataError
from milk_np.text import nearest

_MOST_COMPARED = 20_000


class Column(Protocol):
    """A column of pandas, polars, pyarrow and the like."""

    def __array__(self) -> NDArray[Any]:
        """The column as an array."""


Ids = Sequence[str] | Sequence[int] | NDArray[Any]
"""Users or items as the data name them: texts or whole numbers; row numbers where the data have no ids."""
IdList = Ids | Column
"""The same, or a column of a data frame."""


class Index:
    """Numbers of users or items by their ids; where the data have no ids, the numbers 0 ... n - 1 are the ids.

    Attributes
    ----------
    ids : (n,) str, optional
    n : number of users or items
    kind, where : "user" or "item", and what they belong to, for messages
    """

    def __init__(self, ids: NDArray[np.str_] | None, n: int, kind: str, where: str = "the data set") -> None:
        self.ids, self.n, self.kind, self.where = ids, n, kind, where

    @cached_property
    def _places(self) -> dict[str, int]:
        """Number of each id; made once, so that later look-ups take no time that grows with n."""
        names = [] if self.ids is None else self.ids.tolist()
        return dict(zip(names, range(self.n), strict=True))

    def find(self, asked: Any) -> NDArray[np.int32]:
        """Number of each of `asked` (texts or whole numbers), -1 where it is unknown."""
        words = texts(asked, self.kind)
        if self.ids is None:
            return np.array([_row(word, self.n) for word in words], np.int32)
        return np.array([self._places.get(word, -1) for word in words], np.int32)

    def numbers(self, asked: Any) -> NDArray[np.int32]:
        """Number of each of `asked`. Raises DataError for an unknown id, naming the most similar known one."""
        found = self.find(asked)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            raise DataError(self.unknown(texts(asked, self.kind)[unknown[0]]))
        return found

    def names(self, numbers: NDArray[np.int32]) -> NDArray[Any]:
        """Ids of `numbers`, of any shape; empty text for -1. The numbers if there are no ids."""
        if self.ids is None:
            return numbers
        return np.where(numbers < 0, self.ids.dtype.type(), self.ids[numbers])

    def words(self, numbers: Sequence[int]) -> list[str]:
        """Ids of `numbers` as texts."""
        return [str(name) for name in self.names(np.asarray(numbers, np.int32)).tolist()]

    def not_new(self, ids: Sequence[str]) -> list[str]:
        """Why each of `ids` can't be that of one more: it is empty, there already or given twice; empty text if it
        can."""
        known, before = self.find(list(ids)) >= 0, set[str]()
        out = []
        for name, taken in zip(ids, known.tolist(), strict=True):
            why = f"is in {self.where} already" if taken else "is given twice" if name in before else ""
            out.append(f"{self.kind} {name!r} {why}" if why else "an id is empty" if not name else "")
            before.add(name)
        return out

    def unknown(self, word: str, suggest: bool = True) -> str:
        """The message for an id that isn't in the data; to `suggest` a similar one takes time."""
        what = f"{self.kind} {word!r} is not in {self.where}"
        if self.ids is None:
            return f"{what}; expected a number from 0 to {self.n - 1}"
        return what + (nearest(word, _similar(word, self.ids), 0.5) if suggest else "")


def texts(asked: Any, kind: str) -> list[str]:
    """Ids as texts; DataError unless they are a list, an array or a column of texts or of whole numbers."""
    if isinstance(asked, (str, bytes)):
        raise DataError(f"{kind}s: expected a list of ids, got the text {asked!r}; put it in brackets: [{asked!r}]")
    values = np.asarray(asked)
    if values.dtype.kind in "OT" and values.ndim == 1:
        return [as_text(value, place, f"{kind}s") for place, value in enumerate(values.tolist())]
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "Uiu"):
        raise DataError(
            f"{kind}s: expected a list of ids, texts or whole numbers, got {values.dtype} of shape {values.shape}"
        )
    return [str(value) for value in values.tolist()]


def _row(word: str, n: int) -> int:
    """The number that a text names, -1 if it isn't one of 0 ... n - 1."""
    return int(word) if word.isdecimal() and word.isascii() and len(word) < 11 and int(word) < n else -1


def to_names(numbers: NDArray[np.int32], ids: NDArray[np.str_] | None) -> NDArray[Any]:
    """Original ids of `numbers`, or the numbers if there are none."""
    return numbers if ids is None else ids[numbers]


def _similar(text: str, ids: NDArray[np.str_]) -> Iterable[str]:
    """Ids of about the same length and beginning: comparing with a very large number of ids would take minutes."""
    if len(ids) <= _MOST_COMPARED:
        return [str(known) for known in ids]
    close = np.char.startswith(ids, text[:2]) & (np.abs(np.char.str_len(ids) - len(text)) <= 2)
    return [str(known) for known in ids[close][:_MOST_COMPARED]]
