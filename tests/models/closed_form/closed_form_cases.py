"""Shared by the tests of the quick rivals: small data, and every model with settings that suit it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from milk_np.data import Dataset, apply_protocol, make_synthetic

OPTIONS: dict[str, dict[str, Any]] = {
    "content-knn": {"neighbours": 9},
    "ridge": {},
    "svd-ridge": {"dim": 6},
    "ials-ridge": {"dim": 6, "als_sweeps": 3},
    "feature-ials": {"dim": 6, "als_sweeps": 3},
    "marec": {"marec_penalty": 5.0},
}
EMPTY = 3
"""A user without training items."""


def small(protocol: str = "FTMT", seed: int = 3, **sizes: Any) -> Dataset:
    """60 users, 50 items, two modalities (or `widths`); user EMPTY has no training pair."""
    widths = sizes.pop("widths", {"image": 6, "text": 4})
    ds = make_synthetic(60, 50, 700, widths, new_items=0.3, seed=seed)
    kept = (ds.user != EMPTY) | (ds.split != 0)
    ds = replace(ds, user=ds.user[kept], item=ds.item[kept], split=ds.split[kept], meta=ds.meta | {"n_users": 60})
    return apply_protocol(ds, protocol, seed=2) if len(widths) > 1 else ds


def dense(ds: Dataset) -> Any:
    """R (U, n) of `ds` as zeros and ones."""
    user, item = ds.interactions(0)
    R = np.zeros((ds.n_users, ds.n_items))
    R[user, item] = 1
    return R[:, ds.train_items]


def copies(X: Any, widths: Any, weight: float) -> tuple[Any, Any]:
    """The whole rows and those with each modality zeroed, written out, and their weights (of sum 1 an item)."""
    M, n = len(widths), len(X)
    if M == 1:
        return X, np.ones(n)
    ends = np.cumsum(widths)
    rows = [X]
    for start, end in zip(ends - widths, ends, strict=True):
        rows.append(X.copy())
        rows[-1][:, start:end] = 0
    each = np.repeat([1.0, *[weight] * M], n) / (1 + weight * M)
    return np.vstack(rows), each
