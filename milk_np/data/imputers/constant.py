"""Imputers that use the same row for all items: zero, and the mean (as in the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.imputers.base import Fitted, Imputer, training_owners
from milk_np.data.rows import FeatureArray, mean_row


class ZeroImputer(Imputer):
    """Missing rows are zero: they contribute the extractor's bias and nothing else."""

    name = "zero"

    def _fit(self, ds: Dataset) -> Fitted:
        return {}

    def _keys(self) -> list[str]:
        return []

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        return np.zeros((1, self.widths[modality]), dtype=np.float32)


class MeanImputer(Imputer):
    """Missing rows are the mean raw row of the training items that have the modality, as in the paper."""

    name = "mean"

    def _fit(self, ds: Dataset) -> Fitted:
        return {
            f"mean_{name}": mean_row(ds.features[name], training_owners(ds, m)) for m, name in enumerate(ds.modalities)
        }

    def _keys(self) -> list[str]:
        return [f"mean_{name}" for name in self.modalities]

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        return self.fitted[f"mean_{modality}"][None, :]
