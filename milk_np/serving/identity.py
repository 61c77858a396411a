"""Original ids of users and items, and the numbers that the engine uses for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.errors import DataError
from milk_np.text import nearest

_MOST_COMPARED = 20_000


def to_numbers(asked: Sequence[str], ids: NDArray[np.str_] | None, n: int, kind: str) -> NDArray[np.int32]:
    """Numbers of the users or items with the original ids `asked`.

    If the data set has no original ids, the numbers 0 ... n - 1 are the ids. `kind` is "user" or "item".
    Raises DataError for an unknown id, naming the most similar known one.
    """
    if ids is None:
        return np.array([_number(text, n, kind) for text in asked], dtype=np.int32)
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids[order], asked), len(ids) - 1) if asked else np.zeros(0, np.intp)
    numbers = order[place]
    for text, number in zip(asked, numbers.tolist(), strict=True):
        if ids[number] != text:
            raise DataError(f"{kind} {text!r} is not in the data set{nearest(text, _similar(text, ids), 0.5)}")
    return numbers.astype(np.int32)


def to_names(numbers: NDArray[np.int32], ids: NDArray[np.str_] | None) -> NDArray[Any]:
    """Original ids of `numbers`, or the numbers if there are none."""
    return numbers if ids is None else ids[numbers]


def _number(text: str, n: int, kind: str) -> int:
    if not text.isdecimal() or int(text) >= n:
        raise DataError(f"{kind} {text!r} is not in the data set; expected a number from 0 to {n - 1}")
    return int(text)


def _similar(text: str, ids: NDArray[np.str_]) -> Iterable[str]:
    """Ids of about the same length and beginning: comparing with a very large number of ids would take minutes."""
    if len(ids) <= _MOST_COMPARED:
        return [str(known) for known in ids]
    close = np.char.startswith(ids, text[:2]) & (np.abs(np.char.str_len(ids) - len(text)) <= 2)
    return [str(known) for known in ids[close][:_MOST_COMPARED]]
