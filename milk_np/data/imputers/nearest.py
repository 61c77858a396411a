"""Nearest-neighbour imputation: the missing modality of similar training items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.imputers.base import Fitted, Imputer, training_owners
from milk_np.data.rows import FeatureArray, mean_row, row_blocks, unit_rows

NEIGHBOURS = 10
QUERIES = 256


class NearestImputer(Imputer):
    """Mean raw row of the nearest training items that have the missing modality.

    Nearest means by cosine in an available modality of the item; if it has several, their means are averaged.
    If no training item has both modalities, the mean over all items with the missing one is used.

    The state holds the training items' raw rows of all modalities in their own precision, as many bytes as the
    training part of the features: 1 GB for 100,000 items of 5,120 half-precision values. Use `map` if a model file
    has to stay small.
    """

    name = "nearest"

    def _fit(self, ds: Dataset) -> Fitted:
        train = ds.train_items
        fitted: Fitted = {"owned": ds.available[train]}
        for m, name in enumerate(ds.modalities):
            fitted[f"rows_{name}"] = np.asarray(ds.features[name][train])
            fitted[f"mean_{name}"] = mean_row(ds.features[name], training_owners(ds, m))
        return fitted

    def _keys(self) -> list[str]:
        return ["owned", *(f"{part}_{name}" for name in self.modalities for part in ("rows", "mean"))]

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        total = np.zeros((len(missing), self.widths[modality]), dtype=np.float32)
        found = np.zeros((len(missing), 1), dtype=np.float32)
        for m, have in enumerate(self.modalities):
            owner = np.flatnonzero(available[missing, m])
            for start in range(0, len(owner), QUERIES):
                some = owner[start : start + QUERIES]
                mean = self._neighbours_mean(rows[have][missing[some]], have, modality)
                if mean is not None:
                    total[some] += mean
                    found[some] += 1
        alone = found[:, 0] == 0
        total[alone] = self.fitted[f"mean_{modality}"]
        total /= np.maximum(found, 1)
        return total

    def _neighbours_mean(self, rows: FeatureArray, have: str, want: str) -> NDArray[np.float32] | None:
        """Mean row of `want` (q, D') over the neighbours in `have`; None if no training item has both."""
        owned = self.fitted["owned"]
        both = np.flatnonzero(owned[:, self.modalities.index(have)] & owned[:, self.modalities.index(want)])
        if len(both) == 0:
            return None
        near = nearest(unit_rows(rows), self.fitted[f"rows_{have}"], both, NEIGHBOURS)
        mean: NDArray[np.float32] = self.fitted[f"rows_{want}"][near].mean(axis=1, dtype=np.float32)
        return mean


def nearest(queries: NDArray[np.float32], rows: FeatureArray, candidates: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """Rows among `candidates` with the largest cosine with each unit query: (q, min(k, len(candidates))).

    Equal rows have equal cosines and are listed by id, whatever the blocks and the other queries: the ranking kernel
    sums in a fixed order, BLAS in one that depends on a row's position.
    """
    from milk_np.kernels.cpu.topk import top_k  # it loads Numba, which no other imputer needs

    best = np.empty((len(queries), 0), dtype=np.intp)
    score = np.empty((len(queries), 0), dtype=np.float32)
    for block in row_blocks(len(candidates), rows.shape[1]):
        ids = candidates[block]
        place, cosine = top_k(queries, unit_rows(rows[ids]), min(k, len(ids)))
        score, best = np.hstack([score, cosine]), np.hstack([best, ids[place]])
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]
        score, best = np.take_along_axis(score, order, axis=1), np.take_along_axis(best, order, axis=1)
    return best
