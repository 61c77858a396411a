"""What idle threads do; settled before OpenMP starts, so this file loads nothing."""

from __future__ import annotations

import os


def let_idle_threads_sleep() -> None:
    """Have idle OpenMP threads sleep soon: spinning on, they would starve BLAS. Nothing where the user chose a policy.

    They spin 10,000 times first, a tenth of a millisecond or so, which takes them from one kernel of a step to the
    next: waking a thread takes longer than the smaller kernels do. It has to be settled before the threads start.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
