"""Small data sets and hypothesis strategies for the tests of the data layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from milk_np.data import Dataset


def small_arrays(
    n_users: int = 12,
    n_items: int = 10,
    widths: tuple[int, ...] = (4, 3),
    seed: int = 0,
    dtype: Any = np.float32,
) -> dict[str, Any]:
    """Arguments of a valid Dataset: the last four items are new, three items miss a modality."""
    rng = np.random.default_rng(seed)
    liked = rng.random((n_users, n_items)) < 0.4
    liked[rng.integers(n_users, size=n_items), np.arange(n_items)] = True
    user, item = np.nonzero(liked)
    order = rng.permutation(len(user))
    item_split = np.zeros(n_items, dtype=np.uint8)
    item_split[-4:-2], item_split[-2:] = 1, 2
    available = np.ones((n_items, len(widths)), dtype=bool)
    if len(widths) > 1:
        available[[1, -3, -1], [0, 1, 0]] = False
    return {
        "user": user[order].astype(np.int32),
        "item": item[order].astype(np.int32),
        "split": item_split[item[order]],
        "item_split": item_split,
        "modalities": tuple(f"m{n}" for n in range(len(widths))),
        "features": {f"m{n}": rng.normal(size=(n_items, d)).astype(dtype) for n, d in enumerate(widths)},
        "available": available,
        "meta": {"name": "small", "n_users": n_users},
    }


def small(**options: Any) -> Dataset:
    """A valid data set."""
    return Dataset(**small_arrays(**options))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Valid data sets of many shapes, with and without original ids."""
    n_users, n_items = draw(st.integers(1, 9)), draw(st.integers(5, 12))
    widths = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    made = small_arrays(n_users, n_items, widths, draw(st.integers(0, 99)), dtype)
    if draw(st.booleans()):
        made["user_ids"] = np.array([f"user {n} \u00e9" for n in range(n_users)])
        made["item_ids"] = np.array([f"i{n}" for n in range(n_items)])
    return Dataset(**made)
