"""Whitening of content: where items differ most along a few directions, these drown the others in every cosine.

With V the principal axes of the content x of the landmarks and s their mean squares as shares of the mean axis's,

x  ->  x V diag(w), of unit length, w = (s + FLOOR)^(-exponent / 2)

so that exponent 0 leaves all cosines as they are and exponent 1 makes all axes alike. What of an item lies outside of
the span of the landmarks is unlike any of them, and counts in its length alone, with the factor of the least axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from milk_np.data.rows import inverse_norms, unit_rows
from milk_np.models.base import Vectors
from milk_np.models.kernel_profile.limits import TRIED

FLOOR = 0.01
"""Share of the mean axis's variance that is added to each: those of less are mostly noise."""


def whitening_axes(rows: Vectors, exponents: Sequence[float]) -> dict[float, Vectors]:
    """By exponent, (D, r) of which `whitened` makes the whitened content; from the content `rows` (n, D) of landmarks.

    r = 0 for an exponent of 0: the content stays as it is. Rows of zeros, of items that miss the modality, add nothing.
    """
    plain = np.zeros((rows.shape[1], 0), np.float32)
    if not any(exponents) or not rows.any():
        return dict.fromkeys(exponents, plain)
    _, s, vt = linalg.svd(rows[rows.any(axis=1)], full_matrices=False, check_finite=False, overwrite_a=True)
    share = s.astype(np.float64) ** 2
    share /= share.sum() / len(share)
    return {e: (vt.T * (share + FLOOR) ** (-e / 2)).astype(np.float32) if e else plain for e in exponents}


def candidate_axes(landmarks: Sequence[Vectors], given: tuple[float, ...]) -> list[dict[float, Vectors]]:
    """`whitening_axes` of each modality's `landmarks`, by the exponents that may be chosen.

    These are the exponents `given`, one for each modality or for all, or those TRIED.
    """
    tried: list[tuple[float, ...]] = [(exponent,) for exponent in given] or [TRIED]
    each = tried * (len(landmarks) if len(tried) == 1 else 1)
    return [whitening_axes(rows, some) for rows, some in zip(landmarks, each, strict=True)]


def whitened(rows: Vectors, axes: Vectors) -> Vectors:
    """Content `rows` (n, D) under `axes`: (n, r), of unit length but for what lies outside of them, or as it is."""
    D, r = axes.shape
    if r == 0:
        return rows
    inside = rows @ axes
    if r == D:
        return unit_rows(inside)
    factors = np.linalg.norm(axes, axis=0)
    outside = np.maximum(np.sum(rows**2, axis=1) - np.sum((inside / factors) ** 2, axis=1), 0)
    lengths = np.sqrt(np.sum(inside**2, axis=1) + factors.max() ** 2 * outside)
    return inside * inverse_norms(lengths)[:, None]
