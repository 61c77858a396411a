"""Content of an item as one row: its modalities imputed, centred, of unit length, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from milk_np.data.rows import FeatureArray, unit_rows
from milk_np.models.base import Vectors


def content_rows(features: Mapping[str, FeatureArray], centres: Sequence[Vectors], content: str) -> Vectors:
    """Rows x (n, D) of imputed raw rows (n, D_m), one for each of `centres` (D_m), in their order.

    `content` is "unit" (of unit length), "centred" (of unit length, then less the centre's unit row) or "raw-centred"
    (less the centre, then of unit length). With imputation by the mean, which is the centre, a missing modality is zero
    under the last two.
    """
    parts = [_modality(rows, centre, content) for rows, centre in zip(features.values(), centres, strict=True)]
    return np.hstack(parts)


def _modality(rows: FeatureArray, centre: Vectors, content: str) -> Vectors:
    wide = np.asarray(rows, np.float32)
    if content == "raw-centred":
        return unit_rows(wide - centre)
    unit = unit_rows(wide)
    return unit - unit_rows(centre[None]) if content == "centred" else unit
