"""Adam (Kingma and Ba 2015), for whole arrays and for the rows of a table of which few are touched in a step."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats, Ints

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-8


def rates(lr: float, step: int) -> tuple[float, float]:
    """Step size with both bias corrections, and the epsilon that goes with it, at `step` (counted from 1).

    lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) = size * m / (sqrt(v) + epsilon).
    """
    root = float(np.sqrt(1 - BETA2**step))
    return lr * root / (1 - BETA1**step), EPSILON * root


def adam(param: Floats, grad: Floats, first: Floats, second: Floats, lr: float, step: int) -> None:
    """One step on `param` in place, with the moments `first` and `second` of the same shape; `step` counts from 1."""
    size, epsilon = (param.dtype.type(x) for x in rates(lr, step))
    kind = param.dtype.type
    first *= kind(BETA1)
    first += kind(1 - BETA1) * grad
    second *= kind(BETA2)
    second += kind(1 - BETA2) * grad * grad
    param -= size * first / (np.sqrt(second) + epsilon)


def adam_catch_up(table: Floats, first: Floats, second: Floats, seen: Ints, rows: Ints, lr: float, step: int) -> None:
    """Bring the distinct rows `rows` of `table` to where dense Adam has them after `step` steps.

    `seen` (U) is the last step applied to each row. A step without a gradient still moves a row by its decaying
    moments; the missed moves are applied here, the same operations in the same order as `adam` with a zero gradient.
    They only shrink (0.9^k), so from the first one that no longer changes the row, only the moments keep decaying.
    """
    kind = table.dtype.type
    for row in rows:
        for t in range(int(seen[row]) + 1, step + 1):
            size, epsilon = (kind(x) for x in rates(lr, t))
            first[row] *= kind(BETA1)
            second[row] *= kind(BETA2)
            moved = table[row] - size * first[row] / (np.sqrt(second[row]) + epsilon)
            if np.array_equal(moved, table[row]):
                first[row] *= kind(BETA1 ** (step - t))
                second[row] *= kind(BETA2 ** (step - t))
                break
            table[row] = moved
        seen[row] = max(int(seen[row]), step)


def adam_rows(
    table: Floats, grad: Floats, first: Floats, second: Floats, seen: Ints, rows: Ints, lr: float, step: int
) -> None:
    """Step number `step` on the distinct rows `rows` (n) of `table`, with their gradients `grad` (n, K).

    The rows must be at `step - 1` (`adam_catch_up`); all others stay unchanged.
    """
    p, m, v = table[rows], first[rows], second[rows]
    adam(p, grad, m, v, lr, step)
    table[rows], first[rows], second[rows] = p, m, v
    seen[rows] = step
