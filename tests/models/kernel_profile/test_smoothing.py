"""Smoothing of histories against EASE written out with a matrix inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from milk_np.models.kernel_profile.smoothing import LEAST_FREE, OWN, Smoothing

POWERS = (0.0, 0.5, 1.0)


def ridges(R: np.ndarray, ridge: float, power: float) -> np.ndarray:
    """Of the items (n,): as their popularity to a power, 1 where nobody chose them."""
    popularity = np.maximum(R.sum(axis=0), 1)
    return ridge * (popularity / popularity.mean()) ** power


def ease(R: np.ndarray, ridge: float, power: float) -> np.ndarray:
    """I - P diag(1 / P_jj), P = (R^T R + diag(ridges))^-1."""
    P = np.linalg.inv(R.T @ R + np.diag(ridges(R, ridge, power)))
    return np.eye(len(P)) - P / np.diag(P)


def whole(smoothing: Smoothing, n: int) -> np.ndarray:
    return smoothing.apply(np.eye(n))


@st.composite
def pairs(draw: st.DrawFn, most: int = 9) -> np.ndarray:
    """Pairs (U, n) of zeros and ones, at least one."""
    U, n = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    R = (rng.random((U, n)) < draw(st.sampled_from([0.1, 0.4, 0.8, 1.0]))).astype(float)
    R[rng.integers(U), rng.integers(n)] = 1
    return R


@st.composite
def fewer_users(draw: st.DrawFn) -> np.ndarray:
    """Pairs of fewer users than items, the last of whom has none: no direction is lost at the highest rank."""
    R = draw(pairs(7))
    more = np.zeros((len(R), max(1, len(R) + 1 - R.shape[1])))
    more[0] = 1
    return np.vstack([np.hstack([R, more]), np.zeros((1, R.shape[1] + more.shape[1]))])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(fewer_users(), st.sampled_from([0.1, 1.0, 30.0]), st.sampled_from(POWERS))
def test_at_full_rank_it_is_ease_and_what_was_chosen(R: np.ndarray, ridge: float, power: float) -> None:
    n = R.shape[1]
    found = whole(Smoothing.fit(sparse.csr_array(R), rank=100, ridge=ridge, power=power), n)
    np.testing.assert_allclose(found, OWN * np.eye(n) + ease(R, ridge, power), atol=1e-8)


@pytest.mark.parametrize("power", POWERS)
def test_ease_of_a_data_set_with_more_users_than_items(power: float) -> None:
    rng = np.random.default_rng(4)
    R = (rng.random((60, 15)) < 0.3).astype(float)
    R[:, 7] = R[:, 2]  # the rank is one less than the number of items
    found = whole(Smoothing.fit(sparse.csr_array(R), rank=14, ridge=5.0, power=power), 15)
    np.testing.assert_allclose(found, OWN * np.eye(15) + ease(R, 5.0, power), atol=1e-9)


def test_an_item_that_the_others_leave_no_freedom_is_clamped() -> None:
    """A ridge near 0 explains an item by itself: P_jj ridge would be below LEAST_FREE."""
    R = np.vstack([np.eye(4, 5), np.zeros((1, 5))])
    smoothing = Smoothing.fit(sparse.csr_array(R), rank=4, ridge=1e-9, power=0.5)
    np.testing.assert_allclose(smoothing.own, OWN + 1 - np.array([1 / LEAST_FREE] * 4 + [1]), rtol=1e-6)
    assert np.isfinite(whole(smoothing, 5)).all()


@settings(deadline=None, max_examples=80, derandomize=True)
@given(pairs(), st.integers(0, 10), st.sampled_from([0.1, 1.0, 100.0]), st.sampled_from(POWERS))
def test_diagonal_and_transpose_at_every_rank(R: np.ndarray, rank: int, ridge: float, power: float) -> None:
    n = R.shape[1]
    smoothing = Smoothing.fit(sparse.csr_array(R), rank=rank, ridge=ridge, power=power)
    B = whole(smoothing, n)
    assert np.isfinite(B).all()
    np.testing.assert_allclose(np.diag(B), OWN, atol=1e-9)
    np.testing.assert_allclose(smoothing.apply_transposed(np.eye(n)), B.T, atol=1e-9)
    x = np.random.default_rng(0).standard_normal((n, 3))
    np.testing.assert_allclose(smoothing.apply(x), B @ x, atol=1e-9)
    np.testing.assert_allclose(smoothing.apply_transposed(x), B.T @ x, atol=1e-9)


@pytest.mark.parametrize(("shape", "rank"), [((5, 4), 0), ((1, 6), 8), ((6, 1), 8), ((1, 1), 8)])
def test_without_a_rank_only_what_was_chosen_is_left(shape: tuple[int, int], rank: int) -> None:
    n = shape[1]
    smoothing = Smoothing.fit(sparse.csr_array(np.ones(shape)), rank=rank, ridge=1.0, power=0.5)
    np.testing.assert_array_equal(whole(smoothing, n), OWN * np.eye(n))
    np.testing.assert_array_equal(smoothing.apply_transposed(np.eye(n)), OWN * np.eye(n))


@pytest.mark.parametrize("power", POWERS)
def test_the_rank_keeps_the_largest_directions(power: float) -> None:
    """At rank r it is the formula with the r largest singular values of R D^-1 in place of all."""
    rng = np.random.default_rng(1)
    R = (rng.random((20, 12)) < 0.4).astype(float)
    D = np.sqrt(ridges(R, 1.0, power))
    _, s, Vt = np.linalg.svd(R / D)
    V, shrink = Vt[:3].T, s[:3] ** 2 / (s[:3] ** 2 + 2.0)
    Q = (np.eye(12) - (V * shrink) @ V.T) / np.outer(D, D)
    found = whole(Smoothing.fit(sparse.csr_array(R), rank=3, ridge=2.0, power=power), 12)
    np.testing.assert_allclose(found, (OWN + 1) * np.eye(12) - Q / np.diag(Q), atol=1e-9)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
def test_the_same_pairs_give_the_same_bits(shape: tuple[int, int], twice: bool) -> None:
    """Also where R has fewer directions than are asked for."""
    R = (np.random.default_rng(2).random(shape) < 0.15).astype(float)
    R = sparse.csr_array(np.vstack([R, R]) if twice else R)
    one, two = (Smoothing.fit(R, rank=64, ridge=1.0, power=0.5) for _ in range(2))
    for each in ("own", "left", "right"):
        np.testing.assert_array_equal(getattr(one, each), getattr(two, each))


@pytest.mark.parametrize("rank", [0, 4])
def test_parts_are_the_smoothed_rows(rank: int) -> None:
    R = sparse.csr_array((np.random.default_rng(1).random((20, 30)) < 0.2).astype(np.float64))
    smoothing = Smoothing.fit(R, rank=rank, ridge=3.0, power=0.5)
    items = np.array([3, 29, 0, 7])
    direct, left, right = smoothing.parts(R[:7], items)
    expected = (R[:7] @ smoothing.apply(np.eye(30)))[:, items]
    np.testing.assert_allclose(direct.toarray() + left @ right, expected, atol=1e-12)
