"""Features of one modality, imputed and row-normalised without copying the raw rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import FeatureArray, inverse_norms, row_norms


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Rows x of one modality (section 4 of the paper: imputed, then L2-normalised), computed on demand.

    Row i is `scale[i] * raw[source[i]]` where `source[i] >= 0`, and `scale[i] * fill[~source[i]]` otherwise.

    Attributes
    ----------
    raw : (I, D) float16 or float32, maybe a memory map
    fill : (F, D) float32, F >= 0
        Imputed rows for missing ones.
    source : (I,) int32
    scale : (I,) float32
        1/norm of the row that `source` selects; 0 for a zero row.
    owned : (I,) bool
        Items that have the modality.
    """

    raw: FeatureArray = field(repr=False)
    fill: NDArray[np.float32] = field(repr=False)
    source: NDArray[np.int32]
    scale: NDArray[np.float32]
    owned: NDArray[np.bool_]

    @classmethod
    def build(
        cls,
        raw: FeatureArray,
        owned: NDArray[np.bool_],
        fill: NDArray[np.float32],
        source: NDArray[np.int32],
    ) -> FeatureTable:
        """Table of the rows that `source` selects; only their norms are computed, in blocks of rows."""
        fill = np.ascontiguousarray(fill, dtype=np.float32).reshape(-1, raw.shape[1])
        norms = row_norms(raw)[np.maximum(source, 0)]
        missing = source < 0
        norms[missing] = row_norms(fill)[~source[missing]]
        return cls(raw, fill, source.astype(np.int32, copy=False), inverse_norms(norms), owned)

    @classmethod
    def complete(cls, rows: NDArray[np.float32]) -> FeatureTable:
        """Table of `rows` (n, D) as they are, none missing."""
        n = len(rows)
        return cls.build(rows, np.ones(n, bool), rows[:0], np.arange(n, dtype=np.int32))

    @property
    def width(self) -> int:
        """Raw width D of the modality."""
        return int(self.raw.shape[1])

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.source)

    def rows(self, ids: NDArray[np.integer[Any]] | None = None) -> NDArray[np.float32]:
        """Imputed, normalised rows of the items `ids` (all when None), (n, D) float32."""
        ids = np.arange(self.n_items) if ids is None else np.asarray(ids)
        source = self.source[ids]
        out = np.empty((len(ids), self.width), dtype=np.float32)
        present = source >= 0
        out[present] = self.raw[source[present]]
        out[~present] = self.fill[~source[~present]]
        out *= self.scale[ids][:, None]
        return out
