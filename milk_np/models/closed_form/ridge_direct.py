"""Ridge regression from content straight to the users' choices.

Every user's column of W (D, U) is a ridge regression of what they chose among the training items (`.regression`, with
R^T as targets). W is linear in the choices, so that it needs no user who was in training:

history of item i:  h_i = same (G + penalty I)^-1 x_i           (D,)
user u:             p_u = sum of h_i over their items, their column of W
new item:           z = x
score:              p_u . z

It is the linear kernel's case of the kernel profile, without smoothing: no published source, a common first try.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from milk_np.models.base import Vectors
from milk_np.models.closed_form.base import ClosedForm, Sparse, Training
from milk_np.models.closed_form.regression import ContentRidge
from milk_np.models.closed_form.ridge_direct_signature import RidgeDirectSignature
from milk_np.models.stored import Arrays


class RidgeDirect(RidgeDirectSignature, ClosedForm):
    """Ridge regression of choices on content. Settings: `content_ridge`, `drop_weight`, `content`, `impute`. Vectors
    are as wide as all modalities together."""

    name: ClassVar[str] = "ridge"
    parameters: ClassVar[tuple[str, ...]] = ("history",)

    def _learn(self, data: Training) -> Arrays:
        ridge = ContentRidge(data.X, data.widths, self.settings.content_ridge, self.settings.drop_weight)
        return {"history": np.ascontiguousarray(ridge.sums().T, np.float32)}

    def _encode(self, rows: Vectors) -> Vectors:
        return rows

    def _describe(self, pairs: Sparse) -> Vectors:
        out: Vectors = pairs.astype(np.float32) @ self._arrays["history"]
        return out
