"""Linear layers: of rows that are at hand, and of rows of a feature table, which are never built.

Products of `Rows`, of `linear_rows` and of large float32 arrays on the host are the engine's: the same bits for any
number of threads. Others are BLAS's, whose last bits depend on processor, shape and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from milk_np.nn.arrays import Array, array_module, compiled, host_kernels, on_device
from milk_np.nn.embedding import distinct, embedding_backward, embedding_forward

LARGE = 1 << 23
"""Multiply-adds from which on the engine's product, on two threads, is faster than BLAS's on one."""


class Rows(NamedTuple):
    """Rows (n, D) of a feature table that a linear layer takes in place of an array: each distinct one counts once.

    `kernels` and `table` as in `linear_rows_forward`; `ids`: the distinct rows; `slot` (n): the place of each of the n
    rows among them, None if they are as many, in their order.
    """

    kernels: Any
    table: tuple[Array, ...]
    ids: Array
    slot: Array | None

    @classmethod
    def of(cls, kernels: Any, table: tuple[Array, ...], ids: Array) -> Rows:
        """The rows `ids` (n), which may repeat."""
        if on_device(ids):
            return cls(kernels, table, ids.astype(np.int32), None)
        found, slot = distinct(ids)
        return cls(kernels, table, found.astype(np.int32), slot)

    @classmethod
    def whole(cls, kernels: Any, x: Array) -> Rows:
        """All rows of an array x (n, D)."""
        return cls(kernels, whole(x), array_module(x).arange(len(x), dtype=np.int32), None)

    def dense(self) -> Array:
        """The rows as an array (n, D)."""
        xp = array_module(self.ids)
        rows = self.ids if self.slot is None else self.ids[self.slot]
        raw = self.table[0]
        return self.kernels.gather(*self.table, rows, xp.empty((len(rows), raw.shape[1]), raw.dtype))


def linear_forward(x: Array | Rows, W: Array, b: Array | None = None) -> tuple[Array, Any]:
    """out (n, K) = x W + b, with x (n, D), W (D, K), b (K) or none."""
    if isinstance(x, Rows):
        return _of_rows_forward(x, W, b)
    out = product(x, W)
    if b is not None:
        out += b
    return out, (x, W, b is not None)


def linear_backward(dout: Array, cache: Any, *, need_dx: bool = True) -> tuple[Array, Array, Array]:
    """dx (n, D), None if it isn't needed or x are `Rows`; dW (D, K); db (K), None where there is no b."""
    x, W, biased = cache
    if isinstance(x, Rows):
        return None, *_of_rows_backward(dout, W, biased)
    dx = product(dout, W.T) if need_dx else None
    return dx, product_transposed(x, dout), dout.sum(axis=0) if biased else None


def product(a: Array, b: Array) -> Array:
    """a b, of a (n, D) and b (D, K)."""
    if not _engine(a, b.shape[1], b):
        return a @ b
    out = np.empty((len(a), b.shape[1]), a.dtype)
    host_kernels().matmul(_row_by_row(a), np.ascontiguousarray(b), out)
    return out


def product_transposed(a: Array, b: Array) -> Array:
    """a^T b, of a (n, D) and b (n, K). The engine packs the second factor on one thread: the narrower one."""
    if not _engine(a, b.shape[1], b):
        return a.T @ b
    if a.shape[1] < b.shape[1]:
        return np.ascontiguousarray(product_transposed(b, a).T)
    out = np.empty((a.shape[1], b.shape[1]), a.dtype)
    host_kernels().matmul_transposed(_row_by_row(a), np.ascontiguousarray(b), out)
    return out


def _engine(a: Array, K: int, b: Array) -> bool:
    return a.size * K >= LARGE and compiled(a, b)


def _row_by_row(a: Array) -> Array:
    """`a` if the numbers of a row stand together, else a copy in which they do."""
    return a if a.strides[1] == a.itemsize else np.ascontiguousarray(a)


def _of_rows_forward(x: Rows, W: Array, b: Array | None) -> tuple[Array, Any]:
    zeros = array_module(W).zeros(W.shape[1], W.dtype) if b is None else b
    out, of_product = linear_rows_forward(x.kernels, x.table, x.ids, W, zeros)
    of_slots = None
    if x.slot is not None:
        out, of_slots = embedding_forward(out, x.slot)
    return out, (x, (of_product, of_slots), b is not None)


def _of_rows_backward(dout: Array, cache: Any, biased: bool) -> tuple[Array, Array]:
    of_product, of_slots = cache
    dW, db = linear_rows_backward(dout if of_slots is None else embedding_backward(dout, of_slots), of_product)
    return dW, db if biased else None


def parts_forward(parts: Sequence[Array | Rows], W: Array, b: Array | None = None) -> tuple[Array, Any]:
    """out (n, K) = [parts] W + b: parts (n, D_p) side by side, arrays or `Rows`, without being put there."""
    widths = [part.table[0].shape[1] if isinstance(part, Rows) else part.shape[1] for part in parts]
    ends = np.cumsum(widths).tolist()
    out, caches = None, []
    for part, first, end in zip(parts, [0, *ends], ends, strict=False):
        product, cache = linear_forward(part, W[first:end], b if out is None else None)
        out = product if out is None else out + product
        caches.append(cache)
    return out, caches


def parts_backward(dout: Array, caches: Any, *, need_dx: bool = True) -> tuple[list[Array], Array, Array]:
    """The parts' gradients, None where one isn't needed or has none; dW (D, K); db (K), None where there is no b."""
    parts, weights, biases = zip(*(linear_backward(dout, cache, need_dx=need_dx) for cache in caches), strict=True)
    dW = weights[0] if len(weights) == 1 else array_module(dout).concatenate(weights)
    return list(parts), dW, biases[0]


def linear_rows_forward(kernels: Any, table: tuple[Array, ...], ids: Array, W: Array, b: Array) -> tuple[Array, Any]:
    """out (n, K) = x[ids] W + b for the rows `ids` (n) int32 of a virtual feature table.

    `kernels` is one of the modules of `milk_np.kernels`; `table` (raw, fill, source, scale) is what its `extract`
    reads: imputed rows and the norm of each row are part of it, no copy of the features is made.
    """
    xp = array_module(W)
    W, b = xp.ascontiguousarray(W), xp.ascontiguousarray(b)
    out = xp.empty((len(ids), W.shape[1]), W.dtype)
    kept = kernels.extract(*table, ids, W, b, out)
    return out, (kernels, table, ids, W, kept)


def linear_rows_backward(dout: Array, cache: Any) -> tuple[Array, Array]:
    """dW (D, K) and db (K); the features are data and have no gradient."""
    kernels, table, ids, W, kept = cache
    xp = array_module(W)
    dW, db = xp.empty(W.shape, W.dtype), xp.empty(W.shape[1], W.dtype)
    kernels.extract_backward(*table, ids, xp.ascontiguousarray(dout), dW, db, kept)
    return dW, db


def whole(x: Array) -> tuple[Array, Array, Array, Array]:
    """Rows x (R, D) that are at hand, as the table that `linear_rows` reads: none missing, all as they are."""
    xp = array_module(x)
    return x, x[:0], xp.arange(len(x), dtype=np.int32), xp.ones(len(x), np.float32)


def concat_forward(parts: list[Array]) -> tuple[Array, Any]:
    """Parts (n, D_p) side by side: out (n, sum of D_p)."""
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    return array_module(parts[0]).concatenate(parts, axis=1), [int(end) for end in ends]


def concat_backward(dout: Array, cache: Any) -> list[Array]:
    """The gradient of each part, views of `dout`."""
    return array_module(dout).split(dout, cache, axis=1)  # type: ignore[no-any-return]
