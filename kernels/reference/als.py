"""Half a sweep of alternating least squares for implicit feedback (Hu, Koren and Volinsky, ICDM 2008)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    """Write to row r of `out` (n, K) the minimum over p of

    sum_j c_rj ([j in row r] - p . q_j)^2 + penalty_r |p - prior_r|^2,    c_rj = 1 + weight in the row and 1 elsewhere:

    (Q^T Q + weight sum_{j in row r} q_j q_j^T + penalty_r I) p = (1 + weight) sum_{j in row r} q_j + penalty_r prior_r.

    Row r's columns are `columns[indptr[r]:indptr[r + 1]]`, rows of Q (m, K); `gram` (K, K) is Q^T Q; penalty (n,) is
    above 0; prior is (n, K). All are float64.
    """
    ridge: Any = np.eye(Q.shape[1])
    for r in range(len(out)):
        chosen = Q[columns[indptr[r] : indptr[r + 1]]]
        system = gram + weight * chosen.T @ chosen + penalty[r] * ridge
        out[r] = np.linalg.solve(system, (1 + weight) * chosen.sum(axis=0) + penalty[r] * prior[r])
