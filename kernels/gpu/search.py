"""The best k items of each query, without a table of scores: packed panels, products in registers, merged lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cupy
import numpy as np

from milk_np.kernels.gpu.launch import Kernel, kernel, multiprocessors
from milk_np.kernels.gpu.memory import empty, free_bytes

Array = Any

MOST_K = 256
"""Longest lists: a warp holds a query's candidates in registers when it cuts them."""
MERGED = 2048
"""Most keys of a query that are merged at a time."""
MOST_BYTES = 1 << 29
"""Packed queries and lists at a time, and packed items; a quarter of what is free, where that is less."""
START_TILES = 3
"""What a span of items costs before its limits are of use, in tiles."""
CACHE_BYTES = 1 << 24
"""Packed queries that blocks work on at a time and still find in the second-level cache, beside the items."""
_PACKED = 32


@dataclass(frozen=True)
class Shape:
    """How the work is tiled: see search.cu."""

    warps_m: int
    warps_n: int
    groups_n: int
    depth: int
    stages: int
    resident: int

    @property
    def tile_m(self) -> int:
        """Queries of a tile."""
        return self.warps_m * 64

    @property
    def tile_n(self) -> int:
        """Items of a tile."""
        return self.warps_n * self.groups_n * 16

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * self.warps_m * self.warps_n

    @property
    def shared(self) -> int:
        """Bytes of shared memory that a launch asks for."""
        return 4 * self.stages * self.depth * (self.tile_m + self.tile_n)

    def kernel(self, name: str, room: int) -> Kernel:
        """A kernel compiled for this shape, with buffers for `room` candidates."""
        names = "WARPS_M", "WARPS_N", "GROUPS_N", "DEPTH", "STAGES", "RESIDENT"
        values = self.warps_m, self.warps_n, self.groups_n, self.depth, self.stages, self.resident
        return kernel("search", name, **dict(zip(names, values, strict=True)), ROOM=room)


SHAPE = Shape(2, 4, 2, 16, 2, 2)


@dataclass(frozen=True)
class Plan:
    """What a search of Q queries among N items of K numbers launches."""

    shape: Shape
    k: int
    waiting: int
    """Candidates that may wait before a buffer is cut."""
    depth: int
    """K, filled up to whole slices."""
    rows: int
    """Queries at a time: whole panels."""
    items: int
    """Items at a time: whole panels."""
    splits: int
    """Spans of items that blocks take apart, each with lists of its own."""

    @property
    def room(self) -> int:
        """Candidates that a buffer holds; few values, for each is compiled."""
        longest = max(32, 1 << (self.k - 1).bit_length())
        return 3 * longest + self.shape.tile_n


def plan(Q: int, N: int, K: int, k: int, shape: Shape = SHAPE, splits: int = 0, waiting: int = 0) -> Plan:
    """A plan for these sizes; `splits` and `waiting` are chosen where they are 0."""
    depth = -(-max(K, 1) // shape.depth) * shape.depth
    most = max(1, MERGED // k - 1)
    budget = _budget(4 * depth * (Q + N) + 8 * k * Q * 2)
    items = min(_whole(N, shape.tile_n), max(1, budget // (4 * depth * shape.tile_n)) * shape.tile_n)
    splits = min(splits or _splits(Q, items, depth, shape), most, items // shape.tile_n, -(-N // shape.tile_n))
    a_query = 4 * depth + 8 * k * (1 + splits)
    rows = min(_whole(Q, shape.tile_m), max(1, budget // (a_query * shape.tile_m)) * shape.tile_m)
    return Plan(shape, k, waiting or max(k + 44, 3 * k), depth, rows, items, splits)


def _whole(count: int, panel: int) -> int:
    return -(-count // panel) * panel


def _budget(wanted: int) -> int:
    """Bytes for packed items, and as many for packed queries and lists; the driver is asked only when it matters."""
    return MOST_BYTES if wanted < MOST_BYTES // 8 else min(MOST_BYTES, free_bytes() // 4)


def _splits(Q: int, N: int, depth: int, shape: Shape) -> int:
    """Spans of items; where the queries in work don't fit the second-level cache, blocks share them."""
    processors, panels, tiles = multiprocessors(), -(-Q // shape.tile_m), N // shape.tile_n
    shared = 4 * depth * shape.tile_m * processors * shape.resident > CACHE_BYTES
    return _evenest(panels, tiles, min(8, tiles) if shared else 1, processors)


@cache
def _evenest(panels: int, tiles: int, fewest: int, processors: int) -> int:
    """Spans that leave the fewest tiles to the busiest multiprocessor."""
    choices = range(fewest, max(fewest, min(tiles, 4 * processors)) + 1)
    return min(choices, key=lambda s: (-(-panels * s // processors) * (-(-tiles // s) + START_TILES), s))


@cache
def _blocks(shape: Shape, room: int, device: int) -> int:
    """Blocks that fill the device."""
    return multiprocessors() * max(1, shape.kernel("search", room).resident(shape.threads, shape.shared))


def search(queries: Array, items: Array, indptr: Array, exclude: Array, index: Array, score: Array, plan: Plan) -> None:
    """Fill `index` and `score` (Q, k), 0 < k <= MOST_K, from `queries` (Q, K) and `items` (N, K), Q and N above 0."""
    packed = pack(items, plan.items, plan.shape.tile_n, plan) if len(items) <= plan.items else None
    for start in range(0, len(queries), plan.rows):
        rows = slice(start, start + plan.rows)
        part = pack(queries[rows], plan.rows, plan.shape.tile_m, plan)
        lists = cupy.zeros((1 + plan.splits, len(index[rows]), plan.k), np.uint64)
        for first in range(0, len(items), plan.items):
            some = items[first : first + plan.items]
            there = pack(some, plan.items, plan.shape.tile_n, plan) if packed is None else packed
            _scan(part, there, first, len(some), indptr[start:], exclude, lists, plan)
            _merge(lists, first > 0, index[rows], score[rows])


def pack(table: Array, most: int, panel: int, plan: Plan) -> Array:
    """A table (n, K), n <= most, transposed in panels, and room behind it for what is fetched beyond the end."""
    (n, K), depth = table.shape, plan.depth
    rows = _whole(min(n, most), panel)
    out = empty(rows * depth + plan.shape.stages * plan.shape.depth * panel, np.float32)
    grid = rows // _PACKED, -(-depth // _PACKED)
    sizes = np.int64(n), np.int32(K), np.int32(panel), np.int32(depth)
    plan.shape.kernel("pack", plan.room).blocks(grid, 256, table, *sizes, out)
    return out


def _scan(
    queries: Array, items: Array, first: int, N: int, indptr: Array, exclude: Array, lists: Array, plan: Plan
) -> None:
    """The best of each span of N packed items, of which the first is item `first`."""
    shape, Q = plan.shape, lists.shape[1]
    units = -(-Q // shape.tile_m) * plan.splits
    blocks = min(units, _blocks(shape, plan.room, cupy.cuda.runtime.getDevice()))
    keys = empty(blocks * shape.tile_m * plan.room, np.uint64)
    numbers = map(np.int32, (N, plan.depth // shape.depth, plan.splits, plan.k, plan.waiting))
    shape.kernel("search", plan.room).blocks(
        blocks,
        shape.threads,
        *(queries, items, np.int32(Q), np.int64(first), *numbers, indptr, exclude, keys, lists),
        shared=shape.shared,
    )


def _merge(lists: Array, earlier: bool, index: Array, score: Array) -> None:
    """The best of all lists of each query, of the first only if `earlier` items left something there."""
    some = lists if earlier else lists[1:]
    sizes = map(np.int32, (lists.shape[1], len(some), lists.shape[2]))
    kernel("search", "merge_lists").blocks(lists.shape[1], 128, some, *sizes, lists, index, score)
