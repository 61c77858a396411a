"""The closed form as it is written: F of all items, in float64, nothing by blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.content import similarities
from milk_np.models.kernel_profile.ridge import jittered, weighted
from milk_np.models.kernel_profile.smoothing import Smoothing

Floats = NDArray[np.float64]

LEAST_AXIS = 1e-10


@dataclass(frozen=True, eq=False)
class Ridge:
    """Regression on the features that one set of owned modalities gives."""

    root: Floats
    """C (L, L), lower."""
    features: Floats
    """F (n, L)."""
    normal: Any
    """Factors of F^T F + noise I."""

    @classmethod
    def fit(cls, similar: Floats, among: Floats, noise: float) -> Self:
        """`similar` (n, L) of the training items to the landmarks, `among` (L, L) the landmarks, both weighted sums."""
        root = linalg.cholesky(jittered(among), lower=True)
        features = np.ascontiguousarray(linalg.solve_triangular(root, similar.T, lower=True).T)
        return cls(root, features, linalg.cho_factor(features.T @ features + noise * np.eye(len(root))))

    def solve(self, x: Floats) -> Floats:
        """(F^T F + noise I)^-1 x, for `x` (L, K)."""
        out: Floats = linalg.cho_solve(self.normal, x)
        return out

    def coefficients(self, targets: Floats) -> Floats:
        """(L, K) that take similarities to the regression's estimate of `targets` (n, K)."""
        out: Floats = linalg.solve_triangular(self.root, self.solve(self.features.T @ targets), lower=True, trans=1)
        return out


def history_vectors(R: Floats, smoothing: Smoothing, whole: Ridge, width: int) -> tuple[Floats, Floats]:
    """h (n, K) = B F (F^T F + noise I)^-1 W, and the squared lengths (K) of the columns of P = R h."""
    wide = whole.solve(smoothing.apply(whole.features).T).T
    variance, axes = linalg.eigh((R @ wide).T @ R @ wide)
    first = max(0, len(variance) - width)
    keep = np.flatnonzero(variance > LEAST_AXIS * variance[-1])
    keep = keep[keep >= first][::-1]
    return wide @ axes[:, keep], variance[keep]


def fitted(
    content: Sequence[NDArray[np.float32]],
    chosen: NDArray[np.intp],
    R: Floats,
    smoothing: Smoothing,
    sets: NDArray[np.bool_],
    kernel: ContentKernel,
    width: int,
) -> tuple[Floats, list[Floats]]:
    """History vectors h (n, K), and coefficients (L, K) of each of `sets`, for `chosen` landmarks among the items."""
    similar = similarities(content, [x[chosen] for x in content], kernel.scale)

    def regression(owned: NDArray[np.bool_]) -> Ridge:
        k = weighted(similar, kernel.weights, owned)
        return Ridge.fit(k, k[chosen], kernel.noise)

    whole = regression(sets[0])
    h, variance = history_vectors(R, smoothing, whole, width)
    targets = smoothing.apply_transposed(R.T @ (R @ h)) / variance
    return h, [regression(owned).coefficients(targets) for owned in sets]
