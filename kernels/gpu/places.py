"""Where items stand in the order of a user's scores (contract: kernels/reference/places.py): one launch."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import WARP, kernel


def places(scores: Array, user: Array, item: Array, out: Array) -> None:
    """`out` (P,): place of each pair's item; equal scores share their places."""
    whose, which = (each.astype(np.int64, copy=False) for each in (user, item))
    pairs = np.int64(len(out))
    sizes = scores, np.int32(scores.shape[1])
    kernel("places", "places").threads(len(out) * WARP, *sizes, whose, which, pairs, out)
