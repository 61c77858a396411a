"""Content of items as the kernel profile sees it (contract: kernels/reference/content.py): one launch each."""

from __future__ import annotations

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu.launch import WARP, Kernel, kernel


def content_rows(raw: Array, rows: Array, owned: Array, centre: Array, out: Array) -> None:
    """`out` (n, D): rows of `raw` less `centre`, of unit length."""
    n, D = out.shape
    run = _kernel("content_rows", half=raw.dtype == np.float16)
    run.threads(n * WARP, raw, rows, owned, centre, np.int32(n), np.int32(D), out)


def whiten_rows(x: Array, factors: Array, inside: Array) -> None:
    """`inside` (n, r), the rows of `x` (n, D) along r axes times their `factors` (r,), becomes of unit length."""
    (n, r), D = inside.shape, x.shape[1]
    _kernel("whiten_rows").threads(n * WARP, x, factors, *map(np.int32, (n, D, r)), inside)


def exponentials(cosines: Array, scale: float) -> None:
    """`cosines` become exp(scale (cosine - 1))."""
    _kernel("exponentials").threads(cosines.size, cosines, np.int64(cosines.size), np.float32(scale))


def weighted_sum(similar: Array, weights: Array, out: Array) -> None:
    """`out` (n, L): sum over m of weights[m] similar[m]; a weight of 0 leaves its part out."""
    _kernel("weighted_sum").threads(out.size, similar, weights, np.int32(len(similar)), np.int64(out.size), out)


def _kernel(name: str, half: bool = False) -> Kernel:
    return kernel("content", name, HALF=int(half))
