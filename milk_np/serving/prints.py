"""Fingerprints of data: by them a model knows users and items without ids, and the scale of features."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milk_np.data.arrays import Arrays, Split
from milk_np.data.rows import row_norms
from milk_np.errors import DataWarning

MOST_ROWS = 4096
SHARES = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Quantiles of the lengths of feature rows that a model keeps."""
ENOUGH = 20
"""Rows from which on a median and a spread tell something."""
SLACK = 1.25
"""A row may be this much longer or shorter than 98 % of those of the training."""


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


def warn_of_scale(
    names: Sequence[str],
    trained: NDArray[np.float32] | None,
    features: Mapping[str, NDArray[Any] | None],
    owned: NDArray[np.bool_] | None,
) -> None:
    """Warn if rows of items that weren't in training are scaled otherwise than rows were there.

    `trained` (M, 5) has the quantiles of `training_lengths`, `features` the raw rows (n, D_m) of the modalities
    `names`, `owned` (n, M) tells which item has which; by default all that are given.
    """
    if trained is None:  # a model of version 0.1.0
        return
    for m, name in enumerate(names):
        rows = features.get(name)
        if rows is None or np.ndim(rows) != 2:
            continue
        chosen = np.arange(len(rows)) if owned is None else np.flatnonzero(owned[:, m])
        if len(chosen) and (how := scaled_otherwise(trained[m], quantiles(np.asarray(rows), chosen), len(chosen))):
            warnings.warn(f"{name}: {how}; scale the features as for training", DataWarning, stacklevel=4)


def scaled_otherwise(trained: NDArray[Any], given: NDArray[Any], n: int) -> str:
    """How the quantiles (5,) of the lengths of n rows differ from those of the training; empty if they don't."""
    low, usual_low, usual, usual_high, high = np.maximum(trained, 1e-12).tolist()
    least, median, most = float(given[1]), float(given[2]), float(given[3])
    numbers = f"in training {usual:.3g} (eight of ten from {usual_low:.3g} to {usual_high:.3g})"
    if not low / SLACK <= median <= high * SLACK or (n >= ENOUGH and not usual_low <= median <= usual_high):
        return f"the median length of {n:,} rows is {median:.3g}, {numbers}"
    if n >= ENOUGH and most / max(least, 1e-12) - 1 < (usual_high / usual_low - 1) / 10:
        return f"{n:,} rows have nearly one length ({least:.3g} to {most:.3g}), {numbers}"
    return ""
