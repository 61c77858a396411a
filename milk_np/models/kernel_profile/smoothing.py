"""Collaborative smoothing of histories: B (n, n), of which R B says what users would choose among training items.

B = own I + S with S the item-item weights of EASE (Steck, WWW 2019), the ridge regression of every column of R on all
others: S = I - P diag(1 / P_jj), P = (R^T R + ridge D^2)^-1. The ridge of an item grows with its popularity,
D_j^2 = (popularity_j / mean)^power, lest the popular speak for all. With R D^-1 = U diag(s) V^T, P is
D^-1 (I - V diag(shrink) V^T) D^-1 / ridge, shrink = s^2 / (s^2 + ridge); keeping the largest singular values alone
makes B a diagonal and a product of thin matrices, and S_jj stays 0 but where LEAST_FREE holds it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from milk_np.models.base import Floats

OWN = 0.25
"""Weight of what a user chose herself, beside that of what it predicts."""
LEAST_FREE = 1e-3
"""Of each item, at least this share is left to be predicted by the others; a share of 0 would divide by 0."""
DENSE = 1536
"""Users or items up to which all directions of R are computed; `milk_np.models.kernel_profile.smoother` is for more."""


@dataclass(frozen=True, eq=False)
class Smoothing:
    """B = diag(own) + left right^T of n training items; `apply` is B X, `apply_transposed` B^T X."""

    own: Floats
    """(n,) OWN less what of S_jj is in `left` and `right`."""
    left: Floats
    """(n, r) D^-1 V diag(shrink)."""
    right: Floats
    """(n, r) D V, row j times 1 / (ridge D_j^2 P_jj), the factor that puts S_jj at zero."""

    @classmethod
    def fit(cls, R: Any, *, rank: int, ridge: float, power: float) -> Self:
        """Smoothing of the sparse pairs `R` (U, n) of few users or items, at `rank` r, or fewer where R has no more."""
        n = R.shape[1]
        r = min(rank, min(R.shape) - 1)
        if r < 1:
            return cls(np.full(n, OWN), np.zeros((n, 0)), np.zeros((n, 0)))
        popularity = np.maximum(np.asarray(R.sum(axis=0)).ravel(), 1)
        root = (popularity / popularity.mean()) ** (power / 2)
        s, basis = _directions((R @ sparse.diags_array(1 / root)).tocsr(), r)
        shrink = s**2 / (s**2 + ridge)
        explained = np.minimum(basis**2 @ shrink, 1 - LEAST_FREE)
        free = 1 / (1 - explained)
        return cls(OWN + 1 - free, basis * shrink / root[:, None], basis * (root * free)[:, None])

    def apply(self, x: Floats) -> Floats:
        """B x for `x` (n, k)."""
        out: Floats = self.own[:, None] * x + self.left @ (self.right.T @ x)
        return out

    def apply_transposed(self, x: Floats) -> Floats:
        """B^T x for `x` (n, k)."""
        out: Floats = self.own[:, None] * x + self.right @ (self.left.T @ x)
        return out

    def parts(self, R: Any, items: NDArray[np.intp]) -> tuple[Any, Floats, Floats]:
        """Columns `items` (k,) of R B, for sparse `R` (U, n): direct (U, k), sparse, + left (U, r) right (r, k)."""
        direct = R.tocsc()[:, items].tocsr() @ sparse.diags_array(self.own[items])
        return direct, R @ self.left, self.right[items].T


def _directions(R: Any, r: int) -> tuple[Floats, Floats]:
    """The r largest singular values of `R` (U, n) and its right singular vectors (n, r)."""
    U, n = R.shape
    if n <= U:
        squares, basis = linalg.eigh((R.T @ R).toarray(), subset_by_index=(n - r, n - 1))
        return np.sqrt(np.maximum(squares, 0)), basis
    _, users = linalg.eigh((R @ R.T).toarray(), subset_by_index=(U - r, U - 1))
    basis, s, _ = linalg.svd(R.T @ users, full_matrices=False)
    return s, basis
