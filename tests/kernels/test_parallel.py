"""Kernels in a process that was forked after they were used, and from several threads without OpenMP."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from milk_np.kernels import cpu
from milk_np.kernels.cpu.parallel import Guarded

FORKED = """
import os, sys
import numpy as np
from milk_np.kernels import cpu
rng = np.random.default_rng(0)
users, items = rng.standard_normal((200, 24), np.float32), rng.standard_normal((3000, 24), np.float32)
def lists():
    return cpu.top_k(users, items, 7, None, None)
before = lists()
child = os.fork()
if child == 0:
    after = lists()
    os._exit(0 if all(np.array_equal(a, b) for a, b in zip(before, after)) else 5)
status = os.waitpid(child, 0)[1]
again = lists()
print(status, all(np.array_equal(a, b) for a, b in zip(before, again)))
"""

THREADS = """
import threading
import numpy as np
from milk_np.kernels import cpu
rng = np.random.default_rng(0)
users, items = rng.standard_normal((64, 8), np.float32), rng.standard_normal((500, 8), np.float32)
wrong, start = [], threading.Barrier(4)
def work():
    start.wait()
    for _ in range(50):
        found = cpu.top_k(users, items, 5, None, None)[0]
        if found.min() < 0:
            wrong.append(found)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import numba
print(numba.threading_layer(), len(wrong))
"""


def output(program: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_a_forked_process_gives_the_same_lists(layer: str) -> None:
    assert output(FORKED, NUMBA_THREADING_LAYER=layer) == "0 True"


def test_threads_without_openmp_take_turns() -> None:
    assert output(THREADS, NUMBA_THREADING_LAYER="workqueue") == "workqueue 0"


def test_every_parallel_kernel_has_a_guard_that_passes_for_it() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith(cpu.__name__)]
    unguarded = [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if not isinstance(value, Guarded) and getattr(value, "targetoptions", {}).get("parallel")
    ]
    assert unguarded == []
    assert isinstance(cpu.margins, Guarded)
    assert inspect.signature(cpu.margins) == inspect.signature(cpu.margins.py_func)
