"""Balanced axes of any model: its vectors cut to a width, by the scores of its own users and items."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import row_blocks
from milk_np.kernels.blas import one_blas_thread
from milk_np.models.base import Vectors
from milk_np.serving.axes import BalancedAxes
from milk_np.serving.ranking import Scorer

MOST = 1 << 14
"""Users and items, evenly spaced, whose vectors decide the axes."""


@one_blas_thread()
def axes_of(model: Scorer, n_users: int, n_items: int) -> BalancedAxes:
    """Axes for the vectors of a fitted `model` of so many users and items; the same ones whoever asks."""
    return BalancedAxes.of(_some(model.user_factors, n_users), _some(model.item_factors, n_items))


def _some(vectors: Callable[[NDArray[np.int32]], Vectors], n: int) -> Iterator[Vectors]:
    ids = np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(np.int32))
    for block in row_blocks(len(ids), 1):
        yield vectors(ids[block])
