"""Content profile: a user is the mean of the items they interacted with; nothing is trained.

A baseline that a trained model should beat, and a usable recommender if there is no time to train one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from milk_np.data.arrays import Split
from milk_np.data.dataset import Dataset
from milk_np.data.features import FeatureTable
from milk_np.data.imputers.base import Imputer, training_owners
from milk_np.data.imputers.select import feature_tables, make_imputer
from milk_np.data.rows import mean_row, row_blocks, unit_rows
from milk_np.models.base import Recommender, Vectors
from milk_np.models.estimator import Plain
from milk_np.serving.histories import Ids, compressed
from milk_np.settings.shared import Settings

Sparse = Any


class ContentProfile(Plain, Recommender):
    """Item vectors are the concatenated modalities: imputed, centred on the training items, row-normalised.

    A user's vector is the mean of their training items' vectors, so that a score is a mean cosine, summed over
    modalities. A user without training items gets the mean over all training pairs. With mean imputation a
    missing modality is zero after centring and adds nothing to a score. K is the sum of the raw widths D_m; vectors
    are computed on demand and never stored.

    Parameters
    ----------
    impute : str
        How missing modalities are imputed, see `milk_np.data.imputers.select`.
    """

    name = "profile"

    def __init__(self, impute: str = "mean") -> None:
        self.impute = impute
        self.imputer: Imputer = make_imputer(impute)
        self._tables: list[FeatureTable] = []
        self._centres: list[Vectors] = []
        self._pairs: Sparse = None
        self._everybody = np.zeros((1, 0), np.float32)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new model with the imputation of the settings."""
        return cls(settings.impute)

    def fit(self, ds: Dataset) -> Self:
        """Fit the imputer and the means of the modalities, and remember the training pairs."""
        self.fitted_to = ds
        self._tables = feature_tables(ds, self.imputer.fit(ds))
        self._centres = [mean_row(ds.features[name], training_owners(ds, m)) for m, name in enumerate(ds.modalities)]
        indptr, item = ds.csr(Split.TRAIN)
        share = np.repeat(1 / np.maximum(np.diff(indptr), 1), np.diff(indptr)).astype(np.float32)
        self._pairs = sparse.csr_array((share, item, indptr), shape=(ds.n_users, ds.n_items))
        popular = (np.bincount(item, minlength=ds.n_items) / len(item)).astype(np.float32)
        self._everybody = self._weighted_sums(sparse.csr_array(popular[None]))
        return self

    def user_factors(self, users: NDArray[np.int32] | None = None) -> Vectors:
        """Profiles of `users`, or of all, (n, K)."""
        return self._profiles(self._pairs if users is None else self._pairs[users])

    def encode_users(self, histories: Sequence[Ids]) -> Vectors:
        """Profiles (n, K) of users who weren't in the data; see `Recommender.encode_users`."""
        indptr, items = compressed(histories, self._pairs.shape[1])
        lengths = np.diff(indptr)
        share = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
        return self._profiles(sparse.csr_array((share, items, indptr), shape=(len(lengths), self._pairs.shape[1])))

    @property
    def serves_histories(self) -> bool:
        """Always: a user is their history."""
        return True

    def _profiles(self, pairs: Sparse) -> Vectors:
        """Weighted sums of the items' vectors; for an empty row, the mean over all training pairs."""
        profiles = self._weighted_sums(pairs)
        profiles[np.diff(pairs.indptr) == 0] = self._everybody
        return profiles

    def item_factors(self, items: NDArray[np.int32] | None = None) -> Vectors:
        """Centred and normalised features of `items`, or of all, (n, K)."""
        ids = np.arange(self._pairs.shape[1], dtype=np.int32) if items is None else np.asarray(items)
        modalities = zip(self._tables, self._centres, strict=True)
        return np.hstack([unit_rows(_raw_rows(table, ids) - centre) for table, centre in modalities])

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors of items that weren't in the data, (n, K); missing modalities are imputed."""
        rows = self.imputer.complete(features, available)
        modalities = zip(self.imputer.modalities, self._centres, strict=True)
        return np.hstack([unit_rows(rows[name] - centre) for name, centre in modalities])

    def _weighted_sums(self, weights: Sparse) -> Vectors:
        """weights (n, I) times the item vectors (I, K), in blocks of items that don't depend on the rows."""
        width = sum(len(centre) for centre in self._centres)
        total = np.zeros((weights.shape[0], width), np.float32)
        columns = weights.tocsc()
        for block in row_blocks(weights.shape[1], width):
            part = columns[:, block]
            used = np.flatnonzero(np.diff(part.indptr))
            if len(used):
                total += part[:, used].tocsr() @ self.item_factors((block.start + used).astype(np.int32))
        return total


def _raw_rows(table: FeatureTable, ids: NDArray[np.int32]) -> Vectors:
    """Imputed rows of the items `ids`, not normalised, (n, D_m)."""
    source = table.source[ids]
    out = np.empty((len(ids), table.width), np.float32)
    out[source >= 0] = table.raw[source[source >= 0]]
    out[source < 0] = table.fill[~source[source < 0]]
    return out
