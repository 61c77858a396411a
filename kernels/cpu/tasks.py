"""Parts of a kernel side by side: products of BLAS on one thread each, and Numba without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from numba import config, get_num_threads, set_num_threads

from milk_np.kernels.blas import one_blas_thread

Part = TypeVar("Part")


def side_by_side(work: Callable[[Part], None], parts: Iterable[Part]) -> None:
    """`work` of every part, on as many threads as the kernels use; each part is one thread's alone."""
    with one_blas_thread():
        in_threads(work, parts)


def in_threads(work: Callable[[Part], None], parts: Iterable[Part]) -> None:
    """`side_by_side` of what calls no BLAS."""
    parts, threads = list(parts), get_num_threads()
    if threads == 1 or len(parts) < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts)), "milk-kernel") as pool:
        for _ in pool.map(work, parts):
            pass


@contextmanager
def threads_at_most(count: int) -> Iterator[None]:
    """Inside, the kernels that this thread calls use at most `count` threads."""
    before = get_num_threads()
    set_num_threads(max(1, min(count, int(config.NUMBA_NUM_THREADS))))
    try:
        yield
    finally:
        set_num_threads(before)


def row_parts(n: int, step: int) -> list[slice]:
    """Slices of `step` rows that cover `n`."""
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]
