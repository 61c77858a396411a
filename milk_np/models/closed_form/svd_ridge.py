"""PureSVD vectors of the training items, and a ridge regression from content to them.

R ~ (R V) V^T with V (n, K) the first right singular vectors of R (Cremonesi, Koren and Turrin, RecSys 2010): a user is
the sum of the rows v_i of their items, a training item is v_i, and the score is their product. A new item has no row:
ridge regression from content to V (`.regression`) gives it one (Gantner et al., ICDM 2010).

history of item i:  v_i
user u:             p_u = sum of v_i over their items
new item:           z = x W, W the regression of V on content
score:              p_u . z

Departures: Gantner et al. map to vectors learned by BPR; copies of the training items that lack a modality are ours.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from milk_np.models.base import Vectors
from milk_np.models.closed_form.base import ClosedForm, Sparse, Training
from milk_np.models.closed_form.regression import ContentRidge
from milk_np.models.closed_form.svd_ridge_signature import SvdRidgeSignature
from milk_np.models.stored import Arrays
from milk_np.training.pretraining.factors import singular_vectors


class SvdRidge(SvdRidgeSignature, ClosedForm):
    """PureSVD and ridge regression. Settings: `dim` (K), `content_ridge`, `drop_weight`, `content`, `impute`, and
    `seed`, which the search for singular vectors of many items starts from."""

    name: ClassVar[str] = "svd-ridge"
    parameters: ClassVar[tuple[str, ...]] = ("history", "weights")

    def _learn(self, data: Training) -> Arrays:
        V = singular_vectors(data.R, self.settings.dim, self.settings.seed)
        ridge = ContentRidge(data.X, data.widths, self.settings.content_ridge, self.settings.drop_weight)
        return {"history": V.astype(np.float32), "weights": np.ascontiguousarray(ridge.solve(V), np.float32)}

    def _encode(self, rows: Vectors) -> Vectors:
        out: Vectors = rows @ self._arrays["weights"]
        return out

    def _describe(self, pairs: Sparse) -> Vectors:
        out: Vectors = pairs.astype(np.float32) @ self._arrays["history"]
        return out
