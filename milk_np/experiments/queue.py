"""Runs that wait for a free process."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from milk_np.experiments.runs import Run
from milk_np.experiments.store import Store


class Due(NamedTuple):
    """A run that can be done now, and what for; runs of a lower `stage` go first."""

    stage: float
    what: str
    run: Run


class Queue:
    """Runs that the store doesn't have: those of the lowest stage first, then in the order they were named in, and each
    run once, however often it is named.

    known : runs that were ever in the queue
    """

    def __init__(self, store: Store) -> None:
        self.known = 0
        self._store, self._keys = store, set[str]()
        self._waiting: list[tuple[float, int, Due]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, named: Iterable[Due]) -> None:
        """Let runs wait, but for those that did so before."""
        for due in named:
            key = due.run.key
            if key not in self._keys and not self._store.has(due.run):
                self._keys.add(key)
                self.known += 1
                heapq.heappush(self._waiting, (due.stage, self.known, due))

    def pop(self) -> Due:
        """Take the next run out."""
        return heapq.heappop(self._waiting)[2]

    def named(self) -> str:
        """What the waiting runs are for."""
        return ", ".join(dict.fromkeys(due.what for *_, due in sorted(self._waiting)))
