"""What processes of one job ("ranks") exchange.

No sum is ever taken across ranks: a number is computed by one rank, in the order in which a single process computes
it, and handed to the others. Results therefore have the same bits for any number of ranks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

BLOCK_BYTES = 1 << 24
"""Most bytes of a table that travel at a time to the rank that writes them to a file."""


class Ranks(ABC):
    """The processes of a job. Every method is called by all of them, in the same order."""

    rank: int
    """Number of this process, from 0."""
    size: int
    """Number of processes."""
    takes_device: bool = False
    """Whether `all_rows` takes arrays of a GPU."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone speaks and writes."""
        return self.rank == 0

    @abstractmethod
    def all_rows(self, table: Any, bounds: NDArray[np.int64]) -> None:
        """Complete `table` (n, ...), C-contiguous, in place: rank r has rows `bounds[r]:bounds[r + 1]`, all get all."""

    @abstractmethod
    def all_values(self, value: T) -> list[T]:
        """A small value of every rank, by rank, on all ranks."""

    @abstractmethod
    def first_values(self, value: T) -> list[T]:
        """A value of every rank, by rank, on rank 0; nothing elsewhere."""

    @abstractmethod
    def from_first(self, value: T | None) -> T:
        """The value that rank 0 gives, on all ranks."""

    @abstractmethod
    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""

    @abstractmethod
    def rows_to_first(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """On rank 0 the rows of all ranks, in blocks that are valid until the next one; the others send theirs.

        To be exhausted everywhere.
        """

    def on_first(self, work: Callable[[], T]) -> T:
        """What `work` gives on rank 0, or the error that it raises there, on all ranks."""
        outcome: tuple[T | None, Exception | None] = (None, None)
        if self.first:
            try:
                outcome = work(), None
            except Exception as raised:
                outcome = None, raised
        value, error = self.from_first(outcome)
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def kept_by_first(self, work: Callable[[], T]) -> T | None:
        """What `work` gives on rank 0, which alone gets it; its error on all ranks."""
        kept: list[T] = []
        self.on_first(lambda: kept.append(work()))
        return kept[0] if kept else None


class Alone(Ranks):
    """One process."""

    rank, size = 0, 1

    def all_rows(self, table: Any, bounds: NDArray[np.int64]) -> None:
        """Nothing is missing."""

    def all_values(self, value: T) -> list[T]:
        """The value."""
        return [value]

    def first_values(self, value: T) -> list[T]:
        """The value."""
        return [value]

    def from_first(self, value: T | None) -> T:
        """The value."""
        return value  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def rows_to_first(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """The rows."""
        yield rows


ALONE = Alone()


def shares(total: int, ranks: int, multiple: int = 1) -> NDArray[np.int64]:
    """Bounds (ranks + 1) of contiguous, nearly equal shares of `total`, which begin at multiples of `multiple`."""
    parts = -(-total // multiple)
    bounds: NDArray[np.int64] = np.minimum(np.arange(ranks + 1, dtype=np.int64) * parts // ranks * multiple, total)
    return bounds


def row_blocks_of(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """`rows` (n, ...) in blocks of at most about `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
