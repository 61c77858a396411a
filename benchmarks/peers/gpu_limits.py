"""What the card does at best: operations of a large product and bytes of a large copy, both in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy


def best_seconds(call: Callable[[], Any], rounds: int = 10) -> float:
    """Shortest time of a call between two events, after a warm-up."""
    call()
    taken = []
    for _ in range(rounds):
        before, after = cupy.cuda.Event(), cupy.cuda.Event()
        before.record()
        call()
        after.record()
        after.synchronize()
        taken.append(cupy.cuda.get_elapsed_time(before, after) / 1000)
    return min(taken)


def products_per_second(n: int = 8192) -> float:
    """Operations (a multiplication and an addition count as two) per second of an n x n product."""
    a, b, out = (cupy.ones((n, n), cupy.float32) for _ in range(3))
    return 2.0 * n**3 / best_seconds(lambda: cupy.matmul(a, b, out=out))


def bandwidth(size: int = 1 << 28) -> float:
    """Bytes per second of a copy of `size` numbers, read and written."""
    a, b = (cupy.ones(size, cupy.float32) for _ in range(2))
    return 2.0 * a.nbytes / best_seconds(lambda: cupy.copyto(b, a))
