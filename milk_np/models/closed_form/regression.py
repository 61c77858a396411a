"""Ridge regression on content, with copies of the training items that lack one modality each.

A new item may lack a modality that all training items have. So every training item counts 1 + M times: whole, and
`weight` times for each modality with that one zeroed. With x^c the copies and t the targets, W minimises

    1 / (1 + weight M) sum_i sum_c weight_c |t_i - x_i^c W|^2 + penalty |W|^2.

No copy is made: in the sum of x^c^T x^c, the block of one modality with itself counts `same`, that of two modalities
`cross`, and x^c^T t counts `same`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from milk_np.models.base import Floats


def shares(n_modalities: int, weight: float) -> tuple[float, float]:
    """`same` and `cross`: the share of the copies that hold one modality, and two; both 1 for a single modality."""
    if n_modalities == 1:
        return 1.0, 1.0
    total = 1 + weight * n_modalities
    return (1 + weight * (n_modalities - 1)) / total, (1 + weight * (n_modalities - 2)) / total


class ContentRidge:
    """The regression for one set of rows, factorised once and solved for any targets.

    Parameters
    ----------
    X : (n, D)
        Content of the training items.
    widths : M widths D_m
    penalty : float
        L2 penalty of the regression, above 0.
    weight : float
        Weight of a copy that lacks a modality; that of the whole item is 1.
    items : (n,), optional
        Weight of each training item, by default 1.
    """

    def __init__(
        self, X: NDArray[np.floating], widths: Sequence[int], penalty: float, weight: float, items: Floats | None = None
    ) -> None:
        self.same, cross = shares(len(widths), weight)
        self._X = np.asarray(X, np.float64)
        self._weighted = self._X if items is None else self._X * items[:, None]
        gram = cross * (self._weighted.T @ self._X)
        ends = np.cumsum(widths)
        for start, end in zip(ends - widths, ends, strict=True):
            own = slice(start, end)
            gram[own, own] = self.same * (self._weighted[:, own].T @ self._X[:, own])
        gram[np.diag_indices(len(gram))] += penalty
        self._factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, targets: Floats) -> Floats:
        """W (D, K) of targets (n, K)."""
        return self._solved(self.same * (self._weighted.T @ targets))

    def sums(self) -> Floats:
        """(D, n): the column of an item is what it adds to W for a target that is 1 for it alone."""
        return self._solved(self.same * self._weighted.T)

    def _solved(self, right: Floats) -> Floats:
        out: Floats = cho_solve(self._factor, right, overwrite_b=True, check_finite=False)
        return out
