"""Sums over items or users by fixed spans: wherever a span is worked on, the totals have the same bits.

What a span adds is made by one function of a state and the span, and by nothing else. An engine decides where it runs:
in this process (`LOCAL`), or on workers (`milk_np.dask`). `total` adds the parts in an order that the spans fix, never
in the one in which they were ready; and spans depend on sizes alone, not on workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from milk_np.backends.base import Array

State = TypeVar("State")
Part = TypeVar("Part")
Result = TypeVar("Result")

MOST_SPANS = 256
"""Spans that items or users are divided into, at most: each costs the transfer of what it adds."""
USER_ROWS = 1 << 14
"""Users of a span, at least: fewer are added up as one."""
PAIRS_OF_AN_ITEM = 8
"""Pairs of each item in a span of users, on average and at least: what the span adds has a row for every item."""


GROUP = 8
"""Parts of a sum that are added up where they are made; only the sums of such groups travel on."""


class Engine(Protocol):
    """Where the parts of a sum are made. An engine of processes pickles the work, the state and the parts."""

    def each(self, work: Callable[[State, Part], Result], state: State, parts: Iterable[Part]) -> Iterator[Result]:
        """`work(state, part)` of every part, in the order of the parts."""

    def sums(
        self, work: Callable[[State, Part], list[Array]], state: State, parts: Iterable[Part]
    ) -> Iterator[list[Array]]:
        """`added` of the results of every group of GROUP parts, in the order of the groups."""


class Local:
    """In this process, one part after another."""

    def each(self, work: Callable[[State, Part], Result], state: State, parts: Iterable[Part]) -> Iterator[Result]:
        """See `Engine.each`."""
        return (work(state, part) for part in parts)

    def sums(
        self, work: Callable[[State, Part], list[Array]], state: State, parts: Iterable[Part]
    ) -> Iterator[list[Array]]:
        """See `Engine.sums`."""
        return (added(self.each(work, state, group)) for group in groups(parts))


LOCAL = Local()


def row_slices(n: int, step: int) -> Iterator[slice]:
    """Slices of `step` rows that cover `n`."""
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def spans(n: int, step: int) -> list[slice]:
    """Slices that cover `n` rows, at most MOST_SPANS, each of `step` rows or a multiple."""
    multiple = max(1, -(-n // (step * MOST_SPANS)))
    return list(row_slices(n, step * multiple)) or [slice(0, 0)]


def user_spans(users: int, items: int, pairs: int) -> list[slice]:
    """Slices that cover the `users` of so many pairs with so many items."""
    most = min(MOST_SPANS, max(1, pairs // (PAIRS_OF_AN_ITEM * max(items, 1))))
    return list(row_slices(users, max(USER_ROWS, -(-users // most)))) or [slice(0, 0)]


def groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Lists of GROUP parts, the last of what is left."""
    iterator = iter(parts)
    while group := list(islice(iterator, GROUP)):
        yield group


def added(parts: Iterable[list[Array]]) -> list[Array]:
    """The sum of lists of arrays, added in their order; the arrays of the first are overwritten."""
    iterator = iter(parts)
    out = next(iterator)
    for part in iterator:
        for mine, more in zip(out, part, strict=True):
            mine += more
    return out


def total(
    engine: Engine, work: Callable[[State, Part], list[Array]], state: State, parts: Iterable[Part]
) -> list[Array]:
    """The sum of `work(state, part)` over the parts: of groups first, then of the groups' sums, both in their order."""
    return added(engine.sums(work, state, parts))
