"""Ranking held-out items on a device: `milk_np.models.kernel_profile.held_out`, its products and places made there.

Content, folds and pairs are sent once. For each kernel that is looked at, what is of landmarks by landmarks goes to the
host and its inverse comes back; the places of the pairs go home.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import linalg, sparse

from milk_np.backends.base import Array, Backend
from milk_np.kernels.cpu import lapack
from milk_np.models.base import Floats, Vectors
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.folds import Fold
from milk_np.models.kernel_profile.held_out import LEAST_NOISE, HeldOut, ndcg_of_places
from milk_np.models.kernel_profile.ridge import jittered


@dataclass(frozen=True, eq=False)
class DeviceFold:
    """What of a fold is on a device."""

    backend: Backend
    lists: tuple[Array, Array]
    """Its users' items as compressed rows: `direct` without its numbers."""
    weights: Array
    """(n, 1) the number that `direct` has in each column."""
    left: Array
    right: Array
    """(r, n), zero for the items inside."""
    pairs: tuple[Array, Array]

    @classmethod
    def of(cls, backend: Backend, fold: Fold, right: Vectors) -> Self:
        """A copy of `fold`; `right` (r, n) is the smoothing's of all items, by folds."""
        put = backend.asarray
        direct = sparse.vstack([part for _, part in fold.direct], format="csr")
        weights = np.zeros((direct.shape[1], 1), np.float32)
        weights[direct.indices, 0] = direct.data
        lists = put(direct.indptr, np.int64), put(direct.indices, np.int32)
        outside = right.copy()
        outside[:, fold.rows] = 0
        pairs = put(fold.user, np.int64), put(fold.item, np.int64)
        return cls(backend, lists, put(weights), put(np.ascontiguousarray(fold.left)), put(outside), pairs)

    def known(self, features: Array) -> Array:
        """Y F (U, L) for the `features` F (n, L) of all items."""
        kernels, L = self.backend.kernels, features.shape[1]
        U, r = self.left.shape
        through, rest, out = (self.backend.empty((rows, L), np.float32) for rows in (r, U, U))
        kernels.multiply(self.right, features, through)
        kernels.multiply(self.left, through, rest)
        kernels.sum_lists(*self.lists, features * self.weights, out)
        out += rest
        return out


class DeviceHeldOut(HeldOut):
    """Folds of training items on a device; see `HeldOut`."""

    def __init__(self, backend: Backend, *given: Any) -> None:
        """`given` are the arguments of `HeldOut`."""
        self.backend: Backend = backend
        super().__init__(*given)
        self._there = [DeviceFold.of(backend, fold, self._right) for fold in self.folds]

    def _cosines(
        self, content: Iterable[Vectors], axes: Sequence[Mapping[float, Vectors]], L: int
    ) -> list[dict[float, Array]]:
        return [self._of_modality(self.backend.asarray(x), each, L) for x, each in zip(content, axes, strict=True)]

    def _of_modality(self, x: Array, axes: Mapping[float, Vectors], L: int) -> dict[float, Array]:
        """By exponent, cosines (n, L) of the content `x` (n, D)."""
        out = {}
        for exponent, each in axes.items():
            rows = self._whitened(x, each)
            out[exponent] = self.backend.empty((len(x), L), np.float32)
            self.backend.kernels.multiply(rows, self.backend.copy(rows[:L].T), out[exponent])
        return out

    def _whitened(self, x: Array, axes: Vectors) -> Array:
        if axes.shape[1] == 0:
            return x
        there, inside = self.backend.asarray(axes), self.backend.empty((len(x), axes.shape[1]), np.float32)
        self.backend.kernels.multiply(x, there, inside)
        self.backend.kernels.whiten_rows(x, self.backend.asarray(np.linalg.norm(axes, axis=0), np.float32), inside)
        return inside

    def _at_home(self, scores: Array) -> Vectors:
        return self.backend.to_host(scores)

    def ndcg(self, kernel: ContentKernel) -> Floats:
        """NDCG of every user in every fold with an item of theirs."""
        out = []
        for scores, fold, there in zip(self._scores(kernel), self.folds, self._there, strict=True):
            place = self.backend.empty(len(fold.user), np.int64)
            self.backend.kernels.places(scores, *there.pairs, place)
            out.append(ndcg_of_places(self.backend.to_host(place), fold.user, len(scores)))
        return np.concatenate(out)

    def _scores(self, kernel: ContentKernel) -> list[Array]:
        """`scores` on the device, with the items inside of each fold in its `order`."""
        backend = self.backend
        n, L = next(iter(self.cosines[0].values())).shape
        similar, k = backend.empty((len(self.cosines), n, L), np.float32), backend.empty((n, L), np.float32)
        for m, (exponent, each) in enumerate(zip(kernel.whitening, self.cosines, strict=True)):
            similar[m] = each[exponent]
        backend.kernels.exponentials(similar, kernel.scale)
        out = [backend.empty((len(fold.left), len(fold.order)), np.float32) for fold in self.folds]
        for s in np.unique(self.which):
            weights = np.where(self.sets[s], kernel.weights, 0)
            backend.kernels.weighted_sum(similar, backend.asarray(weights, np.float32), k)
            self._fill(self._features(k), kernel.noise, s, out)
        return out

    def _features(self, similar: Array) -> Array:
        """F (n, L) of items by their similarities (n, L) to the landmarks, which are the first L items."""
        backend, L = self.backend, similar.shape[1]
        base = _inverse_root(backend.to_host(similar[:L]).astype(np.float64)).T
        out = backend.empty(similar.shape, np.float32)
        backend.kernels.multiply(similar, backend.asarray(np.ascontiguousarray(base), np.float32), out)
        return out

    def _fill(self, features: Array, noise: float, s: int, scores: list[Array]) -> None:
        """Fill in the columns of the items held out with set `s`, whose `features` (n, L) are those of all items."""
        parts = [features[fold.rows] for fold in self.folds]
        grams = [self._gram(part) for part in parts]
        whole = self._gram(features[: features.shape[1]]) + max(noise, LEAST_NOISE) * np.eye(features.shape[1])
        whole += sum(grams)
        for f, (fold, there) in enumerate(zip(self.folds, self._there, strict=True)):
            mine = slice(*np.searchsorted(self.which[fold.order], [s, s + 1]))
            if mine.start < mine.stop:
                narrow = self._solved(whole - grams[f], parts[f][mine])
                scores[f][:, mine] = there.known(features) @ narrow.T

    def _gram(self, rows: Array) -> Floats:
        out = self.backend.zeros((rows.shape[1],) * 2, np.float64)
        self.backend.kernels.add_gram(rows, out)
        found: Floats = self.backend.to_host(out)
        lapack.mirror(found)
        return found

    def _solved(self, A: Floats, rows: Array) -> Array:
        """`rows` (m, L) A^-1."""
        inverse = linalg.cho_solve(linalg.cho_factor(A), np.eye(len(A)))
        out = self.backend.empty(rows.shape, np.float64)
        self.backend.kernels.multiply(rows.astype(np.float64), self.backend.asarray(inverse), out)
        return out.astype(np.float32)


def _inverse_root(among: Floats) -> Floats:
    """C^-1 (L, L) of the landmarks' kernel `among`."""
    root = jittered(among)
    lapack.cholesky(root)
    return np.asarray(lapack.inverse(root), np.float64)
