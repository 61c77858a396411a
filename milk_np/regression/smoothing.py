"""Collaborative smoothing of histories: B (n, n), of which R B says what users would choose among training items.

B = own I + S with S the item-item weights of EASE (Steck, WWW 2019), the ridge regression of every column of R on all
others: S = I - P diag(1 / P_jj), P = (R^T R + ridge I)^-1. With R^T R = V diag(s^2) V^T, P is
(I - V diag(shrink) V^T) / ridge, shrink = s^2 / (s^2 + ridge); keeping the largest singular values alone makes B
a product of thin matrices, whose diagonal S_jj = 0 stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import svds

from milk_np.rng import generator

Floats = NDArray[np.float64]

OWN = 0.5
"""Weight of what a user chose herself, beside that of what it predicts."""
LEAST_FREE = 1e-3
"""Of each item, at least this share is left to be predicted by the others; a share of 0 would divide by 0."""
DENSE = 512
"""Users or items up to which all directions of R are computed. ARPACK goes on from random vectors, which nothing seeds,
once it has found all that a small R has: no two runs would give the same bits."""


@dataclass(frozen=True, eq=False)
class Smoothing:
    """B of n training items; `apply` is B X, `apply_transposed` B^T X."""

    basis: Floats
    """(n, r) right singular vectors V of R."""
    shrink: Floats
    """(r,) share of each direction that the ridge leaves."""
    free: Floats
    """(n,) 1 / (ridge P_jj), the factor that puts S_jj at zero."""

    @classmethod
    def fit(cls, R: Any, *, rank: int, ridge: float) -> Self:
        """Smoothing of the sparse pairs `R` (U, n) at `rank` r, or fewer where R has no more."""
        r = min(rank, min(R.shape) - 1)
        if r < 1:
            return cls(np.zeros((R.shape[1], 0)), np.zeros(0), np.ones(R.shape[1]))
        s, basis = _directions(R.astype(np.float64), r)
        shrink = s**2 / (s**2 + ridge)
        explained = np.minimum(basis**2 @ shrink, 1 - LEAST_FREE)
        return cls(np.ascontiguousarray(basis), shrink, 1 / (1 - explained))

    def apply(self, x: Floats) -> Floats:
        """B x for `x` (n, k): (own + 1 - free) x + V shrink V^T (free x)."""
        scaled = self.free[:, None] * x
        out: Floats = (OWN + 1) * x - scaled + self.basis @ (self.shrink[:, None] * (self.basis.T @ scaled))
        return out

    def apply_transposed(self, x: Floats) -> Floats:
        """B^T x for `x` (n, k)."""
        spread = self.basis @ (self.shrink[:, None] * (self.basis.T @ x))
        out: Floats = (OWN + 1) * x + self.free[:, None] * (spread - x)
        return out

    def parts(self, R: Any, items: NDArray[np.intp]) -> tuple[Any, Floats, Floats]:
        """Columns `items` (k,) of R B, for sparse `R` (U, n): direct (U, k), sparse, + left (U, r) right (r, k)."""
        free = self.free[items]
        direct = R.tocsc()[:, items].tocsr() @ sparse.diags_array(OWN + 1 - free)
        return direct, (R @ self.basis) * self.shrink, self.basis[items].T * free


def _directions(R: Any, r: int) -> tuple[Floats, Floats]:
    """The r largest singular values of `R` (U, n) and its right singular vectors (n, r)."""
    U, n = R.shape
    if min(U, n) > DENSE:
        start = generator(0, "smoothing").standard_normal(min(U, n))
        _, s, vt = svds(R, k=r, v0=start, return_singular_vectors=True)
        return np.asarray(s, np.float64), vt.T
    if n <= U:
        squares, basis = linalg.eigh((R.T @ R).toarray(), subset_by_index=(n - r, n - 1))
        return np.sqrt(np.maximum(squares, 0)), basis
    _, users = linalg.eigh((R @ R.T).toarray(), subset_by_index=(U - r, U - 1))
    basis, s, _ = linalg.svd(R.T @ users, full_matrices=False)
    return s, basis
