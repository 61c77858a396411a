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


def graph_forward(graph: Graph, x: Array) -> tuple[Array, Any]:
    """out (R, K) = A x, with x (C, K)."""
    return _product(graph.matrix, x), graph


def graph_backward(dout: Array, cache: Any) -> Array:
    """dx (C, K) = A^T dout."""
    return _product(cache.transposed, dout)


def light_gcn_forward(graph: Graph, x: Array, layers: int) -> tuple[Array, Any]:
    """out (R, K) = mean of x, A x, ... A^layers x (He et al. 2020). Raises ValueError unless A is (R, R)."""
    R, C = len(graph.matrix.indptr) - 1, graph.matrix.columns
    if not R == C == len(x):
        raise ValueError(f"the graph is {R} x {C} for {len(x)} rows; it must be square, with a row for each")
    return _mean_of_powers(graph.matrix, x, layers), (graph, layers)


def light_gcn_backward(dout: Array, cache: Any) -> Array:
    """dx (R, K): the same mean with the transposed matrix."""
    graph, layers = cache
    return _mean_of_powers(graph.transposed, dout, layers)


def _mean_of_powers(matrix: Csr, x: Array, layers: int) -> Array:
    """By Horner's rule, x + A (x + A (x + ...)), so that no sum is kept apart."""
    if layers < 1:
        return x.copy()
    start = total = x if on_device(x) else np.ascontiguousarray(x)
    for remaining in reversed(range(layers)):
        total = _propagated(matrix, start, total, 1.0 if remaining else 1 / (layers + 1))
    return total


def _product(matrix: Csr, x: Array) -> Array:
    indptr, indices, weights, _ = matrix
    if on_device(x):
        return device.product(indptr, indices, weights, x)
    out = np.empty((len(indptr) - 1, x.shape[1]), x.dtype)
    host_kernels().sparse_product(indptr, indices, weights, np.ascontiguousarray(x), out)
    return out


def _propagated(matrix: Csr, start: Array, x: Array, share: float) -> Array:
    """share (start + A x), of a square A and contiguous arrays."""
    indptr, indices, weights, _ = matrix
    if on_device(x):
        out = device.product(indptr, indices, weights, x)
        out += start
        if share != 1:
            out *= share
        return out
    out = np.empty(start.shape, start.dtype)
    host_kernels().propagate(indptr, indices, weights, start, x, share, out)
    return out


def _compressed(matrix: Any, dtype: DTypeLike, xp: Any) -> Csr:
    matrix.sum_duplicates()
    arrays = matrix.indptr, matrix.indices, matrix.data.astype(dtype)
    indptr, indices, weights = (xp.asarray(array) for array in arrays)
    return Csr(indptr, indices, weights, matrix.shape[1])


def _power(matrix: Any, exponent: float) -> NDArray[np.float64]:
    """Row sums to a power, 0 where a row is empty."""
    sums = np.asarray(matrix.sum(axis=1), np.float64).ravel()
    return np.power(sums, exponent, where=sums > 0, out=np.zeros_like(sums))
