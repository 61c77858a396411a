"""DUIF: free user vectors and a linear map of an item's content, learned by BPR (Geng et al., ICCV 2015).

Score of user u and item i: p_u . (x_i W + b), where x_i (D,) are the item's concatenated modalities, D = sum D_m: one
extractor on one modality, in one environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset, FeatureTable, feature_tables, make_imputer
from milk_np.errors import SettingsError
from milk_np.models.base import Vectors
from milk_np.models.duif import memory
from milk_np.models.duif.model_signature import DuifRawSignature, DuifSignature
from milk_np.models.extractors.model import ExtractorModel
from milk_np.models.extractors.objective import BackendTable
from milk_np.serving.catalogue import Catalogue
from milk_np.training.trainer import Trainer

CONTENT = "content"


class Duif(DuifSignature, ExtractorModel):
    """DUIF on rows of unit length: each modality imputed and normalised, then all of them concatenated.

    The concatenated rows, (I, D) float32, are kept in memory.
    """

    name: ClassVar[str] = "duif"
    unit: ClassVar[bool] = True
    memory_need = staticmethod(memory.training_bytes)
    memory_advice = memory.ADVICE

    def check(self, ds: Dataset) -> None:
        """Raises as `ExtractorModel` does, on the concatenated modalities, of which only the size matters here."""
        width = sum(int(ds.features[name].shape[1]) for name in ds.modalities)
        super().check(self._side_by_side(ds, np.broadcast_to(np.float32(0), (ds.n_items, width))))

    def _rows_of_weights(self) -> list[int]:
        return [sum(super()._rows_of_weights())]

    def trainer(self, ds: Dataset) -> Trainer:
        """Impute and concatenate the modalities, and set up the step on them."""
        imputer = make_imputer(self.settings.impute).fit(ds)
        trainer = super().trainer(self._side_by_side(ds, self._joined(feature_tables(ds, imputer))))
        self.imputer, self._catalogue = imputer, Catalogue.of(ds)
        return trainer

    def encode_items(
        self, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None = None
    ) -> Vectors:
        """Vectors (n, K) of items that weren't in the data; see `Recommender.encode_items`."""
        self._fitted()
        if self.imputer is None:
            raise SettingsError("encode_items: the model has no imputer; fit it or load a fitted one")
        rows = self.imputer.complete(features, available)
        joined = self._joined([FeatureTable.complete(rows[name]) for name in self.imputer.modalities])
        return self._encode([self._table(FeatureTable.complete(joined))], np.arange(len(joined), dtype=np.int32))

    def _joined(self, tables: Sequence[FeatureTable]) -> Vectors:
        """Imputed rows of all modalities, concatenated, (n, D)."""
        out = np.empty((tables[0].n_items, sum(table.width for table in tables)), np.float32)
        start = 0
        for table in tables:
            out[:, start : start + table.width] = (table if self.unit else _as_they_are(table)).rows()
            start += table.width
        return out

    def _side_by_side(self, ds: Dataset, rows: Vectors) -> Dataset:
        everything = np.ones((ds.n_items, 1), np.bool_)
        return replace(ds, modalities=(CONTENT,), features={CONTENT: rows}, available=everything, check_features=False)

    def _table(self, table: FeatureTable, *more: Any) -> BackendTable:
        return super()._table(table if self.unit else _as_they_are(table), *more)


class DuifRaw(DuifRawSignature, Duif):
    """DUIF on the raw features, without row normalisation."""

    name: ClassVar[str] = "duif-raw"
    unit: ClassVar[bool] = False
    scale_matters: ClassVar[bool] = True


def _as_they_are(table: FeatureTable) -> FeatureTable:
    """The table without row normalisation."""
    return replace(table, scale=np.ones_like(table.scale))
