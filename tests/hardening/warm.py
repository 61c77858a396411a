"""Kernels for processes that are forked: loaded once, in the process that forks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from milk_np.kernels.cpu import parallel


@contextmanager
def without_threads() -> Iterator[None]:
    """Inside, kernels run in one thread, as in a forked process, which then finds them loaded."""
    before = parallel._Process.forked
    parallel._Process.forked = True
    try:
        yield
    finally:
        parallel._Process.forked = before
