"""Parallel kernels where threads can't be had: in a process that was forked, and without OpenMP.

GNU OpenMP ends a process that was forked after its threads were used; Numba's own threads ("workqueue"), its choice
where there is no OpenMP, abort when two threads of Python come at a time. So a forked process runs each kernel in one
thread, and such threads take turns.
"""

from __future__ import annotations

import os
import threading
from functools import cached_property, update_wrapper
from types import ModuleType
from typing import Any

import numba
from numba.np.ufunc import parallel

from milk_np.kernels.cpu.disk_cache import own_folder


class _Process:
    """What is known of this process."""

    forked = False
    """Whether its threads were lost: it was forked when they had been started."""
    turn = threading.RLock()


def _after_fork() -> None:
    _Process.forked = _Process.forked or parallel._is_initialized
    _Process.turn = threading.RLock()  # a thread that is no more may have held it
    _own_locks()


def _own_locks() -> None:
    """Locks of this process around the start of Numba's threads.

    Numba shares one among all processes that are forked, and takes it at every call that asks for threads: where one of
    them was killed that held it, all that are forked later would wait for ever.
    """
    if parallel._backend_init_process_lock is not None:
        parallel._backend_init_process_lock = threading.RLock()
    parallel._backend_init_thread_lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class Guarded:
    """A parallel kernel that can be called everywhere. It passes for the kernel, also in compiled code."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        update_wrapper(self, kernel.py_func)

    def __call__(self, *arguments: Any) -> Any:
        """Call the kernel. The first call is alone too: it starts the threads."""
        if _Process.forked:
            return self._alone(*arguments)
        if parallel._threading_layer in (None, "workqueue"):
            with _Process.turn:
                return self.kernel(*arguments)
        return self.kernel(*arguments)

    @cached_property
    def _alone(self) -> Any:
        """The same kernel for one thread, with a cache of its own."""
        options = {name: value for name, value in self.kernel.targetoptions.items() if name not in _OWN}
        with own_folder("one-thread"):
            return numba.njit(cache=True, **options)(self.kernel.py_func)

    def __getattr__(self, name: str) -> Any:
        if name == "kernel":  # not there yet
            raise AttributeError(name)
        return getattr(self.kernel, name)


_OWN = ("parallel", "nopython", "cache")


def guard(modules: list[ModuleType]) -> None:
    """Put a guard before every parallel kernel in `modules`, the same one wherever it was imported."""
    guards: dict[int, Guarded] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if getattr(value, "targetoptions", {}).get("parallel") and not isinstance(value, Guarded):
                setattr(module, name, guards.setdefault(id(value), Guarded(value)))
