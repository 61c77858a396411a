"""The sums of the closed form by blocks of items: nothing of n training items by L landmarks need be held.

With K (n, L) the weighted similarities that a set of owned modalities gives, C C^T the landmarks' and F = K C^-T the
features of `milk_np.models.kernel_profile.ridge`, everything that the fit needs of the items is

F^T F                      of every set                                 (`normals`)
G^T Q and F^T Q            Q = B^T R^T R B G, F of every other set      (`targets`)
B G W                      the history vectors                          (`history`)

with G = F N^-1 of the whole set, N = F^T F + noise I. Similarities are made anew in each pass. Products are summed in
float64 over float32 products of 256 rows. Sums of K^T K in the place of F^T F would be cheaper; but C^-1 and N^-1
stretch what is small in K, rounding included, and the least axes of the users would be lost in it. Nor may C^-1 K^T Q
stand for F^T Q: F has other rounding than that, and N^-1 stretches the difference (scores are off by 0.7 % on TikTok).

Q is worked on some columns at a time: as many as `column_bytes` hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from milk_np.backends.base import Array, Backend
from milk_np.data import Dataset
from milk_np.models.base import Floats
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.need import BLOCK_ROWS, COLUMN_BYTES, LEAST_SIMILARITIES
from milk_np.models.kernel_profile.pairs import Pairs
from milk_np.models.kernel_profile.smoother import Smoother
from milk_np.models.kernel_profile.spans import LOCAL, Engine, row_slices, spans, total

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Items:
    """Training items on a backend, and what their content is compared with."""

    backend: Backend
    tables: Sequence[Array]
    """Raw features of each modality, of all items: on the backend, or on the host where they don't fit the device."""
    ids: NDArray[np.int32]
    """(n,) the training items' rows in the tables, on the host."""
    rows: Array
    """The same on the backend."""
    owned: Array
    """(M, n) which of them own each modality."""
    centres: Sequence[Array]
    axes: Sequence[Array]
    """Whitening of each modality, (D, r), r = 0 for none."""
    landmarks: Sequence[Array]
    """Their content, whitened, transposed: (D or r, L)."""
    kernel: ContentKernel
    block_rows: int = 0
    """Items of a block; 0: as many as suit the backend."""

    @classmethod
    def of(
        cls,
        ds: Dataset,
        backend: Backend,
        centres: Mapping[str, Float32],
        axes: Sequence[Float32],
        landmarks: Sequence[Float32],
        kernel: ContentKernel,
        reserve: int = 0,
        block_rows: int = 0,
    ) -> Self:
        """The training items of `ds`; `reserve` bytes of the device are left free by the features."""
        ids, put = ds.train_items, backend.asarray
        tables = [table_of(backend, ds.features[name], reserve) for name in ds.modalities]
        across = [put(np.ascontiguousarray(x.T)) for x in landmarks]
        return cls(
            backend, tables, ids, put(ids), put(np.ascontiguousarray(ds.available[ids].T)),
            [put(x) for x in centres.values()], [put(x) for x in axes], across, kernel, block_rows,
        )  # fmt: skip

    @cached_property
    def factors(self) -> list[Array]:
        """What the rows along each axis are multiplied with, (r,) of each modality."""
        return [(axes**2).sum(axis=0) ** np.float32(0.5) for axes in self.axes]

    @property
    def n_landmarks(self) -> int:
        """L."""
        return int(self.landmarks[0].shape[1])

    def spans(self) -> list[slice]:
        """Items that are added up together; see `milk_np.models.kernel_profile.spans`."""
        return spans(len(self.ids), BLOCK_ROWS[self.backend.name])

    def blocks(self, span: slice) -> Iterator[slice]:
        """Items of a span whose similarities are made together."""
        for block in row_slices(span.stop - span.start, self.block_rows or BLOCK_ROWS[self.backend.name]):
            yield slice(span.start + block.start, span.start + block.stop)

    def similar(self, block: slice) -> Array:
        """exp(scale (x . l - 1)) of every modality, (M, n, L)."""
        n = block.stop - block.start
        out = self.backend.empty((len(self.tables), n, self.n_landmarks), np.float32)
        for m, across in enumerate(self.landmarks):
            self.backend.kernels.multiply(self._content(m, block), across, out[m])
        self.backend.kernels.exponentials(out, self.kernel.scale)
        return out

    def _content(self, m: int, block: slice) -> Array:
        """Whitened content (n, D or r) of a modality."""
        backend, axes = self.backend, self.axes[m]
        table, rows = self._raw(m, block)
        x = backend.empty((len(rows), table.shape[1]), np.float32)
        backend.kernels.content_rows(table, rows, self.owned[m, block], self.centres[m], x)
        if axes.shape[1] == 0:
            return x
        inside = backend.empty((len(x), axes.shape[1]), np.float32)
        backend.kernels.multiply(x, axes, inside)
        backend.kernels.whiten_rows(x, self.factors[m], inside)
        return inside

    def _raw(self, m: int, block: slice) -> tuple[Array, Array]:
        """A table of raw features, and the rows of it that the items of `block` are."""
        table = self.tables[m]
        if self.backend.name == "cpu" or not isinstance(table, np.ndarray):
            return table, self.rows[block]
        part = self.backend.asarray(table[self.ids[block]])
        return part, self.backend.asarray(np.arange(len(part), dtype=np.int32))

    def weights(self, owned: NDArray[np.bool_]) -> Array:
        """Weights (M,) of the modalities, 0 where they aren't `owned` (M,)."""
        return self.backend.asarray(np.where(owned, self.kernel.weights, 0).astype(np.float32))

    def weighted(self, similar: Array, weights: Array, dtype: DTypeLike) -> Array:
        """K (n, L): the sum over the modalities."""
        out = self.backend.empty(similar.shape[1:], np.float32)
        self.backend.kernels.weighted_sum(similar, weights, out)
        return out if np.dtype(dtype) == np.float32 else out.astype(dtype)

    def features(self, similar: Array, weights: Array, base: Array, triangular: bool = False) -> Array:
        """K base (n, q), for `base` (L, q), which may be upper `triangular`."""
        out = self.backend.empty((similar.shape[1], base.shape[1]), base.dtype)
        multiply = self.backend.kernels.multiply_triangle if triangular else self.backend.kernels.multiply
        multiply(self.weighted(similar, weights, base.dtype), base, out)
        return out


def table_of(backend: Backend, raw: NDArray[Any], reserve: int) -> Array:
    """Raw features on the backend, or on the host if they and `reserve` bytes don't fit the device."""
    table = backend.features(raw, reserve)
    return raw if hasattr(table, "staged") else table


@dataclass(frozen=True, eq=False)
class Sets:
    """What the work on a span of items needs: the items, and of every set its weights (M,) and base (L, q)."""

    items: Items
    weights: Sequence[Array]
    bases: Sequence[Array]
    first: bool = True
    """Whether the first of the bases is C^-T like the others; else it is any matrix."""

    def features(self, block: slice) -> Iterator[Array]:
        """K base (n, q) of a block of items, for every set."""
        similar = self.items.similar(block)
        for s, (weights, base) in enumerate(zip(self.weights, self.bases, strict=True)):
            yield self.items.features(similar, weights, base, triangular=s > 0 or self.first)


def normals(items: Items, weights: Sequence[Array], bases: Sequence[Array], engine: Engine = LOCAL) -> list[Floats]:
    """Lower triangles of F^T F (L, L) of every set, F = K base for its `weights` (M,) and base C^-T (L, L)."""
    found = total(engine, _normals, Sets(items, weights, bases), items.spans())
    return [items.backend.to_host(each) for each in found]


def _normals(sets: Sets, span: slice) -> list[Array]:
    """Lower triangles of the sums over a span of items."""
    backend, L = sets.items.backend, sets.items.n_landmarks
    out = [backend.zeros((L, L), np.float64) for _ in sets.bases]
    for block in sets.items.blocks(span):
        for features, mine in zip(sets.features(block), out, strict=True):
            backend.kernels.add_gram(features, mine)
    return out


@dataclass(frozen=True, eq=False)
class Targets:
    """What `targets` adds up."""

    products: list[Floats]
    """G^T Q (L, L), and F^T Q of every other set."""
    smoothed: Floats
    """right^T G (r, L), of which B G is made."""


def targets(
    items: Items,
    pairs: Pairs,
    smoother: Smoother,
    weights: Sequence[Array],
    bases: Sequence[Array],
    column_bytes: int | None = None,
    engine: Engine = LOCAL,
) -> Targets:
    """Sums with Q = B^T R^T R B G, G = K bases[0] of the first set, some columns of Q at a time."""
    L, base, sets = items.n_landmarks, bases[0], Sets(items, weights, bases, first=False)
    step = columns_at_a_time(len(items.ids), L, base.dtype, _column_bytes(items, column_bytes))
    found = [_some_targets(sets, pairs, smoother, part, engine) for part in row_slices(L, step)]
    products = [np.hstack(parts) for parts in zip(*(each.products for each in found), strict=True)]
    return Targets(products, np.hstack([each.smoothed for each in found]))


def _column_bytes(items: Items, given: int | None) -> int:
    return COLUMN_BYTES[items.backend.name] if given is None else given


def columns_at_a_time(n: int, L: int, dtype: DTypeLike, column_bytes: int) -> int:
    """Columns of Q that fit `column_bytes`, a multiple of LEAST_SIMILARITIES unless it is all."""
    fit = column_bytes // max(n * np.dtype(dtype).itemsize, 1)
    return L if fit >= L else max(LEAST_SIMILARITIES, fit // LEAST_SIMILARITIES * LEAST_SIMILARITIES)


def _some_targets(sets: Sets, pairs: Pairs, smoother: Smoother, columns: slice, engine: Engine) -> Targets:
    """`targets` of some columns of Q."""
    items, backend = sets.items, sets.items.backend
    base = backend.copy(sets.bases[0][:, columns])
    Q = backend.empty((len(items.ids), base.shape[1]), base.dtype)
    for span, rows in _features_by_spans(Sets(items, sets.weights[:1], [base], first=False), engine):
        Q[span] = rows
    smoothed = smoother.apply(Q)
    pairs.gram_times(Q)
    smoother.apply_transposed(Q)
    found = total(engine, _products, sets, ((span, Q[span]) for span in items.spans()))
    return Targets([backend.to_host(each) for each in found], smoothed)


def _products(sets: Sets, part: tuple[slice, Array]) -> list[Array]:
    """F^T Q (L, q) of every set over a span of items, whose rows of Q are given."""
    (span, Q), backend = part, sets.items.backend
    out = [backend.zeros((sets.items.n_landmarks, Q.shape[1]), np.float64) for _ in sets.bases]
    for block in sets.items.blocks(span):
        rows = Q[block.start - span.start : block.stop - span.start]
        for features, mine in zip(sets.features(block), out, strict=True):
            backend.kernels.add_products(features, rows, mine)
    return out


def _features_by_spans(sets: Sets, engine: Engine) -> Iterator[tuple[slice, Array]]:
    """Spans of items and their features (n, q) of the only set."""
    return zip(sets.items.spans(), engine.each(_features, sets, sets.items.spans()), strict=True)


def _features(sets: Sets, span: slice) -> Array:
    backend, base = sets.items.backend, sets.bases[0]
    out = backend.empty((span.stop - span.start, base.shape[1]), base.dtype)
    for block in sets.items.blocks(span):
        out[block.start - span.start : block.stop - span.start] = next(sets.features(block))
    return out


def history(
    items: Items, smoother: Smoother, weights: Array, maps: Array, smoothed: Array, engine: Engine = LOCAL
) -> Iterator[tuple[slice, Array]]:
    """B K maps (n, K) by spans of items, for `maps` (L, K); `smoothed` (r, K) is right^T K maps."""
    for span, out in _features_by_spans(Sets(items, [weights], [maps], first=False), engine):
        smoother.combine(smoothed, span, out)
        yield span, out
