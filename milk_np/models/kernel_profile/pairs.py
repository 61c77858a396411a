"""Training pairs R (U, n) as lists of both sides, by spans of users: sparse products by kernels of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.kernel_profile.need import MOST_COLUMNS, columns_at_a_time
from milk_np.models.kernel_profile.spans import LOCAL, Engine, row_slices, total, user_spans

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Lists:
    """The pairs of a span of users: compressed rows of users and of items, as arrays of `backend`."""

    backend: Backend
    first: int
    """The first user of the span."""
    users: tuple[Array, Array]
    """Offsets (u + 1) int64 of the users' lists, and their training items (p,) int32 by number among these."""
    items: tuple[Array, Array]
    """Offsets (n + 1) int64 of the items' lists, and their users (p,) int32, counted from the first."""

    @classmethod
    def of(cls, backend: Backend, first: int, indptr: Any, item: Any, n: int) -> Self:
        """The pairs of users whose lists are `item` (p,) at `indptr` (u + 1), of `n` items."""
        rows = backend.asarray(indptr, np.int64), backend.asarray(item, np.int32)
        return cls(backend, first, rows, backend.kernels.transpose_lists(*rows, n))

    def on_host(self) -> tuple[Any, Any]:
        """The rows of users and of items as arrays of the host."""
        users, items = ([self.backend.to_host(x) for x in rows] for rows in (self.users, self.items))
        return tuple(users), tuple(items)

    def popularity(self) -> list[NDArray[np.int64]]:
        """Users of each item (n,)."""
        return [np.diff(self.backend.to_host(self.items[0]))]

    def gram_times(self, x: Array) -> list[Array]:
        """R^T R x (n, k) for `x` (n, k), some columns at a time."""
        sizes = len(self.users[0]) - 1, len(self.items[0]) - 1
        step = columns_at_a_time(self.backend.name, x.itemsize * sum(sizes))
        if x.shape[1] <= step:
            return [self._gram_times(x, *sizes)]
        out = self.backend.empty(x.shape, x.dtype)
        for columns in row_slices(x.shape[1], step):
            out[:, columns] = self._gram_times(self.backend.copy(x[:, columns]), *sizes)
        return [out]

    def _gram_times(self, x: Array, users: int, items: int) -> Array:
        rows, out = (self.backend.empty((size, x.shape[1]), x.dtype) for size in (users, items))
        self.backend.kernels.sum_lists(*self.users, x, rows)
        self.backend.kernels.sum_lists(*self.items, rows, out)
        return out


class Source(Protocol):
    """Where the lists of users come from."""

    def lists(self, span: slice) -> Lists:
        """The pairs of the users of a span."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """All users' lists on the backend."""

    backend: Backend
    indptr: Array
    """(U + 1,) int64 offsets."""
    item: Array
    """(P,) int32, training items by number among these."""
    n: int
    """Training items."""
    made: dict[int, Lists] = field(default_factory=dict)
    """By their first user, the lists of spans that were asked for: items' lists take a while to sort."""

    def lists(self, span: slice) -> Lists:
        """The pairs of the users of a span."""
        if span.start not in self.made:
            indptr = self.indptr[span.start : span.stop + 1]
            item = self.item[int(indptr[0]) : int(indptr[-1])]
            self.made[span.start] = Lists.of(self.backend, span.start, indptr - indptr[0], item, self.n)
        return self.made[span.start]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The training pairs R of U users and n training items, whose sums over users are made by spans."""

    backend: Backend
    source: Source
    shape: tuple[int, int]
    """U, n."""
    n_pairs: int
    engine: Engine = LOCAL

    @classmethod
    def of(cls, ds: Dataset, backend: Backend) -> Self:
        """The training pairs of `ds`."""
        return cls.from_lists(backend, *training_lists(ds), len(ds.train_items))

    @classmethod
    def from_lists(cls, backend: Backend, indptr: Any, item: Any, n: int) -> Self:
        """The pairs of users whose lists are `item` (P,) at `indptr` (U + 1), of `n` items."""
        source = InMemory(backend, backend.asarray(indptr, np.int64), backend.asarray(item, np.int32), n)
        return cls(backend, source, (len(indptr) - 1, n), len(item))

    def each(self, work: Callable[..., Result], *given: Any) -> Iterator[Result]:
        """`work(lists, *given)` of every span of users, in their order."""
        return self.engine.each(_of_span, (self.source, work, given), self._spans)

    def total(self, work: Callable[..., list[Array]], *given: Any) -> list[Array]:
        """The sum of `work(lists, *given)` over the spans of users."""
        return total(self.engine, _of_span, (self.source, work, given), self._spans)

    @cached_property
    def _spans(self) -> list[slice]:
        return user_spans(*self.shape, self.n_pairs)

    def popularity(self) -> NDArray[np.float64]:
        """Users of each item (n,)."""
        return self._counts.astype(np.float64)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = self.total(Lists.popularity)[0]
        return counts

    def gram_times(self, x: Array) -> None:
        """`x` (n, k) becomes R^T R x, some columns at a time."""
        for columns in row_slices(x.shape[1], MOST_COLUMNS[self.backend.name]):
            part = self.backend.copy(x[:, columns])
            x[:, columns] = self.total(Lists.gram_times, part)[0]


def training_lists(ds: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Offsets (U + 1) of the users' lists, and their training items (P,) by number among these."""
    indptr, item = ds.csr(Split.TRAIN)
    number = np.cumsum(ds.item_split == Split.TRAIN, dtype=np.int32) - np.int32(1)
    return indptr, number[item]


def _of_span(state: tuple[Source, Callable[..., Result], tuple[Any, ...]], span: slice) -> Result:
    source, work, given = state
    return work(source.lists(span), *given)
