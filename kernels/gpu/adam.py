"""Adam, for whole arrays and by rows (contract: kernels/reference/adam.py): one launch each."""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.kernels.gpu.launch import WARP, access, kernel, real, rows_kernel
from milk_np.kernels.reference.adam import rates

Array = Any


def adam(param: Array, grad: Array, first: Array, second: Array, lr: float, step: int) -> None:
    """One step on `param` in place."""
    kind = param.dtype.type
    size, epsilon = rates(lr, step)
    vec = access(0, param, grad, first, second)
    move = kernel("adam", "adam", REAL=real(kind), VEC=vec)
    count = param.size
    move.threads(-(-count // vec), param, grad, first, second, np.int64(count), kind(size), kind(epsilon))


def adam_rows(
    table: Array, grad: Array, first: Array, second: Array, seen: Array, rows: Array, lr: float, step: int
) -> None:
    """Step number `step` on the distinct rows `rows` of `table`."""
    kind, (n, K) = table.dtype.type, grad.shape
    size, epsilon = rates(lr, step)
    move, lanes = rows_kernel("adam", "adam_rows", K, table, grad, first, second)
    shape = np.int32(n), np.int32(K)
    scalars = kind(size), kind(epsilon), np.int64(step), lanes
    move.threads(n * int(lanes), table, grad, first, second, seen, rows, *shape, *scalars)


def adam_catch_up(table: Array, first: Array, second: Array, seen: Array, rows: Array, lr: float, step: int) -> None:
    """Bring the distinct rows `rows` of `table` to where dense Adam has them after `step` steps."""
    kind, n, K = table.dtype.type, len(rows), table.shape[1]
    decay = kernel("adam", "adam_catch_up", REAL=real(kind))
    scalars = np.int32(n), np.int32(K), kind(lr), np.int64(step)
    decay.threads(n * WARP, table, first, second, seen, rows, *scalars)
