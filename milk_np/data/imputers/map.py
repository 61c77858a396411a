"""Learned maps between modalities: a regression on complete items imputes the missing one (paper, Table 3)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.imputers.base import Fitted, Imputer, training_owners
from milk_np.data.rows import FeatureArray, mean_unit_row, precise_unit_rows, row_blocks, unit_rows
from milk_np.kernels.blas import one_blas_thread

RIDGE = 0.1
"""Penalty on the map's squared entries, as a share of the mean eigenvalue of the covariance it inverts."""


class MapImputer(Imputer):
    """A ridge regression for each ordered pair of modalities, averaged over an item's available modalities.

    Both sides are row-normalised, as the model sees them, so that long rows don't dominate the fit; the imputed rows
    have that scale too. A pair of modalities that no training item has together falls back on the mean.
    The state holds the maps: the sum over ordered pairs of D_m x D_m' float32 values. BLAS uses one thread, so the
    result is the same bit for bit for any number of threads. A row imputed alone may differ by float32 rounding from
    the same row imputed together with others.
    """

    name = "map"

    def _fit(self, ds: Dataset) -> Fitted:
        owners = {name: training_owners(ds, m) for m, name in enumerate(ds.modalities)}
        fitted: Fitted = {}
        for have, want in permutations(ds.modalities, 2):
            both = owners[have] & owners[want]
            if both.any():
                slope, intercept = ridge_map(ds.features[have], ds.features[want], both)
            else:
                slope = np.zeros((self.widths[have], self.widths[want]), dtype=np.float32)
                intercept = mean_unit_row(ds.features[want], owners[want]).astype(np.float32)
            fitted |= {f"slope_{have}_{want}": slope, f"intercept_{have}_{want}": intercept}
        return fitted

    def _keys(self) -> list[str]:
        pairs = permutations(self.modalities, 2)
        return [f"{part}_{have}_{want}" for have, want in pairs for part in ("slope", "intercept")]

    def _estimate(
        self,
        rows: Mapping[str, FeatureArray],
        available: NDArray[np.bool_],
        missing: NDArray[np.intp],
        modality: str,
    ) -> NDArray[np.float32]:
        total = np.zeros((len(missing), self.widths[modality]), dtype=np.float32)
        for m, have in enumerate(self.modalities):
            owner = np.flatnonzero(available[missing, m])
            for block in row_blocks(len(owner), self.widths[have]):
                some = owner[block]
                total[some] += self._map(rows[have][missing[some]], have, modality)
        total /= np.maximum(available[missing].sum(axis=1, keepdims=True), 1).astype(np.float32)
        return total

    @one_blas_thread()
    def _map(self, rows: FeatureArray, have: str, want: str) -> NDArray[np.float32]:
        mapped: NDArray[np.float32] = unit_rows(rows) @ self.fitted[f"slope_{have}_{want}"]
        mapped += self.fitted[f"intercept_{have}_{want}"]
        return mapped


@one_blas_thread()
def ridge_map(
    have: FeatureArray, want: FeatureArray, both: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope (D, D') and intercept (D',) of the ridge regression of `want` on `have` over the items `both`.

    Solves (X^T X + r I) W = X^T Y with X, Y the centred unit rows and r = RIDGE * trace(X^T X) / D; the
    products are accumulated in blocks of rows.
    """
    mean_x, mean_y = mean_unit_row(have, both), mean_unit_row(want, both)
    gram = np.zeros((have.shape[1], have.shape[1]))
    cross = np.zeros((have.shape[1], want.shape[1]))
    for block in row_blocks(len(have), max(have.shape[1], want.shape[1])):
        keep = both[block]
        x = precise_unit_rows(have[block][keep]) - mean_x
        gram += x.T @ x
        cross += x.T @ (precise_unit_rows(want[block][keep]) - mean_y)
    # A floor keeps the system solvable where all rows are equal: the map is then zero and the mean remains.
    gram[np.diag_indices_from(gram)] += max(RIDGE * float(np.trace(gram)) / len(gram), 1e-9 * float(both.sum()))
    slope = np.linalg.solve(gram, cross)
    return slope.astype(np.float32), (mean_y - mean_x @ slope).astype(np.float32)
