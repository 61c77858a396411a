"""The share of a positive among candidates (contract: kernels/reference/contrast.py): NumPy on what the caches hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints
from milk_np.kernels.cpu.tasks import in_threads, row_parts
from milk_np.kernels.reference import contrast

PART = 1 << 17
"""Numbers of a part: it passes through the second level of the caches about ten times."""
SMALL = 1 << 20
"""Fewer numbers are not worth waking threads for."""


def nce(
    scores: Floats,
    temperature: float,
    positive: Ints,
    mask: NDArray[np.bool_] | None,
    slope: Floats,
    values: Floats,
) -> None:
    """Parts of rows side by side."""

    def part(rows: slice) -> None:
        own = None if mask is None else mask[rows]
        contrast.nce(scores[rows], temperature, positive[rows], own, slope[rows], values[rows])

    parts = row_parts(len(scores), max(1, PART // scores.shape[1]))
    if scores.size < SMALL:
        for rows in parts:
            part(rows)
    else:
        in_threads(part, parts)
