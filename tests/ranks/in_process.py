"""Ranks that are threads of one process, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np

from milk_np.ranks.group import Ranks, row_blocks_of


class _Board:
    """Where the threads leave what they exchange."""

    def __init__(self, size: int) -> None:
        self.size, self.values = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        values = list(self.values)
        self.barrier.wait()
        return values


class ThreadRanks(Ranks):
    """One thread's place among them."""

    def __init__(self, board: _Board, rank: int) -> None:
        self._board, self.rank, self.size = board, rank, board.size

    def all_rows(self, table: Any, bounds: Any) -> None:
        mine = table[bounds[self.rank] : bounds[self.rank + 1]].copy()
        table[...] = np.concatenate(self._board.exchange(self.rank, mine))

    def all_values(self, value: Any) -> list[Any]:
        return deepcopy(self._board.exchange(self.rank, value))  # as other processes have them

    def first_values(self, value: Any) -> list[Any]:
        values = self._board.exchange(self.rank, value)
        return values if self.first else []

    def from_first(self, value: Any) -> Any:
        return self._board.exchange(self.rank, value)[0]

    def any(self, flag: bool) -> bool:
        return any(self._board.exchange(self.rank, flag))

    def rows_to_first(self, rows: Any) -> Iterator[Any]:
        for rank, table in enumerate(self._board.exchange(self.rank, rows)):
            if self.first:
                yield from (np.array(block) for block in row_blocks_of(table))
            del rank


def on_ranks(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` gives on each of `size` ranks; the first error that one raises."""
    board = _Board(size)

    def run(rank: int) -> Any:
        try:
            return work(ThreadRanks(board, rank))
        except BaseException:
            board.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        running = [threads.submit(run, rank) for rank in range(size)]
    errors = [each.exception() for each in running if each.exception()]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [each.result() for each in running]
