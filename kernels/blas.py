"""Limit BLAS to one thread for a while.

NumPy and SciPy each come with an OpenBLAS that has its own threads. In a sequence of many small factorisations, the
threads of one wait for cores held by those of the other, which is ten or more times slower on a busy machine. The
order of the sums, and so the last bits, also depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Pool = tuple[Callable[[], int], Callable[[int], Any]]
_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "_64", "")


class _Limit:
    """How many callers, in all Python threads, want one BLAS thread: the first sets it, the last restores it."""

    def __init__(self) -> None:
        self._lock, self._callers = threading.Lock(), 0
        self._before: list[tuple[Callable[[int], Any], int]] = []
        self._pools: list[Pool] = []
        self._modules = 0

    def _loaded(self) -> list[Pool]:
        """The pools, looked for again when modules were imported: a library comes with one. Steps call this often."""
        if len(sys.modules) != self._modules:
            self._pools, self._modules = openblas_pools(), len(sys.modules)
        return self._pools

    def enter(self) -> None:
        with self._lock:
            self._callers += 1
            if self._callers == 1:
                pools = self._loaded()
                self._before = [(limit, get()) for get, limit in pools]
                for _, limit in pools:
                    limit(1)

    def leave(self) -> None:
        with self._lock:
            self._callers -= 1
            if self._callers == 0:
                for limit, count in self._before:
                    limit(count)


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, every OpenBLAS that is found uses one thread; other BLAS libraries are left as they are."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


def openblas_pools(maps: Path = Path("/proc/self/maps")) -> list[Pool]:
    """Functions that read and set the number of threads of every loaded OpenBLAS; none without `maps`, as on macOS."""
    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    paths = dict.fromkeys(line.split(maxsplit=5)[-1] for line in lines if "openblas" in line)
    return [pool for path in paths if (pool := _pool(path)) is not None]


def _pool(path: str) -> Pool | None:
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
            limit = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
            if get is not None and limit is not None:
                return get, limit
    return None
