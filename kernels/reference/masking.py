"""Numbers zeroed at random, by a mask that is never stored."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Floats
from milk_np.kernels.reference.sampling import GOLDEN, mix64


def mask_numbers(key: int, kept: int, factor: float, x: Floats, out: Floats) -> None:
    """`out` = `factor` x where a number from 0 to 65535 is below `kept`, elsewhere 0; arrays of any one shape.

    The numbers are the 16-bit parts, lowest first, of the outputs of SplitMix64 from the state `key`.
    """
    with np.errstate(over="ignore"):
        words = mix64(np.uint64(key) + GOLDEN * np.arange(-(-x.size // 4), dtype=np.uint64))
    lanes = words.astype("<u8").view("<u2")[: x.size].reshape(x.shape)
    out[...] = np.where(lanes < kept, x * x.dtype.type(factor), 0)
