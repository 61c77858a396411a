"""Kernels for processes that are forked: loaded once, in the process that forks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from milk_np.kernels import blas
from milk_np.kernels.cpu import disk_cache, parallel
from milk_np.models import registry

REMEMBERED = ((disk_cache, "place"), (blas, "openblas_pools"), (registry, "spellings"))
_USUAL = [getattr(module, name) for module, name in REMEMBERED]


@contextmanager
def without_threads() -> Iterator[None]:
    """Inside, kernels run in one thread, as in a forked process, which then finds them loaded."""
    before = parallel._Process.forked
    parallel._Process.forked = True
    try:
        yield
    finally:
        parallel._Process.forked = before


def ready() -> None:
    """Everything is loaded: forked processes needn't look for it again, nor collect what is here."""
    for module, name in REMEMBERED:
        if not hasattr(getattr(module, name), "cache_info"):
            setattr(module, name, cache(getattr(module, name)))
    gc.collect()
    gc.freeze()


def forget() -> None:
    """What `ready` remembers is looked for again: other tests share the process."""
    for (module, name), usual in zip(REMEMBERED, _USUAL, strict=True):
        setattr(module, name, usual)
    gc.unfreeze()
