"""The best k items of each query, without a table of scores: packed panels, products in registers, merged lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cupy
import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import Kernel, kernel, multiprocessors
from milk_np.kernels.gpu.memory import empty, free_bytes

MOST_K = 256
"""Longest lists: a warp holds a query's list in registers when it changes."""
MOST_BYTES = 1 << 29
"""Packed queries and lists at a time, and packed items; a quarter of what is free, where that is less."""
START_COST = 1200
"""Instructions of a warp for a query's first list, in addition to `4 depth` for its scores in a tile of 128 items."""
OVERHEAD_WARPS = 5
"""With w warps, a multiprocessor is as fast as w / (w + this)."""
TOLERANCE = 0.04
"""What a plan with fewer lists may take longer than the fastest."""
OWN_BYTES = 3 << 10
"""Maximum shared memory that a block takes in addition to what it requests."""
_PACKED = 32
_MERGING = 256


@dataclass(frozen=True)
class Shape:
    """How the work is tiled: see search.cu."""

    warps_m: int
    warps_n: int
    lanes_n: int
    groups_n: int
    depth: int
    stages: int
    resident: int
    held: bool

    @property
    def tile_m(self) -> int:
        """Queries of a tile."""
        return self.warps_m * 256 // self.lanes_n

    @property
    def tile_n(self) -> int:
        """Items of a tile."""
        return self.warps_n * self.lanes_n * self.groups_n * 4

    @property
    def warps(self) -> int:
        """Warps of a block."""
        return self.warps_m * self.warps_n

    def shared(self, depth: int) -> int:
        """Bytes of shared memory that a launch asks for, where vectors have `depth` numbers."""
        slices = self.stages * self.depth
        return 4 * (slices * self.tile_n + (depth if self.held else slices) * self.tile_m)

    def fits(self, depth: int, bytes_: int) -> bool:
        """Whether a multiprocessor with so many bytes of shared memory holds as many blocks as it should."""
        return self.resident * (self.shared(_whole(depth, self.depth)) + OWN_BYTES) <= bytes_

    def kernel(self, name: str, listed: int) -> Kernel:
        """A kernel compiled for this shape, with lists of 32 * listed keys."""
        names = "WARPS_M", "WARPS_N", "LANES_N", "GROUPS_N", "DEPTH", "STAGES", "RESIDENT"
        values = (getattr(self, each.lower()) for each in names)
        return kernel("search", name, **dict(zip(names, values, strict=True)), HELD=int(self.held), LISTED=listed)


# On an H100 with 1,024 numbers, 128 x 128 and 3 stages of 16 were fastest: 2 stages and 4 of 8 up to 3 % slower, 8 x 16
# scores a thread 5 to 10 %, spans made for the second-level cache up to 4 %. With 64 numbers barriers and lists cost a
# quarter: a panel of queries is held then, and a warp lists for its own queries alone. Smaller panels share few queries
# more evenly.
HELD = Shape(8, 1, 16, 2, 16, 3, 2, True)
SMALL = Shape(4, 1, 16, 2, 16, 3, 4, True)
SHALLOW = Shape(8, 1, 16, 2, 8, 3, 2, True)
WIDE = Shape(2, 4, 4, 2, 16, 3, 2, False)
LEAN = Shape(2, 4, 4, 2, 16, 2, 2, False)
CHOICES = (HELD, SMALL), (SHALLOW,), (WIDE,), (LEAN,)
"""Of the first of which a multiprocessor's shared memory has room for one, the fastest is taken; else the last."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search of Q queries among N items of K numbers launches."""

    shape: Shape
    k: int
    waiting: int
    """Candidates that may wait before they join the list."""
    depth: int
    """K, filled up to whole slices."""
    rows: int
    """Queries at a time: whole panels."""
    items: int
    """Items at a time: whole panels."""
    splits: int
    """Spans of items that blocks take apart, each with lists of its own."""

    @property
    def listed(self) -> int:
        """Keys of a list that a lane holds; few values, for each is compiled."""
        return _listed(self.k)

    @property
    def room(self) -> int:
        """Keys of a query in memory while a block works on it."""
        return 64 * self.listed + self.shape.tile_n

    def kernel(self, name: str) -> Kernel:
        """A kernel of this plan."""
        return self.shape.kernel(name, self.listed)


def plan(Q: int, N: int, K: int, k: int, shape: Shape | None = None, splits: int = 0, waiting: int = 0) -> SearchPlan:
    """A plan for these sizes; `shape`, `splits` and `waiting` are chosen where they are missing."""
    shapes = (shape,) if shape else _shapes(max(K, 1), shared_bytes())
    shape, best = _fastest(Q, N, max(K, 1), shapes, multiprocessors())
    depth = _whole(max(K, 1), shape.depth)
    budget = _budget(4 * depth * (Q + N) + 8 * k * Q * 2)
    items = min(_whole(N, shape.tile_n), max(1, budget // (4 * depth * shape.tile_n)) * shape.tile_n)
    splits = min(splits or best, items // shape.tile_n)
    a_query = 4 * depth + 8 * k * (1 + splits)
    rows = min(_whole(Q, shape.tile_m), max(1, budget // (a_query * shape.tile_m)) * shape.tile_m)
    return SearchPlan(shape, k, min(waiting or 16 * _listed(k), 32 * _listed(k)), depth, rows, items, splits)


def _listed(k: int) -> int:
    return 1 << (-(-k // 32) - 1).bit_length()


def _shapes(K: int, bytes_: int) -> tuple[Shape, ...]:
    """Shapes to choose from for vectors of K numbers."""
    fitting = (tuple(shape for shape in shapes if shape.fits(K, bytes_)) for shapes in CHOICES)
    return next(filter(None, fitting), CHOICES[-1])


@cache
def _fastest(Q: int, N: int, K: int, shapes: tuple[Shape, ...], processors: int) -> tuple[Shape, int]:
    """The shape and the spans of items: the fewest that should take almost the least time, for lists need memory."""
    spans = range(1, min(-(-N // min(shape.tile_n for shape in shapes)), 4 * processors) + 1)
    costs = {(shape, count): _cost(Q, N, K, shape, count, processors) for count in spans for shape in shapes}
    least = min(costs.values())
    return next(choice for choice, cost in costs.items() if cost <= (1 + TOLERANCE) * least)


def _cost(Q: int, N: int, K: int, shape: Shape, splits: int, processors: int) -> float:
    """What the busiest multiprocessor has to do, at the speed that its warps allow. In a span some tiles more are paid
    for until its lists are of use."""
    units = -(-Q // shape.tile_m) * splits
    waves = -(-units // (processors * shape.resident))
    at_once = min(shape.resident, -(-units // processors))
    span = -(-N // (splits * shape.tile_n)) * shape.tile_n / 128 + START_COST / (4 * K)
    warps = at_once * shape.warps
    return waves * at_once * shape.tile_m * span * (warps + OVERHEAD_WARPS) / warps


def _whole(count: int, panel: int) -> int:
    return -(-count // panel) * panel


def _budget(wanted: int) -> int:
    """Bytes for packed items, and as many for packed queries and lists; the driver is asked only when it matters."""
    return MOST_BYTES if wanted < MOST_BYTES // 8 else min(MOST_BYTES, free_bytes() // 4)


@cache
def _shared_bytes(device: int) -> int:
    runtime = cupy.cuda.runtime
    return int(runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerMultiprocessor, device))


def shared_bytes() -> int:
    """Shared memory of a multiprocessor of the current device."""
    return _shared_bytes(cupy.cuda.runtime.getDevice())


@cache
def _blocks(shape: Shape, listed: int, depth: int, device: int) -> int:
    """Blocks that fill the device."""
    threads, shared = 32 * shape.warps, shape.shared(depth)
    return multiprocessors() * max(1, shape.kernel("search", listed).resident(threads, shared))


def search(
    queries: Array, items: Array, indptr: Array, exclude: Array, index: Array, score: Array, plan: SearchPlan
) -> None:
    """Fill `index` and `score` (Q, k), 0 < k <= MOST_K, from `queries` (Q, K) and `items` (N, K), Q and N above 0."""
    packed = pack(items, plan.items, plan.shape.tile_n, plan) if len(items) <= plan.items else None
    for start in range(0, len(queries), plan.rows):
        rows = slice(start, start + plan.rows)
        part = pack(queries[rows], plan.rows, plan.shape.tile_m, plan)
        lists = empty((1 + plan.splits, len(index[rows]), plan.k), np.uint64)
        for first in range(0, len(items), plan.items):
            some = items[first : first + plan.items]
            there = pack(some, plan.items, plan.shape.tile_n, plan) if packed is None else packed
            _scan(part, there, first, len(some), indptr[start:], exclude, lists, plan)
            _merge(lists, first > 0, index[rows], score[rows], plan)


def pack(table: Array, most: int, panel: int, plan: SearchPlan) -> Array:
    """A table (n, K), n <= most, transposed in panels, and room behind it for what is fetched beyond the end."""
    (n, K), depth = table.shape, plan.depth
    rows = _whole(min(n, most), panel)
    out = empty(rows * depth + plan.shape.stages * plan.shape.depth * panel, np.float32)
    grid = rows // _PACKED, -(-depth // _PACKED)
    sizes = np.int64(n), np.int32(K), np.int32(panel), np.int32(depth)
    plan.kernel("pack").blocks(grid, 256, table, *sizes, out)
    return out


def _scan(
    queries: Array, items: Array, first: int, N: int, indptr: Array, exclude: Array, lists: Array, plan: SearchPlan
) -> None:
    """The best of each span of N packed items, of which the first is item `first`."""
    shape, Q = plan.shape, lists.shape[1]
    units = -(-Q // shape.tile_m) * plan.splits
    blocks = min(units, _blocks(shape, plan.listed, plan.depth, cupy.cuda.runtime.getDevice()))
    keys = empty(blocks * shape.tile_m * plan.room, np.uint64)
    numbers = map(np.int32, (N, plan.depth // shape.depth, plan.splits, plan.k, plan.waiting))
    plan.kernel("search").blocks(
        blocks,
        32 * shape.warps,
        *(queries, items, np.int32(Q), np.int64(first), *numbers, indptr, exclude, keys, lists),
        shared=shape.shared(plan.depth),
    )


def _merge(lists: Array, earlier: bool, index: Array, score: Array, plan: SearchPlan) -> None:
    """The best of all lists of each query, of the first only if `earlier` items left something there."""
    some = lists if earlier else lists[1:]
    sizes = map(np.int32, (lists.shape[1], len(some), plan.k))
    queries = _MERGING // 32
    plan.kernel("merge_lists").blocks(-(-lists.shape[1] // queries), _MERGING, some, *sizes, lists, index, score)
