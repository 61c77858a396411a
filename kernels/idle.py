"""What idle threads do; set before OpenMP starts, so this file imports nothing heavy."""

from __future__ import annotations

import os


def let_idle_threads_sleep() -> None:
    """Let idle OpenMP threads sleep soon, since spinning ones would starve BLAS. A policy set by the user is kept.

    They spin 10,000 times first, about a tenth of a millisecond, which bridges the gap between two kernels of a step:
    waking a thread takes longer than the smaller kernels do. This has to be set before the threads start.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
