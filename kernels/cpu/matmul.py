"""Products of matrices that are at hand (contract: kernels/reference/matmul.py), by the engine's tiles.

A number is one chain of multiply-adds in a fixed order, whatever the number of threads; BLAS's isn't.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats
from milk_np.kernels.cpu.packing import packed_weight
from milk_np.kernels.cpu.products import backward, forward


def matmul(x: Floats, w: Floats, out: Floats) -> None:
    """`out` (n, K) = x w."""
    forward(_addresses(x), np.ones(len(x), x.dtype), packed_weight(w), len(w), np.zeros(w.shape[1], w.dtype), out)


def matmul_transposed(x: Floats, g: Floats, out: Floats) -> None:
    """`out` (D, K) = x^T g."""
    if not len(x):
        out[...] = 0
        return
    backward(_addresses(x), np.ones(len(x), x.dtype), g, out, False)


def _addresses(x: Floats) -> NDArray[np.int64]:
    """Where each row begins."""
    return x.ctypes.data + x.strides[0] * np.arange(len(x), dtype=np.int64)
