"""Splits of new items and k-cores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import k_core, split_new_items
from milk_np.data.arrays import Split
from milk_np.data.split import split_from_labels
from milk_np.errors import DataError, SettingsError

pair_lists = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=60, unique=True)


@given(st.integers(10, 300), st.floats(0.2, 0.8), st.integers(0, 20))
def test_the_share_of_new_items_is_exact(n_items: int, fraction: float, seed: int) -> None:
    item = np.repeat(np.arange(n_items), 2)
    item_split, split = split_new_items(np.arange(2 * n_items), item, n_items, fraction=fraction, seed=seed)
    n_new = round(fraction * n_items)
    assert np.bincount(item_split, minlength=3).tolist() == [n_items - n_new, n_new // 2, n_new - n_new // 2]
    assert np.array_equal(split, item_split[item])
    assert item_split.dtype == split.dtype == np.uint8


def test_items_without_pairs_are_new_but_not_evaluated() -> None:
    item = np.arange(0, 100, 2)
    item_split, _ = split_new_items(item, item, 101, fraction=0.5, seed=1)
    assert (item_split[1::2] == Split.UNSEEN).all()
    assert np.isin(item_split, (1, 2)).sum() == 25


def test_the_seed_decides() -> None:
    item = np.arange(50)
    draws = [split_new_items(item, item, 50, seed=seed)[0].tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_shares_are_refused(fraction: float) -> None:
    with pytest.raises(SettingsError, match="new items: expected a share between 0 and 1"):
        split_new_items(np.arange(9), np.arange(9), 9, fraction=fraction)


def test_too_few_items_are_refused() -> None:
    with pytest.raises(DataError, match="4 items with interactions are too few"):
        split_new_items(np.arange(4), np.arange(4), 4)


def slow_core(pairs: set[tuple[int, int]], k: int) -> set[tuple[int, int]]:
    """Drop one user or item at a time."""
    while True:
        users = {u for u, _ in pairs if sum(v == u for v, _ in pairs) < k}
        items = {i for _, i in pairs if sum(j == i for _, j in pairs) < k}
        if not users and not items:
            return pairs
        drop = min(users) if users else None
        pairs = {(u, i) for u, i in pairs if u != drop and (drop is not None or i != min(items))}


@given(pair_lists, st.integers(0, 5))
def test_k_core_equals_dropping_one_by_one(pairs: list[tuple[int, int]], k: int) -> None:
    user = np.array([u for u, _ in pairs], dtype=np.int64)
    item = np.array([i for _, i in pairs], dtype=np.int64)
    keep = k_core(user, item, k)
    kept = {pair for pair, kept in zip(pairs, keep.tolist(), strict=True) if kept}
    assert kept == slow_core(set(pairs), k)


def test_a_negative_core_is_refused() -> None:
    with pytest.raises(SettingsError, match="k-core: expected k >= 0"):
        k_core(np.arange(3), np.arange(3), -1)


def test_labels_that_hide_whole_items_make_a_split() -> None:
    item = np.array([0, 0, 1, 3, 3])
    assert split_from_labels(item, np.array([0, 0, 1, 2, 2]), 5).tolist() == [0, 1, 3, 2, 3]  # type: ignore[union-attr]
    assert split_from_labels(item, np.array([0, 1, 1, 2, 2]), 5) is None
    assert split_from_labels(item, np.zeros(5, dtype=np.int64), 5).tolist() == [0, 0, 3, 0, 3]  # type: ignore[union-attr]
