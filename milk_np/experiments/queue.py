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
    run once, however often it is named. The lowest stage that it was named with counts."""

    def __init__(self, store: Store) -> None:
        self._store, self._entries = store, 0
        self._heap: list[tuple[float, int, str, Due]] = []
        self._stages: dict[str, float] = {}
        self._waiting = set[str]()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def known(self) -> int:
        """Runs that were ever in the queue."""
        return len(self._stages)

    def add(self, named: Iterable[Due]) -> None:
        """Let runs wait, but for those that are finished or were taken out."""
        for due in named:
            key = due.run.key
            if key not in self._stages and not self._store.has(due.run):
                self._waiting.add(key)
            elif key not in self._waiting or due.stage >= self._stages[key]:
                continue
            self._stages[key], self._entries = due.stage, self._entries + 1
            heapq.heappush(self._heap, (due.stage, self._entries, key, due))

    def pop(self) -> Due:
        """Take the next run out."""
        while True:
            _, _, key, due = heapq.heappop(self._heap)
            if key in self._waiting:  # else it was taken out at a lower stage
                self._waiting.remove(key)
                return due

    def labels(self) -> str:
        """What the waiting runs are for."""
        waiting = (
            due for stage, _, key, due in sorted(self._heap) if key in self._waiting and stage == self._stages[key]
        )
        return ", ".join(dict.fromkeys(due.what for due in waiting))
