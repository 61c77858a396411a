"""Balanced axes: scores stay as they are, and at any width they are the best approximation there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.data.rows import unit_rows
from milk_np.serving.axes import BalancedAxes, second_moment, turned


def vectors(seed: int, n: int, K: int, rank: int | None = None) -> np.ndarray:
    """Rows of unequal lengths along unequal axes; of `rank` where it is given."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, rank or K)) * np.geomspace(1, 1e-3, rank or K)
    mix = rng.normal(size=(rank or K, K))
    return (rows @ mix * rng.uniform(0.1, 10, (n, 1))).astype(np.float32)


def score(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return users.astype(np.float64) @ items.astype(np.float64).T


def largest_share(found: np.ndarray, expected: np.ndarray, users: np.ndarray, items: np.ndarray) -> float:
    """The largest error of a score, as a share of the product of the lengths."""
    lengths = np.outer(np.linalg.norm(users, axis=1), np.linalg.norm(items, axis=1))
    return float((np.abs(found - expected) / np.maximum(lengths, 1e-30)).max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(1, 60), st.integers(1, 60), st.integers(1, 24), st.integers(1, 24))
def test_scores_stay_as_they_are(seed: int, U: int, n: int, K: int, rank: int) -> None:
    users, items = vectors(seed, U, K, min(rank, K)), vectors(seed + 1, n, K)
    axes = BalancedAxes.of([users], [items])
    found = score(turned(users, axes.users), turned(items, axes.items))
    assert largest_share(found, score(users, items), users, items) < 2e-5


def test_of_vectors_that_no_sample_has_too() -> None:
    users, items = vectors(0, 40, 12, rank=5), vectors(1, 30, 12, rank=4)
    axes = BalancedAxes.of([users], [items])
    others, new = vectors(2, 20, 12), vectors(3, 20, 12)
    found = score(turned(others, axes.users), turned(new, axes.items))
    assert largest_share(found, score(others, new), others, new) < 1e-2  # axes that nobody had are stretched 1e4 times
    wide = (others.astype(np.float64) @ axes.users) @ (new.astype(np.float64) @ axes.items).T
    assert largest_share(wide, score(others, new), others, new) < 1e-6


@pytest.mark.parametrize("width", [1, 3, 7])
def test_a_cut_is_the_best_approximation_of_the_scores(width: int) -> None:
    users, items = unit_rows(vectors(4, 80, 10)), vectors(5, 60, 10)
    axes = BalancedAxes.of([users], [items]).cut(width)
    whole = score(users, items)
    left, s, right = np.linalg.svd(whole)
    best = (left[:, :width] * s[:width]) @ right[:width]
    found = (users.astype(np.float64) @ axes.users) @ (items.astype(np.float64) @ axes.items).T
    np.testing.assert_allclose(found, best, atol=1e-5 * s[0])
    np.testing.assert_allclose(axes.strength, s[:width] / np.sqrt(whole.size), rtol=1e-4, atol=1e-6 * s[0])


def test_both_sides_are_as_long_along_each_axis() -> None:
    users, items = unit_rows(vectors(6, 90, 8)), vectors(7, 70, 8)
    axes = BalancedAxes.of([users], [items])
    of_users = second_moment([users.astype(np.float64) @ axes.users])
    of_items = second_moment([items.astype(np.float64) @ axes.items])
    np.testing.assert_allclose(of_users, np.diag(axes.strength), atol=1e-5 * axes.strength[0])
    np.testing.assert_allclose(of_items, np.diag(axes.strength), atol=1e-5 * axes.strength[0])
    assert (np.diff(axes.strength) <= 0).all()


def test_blocks_make_no_difference() -> None:
    users, items = vectors(8, 50, 6), vectors(9, 40, 6)
    one, many = BalancedAxes.of([users], [items]), BalancedAxes.of(np.split(users, [7, 7, 30]), np.split(items, [1]))
    np.testing.assert_allclose(np.abs(many.items), np.abs(one.items), rtol=1e-6)


@pytest.mark.parametrize(("users", "items"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_vectors_of_zeros_give_finite_maps(users: float, items: float) -> None:
    axes = BalancedAxes.of([np.full((3, 4), users, np.float32)], [np.full((5, 4), items, np.float32)])
    assert np.isfinite(axes.users).all()
    assert np.isfinite(axes.items).all()
    np.testing.assert_allclose(axes.users @ axes.items.T, np.eye(4), atol=1e-6)


def test_rows_may_be_turned_where_they_are() -> None:
    rows, axes = vectors(10, 5000, 6), np.linalg.qr(vectors(11, 6, 6).astype(np.float64))[0]
    expected = turned(rows, axes)
    assert turned(rows, axes, rows) is rows
    np.testing.assert_array_equal(rows, expected)
