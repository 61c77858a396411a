"""The share of a positive among candidates, by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints


def nce(
    scores: Floats,
    temperature: float,
    positive: Ints,
    mask: NDArray[np.bool_] | None,
    slope: Floats,
    values: Floats,
) -> None:
    """`values` (B) = log sum_n e^(scores_tn / temperature) - scores_tp / temperature, of `scores` (B, N), N > 0.

    The positive p of row t is `positive[t]`; `mask` (B, N), true there, is false for candidates to leave out. `slope`
    (B, N) is the gradient by scores / temperature; it may be `scores` itself. The candidates beside the positive are
    summed separately: a loss near 0 and its slope keep all their digits.
    """
    at: Any = np.arange(len(scores)), positive
    np.divide(scores, scores.dtype.type(temperature), out=slope)
    if mask is not None:
        slope[~mask] = np.finfo(slope.dtype).min / 2
    top = slope.max(axis=1)
    gap = top - slope[at]
    slope -= top[:, None]
    np.exp(slope, out=slope)
    own = slope[at]
    slope[at] = 0
    rest = slope.sum(axis=1)
    total = rest + own
    slope /= total[:, None]
    slope[at] = -rest / total
    values[...] = np.where(gap == 0, np.log1p(rest), np.log(total) + gap)
