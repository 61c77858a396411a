"""Alternating least squares for implicit feedback (Hu, Koren and Volinsky, ICDM 2008).

With r_ui 1 for a training pair and 0 else, c_ui = 1 + alpha r_ui, users p and items q minimise in turn

    L = sum_{u, i} c_ui (r_ui - p_u . q_i)^2 + sum_u a_u |p_u|^2 + sum_i b_i |q_i - m_i|^2,

where m_i is zero, or what content says of the item. The penalties grow with what a row weighs (Rendle et al., RecSys
2022), as shares of the mean row, so that one value suits data of any size: a_u = reg (w_u / mean of w)^nu with
w_u = n + alpha N_u for N_u pairs, b_i alike with U + alpha N_i; nu = 0 is the original paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.models.base import Floats
from milk_np.rng import generator

START = 0.1
"""Standard deviation of the first item vectors times sqrt(K)."""


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of one side: their pairs, compressed, and the penalty of each."""

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    penalty: Floats

    @classmethod
    def of(cls, pairs: Any, alpha: float, reg: float, power: float, usual: float) -> Self:
        """The rows of `pairs`, a sparse matrix of ones in compressed rows; `usual` is the mean weight of a row."""
        weights = pairs.shape[1] + alpha * np.diff(pairs.indptr).astype(np.float64)
        penalty = reg * (weights / usual) ** power
        return cls(pairs.indptr.astype(np.int64), pairs.indices.astype(np.int32), penalty)

    def solved(self, Q: Floats, alpha: float, prior: Floats | None = None) -> Floats:
        """Vectors (n, K) of the rows, the minimum of L given the other side Q; `prior` (n, K) is m, zero if None."""
        from milk_np.kernels.cpu import solve_rows  # loads Numba

        out = np.empty((len(self.penalty), Q.shape[1]))
        near = np.broadcast_to(0.0, out.shape).copy() if prior is None else np.ascontiguousarray(prior)
        solve_rows(self.indptr, self.columns, Q, Q.T @ Q, alpha, self.penalty, near, out)
        return out


def first_vectors(n: int, dim: int, seed: int) -> Floats:
    """Item vectors (n, K) to start from, drawn by `seed`."""
    out: Floats = generator(seed, "als-items").standard_normal((n, dim)) * (START / dim**0.5)
    return out


def usual_weight(n_others: int, alpha: float, n_pairs: int, n_rows: int) -> float:
    """The mean weight of a row: all the others, and alpha times its pairs."""
    return n_others + alpha * n_pairs / n_rows
