"""Most similar content: an item is recommended to users of the most similar training items; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.models.base import Recommender, Vectors
from milk_np.models.baselines.content_profile import ContentProfile
from milk_np.models.estimator import Plain
from milk_np.serving.ranking import cpu_top_k
from milk_np.settings.shared import Settings


class MostSimilar(Plain, Recommender):
    """Score of user u and item i: the cosines of i with its `neighbours` most similar training items, summed over
    those that u interacted with.

    Cosines are those of the content profile: modalities imputed, centred, normalised and added. Of equally similar
    training items, the first are the neighbours. A user's vector marks their training items, an item's holds its
    similarities, so K is the number of training items. Both are computed on demand; a vector has the same bits alone
    and among others, since the ranking kernel finds the neighbours.

    Parameters
    ----------
    impute : str
        How missing modalities are imputed, see `milk_np.data.imputers.select`.
    neighbours : int
        Training items that an item is compared with.
    """

    name = "similar"

    def __init__(self, impute: str = "mean", neighbours: int = 20) -> None:
        self.impute, self.neighbours = impute, neighbours
        self._content = ContentProfile(impute)
        self._indptr = np.zeros(1, np.int64)
        self._position = np.zeros(0, np.int32)
        self._known = np.zeros((0, 0), np.float32)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new model with the imputation of the settings."""
        return cls(settings.impute)

    def fit(self, ds: Dataset) -> Self:
        """Encode the training items and remember the training pairs."""
        self.fitted_to = ds
        self._content.fit(ds)
        self._known = self._content.item_factors(ds.train_items)
        self._indptr, item = ds.csr(Split.TRAIN)
        self._position = np.searchsorted(ds.train_items, item).astype(np.int32)
        return self

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """1 where a user of `users`, or of all, chose a training item, else 0, (n, training items)."""
        ids = np.arange(len(self._indptr) - 1) if users is None else np.asarray(users)
        out = np.zeros((len(ids), len(self._known)), np.float32)
        for row, user in enumerate(ids):
            out[row, self._position[self._indptr[user] : self._indptr[user + 1]]] = 1
        return out

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Similarities of `items`, or of all, with their neighbours, 0 elsewhere, (n, training items)."""
        return self._nearest(self._content.item_factors(items))

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """The same for items that weren't in the data; missing modalities are imputed."""
        return self._nearest(self._content.encode_items(features, available))

    def _nearest(self, content: Vectors) -> Vectors:
        position, cosine = cpu_top_k()(content, self._known, min(self.neighbours, len(self._known)))
        similar = np.zeros((len(content), len(self._known)), np.float32)
        np.put_along_axis(similar, position.astype(np.intp), np.maximum(cosine, 0), axis=1)
        return similar
