"""Variants of the GPU's search for the best items: `python benchmarks/gpu_topk.py [--quick] [--only WORD]`.

Every variant is checked first: on some of the queries its lists equal, bit for bit, those from a table of scores, and
the scores agree with float64. Then each is timed between events on the device, inputs and results in its memory.
Prints milliseconds, TFLOP/s (a multiplication and an addition count as two) and the share of the card's float32 peak.
On an emulator it checks tiny sizes and ends with exit code 5, for there is nothing to time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from milk_np.backends import select as devices

NO_DEVICE = 5
LANES = 128
"""Float32 multiply-adds of a multiprocessor in a cycle."""
K_BEST = 20
CHECKED = 300
SLAB = 16_384
"""Queries of the vendor's product, whose scores take 4 N bytes each."""
SIZES = {"narrow": (100_000, 100_000, 64), "wide": (33_792, 100_000, 1024), "few items": (19_445, 1_410, 64)}
QUICK = {"narrow": (200, 600, 64), "wide": (200, 300, 130), "few items": (90, 141, 64)}
FULL = "wide, all queries", (100_000, 100_000, 1024)
ROUNDS = 3
SHAPES = {  # warps along queries, items; lanes along items, groups of 4 items a thread; depth, stages, blocks; held
    "chosen": (),
    "held 128x128x16, 3 stages": (8, 1, 16, 2, 16, 3, 2, True),
    "held 128x128x16, 2 stages": (8, 1, 16, 2, 16, 2, 2, True),
    "held 128x128x32, 2 stages": (8, 1, 16, 2, 32, 2, 2, True),
    "held 128x128x64, 2 stages": (8, 1, 16, 2, 64, 2, 2, True),
    "held 64x128x16, 128 threads": (4, 1, 16, 2, 16, 3, 4, True),
    "held 64x128x32, 128 threads": (4, 1, 16, 2, 32, 2, 4, True),
    "held 32x128x16, 64 threads": (2, 1, 16, 2, 16, 2, 8, True),
    "held, warps of 32x64": (4, 2, 8, 2, 16, 3, 2, True),
    "held, warps of 64x32": (2, 4, 4, 2, 16, 3, 2, True),
    "warps of 64x32, 3 stages": (2, 4, 4, 2, 16, 3, 2, False),
    "warps of 64x32, 2 stages": (2, 4, 4, 2, 16, 2, 2, False),
    "warps of 64x32, depth 8": (2, 4, 4, 2, 8, 4, 2, False),
    "warps of 64x32, depth 32": (2, 4, 4, 2, 32, 3, 2, False),
    "warps of 16x128, 3 stages": (8, 1, 16, 2, 16, 3, 2, False),
    "warps of 64x64": (2, 2, 4, 4, 16, 3, 2, False),
}
COMPARED: dict[str, tuple[tuple[str, dict[str, int]], ...]] = {  # beginnings of names, and options of the plan
    "narrow": (("chosen", {}), ("held", {}), ("warps of 64x32, 3", {}), ("warps of 16x128", {})),
    "wide": (("chosen", {}), ("warps", {}), ("warps of 64x32, 3", {"splits": 2})),
    "few items": (("chosen", {}), ("held", {}), ("warps of 64x32, 3", {}), ("held 64x128x16", {"splits": 2})),
}
WAITING = {"narrow": (8, 24, 32), "few items": (8, 24, 32)}


@dataclass(frozen=True)
class Variant:
    """A tile and what is asked of its plan."""

    tile: str
    options: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it is printed."""
        return ", ".join([self.tile, *(f"{key} {value}" for key, value in self.options.items())])

    def plan(self, Q: int, N: int, K: int) -> Any:
        """The plan for these sizes."""
        from milk_np.kernels.gpu import search

        shape = search.Shape(*SHAPES[self.tile]) if SHAPES[self.tile] else None
        return search.plan(Q, N, K, K_BEST, shape=shape, **self.options)


class Problem:
    """Vectors on the device, and the lists of the first queries from a table of scores."""

    def __init__(self, Q: int, N: int, K: int) -> None:
        import cupy

        rng = np.random.default_rng(0)
        self.queries, self.items = (cupy.asarray(rng.standard_normal((n, K), dtype=np.float32)) for n in (Q, N))
        self.size = Q, N, K
        self.found = cupy.full((Q, K_BEST), -1, np.int32), cupy.full((Q, K_BEST), -np.inf, np.float32)
        self.nothing = cupy.zeros(Q + 1, np.int64), cupy.zeros(0, np.int32)
        self.expected = self._by_table()

    def _by_table(self) -> list[np.ndarray]:
        from milk_np.kernels.gpu import topk

        found = [array[:CHECKED].copy() for array in self.found]
        topk.by_table(self.queries[:CHECKED], self.items, *self.nothing, *found)
        index, score = (array.get() for array in found)
        exact = np.einsum("qk,qjk->qj", *(x.astype(np.float64) for x in self._vectors(index)))
        if (gap := np.abs(score - exact).max()) > 1e-5 * self.size[2]:
            raise RuntimeError(f"scores differ from float64 by {gap}")
        return [index, score]

    def _vectors(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.queries[: len(index)].get(), self.items.get()[index]

    def search(self, variant: Variant) -> None:
        """Fill `found`."""
        from milk_np.kernels.gpu import search

        search.search(self.queries, self.items, *self.nothing, *self.found, variant.plan(*self.size))

    def check(self, variant: Variant) -> None:
        """Raise RuntimeError where lists differ from the table's."""
        for array in self.found:
            array.fill(0)
        self.search(variant)
        for mine, expected in zip(self.found, self.expected, strict=True):
            if not np.array_equal(mine[: len(expected)].get(), expected):
                raise RuntimeError(f"{variant.name}: lists differ from those of the table of scores")


def main(arguments: list[str] | None = None) -> int:
    """Check, then time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--only", default="", help="sizes whose name holds this word")
    chosen = parser.parse_args(arguments)
    if (problem := devices.gpu_problem()) is not None:
        print(f"benchmarks/gpu_topk.py: no GPU to measure: {problem}", file=sys.stderr)
        return NO_DEVICE
    emulated = "cupy_on_cpu" in sys.modules
    compile_all()
    for title, size in (QUICK if chosen.quick or emulated else SIZES).items():
        if chosen.only in title:
            report(title, Problem(*size), list(variants(title)))
    if emulated:
        return NO_DEVICE
    if chosen.only in FULL[0] and not chosen.quick:
        report(FULL[0], Problem(*FULL[1]), [Variant("chosen")])
    return 0


def variants(title: str) -> Iterator[Variant]:
    """What is compared at these sizes."""
    for start, options in COMPARED[title]:
        yield from (Variant(name, options) for name in SHAPES if name.startswith(start))
    yield from (Variant("chosen", {"waiting": count}) for count in WAITING.get(title, ()))


def compile_all() -> None:
    """Compile every shape, as many at a time as the host allows, and say what a multiprocessor holds of it."""
    import cupy

    cupy.zeros(1)
    with ThreadPoolExecutor() as pool:
        list(pool.map(occupancy, filter(SHAPES.get, SHAPES)))
    for name in filter(SHAPES.get, SHAPES):
        print(f"{name}: {occupancy(name)}", flush=True)


def occupancy(name: str) -> str:
    """Registers of a thread and blocks that a multiprocessor holds, for vectors of 64 numbers."""
    plan = Variant(name).plan(1, 1, 64)
    kernel, shape = plan.kernel("search"), plan.shape
    blocks = kernel.resident(32 * shape.warps, shape.shared(plan.depth))
    return f"{kernel.registers} registers, {blocks} blocks a multiprocessor"


def report(title: str, problem: Problem, compared: list[Variant]) -> None:
    """Check and time the variants of one size, and the products alone as the vendor's library computes them."""
    Q, N, K = problem.size
    print(f"\n{title}: {Q:,} queries x {N:,} items, {K} numbers, the best {K_BEST}", flush=True)
    for variant in compared:
        problem.check(variant)
        if "cupy_on_cpu" in sys.modules:
            print(f"{variant.name}: checked", flush=True)
            continue
        show(variant.name, seconds(lambda chosen=variant: problem.search(chosen)), problem)
    if "cupy_on_cpu" not in sys.modules:
        show("the vendor's product, no lists", seconds(product(problem)), problem, min(Q, SLAB))


def product(problem: Problem) -> Callable[[], Any]:
    """All scores of the first queries."""
    import cupy

    some = problem.queries[:SLAB]
    out = cupy.empty((len(some), len(problem.items)), np.float32)
    cupy.matmul(some, problem.items.T, out=out)
    return lambda: cupy.matmul(some, problem.items.T, out=out)


def seconds(call: Callable[[], Any]) -> list[float]:
    """Seconds between two events, call by call."""
    import cupy

    taken = []
    for _ in range(ROUNDS):
        before, after = cupy.cuda.Event(), cupy.cuda.Event()
        before.record()
        call()
        after.record()
        after.synchronize()
        taken.append(cupy.cuda.get_elapsed_time(before, after) / 1000)
    return taken


def show(name: str, taken: list[float], problem: Problem, queries: int = 0) -> None:
    """A line for a variant: its times, and what the shortest makes of the card."""
    Q, N, K = problem.size
    rate = 2.0 * (queries or Q) * N * K / min(taken)
    text = " ".join(f"{1000 * each:.3f}" for each in taken)
    print(f"{name:45} ms {text}   {rate / 1e12:5.1f} TFLOP/s = {rate / peak():.0%} of the peak", flush=True)


def peak() -> float:
    """Float32 operations a second at the highest clock."""
    import cupy

    from milk_np.kernels.gpu.launch import multiprocessors

    runtime = cupy.cuda.runtime
    kilohertz = runtime.deviceGetAttribute(runtime.cudaDevAttrClockRate, runtime.getDevice())
    return 2.0 * LANES * multiprocessors() * 1000 * max(kilohertz, 1)


if __name__ == "__main__":
    sys.exit(main())
