"""Half a sweep of alternating least squares (contract: kernels/reference/als.py).

A row is one thread's alone and its sums go from left to right, so that no bit depends on the number of threads. The
system is symmetric and positive definite: its upper triangle is summed and factorised in place, row by row, which
keeps every inner loop on neighbouring numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, parallel=True)
def solve_rows(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    Q: Floats,
    gram: Floats,
    weight: float,
    penalty: Floats,
    prior: Floats,
    out: Floats,
) -> None:
    """Every row by a Cholesky factorisation of its own."""
    for r in prange(len(out)):
        _solve_row(columns[indptr[r] : indptr[r + 1]], Q, gram, weight, penalty[r], prior[r], out[r])


@njit(cache=True)
def _solve_row(
    chosen: NDArray[np.int32], Q: Floats, gram: Floats, weight: float, penalty: float, prior: Floats, out: Any
) -> None:
    K = len(gram)
    system = gram.copy()
    for k in range(K):
        system[k, k] += penalty
        out[k] = penalty * prior[k]
    for j in chosen:
        _add(system, out, Q[j], weight)
    _factorise(system)
    _substitute(system, out)


@njit(cache=True)
def _add(system: Floats, right: Any, q: Floats, weight: float) -> None:
    """Add `weight` q q^T to the upper triangle and (1 + weight) q to the right side."""
    K = len(q)
    for a in range(K):
        scaled = weight * q[a]
        right[a] += (1 + weight) * q[a]
        for b in range(a, K):
            system[a, b] += scaled * q[b]


@njit(cache=True)
def _factorise(system: Floats) -> None:
    """The upper triangle becomes S with system = S^T S."""
    K = len(system)
    for j in range(K):
        root = np.sqrt(system[j, j])
        for b in range(j, K):
            system[j, b] /= root
        for i in range(j + 1, K):
            factor = system[j, i]
            for b in range(i, K):
                system[i, b] -= factor * system[j, b]


@njit(cache=True)
def _substitute(S: Floats, x: Any) -> None:
    """S^T S x = b, with b in x: forwards, then backwards."""
    K = len(S)
    for j in range(K):
        x[j] /= S[j, j]
        for i in range(j + 1, K):
            x[i] -= S[j, i] * x[j]
    for j in range(K - 1, -1, -1):
        total = x[j]
        for i in range(j + 1, K):
            total -= S[j, i] * x[i]
        x[j] = total / S[j, j]
