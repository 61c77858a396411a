"""Alternating least squares whose item vectors are drawn towards a linear map of content.

The objective of irspack's feature-aware iALS (version 0.5), with content of items and none of users:

    sum_{u, i} c_ui (r_ui - p_u . q_i)^2 + sum_u a_u |p_u|^2
        + 1 / (1 + weight M) sum_i b_i sum_c weight_c |q_i - x_i^c W|^2 + penalty |W|^2

over users p, training items q and the map W (D, K), each in turn: users and items by `.als`, W by `.regression` with
the items weighted by b_i. x^c are an item's whole content and its copies that lack a modality, so that an item is drawn
towards their mean, whose modalities count `same`.

user u:    as in `.ials_ridge`
new item:  z = x W; or with `cold_vectors` "solved" the minimum over q of an item that nobody chose,
           z = (P^T P + b I)^-1 b x W, which also fits the zeros of its column, as irspack does
score:     p_u . z

Departures: copies that lack a modality; the original loss of Hu et al. (irspack's default leaves the observed pairs out
of the second sum, which is the same up to the scale of alpha); Cholesky solutions in place of conjugate gradients.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from milk_np.models.base import Floats
from milk_np.models.closed_form.als import first_vectors, usual_weight
from milk_np.models.closed_form.base import Sparse, Training
from milk_np.models.closed_form.feature_ials_signature import FeatureIalsSignature
from milk_np.models.closed_form.ials_ridge import IalsRidge
from milk_np.models.closed_form.regression import ContentRidge
from milk_np.models.stored import Arrays


class FeatureIals(FeatureIalsSignature, IalsRidge):
    """Feature-aware alternating least squares. Settings: those of iALS + ridge, and `cold_vectors`."""

    name: ClassVar[str] = "feature-ials"

    def _learn(self, data: Training) -> Arrays:
        s = self.settings
        users, items = self._users(data.R), self._items_of(data.R)
        ridge = ContentRidge(data.X, data.widths, s.content_ridge, s.drop_weight, items.penalty)
        Q, X = first_vectors(data.R.shape[1], s.dim, s.seed), data.X.astype(np.float64)
        P, W = np.zeros((0, s.dim)), np.zeros((X.shape[1], s.dim))
        for _ in range(s.als_sweeps):
            P = users.solved(Q, s.als_confidence)
            Q = items.solved(P, s.als_confidence, ridge.same * (X @ W))
            W = ridge.solve(Q)
        weights = W if s.cold_vectors == "map" else W @ self._towards_zero(P, data.R)
        return {"items_learned": Q, "weights": np.ascontiguousarray(weights, np.float32)}

    def _towards_zero(self, P: Floats, R: Sparse) -> Floats:
        """The matrix (K, K) that takes x W to the minimum over q of an item without pairs."""
        s = self.settings
        b = s.als_penalty * (len(P) / usual_weight(len(P), s.als_confidence, R.nnz, R.shape[1])) ** s.als_power
        out: Floats = np.linalg.solve(P.T @ P + b * np.eye(s.dim), b * np.eye(s.dim))
        return out
