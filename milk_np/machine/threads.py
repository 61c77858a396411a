"""How many threads to use, set before NumPy and Numba load.

BLAS and OpenMP read their environment once, when they load, so a command has to call `prepare` first. This
module imports nothing heavy for that reason.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from milk_np.errors import SettingsError
from milk_np.kernels.idle import let_idle_threads_sleep
from milk_np.machine.cgroup import cgroup_cores
from milk_np.ranks.launch import launched_here
from milk_np.settings.toml import read_toml

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
LAYERS = ("default", "safe", "forksafe", "threadsafe", "tbb", "omp", "workqueue")
"""Values of NUMBA_THREADING_LAYER that Numba knows."""


def prepare(argv: Sequence[str] = ()) -> int:
    """Set the thread variables from `--threads` (or the file of `--config`); return the number of threads.

    A requested number replaces the environment's; otherwise only missing variables are set.
    If Numba is already running, as when a command is called from Python, its threads can only be reduced.
    """
    let_idle_threads_sleep()
    asked, numba = requested(argv), sys.modules.get("numba")
    if numba is not None:
        return _limit_running(numba, asked)
    for variable in VARIABLES:
        if asked:
            os.environ[variable] = str(asked)
        else:
            os.environ.setdefault(variable, str(own_cores()))
    return asked or own_cores()


def check_environment() -> None:
    """Raises SettingsError for values of Numba's variables with which no kernel can run."""
    count, layer = os.environ.get("NUMBA_NUM_THREADS", "1"), os.environ.get("NUMBA_THREADING_LAYER", "default")
    if not count.isdecimal() or int(count) < 1:
        raise SettingsError(f"NUMBA_NUM_THREADS: expected a whole number of at least 1, got {count!r}; unset it")
    if layer not in LAYERS:
        raise SettingsError(f"NUMBA_THREADING_LAYER: expected one of {', '.join(LAYERS)}; got {layer!r}; unset it")
    if layer == "tbb" and not _has_tbb():
        raise SettingsError("NUMBA_THREADING_LAYER: got 'tbb', which isn't installed; pip install tbb, or unset it")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise SettingsError("NUMBA_DISABLE_JIT: kernels can't run without Numba's compiler; unset it")


def _has_tbb() -> bool:
    try:
        import_module("numba.np.ufunc.tbbpool")
    except ImportError:
        return False
    return True


def _limit_running(numba: Any, asked: int) -> int:
    most = int(numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(min(asked or most, most))
    return int(numba.get_num_threads())


def requested(argv: Sequence[str]) -> int:
    """The number of threads that a command line or its configuration file requests; 0 if neither does.

    Mistakes are left to the parser, which reports them.
    """
    text = last_value(argv, "--threads")
    if text is None:
        text = _threads_in_file(last_value(argv, "--config"))
    return int(text) if text is not None and text.isdecimal() else 0


def allowed_cores() -> int:
    """Cores that this process may use: its affinity (macOS has none), limited by the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cgroup_cores())))


def own_cores() -> int:
    """This process's part of those cores, where a launcher started several processes on the machine."""
    return max(1, allowed_cores() // launched_here())


def last_value(argv: Sequence[str], name: str) -> str | None:
    """The value of the last `name` on a command line that hasn't been parsed yet."""
    value = None
    for at, part in enumerate(argv):
        if part == name and at + 1 < len(argv):
            value = argv[at + 1]
        elif part.startswith(f"{name}="):
            value = part.partition("=")[2]
    return value


def _threads_in_file(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return str(read_toml(path).get("threads", ""))
    except SettingsError:
        return None
