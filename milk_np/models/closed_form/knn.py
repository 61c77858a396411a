"""Content kNN: an item is scored by the most similar training items that a user has.

weight of training item j for item i:  w_ij = max(0, cos(x_i, x_j))^power for the `neighbours` of largest cosine
where asked for:                       w_ij / sum_j w_ij, so that an item with fewer modalities scores like any other
score of user u:                       sum of w_ij over their items

`similar` is this method as version 0.1.0 published it: 20 neighbours, power 1, weights as they are, cosines of the
modalities added. Here the cosine is that of the whole row, in which a missing modality is zero.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from milk_np.data.rows import unit_rows
from milk_np.models.base import Vectors
from milk_np.models.closed_form.base import ClosedForm, Sparse, Training
from milk_np.models.closed_form.knn_signature import ContentKnnSignature
from milk_np.models.stored import Arrays
from milk_np.serving.ranking import cpu_top_k


class ContentKnn(ContentKnnSignature, ClosedForm):
    """Settings: `neighbours`, `knn_power`, `knn_weights`, `content`, `impute`. A user's vector marks their training
    items and an item's holds its weights, so that K is the number of training items. Of equally similar training items
    the first are the neighbours; an item's vector has the same bits alone and among others."""

    name: ClassVar[str] = "content-knn"
    parameters: ClassVar[tuple[str, ...]] = ("known",)

    def _learn(self, data: Training) -> Arrays:
        return {"known": unit_rows(data.X)}

    def _encode(self, rows: Vectors) -> Vectors:
        known, s = self._arrays["known"], self.settings
        position, cosine = cpu_top_k()(unit_rows(rows), known, min(s.neighbours, len(known)))
        weight = np.maximum(cosine, 0) ** np.float32(s.knn_power)
        if s.knn_weights == "sum":
            total = weight.sum(axis=1, keepdims=True)
            weight /= np.where(total > 0, total, 1)
        out = np.zeros((len(rows), len(known)), np.float32)
        np.put_along_axis(out, position.astype(np.intp), weight, axis=1)
        return out

    def _describe(self, pairs: Sparse) -> Vectors:
        out: Vectors = pairs.toarray().astype(np.float32)
        return out
