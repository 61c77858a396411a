"""Passes over feature rows in blocks: a memory-mapped or half-precision array is never copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FeatureArray = NDArray[np.floating[Any]]
"""Raw features of one modality, (I, D_m) float16 or float32, possibly a memory map."""

BLOCK_ELEMENTS = 1 << 21
SHORTEST_ROW = 1e-12
"""Rows with a smaller Euclidean norm count as zero rows: their direction is rounding noise."""


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Consecutive slices that cover `n_rows` rows, each of about two million elements (at most 4096 rows)."""
    step = max(1, min(4096, BLOCK_ELEMENTS // max(1, width)))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def row_norms(rows: FeatureArray) -> NDArray[np.float64]:
    """Euclidean norm of each row, (n,), summed in float64: squares of float16 values overflow in float16."""
    norms = np.empty(len(rows))
    for block in row_blocks(*rows.shape):
        wide = np.asarray(rows[block], dtype=np.float64)
        norms[block] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return norms


def inverse_norms(norms: NDArray[np.float64]) -> NDArray[np.float32]:
    """1/norm in float32, and 0 for zero rows."""
    norms = np.asarray(norms, dtype=np.float64)
    safe = np.where(norms > SHORTEST_ROW, norms, 1.0)
    return np.where(norms > SHORTEST_ROW, 1.0 / safe, 0.0).astype(np.float32)


def unit_rows(rows: FeatureArray) -> NDArray[np.float32]:
    """Rows divided by their norms, (n, D) float32; zero rows stay zero."""
    wide = np.asarray(rows, dtype=np.float32)
    scale: NDArray[np.float32] = inverse_norms(row_norms(rows))
    return wide * scale[:, None]


def mean_row(rows: FeatureArray, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean of the rows where `chosen` (n,) is true, (D,) float32, accumulated in float64."""
    total = np.zeros(rows.shape[1])
    for block in row_blocks(*rows.shape):
        keep = chosen[block]
        if keep.any():
            total += np.asarray(rows[block], dtype=np.float64)[keep].sum(axis=0)
    mean: NDArray[np.float32] = (total / np.count_nonzero(chosen)).astype(np.float32)
    return mean


def precise_unit_rows(rows: FeatureArray) -> NDArray[np.float64]:
    """Rows divided by their norms in float64, for sums that would amplify rounding differences."""
    norms = row_norms(rows)
    wide = np.asarray(rows, dtype=np.float64)
    unit: NDArray[np.float64] = wide / np.where(norms > SHORTEST_ROW, norms, np.inf)[:, None]
    return unit


def mean_unit_row(rows: FeatureArray, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of the row-normalised rows where `chosen` (n,) is true, (D,) float64."""
    total = np.zeros(rows.shape[1])
    for block in row_blocks(*rows.shape):
        total += precise_unit_rows(rows[block][chosen[block]]).sum(axis=0)
    return total / np.count_nonzero(chosen)


def non_finite_rows(rows: FeatureArray) -> NDArray[np.int64]:
    """Indices of the rows that hold a NaN or an infinity."""
    found = [np.empty(0, dtype=np.int64)]
    for block in row_blocks(*rows.shape):
        bad = ~np.isfinite(rows[block]).all(axis=1)
        if bad.any():
            found.append(np.flatnonzero(bad) + block.start)
    return np.concatenate(found)


def absent_rows(rows: FeatureArray) -> NDArray[np.bool_]:
    """Rows (n,) of NaN only, which mean everywhere that an item lacks the modality."""
    absent: NDArray[np.bool_] = np.isnan(rows[:, 0])
    suspects = np.flatnonzero(absent)
    for block in row_blocks(len(suspects), rows.shape[1]):
        chosen = suspects[block]
        absent[chosen] = np.isnan(rows[chosen]).all(axis=1)
    return absent


def constant_rows(rows: FeatureArray, chosen: NDArray[np.bool_]) -> tuple[int, int]:
    """Of the rows where `chosen` (n,) is true, the numbers of all-zero rows and of other constant rows (width > 1)."""
    zero = constant = 0
    for block in row_blocks(*rows.shape):
        part = np.asarray(rows[block])[chosen[block]]
        same = (part == part[:, :1]).all(axis=1)
        is_zero = same & (part[:, 0] == 0)
        zero += int(is_zero.sum())
        constant += int(same.sum() - is_zero.sum()) if rows.shape[1] > 1 else 0
    return zero, constant
