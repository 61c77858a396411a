"""Linear layers: of rows that are at hand, and of rows of a feature table, which are never built.

Products of `linear` are BLAS's, whose last bits depend on processor, shape and threads. Those of `linear_rows` are the
engine's kernels: the same bits for any number of threads on the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from milk_np.nn.arrays import Array, array_module


def linear_forward(x: Array, W: Array, b: Array | None = None) -> tuple[Array, Any]:
    """out (n, K) = x W + b, with x (n, D), W (D, K), b (K) or none."""
    out = x @ W
    if b is not None:
        out += b
    return out, (x, W, b is not None)


def linear_backward(dout: Array, cache: Any, *, need_dx: bool = True) -> tuple[Array, Array, Array]:
    """dx (n, D), None if it isn't needed; dW (D, K); db (K), None where there is no b."""
    x, W, biased = cache
    dx = dout @ W.T if need_dx else None
    return dx, x.T @ dout, dout.sum(axis=0) if biased else None


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
