"""Fingerprints of data: by them a model knows users and items without ids, and the scale of features."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Arrays, Split
from milk_np.data.rows import row_norms

MOST_ROWS = 4096
SHARES = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Quantiles of the lengths of feature rows that a model keeps."""


def pairs_print(ds: Arrays) -> str:
    """SHA-256 of all pairs in order of user, then item, and of the number of users, whatever their split."""
    user, item = _sorted(ds.user, ds.item)
    digest = hashlib.sha256(f"{ds.n_users} {len(user)};".encode())
    for column in (user, item):
        digest.update(np.ascontiguousarray(column).data.cast("B"))
    return digest.hexdigest()


def _sorted(user: NDArray[np.int32], item: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs by user, then item; importers sort them already."""
    key = user.astype(np.int64) << 32 | item
    if (key[1:] > key[:-1]).all():
        return user, item
    order = np.argsort(key)
    return user[order], item[order]


def item_prints(ds: Arrays) -> NDArray[np.uint32]:
    """CRC-32 of each item's raw feature rows, modality by modality, (I,)."""
    prints = np.zeros(ds.n_items, np.uint32)
    for name in ds.modalities:
        rows = ds.features[name]
        for item in range(ds.n_items):
            prints[item] = zlib.crc32(np.ascontiguousarray(rows[item]).data.cast("B"), int(prints[item]))
    return prints


def training_lengths(ds: Arrays) -> NDArray[np.float32]:
    """Quantiles `SHARES` of the lengths of the training items' rows, (M, 5); of some of them if they are many."""
    lengths = np.zeros((ds.n_modalities, len(SHARES)), np.float32)
    for m, name in enumerate(ds.modalities):
        owners = np.flatnonzero((ds.item_split == Split.TRAIN) & ds.available[:, m])
        if len(owners):
            lengths[m] = quantiles(ds.features[name], owners)
    return lengths


def quantiles(rows: NDArray[Any], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """Quantiles `SHARES` of the lengths of the rows `chosen`, (5,), from at most about 4,096 of them."""
    some = chosen[:: -(-len(chosen) // MOST_ROWS)]
    found: NDArray[np.float64] = np.quantile(row_norms(rows[some]), SHARES)
    return found
