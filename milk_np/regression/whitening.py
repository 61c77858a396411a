"""Whitening of content: where items differ most along a few directions, these drown the others in every cosine.

With V the principal axes of the content x of the landmarks and s their mean squares as shares of the mean axis's,

x  ->  x V diag((s + FLOOR)^(-exponent / 2)), of unit length

so that exponent 0 leaves all cosines as they are and exponent 1 makes all axes alike. Content outside of the span of
the landmarks' is left out: their similarity to it is 0 either way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from milk_np.data.rows import unit_rows
from milk_np.regression.content import Vectors

FLOOR = 0.01
"""Share of the mean axis's variance that is added to each: those of less are mostly noise."""
HALF = 0.5
"""The exponent that is tried where none is given."""


def whitening_axes(rows: Vectors, exponent: float) -> Vectors:
    """(D, r) of which `whitened` makes the whitened content, from the content `rows` (n, D) of the landmarks.

    r = 0 for an exponent of 0: the content stays as it is. Rows of zeros, of items that miss the modality, add nothing.
    """
    if exponent == 0 or not rows.any():
        return np.zeros((rows.shape[1], 0), np.float32)
    _, s, vt = linalg.svd(rows[rows.any(axis=1)], full_matrices=False, check_finite=False)
    share = s.astype(np.float64) ** 2
    share /= share.sum() / len(share)
    axes: NDArray[np.float32] = (vt.T * (share + FLOOR) ** (-exponent / 2)).astype(np.float32)
    return axes


def whitened(rows: Vectors, axes: Vectors) -> Vectors:
    """Content `rows` (n, D) under `axes`: (n, r) of unit length, or as they are."""
    return unit_rows(rows @ axes) if axes.shape[1] else rows
