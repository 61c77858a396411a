"""Initial values of the extractors when users are profiles: the principal axes of a modality's features.

Profiles of different users can only differ by what the extracted vectors keep of the features, from the first step on;
random axes keep little. The axes come from subspace iteration (Halko, Martinsson and Tropp 2011, section 4.5) with the
engine's kernels: no D x D matrix is made, and the axes have the same bits for any number of threads, unlike those from
LAPACK.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from milk_np.backends.base import Array, Backend
from milk_np.models.base import Floats
from milk_np.rng import generator

ITERATIONS = 10
BLOCK = 8192
SMALL_WEIGHT = 0.1
"""Standard deviation of the columns that are no axis, as a share of 1/sqrt(D): as many as K is above the rank."""
VANISHED = 1e-9
"""A column shorter than this share of the longest one is rounding: the features have no more axes."""


class TableRows(NamedTuple):
    """Some rows `ids` (n) of a virtual feature table."""

    table: tuple[Array, Array, Array, Array]
    ids: NDArray[np.int32]


def start_at_axes(backend: Backend, rows: TableRows, W: Array, b: Array, seed: int, m: int) -> None:
    """W (D, K) = the K principal axes of the `rows`, b (K) = -mean row times W: extracts are centred.

    `m` is the number of the modality, which keys the random columns.
    """
    D, K = W.shape
    rng = generator(seed, "init-axes", m)
    mean = _transposed(backend, rows, lambda start, n: np.full((n, 1), 1 / len(rows.ids)), D, 1)[:, 0]
    axes = principal_axes(backend, rows, mean, rng.standard_normal((D, min(K, D))))
    weight = rng.standard_normal((D, K)) * (SMALL_WEIGHT / np.sqrt(D))
    found = np.flatnonzero(axes.any(axis=0))
    weight[:, : len(found)] = axes[:, found]
    W[...] = backend.asarray(weight, W.dtype)
    b[...] = backend.asarray(-np.einsum("d,dk->k", mean, weight), b.dtype)


def principal_axes(backend: Backend, rows: TableRows, mean: Floats, start: Floats) -> Floats:
    """Axes (D, k) of the rows less their `mean` (D), from `start` (D, k), longest first; zero beyond their rank."""
    axes = orthonormal(start)
    for _ in range(ITERATIONS):
        axes = orthonormal(_covariance(backend, rows, mean, axes))
    return axes


def orthonormal(columns: Floats) -> Floats:
    """Gram-Schmidt, twice over, without BLAS, whose bits depend on its threads; a dependent column becomes zero."""
    out = np.zeros_like(columns)
    longest = np.sqrt(np.einsum("dk,dk->k", columns, columns).max())
    for k in range(columns.shape[1]):
        column = columns[:, k].copy()
        for _ in range(2):
            column -= np.einsum("dk,k->d", out[:, :k], np.einsum("dk,d->k", out[:, :k], column))
        length = np.sqrt(np.einsum("d,d->", column, column))
        if length > VANISHED * longest:
            out[:, k] = column / length
    return out


def _covariance(backend: Backend, rows: TableRows, mean: Floats, axes: Floats) -> Floats:
    """(X - mean)^T (X - mean) axes, by blocks of rows; the mean on the left takes off rounding alone."""
    centre = -np.einsum("d,dk->k", mean, axes)
    total = np.zeros(axes.shape[1])

    there = backend.asarray(axes), backend.asarray(centre)

    def extracted(start: int, n: int) -> Floats:
        c = backend.empty((n, axes.shape[1]), np.float64)
        ids = backend.asarray(rows.ids[start : start + n])
        backend.kernels.extract(*rows.table, ids, *there, c)
        found: Floats = backend.to_host(c)
        total[...] += np.einsum("nk->k", found)
        return found

    product: Floats = _transposed(backend, rows, extracted, *axes.shape)
    product -= np.einsum("d,k->dk", mean, total)
    return product


def _transposed(backend: Backend, rows: TableRows, right: Any, D: int, K: int) -> Floats:
    """X^T R (D, K) in double precision, `right(start, n)` giving the rows of R that start there."""
    total, part, unused = np.zeros((D, K)), backend.empty((D, K), np.float64), backend.empty(K, np.float64)
    for start in range(0, len(rows.ids), BLOCK):
        ids = backend.asarray(rows.ids[start : start + BLOCK])
        backend.kernels.extract_backward(*rows.table, ids, backend.asarray(right(start, len(ids))), part, unused)
        total += backend.to_host(part)
    return total
