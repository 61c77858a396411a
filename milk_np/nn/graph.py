"""Products with a sparse matrix between rows, and LightGCN's layers, on either device.

The transposed matrix that the backward pass needs is made once, on the host. Every sum runs over a row's entries in
order of their columns: the same bits whatever the threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import coo_array, csr_array, diags_array, eye_array

from milk_np.nn import device
from milk_np.nn.arrays import Array, host_kernels, on_device
from milk_np.nn.embedding import embedding_forward, scatter_add


class Csr(NamedTuple):
    """A matrix (R, C) by rows: the entries of row r stand at `indptr[r]:indptr[r + 1]`."""

    indptr: Array  # (R + 1)
    indices: Array  # (entries)
    weights: Array  # (entries)
    columns: int


class Graph(NamedTuple):
    """A sparse matrix and its transpose."""

    matrix: Csr
    transposed: Csr


def make_graph(matrix: Any, dtype: DTypeLike = np.float32, xp: Any = np) -> Graph:
    """A graph of `xp` from a sparse matrix of SciPy, (R, C); repeated entries are summed."""
    return Graph(*(_compressed(csr_array(x), dtype, xp) for x in (matrix, matrix.T)))


def bipartite(users: NDArray[Any], items: NDArray[Any], n_users: int, n_items: int) -> Any:
    """Adjacency (U + I, U + I) of SciPy between users and their items, from pairs (n); a repeated pair counts once."""
    rows, columns = np.asarray(users, np.int64), np.asarray(items, np.int64) + n_users
    ends = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    size = n_users + n_items
    matrix = csr_array(coo_array((np.ones(2 * len(rows)), ends), shape=(size, size)))
    matrix.data[...] = 1
    return matrix


def symmetric_normalised(matrix: Any) -> Any:
    """D^-1/2 A D^-1/2, D being the row sums (LightGCN); a row whose sum is 0 stays empty."""
    inverse = diags_array(_power(matrix, -0.5))
    return csr_array(inverse @ matrix @ inverse)


def row_normalised(matrix: Any, *, self_loops: bool = False) -> Any:
    """D^-1 A, or D^-1 (A + I) with `self_loops` (MICRO's user-item graph); a row whose sum is 0 stays empty."""
    matrix = csr_array(matrix + eye_array(matrix.shape[0])) if self_loops else csr_array(matrix)
    return csr_array(diags_array(_power(matrix, -1.0)) @ matrix)


def graph_forward(graph: Graph, x: Array, rows: Array | None = None) -> tuple[Array, Any]:
    """out (R, K) = A x, with x (C, K); if `rows` (n) are given, these alone: out (n, K). Repeats are allowed.

    Raises ValueError unless x has C rows, and for `rows` that A doesn't have; a device doesn't check these.
    """
    if len(x) != graph.matrix.columns:
        raise ValueError(f"the graph has {graph.matrix.columns} columns for {len(x)} rows; it must have one for each")
    rows = _checked(rows, graph.matrix, x)
    return _product(graph.matrix, x, rows=rows), (graph, rows)


def graph_backward(dout: Array, cache: Any) -> Array:
    """dx (C, K) = A^T dout, where dout of rows that weren't given is 0."""
    graph, rows = cache
    dense, used = _scattered(dout, rows, graph.matrix)
    return _product(graph.transposed, dense, used=used)


def light_gcn_forward(graph: Graph, x: Array, layers: int, rows: Array | None = None) -> tuple[Array, Any]:
    """out (R, K) = mean of x, A x, ... A^layers x (He et al. 2020); if `rows` (n) are given, these alone: out (n, K).

    The host makes the last layer of these alone then. Raises ValueError for rows as `graph_forward`, and unless A is
    (R, R).
    """
    R, C = len(graph.matrix.indptr) - 1, graph.matrix.columns
    if not R == C == len(x):
        raise ValueError(f"the graph is {R} x {C} for {len(x)} rows; it must be square, with a row for each")
    rows = _checked(rows, graph.matrix, x)
    return _mean_of_powers(graph.matrix, x, layers, rows=rows), (graph, layers, rows)


def light_gcn_backward(dout: Array, cache: Any) -> Array:
    """dx (R, K): the same mean with the transposed matrix, where dout of rows that weren't given is 0."""
    graph, layers, rows = cache
    dense, used = _scattered(dout, rows, graph.matrix)
    return _mean_of_powers(graph.transposed, dense, layers, used=used)


def _mean_of_powers(
    matrix: Csr, x: Array, layers: int, *, rows: Array | None = None, used: Array | None = None
) -> Array:
    """By Horner's rule, x + A (x + A (x + ...)), so that no sum is kept apart."""
    if layers < 1:
        return x.copy() if rows is None else embedding_forward(x, rows)[0]
    total = x = x if on_device(x) else np.ascontiguousarray(x)  # once, not for every layer
    for remaining in reversed(range(layers)):
        last: dict[str, Any] = {} if remaining else {"rows": rows, "share": 1 / (layers + 1)}
        total, used = _product(matrix, total, start=x, used=used, **last), None
    return total


def _product(
    matrix: Csr,
    x: Array,
    *,
    start: Array | None = None,
    share: float = 1.0,
    rows: Array | None = None,
    used: Array | None = None,
) -> Array:
    """share (start + A x) of `rows`; what isn't `used` of x is 0, and isn't read on the host."""
    indptr, indices, weights, _ = matrix
    if on_device(x):
        out = device.product(indptr, indices, weights, x)
        if start is not None:
            out += start
        if share != 1:
            out *= share
        return out if rows is None else device.take(out, rows)
    x = np.ascontiguousarray(x)
    start = x[:0] if start is None else np.ascontiguousarray(start)
    rows = np.arange(len(indptr) - 1) if rows is None else rows
    used = np.ones(len(x), bool) if used is None else used
    out = np.empty((len(rows), x.shape[1]), x.dtype)
    host_kernels().sparse_product(indptr, indices, weights, rows, used, start, x, share, out)
    return out


def _checked(rows: Array | None, matrix: Csr, x: Array) -> Array | None:
    """Rows as the kernel takes them. Raises ValueError for one that A doesn't have."""
    if rows is None or on_device(x):
        return rows
    R = len(matrix.indptr) - 1
    if len(rows) and (rows.min() < 0 or rows.max() >= R):
        raise ValueError(f"rows: expected numbers from 0 to {R - 1}, got {rows.min()} to {rows.max()}")
    return np.ascontiguousarray(rows, np.int64)


def _scattered(dout: Array, rows: Array | None, matrix: Csr) -> tuple[Array, Array | None]:
    """The rows of dout in their places (R, K), and on the host which of all rows these are."""
    if rows is None:
        return dout, None
    R = len(matrix.indptr) - 1
    dense = scatter_add(rows, dout, R)
    if on_device(dout):
        return dense, None
    used = np.zeros(R, bool)
    used[rows] = True
    return dense, used


def _compressed(matrix: Any, dtype: DTypeLike, xp: Any) -> Csr:
    matrix.sum_duplicates()
    arrays = matrix.indptr, matrix.indices, matrix.data.astype(dtype)
    indptr, indices, weights = (xp.asarray(array) for array in arrays)
    return Csr(indptr, indices, weights, matrix.shape[1])


def _power(matrix: Any, exponent: float) -> NDArray[np.float64]:
    """Row sums to a power, 0 where a row is empty."""
    sums = np.asarray(matrix.sum(axis=1), np.float64).ravel()
    return np.power(sums, exponent, where=sums > 0, out=np.zeros_like(sums))
