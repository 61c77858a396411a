"""Adam, for whole arrays and by rows (contract: kernels/reference/adam.py): one launch each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import WARP, access, kernel, real, rows_kernel
from milk_np.kernels.reference.adam import rates


class Tick(NamedTuple):
    """A step's number, `count` + `ahead`, and its rates in device memory, so that no argument of a launch changes."""

    count: Array  # (1) int64
    rates: Array  # (2) step size and epsilon, of the parameters' type
    ahead: int


def adam(param: Array, grad: Array, first: Array, second: Array, lr: float, step: int | Tick) -> None:
    """One step on `param` in place."""
    kind = param.dtype.type
    vec = access(0, param, grad, first, second)
    move = kernel("adam", "adam", REAL=real(kind), VEC=vec)
    count = param.size
    move.threads(-(-count // vec), param, grad, first, second, np.int64(count), *_rates(kind, lr, step))


def adam_rows(
    table: Array, grad: Array, first: Array, second: Array, seen: Array, rows: Array, lr: float, step: int | Tick
) -> None:
    """Step number `step` on the distinct rows `rows` of `table`."""
    kind, (n, K) = table.dtype.type, grad.shape
    move, lanes = rows_kernel("adam", "adam_rows", K, table, grad, first, second)
    shape = np.int32(n), np.int32(K)
    scalars = *_rates(kind, lr, step), *_number(step), lanes
    move.threads(n * int(lanes), table, grad, first, second, seen, rows, *shape, *scalars)


def adam_catch_up(
    table: Array, first: Array, second: Array, seen: Array, rows: Array, lr: float, step: int | Tick
) -> None:
    """Bring the distinct rows `rows` of `table` to where dense Adam has them after `step` steps."""
    kind, n, K = table.dtype.type, len(rows), table.shape[1]
    decay = kernel("adam", "adam_catch_up", REAL=real(kind))
    scalars = np.int32(n), np.int32(K), kind(lr), *_number(step)
    decay.threads(n * WARP, table, first, second, seen, rows, *scalars)


NOTHING = np.intp(0)
"""No pointer."""


def _rates(kind: Any, lr: float, step: int | Tick) -> tuple[Any, Any, Any]:
    """Step size, epsilon and where else to read them."""
    if isinstance(step, Tick):
        return kind(0), kind(0), step.rates
    size, epsilon = rates(lr, step)
    return kind(size), kind(epsilon), NOTHING


def _number(step: int | Tick) -> tuple[np.int64, Any]:
    """The step's number, and where to read what is to be added to it."""
    return (np.int64(step.ahead), step.count) if isinstance(step, Tick) else (np.int64(step), NOTHING)
