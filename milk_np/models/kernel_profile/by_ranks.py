"""Sums of a fit by several ranks: each makes some of the parts, all get all results, in the order of the parts.

All ranks run the same fit side by side; what isn't a sum over items or users, each of them does for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from milk_np.backends.base import Array
from milk_np.models.kernel_profile.spans import added, groups
from milk_np.ranks.group import Ranks

State = TypeVar("State")
Part = TypeVar("Part")
Result = TypeVar("Result")


class RanksEngine:
    """Runs work on the `ranks`, which all call it; see `milk_np.models.kernel_profile.spans.Engine`."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def each(self, work: Callable[[State, Part], Result], state: State, parts: Iterable[Part]) -> Iterator[Result]:
        """See `Engine.each`."""
        return self._divided(lambda part: work(state, part), parts)

    def sums(
        self, work: Callable[[State, Part], list[Array]], state: State, parts: Iterable[Part]
    ) -> Iterator[list[Array]]:
        """See `Engine.sums`: a group is added up by one rank."""
        return self._divided(lambda group: added(work(state, part) for part in group), groups(parts))

    def _divided(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
        """`work(part)` of every part: of as many at a time as there are ranks, one each."""
        iterator = iter(parts)
        while several := list(islice(iterator, self._ranks.size)):
            mine = work(several[self._ranks.rank]) if self._ranks.rank < len(several) else None
            results: list[Result | None] = self._ranks.all_values(mine)
            yield from results[: len(several)]  # type: ignore[misc]
