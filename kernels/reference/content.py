"""Content of items as the kernel profile sees it: centred rows of unit length, and what their cosines weigh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from milk_np.kernels.arrays import Floats, Ints

Float32 = NDArray[np.float32]

SHORTEST_ROW = 1e-12
"""Shorter rows are zero rows: their direction is rounding noise."""


def content_rows(raw: Floats, rows: Ints, owned: NDArray[np.bool_], centre: Float32, out: Float32) -> None:
    """`out` (n, D): the rows `rows` (n,) of `raw` (I, D) less `centre` (D,), of unit length.

    Zeros where an item isn't `owned` (n,), whatever its row holds, and where hardly anything is left of it.
    """
    out[...] = 0
    out[owned] = raw[rows[owned]].astype(np.float32) - centre
    out *= _inverse(np.sqrt((out.astype(np.float64) ** 2).sum(axis=1)))


def whiten_rows(x: Float32, factors: Float32, inside: Float32) -> None:
    """`inside` (n, r), the rows of `x` (n, D) along r axes times their `factors` (r,), becomes of unit length.

    What of `x` lies outside of fewer than D axes counts in the length with the largest factor.
    """
    lengths = (inside.astype(np.float64) ** 2).sum(axis=1)
    if len(factors) < x.shape[1]:
        along = ((inside.astype(np.float64) / factors) ** 2).sum(axis=1)
        lengths += float(factors.max()) ** 2 * np.maximum((x.astype(np.float64) ** 2).sum(axis=1) - along, 0)
    inside *= _inverse(np.sqrt(lengths))


def _inverse(lengths: NDArray[np.float64]) -> Float32:
    """(n, 1)."""
    some = lengths > SHORTEST_ROW
    return np.where(some, 1 / np.where(some, lengths, 1), 0).astype(np.float32)[:, None]


def exponentials(cosines: Float32, scale: float) -> None:
    """`cosines`, of any shape, become exp(scale (cosine - 1))."""
    np.exp(np.float32(scale) * (cosines - np.float32(1)), out=cosines)


def weighted_sum(similar: Float32, weights: NDArray[np.float32], out: Float32) -> None:
    """`out` (n, L): sum over m of weights[m] similar[m], for `similar` (M, n, L); a weight of 0 leaves its part out."""
    out[...] = 0
    for weight, part in zip(weights, similar, strict=True):
        if weight:
            out += weight * part
