"""Collaborative smoothing on a backend, of any number of users and items; see `smoothing` in this folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from milk_np.backends.base import Array, Backend
from milk_np.models.base import Floats
from milk_np.models.kernel_profile.directions import directions, squares_of
from milk_np.models.kernel_profile.need import BLOCK_ROWS
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.smoothing import LEAST_FREE, OWN, Smoothing
from milk_np.models.kernel_profile.spans import row_slices


@dataclass(frozen=True, eq=False)
class Smoother:
    """B = diag(own) + left right^T on a backend."""

    backend: Backend
    own: Array
    """(n,)."""
    left: Array
    """(n, r)."""
    right: Array
    """(n, r)."""
    error: float = 0.0
    """Of the directions that it is made of; see `milk_np.models.kernel_profile.directions`."""

    @classmethod
    def fit(cls, pairs: Pairs, *, rank: int, ridge: float, power: float, tolerance: float, dtype: DTypeLike) -> Self:
        """Smoothing of `pairs` at `rank` r, or fewer where they have no more directions."""
        backend, (U, n) = pairs.backend, pairs.shape
        r = min(rank, U - 1, n - 1)
        if r < 1:
            return cls.of(backend, Smoothing(np.full(n, OWN), np.zeros((n, 0)), np.zeros((n, 0))), dtype)
        popularity = np.maximum(pairs.popularity(), 1)
        root = (popularity / popularity.mean()) ** (power / 2)
        found = directions(pairs, 1 / root, r, tolerance=tolerance, dtype=dtype)
        shrink = found.values**2 / (found.values**2 + ridge)
        free = 1 / (1 - np.minimum(squares_of(backend, found.basis, shrink), 1 - LEAST_FREE))
        left = found.basis * backend.asarray(shrink, dtype)
        left *= backend.asarray(1 / root, dtype)[:, None]
        found.basis[...] *= backend.asarray(root * free, dtype)[:, None]
        return cls(backend, backend.asarray(OWN + 1 - free, dtype), left, found.basis, found.error)

    @classmethod
    def of(cls, backend: Backend, smoothing: Smoothing, dtype: DTypeLike) -> Self:
        """A smoothing of the host."""
        parts = smoothing.own, smoothing.left, smoothing.right
        return cls(backend, *(backend.asarray(np.ascontiguousarray(x), dtype) for x in parts))

    def astype(self, dtype: DTypeLike) -> Self:
        """The same in another type."""
        return replace(self, **{name: getattr(self, name).astype(dtype) for name in ("own", "left", "right")})

    def on_host(self) -> Smoothing:
        """A copy on the host, for what is chosen there."""
        return Smoothing(*(self.backend.to_host(x) for x in (self.own, self.left, self.right)))

    def apply(self, x: Array) -> Floats:
        """`x` (n, k) becomes B x; returns right^T x (r, k), of which it is made."""
        return self.backend.to_host(self._apply(self.left, self.right, x))

    def apply_transposed(self, x: Array) -> None:
        """`x` (n, k) becomes B^T x."""
        self._apply(self.right, self.left, x)

    def _apply(self, left: Array, right: Array, x: Array) -> Array:
        backend = self.backend
        total = backend.zeros((right.shape[1], x.shape[1]), np.float64)
        for rows in row_slices(len(x), BLOCK_ROWS[backend.name]):
            backend.kernels.add_products(right[rows], x[rows], total)
        self.combine(total.astype(x.dtype), slice(0, len(x)), x, left)
        return total

    def combine(self, z: Array, rows: slice, x: Array, left: Array | None = None) -> None:
        """`x`, the `rows` of a matrix X, becomes those of B X, where z = right^T X."""
        left = self.left if left is None else left
        self.backend.kernels.combine(self.own[rows], left[rows], z, x)
