"""Vectors by implicit alternating least squares, and a ridge regression from content to them.

The tables come from `.als` (Hu, Koren and Volinsky, ICDM 2008), the map from content as for `.svd_ridge`. A user is the
solution of their own least squares given the item vectors, so that one who was not in training is described alike:

user u:    p_u = (Q^T Q + alpha sum_i q_i q_i^T + a_u I)^-1 (1 + alpha) sum_i q_i over their items
new item:  z = x W, W the regression of Q on content
score:     p_u . z

Departures: Cholesky solutions in float64 in place of conjugate gradients; preference and confidence don't use counts.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from milk_np.data.arrays import Split
from milk_np.models.base import Vectors
from milk_np.models.closed_form.als import Side, first_vectors, usual_weight
from milk_np.models.closed_form.base import ClosedForm, Sparse, Training
from milk_np.models.closed_form.ials_ridge_signature import IalsRidgeSignature
from milk_np.models.closed_form.regression import ContentRidge
from milk_np.models.stored import Arrays


class IalsRidge(IalsRidgeSignature, ClosedForm):
    """Alternating least squares and ridge regression. Settings: `dim` (K), `als_confidence` (alpha), `als_penalty`
    (reg), `als_power` (nu), `als_sweeps`, `content_ridge`, `drop_weight`, `content`, `impute`, and `seed`, which draws
    the first item vectors."""

    name: ClassVar[str] = "ials-ridge"
    parameters: ClassVar[tuple[str, ...]] = ("items_learned", "weights")

    def _learn(self, data: Training) -> Arrays:
        alpha = self.settings.als_confidence
        users, items = self._users(data.R), self._items_of(data.R)
        Q = first_vectors(data.R.shape[1], self.settings.dim, self.settings.seed)
        for _ in range(self.settings.als_sweeps):
            Q = items.solved(users.solved(Q, alpha), alpha)
        ridge = ContentRidge(data.X, data.widths, self.settings.content_ridge, self.settings.drop_weight)
        return {"items_learned": Q, "weights": np.ascontiguousarray(ridge.solve(Q), np.float32)}

    def _encode(self, rows: Vectors) -> Vectors:
        out: Vectors = rows @ self._arrays["weights"]
        return out

    def _describe(self, pairs: Sparse) -> Vectors:
        Q = self._arrays["items_learned"]
        return self._users(pairs).solved(Q, self.settings.als_confidence).astype(np.float32)

    def _users(self, pairs: Sparse) -> Side:
        """Users with their training items `pairs`, some or all, known or new."""
        indptr, _ = self.catalogue.csr(Split.TRAIN)
        return self._side(
            pairs, usual_weight(pairs.shape[1], self.settings.als_confidence, int(indptr[-1]), len(indptr) - 1)
        )

    def _items_of(self, R: Sparse) -> Side:
        """The training items."""
        U, n = R.shape
        return self._side(R.T.tocsr(), usual_weight(U, self.settings.als_confidence, R.nnz, n))

    def _side(self, pairs: Sparse, usual: float) -> Side:
        s = self.settings
        return Side.of(pairs, s.als_confidence, s.als_penalty, s.als_power, usual)
