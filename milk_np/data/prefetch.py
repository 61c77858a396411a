"""Reading ahead: rows of features that lie in memory-mapped files are asked for before the step that needs them.

Only worth it where the files don't fit the memory; the kernel then reads the rows of the next batch while this one is
being computed, many at a time, in place of one after the other as each is touched.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import FeatureArray

Ids = NDArray[np.int32]


def mapped_bytes(tables: Sequence[FeatureArray]) -> int:
    """Bytes of the tables that are memory maps."""
    return sum(table.nbytes for table in tables if isinstance(table, np.memmap))


class Prefetcher:
    """Asks the operating system for rows of memory-mapped tables, in a thread of its own."""

    def __init__(self, tables: Sequence[FeatureArray]) -> None:
        self._maps = [_Map(table) for table in tables if isinstance(table, np.memmap)]
        self._thread = ThreadPoolExecutor(1, "milk-prefetch")

    def ask(self, rows: Ids) -> Future[None]:
        """Begin to read the rows `rows` of every table; returns at once."""
        return self._thread.submit(self._ask, np.unique(rows))

    def _ask(self, rows: Ids) -> None:
        for mapped in self._maps:
            mapped.will_need(rows)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


class _Map:
    """One memory-mapped table of rows."""

    def __init__(self, table: np.memmap[Any, Any]) -> None:
        self._mmap: mmap.mmap = table._mmap  # type: ignore[attr-defined]
        start = np.frombuffer(self._mmap, np.uint8).ctypes.data
        self._first = table.ctypes.data - start
        self._row = table.strides[0]
        # Rows are read in random order: the pages around them are not worth reading.
        self._mmap.madvise(mmap.MADV_RANDOM)

    def will_need(self, rows: Ids) -> None:
        """Ask for the pages of the rows, ascending and distinct; neighbours in one request."""
        first = (self._first + rows.astype(np.int64) * self._row) // mmap.PAGESIZE
        last = (self._first + (rows.astype(np.int64) + 1) * self._row - 1) // mmap.PAGESIZE
        starts = np.flatnonzero(np.concatenate([[True], first[1:] > last[:-1] + 1]))
        ends = np.concatenate([starts[1:], [len(rows)]]) - 1
        for low, high in zip(first[starts].tolist(), last[ends].tolist(), strict=True):
            self._mmap.madvise(mmap.MADV_WILLNEED, low * mmap.PAGESIZE, (high - low + 1) * mmap.PAGESIZE)
