"""Content of items as the regression sees it: centred rows of unit length, and their similarity to landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.dataset import Dataset
from milk_np.data.rows import FeatureArray, row_blocks, unit_rows
from milk_np.models.base import Vectors

Owned = NDArray[np.bool_]


def content(centres: Mapping[str, Vectors], features: Mapping[str, FeatureArray], owned: Owned) -> list[Vectors]:
    """Raw rows (n, D_m) of every modality less its centre (D_m), of unit length.

    `owned` (n, M): where an item doesn't own a modality, its row is zero, whatever the features say.
    """
    out = []
    for m, (name, centre) in enumerate(centres.items()):
        rows = np.zeros((len(owned), len(centre)), np.float32)
        mine = owned[:, m]
        if mine.any():
            rows[mine] = unit_rows(np.asarray(features[name][mine], np.float32) - centre)
        out.append(rows)
    return out


def content_of(centres: Mapping[str, Vectors], ds: Dataset, ids: NDArray[Any]) -> list[Vectors]:
    """Content of the items `ids` of `ds`, whose features may be memory maps."""
    return content(centres, {name: ds.features[name][ids] for name in ds.modalities}, ds.available[ids])


def item_blocks(n_items: int, centres: Mapping[str, Vectors]) -> list[slice]:
    """Blocks of items whose rows of the widest modality take a few megabytes."""
    return list(row_blocks(n_items, max(len(centre) for centre in centres.values())))


def similarities(rows: Sequence[Vectors], landmarks: Sequence[Vectors], scale: float) -> Vectors:
    """exp(scale (x . l - 1)) in (0, 1] of every modality: (M, n, L).

    A missing modality is a row of zeros, as far from every landmark as an unrelated one.
    """
    out = np.empty((len(rows), len(rows[0]), len(landmarks[0])), np.float32)
    for m, (x, landmark) in enumerate(zip(rows, landmarks, strict=True)):
        np.matmul(x, landmark.T, out=out[m])
    out -= 1
    out *= np.float32(scale)
    return np.exp(out, out=out)
