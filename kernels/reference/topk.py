"""The best k items of each query, in plain NumPy: the specification of the fast kernels and their oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 26


def top_k(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    k: int,
    exclude_indptr: NDArray[np.int64] | None = None,
    exclude: NDArray[np.int32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Best `k` of `items` (N, K) for each of `queries` (Q, K) by dot product.

    `exclude[exclude_indptr[q]:exclude_indptr[q + 1]]` are the positions, ascending, that query q must not
    get. Returns `index` int32 (Q, k) and `score` float32 (Q, k), ordered by score, highest first, then by
    position, lowest first; 0.0 and -0.0 tie. A score of NaN or -inf is never listed. Rows with fewer than k
    items left end in index -1 and score -inf. Memory: one block of scores of about 64 MB, or one row of it,
    and its sort order.
    """
    index = np.full((len(queries), k), -1, np.int32)
    score = np.full((len(queries), k), -np.inf, np.float32)
    step = max(1, _BLOCK_BYTES // (4 * max(1, len(items))))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        scores = np.asarray(queries[rows], np.float32) @ np.asarray(items, np.float32).T
        if exclude_indptr is not None and exclude is not None:
            _drop(scores, exclude_indptr[rows.start : rows.stop + 1], exclude)
        _keep_best(scores, index[rows], score[rows])
    return index, score


def _drop(scores: NDArray[np.float32], indptr: NDArray[np.int64], exclude: NDArray[np.int32]) -> None:
    """Set the scores of excluded positions to -inf."""
    rows = np.repeat(np.arange(len(scores)), np.diff(indptr))
    scores[rows, exclude[indptr[0] : indptr[-1]]] = -np.inf


def _keep_best(scores: NDArray[np.float32], index: NDArray[np.int32], score: NDArray[np.float32]) -> None:
    """Write the best of each row of `scores` (n, N) into `index` and `score` (n, k)."""
    scores[np.isnan(scores)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, : score.shape[1]]
    best = np.take_along_axis(scores, order, axis=1)
    width = order.shape[1]
    score[:, :width] = best
    index[:, :width] = np.where(best > -np.inf, order, -1)
