"""Raw feature rows: which of them mean a missing modality, and how to store them in half precision."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from milk_np.data.rows import FeatureArray, absent_rows, row_blocks
from milk_np.errors import ModalityError

MISSING_ROWS = ("nan", "zero")


def missing_rows(rows: FeatureArray, kinds: Collection[str]) -> NDArray[np.bool_]:
    """Rows (n,) of NaN only, and those with any NaN (kind "nan") or of zeros only (kind "zero")."""
    gone = absent_rows(rows)
    for block in row_blocks(*rows.shape) if kinds else ():
        if "nan" in kinds:
            gone[block] |= np.isnan(rows[block]).any(axis=1)
        if "zero" in kinds:
            gone[block] |= (rows[block] == 0).all(axis=1)
    return gone


def zeroed(rows: FeatureArray, gone: NDArray[np.bool_]) -> FeatureArray:
    """A copy in which the rows `gone` (n,) are zero."""
    copy: FeatureArray = np.array(rows)
    copy[gone] = 0
    return copy


def as_half(rows: FeatureArray, modality: str) -> FeatureArray:
    """Rows as float16, unless a value is too large for it."""
    if rows.dtype == np.float16:
        return rows
    most = float(np.finfo(np.float16).max)
    for block in row_blocks(*rows.shape):
        largest = float(np.abs(rows[block]).max())
        if np.isfinite(largest) and largest > most:
            raise ModalityError(
                f"feature_{modality}: half precision holds values up to {most:.0f}, got {largest:g}; "
                "scale the features down or leave out --half"
            )
    half: FeatureArray = rows.astype(np.float16)
    return half
