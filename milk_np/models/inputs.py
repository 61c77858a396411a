"""The row of content of each item: imputed, each modality at unit length, side by side, then centred or scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milk_np.data import Dataset, FeatureTable, Imputer, feature_tables
from milk_np.models.base import Vectors

CLIP = 5.0
"""What a standardised number is cut at (DropoutNet and Heater do the same)."""
BLOCK = 8192
_PREFIX = "input_"


@dataclass(frozen=True, eq=False)
class Inputs:
    """What turns imputed features into rows (n, D), D = sum of D_m: (row - shift) * scale, cut at `clip`.

    Attributes
    ----------
    shift, scale : (D,) float32
    clip : float
        Infinite for none.
    """

    shift: Vectors
    scale: Vectors
    clip: float

    @classmethod
    def fit(cls, ds: Dataset, imputer: Imputer, content: str) -> tuple[Self, Vectors]:
        """The inputs as `content` ("unit", "centred", "standard") says, and the rows (I, D) of all items.

        Mean and deviation are those of the training items.
        """
        rows = side_by_side(feature_tables(ds, imputer))
        shift, scale = np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
        if content != "unit":
            shift, deviation = moments(rows, ds.train_items)
            scale = inverse(deviation) if content == "standard" else scale
        inputs = cls(shift, scale, CLIP if content == "standard" else float("inf"))
        return inputs, inputs.applied(rows)

    def applied(self, rows: Vectors) -> Vectors:
        """The rows (n, D) transformed in place."""
        rows -= self.shift
        rows *= self.scale
        return rows if np.isinf(self.clip) else np.clip(rows, -self.clip, self.clip, out=rows)

    def of_new(
        self, imputer: Imputer, features: Mapping[str, NDArray[Any] | None], available: NDArray[np.bool_] | None
    ) -> Vectors:
        """Rows (n, D) of items that weren't in the data; errors of `Imputer.complete`."""
        filled = imputer.complete(features, available)
        return self.applied(side_by_side([FeatureTable.complete(filled[name]) for name in imputer.modalities]))

    def state(self) -> dict[str, NDArray[Any]]:
        """The inputs as plain arrays."""
        arrays = {"shift": self.shift, "scale": self.scale, "clip": np.array(self.clip)}
        return {_PREFIX + name: array for name, array in arrays.items()}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `state` returned."""
        return cls(arrays[_PREFIX + "shift"], arrays[_PREFIX + "scale"], float(arrays[_PREFIX + "clip"]))


STATE = tuple(_PREFIX + name for name in ("shift", "scale", "clip"))
"""Names of the arrays of `Inputs.state`."""


def side_by_side(tables: Sequence[FeatureTable]) -> Vectors:
    """Imputed rows of unit length of all modalities, side by side: (n, D)."""
    out = np.empty((tables[0].n_items, sum(table.width for table in tables)), np.float32)
    start = 0
    for table in tables:
        for first in range(0, len(out), BLOCK):
            ids = np.arange(first, min(first + BLOCK, len(out)))
            out[ids, start : start + table.width] = table.rows(ids)
        start += table.width
    return out


def moments(rows: Vectors, ids: NDArray[np.int32]) -> tuple[Vectors, Vectors]:
    """Mean and standard deviation (D) of the rows `ids`, summed in double precision."""
    total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for first in range(0, len(ids), BLOCK):
        total += rows[ids[first : first + BLOCK]].sum(axis=0, dtype=np.float64)
    mean = total / max(1, len(ids))
    for first in range(0, len(ids), BLOCK):
        squares += ((rows[ids[first : first + BLOCK]] - mean) ** 2).sum(axis=0)
    return mean.astype(np.float32), np.sqrt(squares / max(1, len(ids))).astype(np.float32)


def inverse(deviation: Vectors) -> Vectors:
    """1 / deviation; 0 where a column is constant."""
    there = deviation > 1e-6
    return np.where(there, 1 / np.where(there, deviation, 1), 0).astype(np.float32)


def standardised(table: Vectors, clip: float) -> Vectors:
    """Columns at mean 0 and deviation 1 over the rows that are not zero, cut at `clip`; zero rows stay zero.

    What DropoutNet and Heater do with pretrained tables.
    """
    there = np.flatnonzero(np.abs(table).sum(axis=1) > 0).astype(np.int32)
    mean, deviation = moments(table, there)
    out = np.zeros_like(table)
    out[there] = np.clip((table[there] - mean) * inverse(deviation), -clip, clip)
    return out
