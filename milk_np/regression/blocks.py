"""The sums of the closed form by blocks of items: nothing of n training items by L landmarks need be held.

With K (n, L) the weighted similarities that a set of owned modalities gives, C C^T the landmarks' and F = K C^-T the
features of `milk_np.regression.ridge`, everything that the fit needs of the items is

F^T F                      of every set             (`normals`)
G^T Q and F^T Q            Q = B^T R^T R B G        (`targets`)
B G W                      the history vectors      (`history`)

with G = F N^-1 of the whole set, N = F^T F + noise I. Similarities are made anew in each pass. Products are summed in
float64 over float32 products of 256 rows. Sums of K^T K in the place of F^T F would be cheaper; but C^-1 and N^-1
stretch what is small in K, rounding included, and the least axes of the users would be lost in it.

Q is worked on some columns at a time: as many as `column_bytes` hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backend import Array, Backend
from milk_np.data import Dataset
from milk_np.regression.choice import Kernel
from milk_np.regression.pairs import Pairs

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]

BLOCK_ROWS = {"cpu": 2048, "gpu": 16384}
"""Items whose similarities are held at a time."""
COLUMN_BYTES = {"cpu": 1 << 30, "gpu": 1 << 33}
"""Memory for the columns of Q that are worked on at a time."""


def row_slices(n: int, step: int) -> Iterator[slice]:
    """Slices of `step` rows that cover `n`."""
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


@dataclass(frozen=True, eq=False)
class Items:
    """Training items on a backend, and what their content is compared with."""

    backend: Backend
    tables: Sequence[Array]
    """Raw features of each modality, of all items: on the backend, or on the host where they don't fit the device."""
    ids: NDArray[np.int32]
    """(n,) the training items' rows in the tables."""
    owned: NDArray[np.bool_]
    """(n, M)."""
    centres: Sequence[Array]
    axes: Sequence[Array]
    """Whitening of each modality, (D, r), r = 0 for none."""
    landmarks: Sequence[Array]
    """Their content, whitened, transposed: (D or r, L)."""
    kernel: Kernel

    @classmethod
    def of(
        cls,
        ds: Dataset,
        backend: Backend,
        centres: Mapping[str, Float32],
        axes: Sequence[Float32],
        landmarks: Sequence[Float32],
        kernel: Kernel,
        reserve: int = 0,
    ) -> Self:
        """The training items of `ds`; `reserve` bytes of the device are left free by the features."""
        ids, put = ds.train_items, backend.asarray
        tables = [table_of(backend, ds.features[name], reserve) for name in ds.modalities]
        across = [put(np.ascontiguousarray(x.T)) for x in landmarks]
        return cls(
            backend, tables, ids, ds.available[ids], [put(x) for x in centres.values()], [put(x) for x in axes], across,
            kernel,
        )  # fmt: skip

    @property
    def n_landmarks(self) -> int:
        """L."""
        return int(self.landmarks[0].shape[1])

    def blocks(self) -> Iterator[slice]:
        """Items whose similarities are made together."""
        return row_slices(len(self.ids), BLOCK_ROWS[self.backend.name])

    def similar(self, block: slice) -> Array:
        """exp(scale (x . l - 1)) of every modality, (M, n, L)."""
        ids = self.ids[block]
        out = self.backend.empty((len(self.tables), len(ids), self.n_landmarks), np.float32)
        for m, across in enumerate(self.landmarks):
            self.backend.kernels.multiply(self._content(m, block, ids), across, out[m])
        self.backend.kernels.exponentials(out, self.kernel.scale)
        return out

    def _content(self, m: int, block: slice, ids: NDArray[np.int32]) -> Array:
        backend, table = self.backend, self.tables[m]
        if backend.name != "cpu" and isinstance(table, np.ndarray):  # streamed
            table, ids = backend.asarray(table[ids]), np.arange(len(ids), dtype=np.int32)
        x = backend.empty((len(ids), table.shape[1]), np.float32)
        owned = backend.asarray(np.ascontiguousarray(self.owned[block, m]))
        backend.kernels.content_rows(table, backend.asarray(ids), owned, self.centres[m], x)
        axes = self.axes[m]
        if axes.shape[1] == 0:
            return x
        inside = backend.empty((len(ids), axes.shape[1]), np.float32)
        backend.kernels.multiply(x, axes, inside)
        backend.kernels.whiten_rows(x, (axes**2).sum(axis=0) ** np.float32(0.5), inside)
        return inside

    def weighted(self, similar: Array, owned: NDArray[np.bool_], dtype: DTypeLike) -> Array:
        """K (n, L): the sum over the modalities `owned` (M,)."""
        weights = np.where(owned, self.kernel.weights, 0).astype(np.float32)
        out = self.backend.empty(similar.shape[1:], np.float32)
        self.backend.kernels.weighted_sum(similar, self.backend.asarray(weights), out)
        return out if np.dtype(dtype) == np.float32 else out.astype(dtype)


def table_of(backend: Backend, raw: NDArray[Any], reserve: int) -> Array:
    """Raw features on the backend, or on the host if they and `reserve` bytes don't fit the device."""
    table = backend.features(raw, reserve)
    return raw if hasattr(table, "staged") else table


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

    def apply(self, x: Array) -> Floats:
        """`x` (n, k) becomes B x; returns right^T x (r, k), of which it is made."""
        return self._apply(self.left, self.right, x)

    def apply_transposed(self, x: Array) -> None:
        """`x` (n, k) becomes B^T x."""
        self._apply(self.right, self.left, x)

    def _apply(self, left: Array, right: Array, x: Array) -> Floats:
        backend = self.backend
        total = backend.zeros((right.shape[1], x.shape[1]), np.float64)
        for rows in row_slices(len(x), BLOCK_ROWS[backend.name]):
            backend.kernels.add_products(right[rows], x[rows], total)
        self.combine(total.astype(x.dtype), slice(0, len(x)), x, left)
        return backend.to_host(total)

    def combine(self, z: Array, rows: slice, x: Array, left: Array | None = None) -> None:
        """`x`, the `rows` of a matrix X, becomes those of B X, where z = right^T X."""
        left = self.left if left is None else left
        self.backend.kernels.combine(self.own[rows], left[rows], z, x)


def normals(items: Items, sets: NDArray[np.bool_], bases: Sequence[Array], dtype: DTypeLike) -> list[Floats]:
    """F^T F (L, L) of each of `sets` (S, M), F = K base for its base (L, L)."""
    backend, L = items.backend, items.n_landmarks
    out = [backend.zeros((L, L), np.float64) for _ in sets]
    for block in items.blocks():
        similar = items.similar(block)
        for owned, base, total in zip(sets, bases, out, strict=True):
            backend.kernels.add_gram(_features(items, similar, owned, base, dtype), total)
    return [_symmetric(backend.to_host(total)) for total in out]


def _symmetric(lower: Floats) -> Floats:
    return np.tril(lower) + np.tril(lower, -1).T


def _features(items: Items, similar: Array, owned: NDArray[np.bool_], base: Array, dtype: DTypeLike) -> Array:
    K = items.weighted(similar, owned, dtype)
    out = items.backend.empty((len(K), base.shape[1]), dtype)
    items.backend.kernels.multiply(K, base, out)
    return out


@dataclass(frozen=True, eq=False)
class Targets:
    """What `targets` adds up."""

    products: list[Floats]
    """Of each set F^T Q (L, L), and G^T Q in the first one's place."""
    smoothed: Floats
    """right^T G (r, L), of which B G is made."""


def targets(
    items: Items,
    pairs: Pairs,
    smoother: Smoother,
    sets: NDArray[np.bool_],
    bases: Sequence[Array],
    dtype: DTypeLike,
    column_bytes: int | None = None,
) -> Targets:
    """Sums with Q = B^T R^T R B G, G = K bases[0] of the first of `sets`, some columns of Q at a time."""
    L, name = items.n_landmarks, items.backend.name
    step = columns_at_a_time(len(items.ids), L, dtype, column_bytes or COLUMN_BYTES[name])
    found = [_some_targets(items, pairs, smoother, sets, bases, dtype, part) for part in row_slices(L, step)]
    products = [np.hstack(parts) for parts in zip(*(each.products for each in found), strict=True)]
    return Targets(products, np.hstack([each.smoothed for each in found]))


def columns_at_a_time(n: int, L: int, dtype: DTypeLike, column_bytes: int) -> int:
    """Columns of Q that fit `column_bytes`, a multiple of 64 unless it is all."""
    fit = column_bytes // (n * np.dtype(dtype).itemsize)
    return L if fit >= L else max(64, fit // 64 * 64)


def _some_targets(
    items: Items,
    pairs: Pairs,
    smoother: Smoother,
    sets: NDArray[np.bool_],
    bases: Sequence[Array],
    dtype: DTypeLike,
    columns: slice,
) -> Targets:
    """`targets` of some columns of Q."""
    backend = items.backend
    base = backend.copy(bases[0][:, columns])
    Q = backend.empty((len(items.ids), base.shape[1]), dtype)
    for block in items.blocks():
        backend.kernels.multiply(items.weighted(items.similar(block), sets[0], dtype), base, Q[block])
    smoothed = smoother.apply(Q)
    pairs.gram_times(Q)
    smoother.apply_transposed(Q)
    out = [backend.zeros((len(base), base.shape[1]), np.float64) for _ in sets]
    for block in items.blocks():
        similar = items.similar(block)
        for owned, each, total in zip(sets, bases, out, strict=True):
            backend.kernels.add_products(_features(items, similar, owned, each, dtype), Q[block], total)
    return Targets([backend.to_host(total) for total in out], smoothed)


def history(
    items: Items, smoother: Smoother, owned: NDArray[np.bool_], maps: Array, smoothed: Array
) -> Iterator[tuple[slice, Array]]:
    """B K maps (n, K) by blocks of items, for `maps` (L, K); `smoothed` (r, K) is right^T K maps."""
    for block in items.blocks():
        out = _features(items, items.similar(block), owned, maps, maps.dtype)
        smoother.combine(smoothed, block, out)
        yield block, out
