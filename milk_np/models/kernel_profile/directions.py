"""Largest singular directions of the training pairs, by a block Krylov method that restarts (Stewart 2001).

A = D^-1 R^T R D^-1 is applied to a few vectors at a time by the sparse kernels. A basis grows by A times its last
block, orthogonal to all before; when it is full, the best Ritz vectors stay and it grows anew. How near they are to
A's eigenvectors is told by the residual |A v - value v|, which comes with the basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backends.base import Array, Backend
from milk_np.models.base import Floats
from milk_np.models.kernel_profile.need import KRYLOV_BLOCK as BLOCK
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.rng import generator

MOST_CYCLES = 40
PASSES = 2
"""Of orthogonalisation: twice is enough (Kahan)."""
ROWS = 1 << 16
"""Rows of a product between a basis and a block that are worked on at a time."""


@dataclass(frozen=True, eq=False)
class Directions:
    """The largest singular values of R D^-1 and their right singular vectors."""

    values: Floats
    """(r,), descending."""
    basis: Array
    """(n, r)."""
    error: float
    """The largest residual of an eigenvector of A as a share of A's largest eigenvalue."""
    products: int
    """Vectors that A was applied to."""


def directions(
    pairs: Pairs, scale: Floats, r: int, *, tolerance: float, dtype: DTypeLike = np.float32, seed: int = 0
) -> Directions:
    """The `r` largest directions of R diag(`scale`), `scale` (n,), or fewer where R has no more.

    Stops when all residuals are below `tolerance`, as a share of the largest eigenvalue, or after MOST_CYCLES.
    """
    krylov = _Krylov(pairs, scale, r, dtype)
    start = generator(seed, "directions").integers(0, 2, (pairs.shape[1], BLOCK), np.int8)
    krylov.begin(start * np.int8(2) - np.int8(1))
    for _ in range(MOST_CYCLES):
        krylov.grow()
        values, vectors, residuals = krylov.ritz()
        worst = float(residuals[:r].max(initial=0)) / max(float(values.max(initial=0)), np.finfo(float).tiny)
        if worst <= tolerance or krylov.exhausted:
            break
        krylov.restart(values, vectors)
    basis = krylov.times(vectors[:, :r])
    return Directions(np.sqrt(np.maximum(values[:r], 0)), basis, worst, krylov.products)


class _Krylov:
    """An orthonormal basis Q (n, k) and T = Q^T A Q, with A Q = Q T but for the last block."""

    def __init__(self, pairs: Pairs, scale: Floats, r: int, dtype: DTypeLike) -> None:
        n = pairs.shape[1]
        self.backend, self.pairs, self.dtype = pairs.backend, pairs, np.dtype(dtype)
        self.most = 2 * r + 3 * BLOCK
        self.keep = r + BLOCK
        self.scale = self.backend.asarray(scale, self.dtype)[:, None]
        self.parts: list[Array] = []
        self.T = np.zeros((0, 0))
        self.coupling = np.zeros((0, 0))
        self.next: Array = self.backend.empty((n, 0), self.dtype)
        self.exhausted, self.products = False, 0

    def begin(self, start: NDArray[np.int8]) -> None:
        """From the block `start` (n, BLOCK)."""
        self.next, _ = self._orthonormal(self.backend.asarray(start, self.dtype))

    def grow(self) -> None:
        """Until the basis is full, or A times it lies in it."""
        while not self.exhausted and len(self.T) + self.next.shape[1] <= self.most:
            self._extend()

    def _extend(self) -> None:
        block, old = self.next, len(self.T)
        self.parts.append(block)
        self.products += block.shape[1]
        image = self._apply(block)
        found = self._project(image)
        T = np.zeros((old + block.shape[1],) * 2)
        T[:old, :old] = self.T
        T[:, old:] = found
        T[old:, :old] = T[:old, old:].T
        T[old:, old:] = (T[old:, old:] + T[old:, old:].T) / 2
        self.T = T
        self.next, self.coupling = self._beyond(image, float(np.abs(found).max(initial=0)))
        self.exhausted = self.next.shape[1] == 0

    def _beyond(self, image: Array, size: float) -> tuple[Array, Floats]:
        """`_orthonormal` of what of an `image` of this size is outside of Q.

        Where little of it was left, rounding is much of that: what lies in Q again is taken out once more, and what
        loses more than half of its length by that was nothing else.
        """
        block, inside = self._orthonormal(image, 8 * float(np.finfo(self.dtype).eps) * size)
        self._project(block)
        block, again = self._orthonormal(block, 0.5)
        return block, again @ inside

    def _apply(self, block: Array) -> Array:
        image = block * self.scale
        self.pairs.gram_times(image)
        image *= self.scale
        return image

    def _project(self, image: Array) -> Floats:
        """Q^T image (k, b); what lies in Q is taken out of `image`."""
        total = np.zeros((sum(part.shape[1] for part in self.parts), image.shape[1]))
        for _ in range(PASSES):
            at = 0
            for part in self.parts:
                found = self._products(part, image)
                self._subtract(part, found, image)
                total[at : at + len(found)] += found
                at += len(found)
        return total

    def _orthonormal(self, block: Array, least: float = 0.0) -> tuple[Array, Floats]:
        """An orthonormal basis (n, c) of `block` (n, b), and the block in it (c, b).

        c < b where directions are shorter than `least`, or by rounding not to be told from none.
        """
        inside = np.eye(block.shape[1])
        for _ in range(PASSES):
            squares, axes = np.linalg.eigh(self._products(block, block))
            floor = 8 * float(np.finfo(self.dtype).eps) * float(squares.max(initial=0))
            some = squares > max(least**2, floor)
            lengths = np.sqrt(squares[some])
            block = self._multiply(block, axes[:, some] / lengths)
            inside = (axes[:, some] * lengths).T @ inside
            least = 0.0
        return block, inside

    def ritz(self) -> tuple[Floats, Floats, Floats]:
        """Ritz values (k,), descending, their vectors in the basis (k, k), and their residuals (k,)."""
        values, vectors = np.linalg.eigh(self.T)
        values, vectors = values[::-1], vectors[:, ::-1]
        last = self.coupling @ vectors[len(vectors) - self.coupling.shape[1] :]
        return values, vectors, np.linalg.norm(last, axis=0)

    def restart(self, values: Floats, vectors: Floats) -> None:
        """Keep the best Ritz vectors, and go on from the block that comes next."""
        kept = vectors[:, : self.keep]
        self.parts = [self.times(kept)]
        self.T = np.diag(values[: self.keep])

    def times(self, vectors: Floats) -> Array:
        """Q vectors (n, c)."""
        out = self.backend.zeros((len(self.scale), vectors.shape[1]), self.dtype)
        at = 0
        for part in self.parts:
            width = part.shape[1]
            self._subtract(part, -vectors[at : at + width], out)
            at += width
        return out

    def _products(self, a: Array, b: Array) -> Floats:
        out = self.backend.zeros((a.shape[1], b.shape[1]), np.float64)
        for start in range(0, len(a), ROWS):
            self.backend.kernels.add_products(a[start : start + ROWS], b[start : start + ROWS], out)
        return self.backend.to_host(out)

    def _multiply(self, a: Array, b: Floats) -> Array:
        out = self.backend.empty((len(a), b.shape[1]), self.dtype)
        self.backend.kernels.multiply(a, self.backend.asarray(b, self.dtype), out)
        return out

    def _subtract(self, a: Array, b: Floats, out: Array) -> None:
        """`out` becomes out - a b."""
        self.backend.kernels.combine(self._ones, a, self.backend.asarray(-b, self.dtype), out)

    @property
    def _ones(self) -> Any:
        return self.backend.full(len(self.scale), 1, self.dtype)


def squares_of(backend: Backend, basis: Array, weights: Floats) -> Floats:
    """Sum over columns of weight times the squares of `basis` (n, r), on the host: (n,)."""
    rows = [basis[start : start + ROWS] for start in range(0, len(basis), ROWS)]
    parts = [backend.to_host(part).astype(np.float64) ** 2 @ weights for part in rows]
    return np.concatenate([np.zeros(0), *parts])
