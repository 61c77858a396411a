"""Exposure: which share of the places of all lists items of a group get, by the number of modalities they miss.

Beside it stand their shares of the candidates and of the relevant pairs: a model that shows incomplete items less than
they are chosen hides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Shares = dict[str, dict[str, float]]

_NUMBERS = ("complete", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_MISSING = 1000
"""More than any data set has modalities."""


def group_name(n_missing: int) -> str:
    """Name of the group of items that miss `n_missing` modalities."""
    if n_missing == 0:
        return _NUMBERS[0]
    return f"{_NUMBERS[n_missing] if n_missing < len(_NUMBERS) else n_missing} missing"


def in_order(groups: Iterable[str]) -> list[str]:
    """Names of groups by what they miss, the least first; names of no group last."""
    known = {group_name(n): n for n in range(MOST_MISSING)}
    return sorted(groups, key=lambda group: (known.get(group, MOST_MISSING), group))


class Exposure:
    """Places counted over blocks of lists.

    Parameters
    ----------
    n_missing : (N,) missing modalities of each candidate
    relevant : positions of the candidates of all relevant pairs
    topk : lengths K of the lists, ascending
    """

    def __init__(self, n_missing: NDArray[np.int64], relevant: NDArray[np.int32], topk: Sequence[int]) -> None:
        self._n_missing, self._topk = n_missing, topk
        self._pairs = np.bincount(n_missing[relevant], minlength=int(n_missing.max(initial=0)) + 1)
        self._places = np.zeros((topk[-1], len(self._pairs)), np.int64)

    def add(self, lists: NDArray[np.int32]) -> None:
        """Count the places of `lists` (n, max K) of candidate positions, -1 for none."""
        for place, column in enumerate(lists.T):
            listed = self._n_missing[column[column >= 0]]
            self._places[place] += np.bincount(listed, minlength=len(self._pairs))

    def shares(self) -> Shares:
        """By group of candidates: its share of the "items", the "pairs", and the places of the lists, "top20"."""
        counts = {"items": np.bincount(self._n_missing, minlength=len(self._pairs)), "pairs": self._pairs}
        counts |= {f"top{k}": self._places[:k].sum(axis=0) for k in self._topk}
        groups = np.flatnonzero(counts["items"]).tolist()
        whole = {name: max(int(count.sum()), 1) for name, count in counts.items()}
        return {
            group_name(group): {name: int(count[group]) / whole[name] for name, count in counts.items()}
            for group in groups
        }


def sum_of(parts: Sequence[Exposure]) -> Exposure:
    """The places that several counted among the same candidates, by the first of them."""
    first, *others = parts
    for other in others:
        first._pairs += other._pairs
        first._places += other._places
    return first


def exposure_lines(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The shares as a table; no line if all candidates are of one group."""
    if len(shares) < 2:
        return
    names = [name.replace("top", "top ") for name in next(iter(shares.values()))]
    yield ""
    yield f"{'share of the':<18}{names[0]:>9}" + "".join(f"{name:>10}" for name in names[1:])
    for group, values in shares.items():
        first, *others = values.values()
        yield f"{group:<18}{first:>9.4f}" + "".join(f"{value:>10.4f}" for value in others)
