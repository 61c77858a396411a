"""Prefetching: rows of memory-mapped feature files are requested before the step that needs them.

Useful only if the files don't fit in memory: the operating system then reads the rows of the next batch, many at a
time, while this batch is computed, instead of one by one as each is accessed.
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
    """Requests rows of memory-mapped tables from the operating system, in its own thread."""

    def __init__(self, tables: Sequence[FeatureArray]) -> None:
        self._maps = [_Map(table) for table in tables if isinstance(table, np.memmap)]
        self._thread = ThreadPoolExecutor(1, "milk-prefetch")

    def ask(self, rows: Ids) -> Future[None]:
        """Start reading the rows `rows` of every table; returns at once."""
        return self._thread.submit(self._ask, np.unique(rows))

    def _ask(self, rows: Ids) -> None:
        for mapped in self._maps:
            mapped.will_need(rows)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(cancel_futures=True)


class _Map:
    """One memory-mapped table of rows."""

    def __init__(self, table: np.memmap[Any, Any]) -> None:
        self._mmap: mmap.mmap = table._mmap  # type: ignore[attr-defined]
        start = np.frombuffer(self._mmap, np.uint8).ctypes.data
        self._first = table.ctypes.data - start
        self._row = table.strides[0]
        # Rows are read in random order: neighbouring pages are not worth reading.
        self._mmap.madvise(mmap.MADV_RANDOM)

    def will_need(self, rows: Ids) -> None:
        """Request the pages of the rows, which are ascending and distinct; neighbours in one request."""
        first = (self._first + rows.astype(np.int64) * self._row) // mmap.PAGESIZE
        last = (self._first + (rows.astype(np.int64) + 1) * self._row - 1) // mmap.PAGESIZE
        starts = np.flatnonzero(np.concatenate([[True], first[1:] > last[:-1] + 1]))
        ends = np.concatenate([starts[1:], [len(rows)]]) - 1
        for low, high in zip(first[starts].tolist(), last[ends].tolist(), strict=True):
            self._mmap.madvise(mmap.MADV_WILLNEED, low * mmap.PAGESIZE, (high - low + 1) * mmap.PAGESIZE)
