"""Linear extractor on rows of a feature table (contract: kernels/reference/extract.py).

Single precision with the table on the device reads the rows in place (`products`). Double precision, and rows
that stay on the host, are gathered for cuBLAS. Products are in true single precision: CuPy leaves TF32 off unless the
user turns it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from milk_np.kernels.arrays import Array
from milk_np.kernels.gpu import products
from milk_np.kernels.gpu.launch import WARP, access, kernel, real
from milk_np.kernels.gpu.memory import empty
from milk_np.kernels.gpu.streaming import HostRows

Table = tuple[Array, Array, Array, Array]

PRODUCTS = "rows"
"""What multiplies in single precision: "rows", our kernels on rows in place; "cublas", on gathered rows."""
GATHERED_BYTES = 1 << 28
"""Gathered rows that are kept until the backward pass; more are gathered twice, in parts of this size."""


def extract(
    raw: Array,
    fill: Array,
    source: Array,
    scale: Array,
    rows: Array,
    weight: Array,
    bias: Array,
    out: Array,
) -> Any:
    """c = x W + b for the rows `rows`, into `out`; returns x if it was gathered, all in one piece."""
    table, x = (raw, fill, source, scale), None
    if _in_place(raw, weight):
        return products.forward([table], rows, [weight], [bias], [out])
    for part in _parts(rows, weight):
        x = _gather(table, rows[part], _blank(rows[part], weight), bias, out[part])
        _product("N", x, weight, out[part], 1.0)
    return x if x is not None and len(x) == len(rows) else None


def extract_backward(
    raw: Array,
    fill: Array,
    source: Array,
    scale: Array,
    rows: Array,
    dout: Array,
    dweight: Array,
    dbias: Array,
    cache: Any = None,
) -> None:
    """dW = x^T dout and db = sum of dout, for the rows `rows`, into `dweight` and `dbias`."""
    table = raw, fill, source, scale
    if cache is None and _in_place(raw, dweight):
        return products.backward([table], rows, [dout], [dweight], [dbias])
    n, K = dout.shape
    column_sums = kernel("extract", "column_sums", REAL=real(dout.dtype))
    column_sums.blocks(-(-K // 32), 1024, dout, np.int32(n), np.int32(K), dbias)
    if n == 0:
        dweight[...] = 0
    for part in _parts(rows, dweight):
        x = cache
        if x is None:
            x = _gather(table, rows[part], _blank(rows[part], dweight))
        _product("T", x, dout[part], dweight, float(part.start > 0))


def extract_all(
    tables: Sequence[Table], rows: Array, weights: Sequence[Array], biases: Sequence[Array], out: Array
) -> list[Any]:
    """c = x W + b of every modality into `out` (M, n, K), in one launch if the rows are read in place."""
    arrays = list(zip(tables, weights, biases, out, strict=True))
    if all(_in_place(table[0], weight) for table, weight, _, _ in arrays):
        products.forward(tables, rows, weights, biases, out)
        return [None] * len(arrays)
    return [extract(*table, rows, weight, bias, c) for table, weight, bias, c in arrays]


def extract_all_backward(
    tables: Sequence[Table],
    rows: Array,
    dout: Array,
    dweights: Sequence[Array],
    dbiases: Sequence[Array],
    caches: Sequence[Any],
) -> None:
    """dW = x^T dout and db = sum of dout of every modality, in one launch if the rows are read in place."""
    arrays = list(zip(tables, dout, dweights, dbiases, caches, strict=True))
    if all(cache is None and _in_place(table[0], dweight) for table, _, dweight, _, cache in arrays):
        return products.backward(tables, rows, dout, dweights, dbiases)
    for table, dc, dweight, dbias, cache in arrays:
        extract_backward(*table, rows, dc, dweight, dbias, cache)


def gather(raw: Array, fill: Array, source: Array, scale: Array, rows: Array, out: Array) -> Array:
    """Rows `rows` of the virtual table, widened to the type of `out`, into `out`."""
    return _gather((raw, fill, source, scale), rows, out)


def _in_place(raw: Array, weight: Array) -> bool:
    """Whether our kernels multiply the rows in place."""
    return PRODUCTS == "rows" and weight.dtype == np.float32 and not isinstance(raw, HostRows)


def _product(transposed: str, a: Array, b: Array, out: Array, beta: float) -> None:
    """out = a b + beta * out, or with a^T in the place of a where `transposed` is "T"."""
    from cupy import cublas  # here, because it loads the library: compiling kernels alone has to work without

    cublas.gemm(transposed, "N", a, b, out=out, beta=beta)


def _blank(rows: Array, weight: Array) -> Array:
    """Room for the rows `rows` of the table in the type of `weight` (D, K)."""
    return empty((len(rows), weight.shape[0]), weight.dtype)


def _parts(rows: Array, weight: Array) -> Iterator[slice]:
    """Slices of `rows` of which each one's gathered rows fit `GATHERED_BYTES`."""
    size = max(1, GATHERED_BYTES // (weight.shape[0] * weight.itemsize))
    for start in range(0, len(rows), size):
        yield slice(start, min(start + size, len(rows)))


def _gather(table: Table, rows: Array, x: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """x = rows of `table`; `out`, if given, is filled with `bias` on the way."""
    raw, fill, source, scale = table
    if not isinstance(raw, HostRows):
        _launch(raw, fill, source, scale, rows, x, bias, out, staged=False)
        return x
    for part, staged in raw.staged(source, rows):
        target = None if out is None else out[part]
        _launch(staged, fill, source, scale, rows[part], x[part], bias, target, staged=True)
    return x


def _launch(
    raw: Array,
    fill: Array,
    source: Array,
    scale: Array,
    rows: Array,
    x: Array,
    bias: Array | None,
    out: Array | None,
    *,
    staged: bool,
) -> None:
    """One launch; where `staged`, row r of `raw` is what row r of `x` is made of."""
    n, D = x.shape
    vec = access(D, raw, fill, x)
    threads = min(256, max(WARP, -(-D // vec // WARP) * WARP))
    half = int(raw.dtype == np.float16)
    run = kernel("extract", "gather", REAL=real(x.dtype), VEC=vec, HALF=half)
    nothing = np.intp(0)
    filled = (nothing, nothing, np.int32(0)) if out is None else (bias, out, np.int32(out.shape[1]))
    run.blocks(n, threads, raw, fill, source, scale, rows, np.int32(D), np.int32(staged), x, *filled)
