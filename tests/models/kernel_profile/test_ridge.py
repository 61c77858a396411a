"""Ridge regression on landmarks against kernel ridge written out; sets of owned modalities."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from in_memory import Ridge

from milk_np.models.kernel_profile.limits import most_sets
from milk_np.models.kernel_profile.ridge import JITTER, choose_sets, owned_sets, weighted

NOISE = 0.5


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(2 * (a @ b.T - 1))


def unit(seed: int, n: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, 4))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def targets() -> np.ndarray:
    return np.random.default_rng(9).standard_normal((30, 5))


def test_all_items_as_landmarks_are_exact_kernel_ridge(targets: np.ndarray) -> None:
    x, new = unit(0, 30), unit(1, 8)
    K = kernel(x, x)
    found = kernel(new, x) @ Ridge.fit(K, K, NOISE).coefficients(targets)
    exact = kernel(new, x) @ np.linalg.solve(K + NOISE * np.eye(30), targets)
    np.testing.assert_allclose(found, exact, atol=20 * JITTER)
    assert np.abs(exact).max() > 1


@pytest.mark.parametrize("L", [1, 7, 30])
def test_fewer_landmarks_are_the_subset_of_regressors(targets: np.ndarray, L: int) -> None:
    """(K_nL^T K_nL + noise K_L)^-1 K_nL^T T, with the jitter in K_L."""
    x = unit(0, 30)
    similar, among = kernel(x, x[:L]), kernel(x[:L], x[:L])
    steady = among + JITTER * np.eye(L)
    expected = np.linalg.solve(similar.T @ similar + NOISE * steady, similar.T @ targets)
    ridge = Ridge.fit(similar, among, NOISE)
    np.testing.assert_allclose(ridge.coefficients(targets), expected, atol=1e-8)
    np.testing.assert_allclose(ridge.root @ ridge.root.T, steady, atol=1e-12)
    np.testing.assert_allclose(ridge.features @ ridge.root.T, similar, atol=1e-9)
    normal = ridge.features.T @ ridge.features + NOISE * np.eye(L)
    b = np.random.default_rng(2).standard_normal((L, 3))
    np.testing.assert_allclose(normal @ ridge.solve(b), b, atol=1e-9)


def test_equal_landmarks_share_their_coefficients(targets: np.ndarray) -> None:
    x = unit(0, 30)
    twice = np.vstack([x, x]).astype(np.float32)
    K = kernel(twice, twice)
    both = np.vstack([targets, targets])
    coefficients = Ridge.fit(K, K, 2 * NOISE).coefficients(both)
    assert np.isfinite(coefficients).all()
    exact = kernel(x, x) @ np.linalg.solve(kernel(x, x) + NOISE * np.eye(30), targets)
    np.testing.assert_allclose(kernel(x, twice) @ coefficients, exact, atol=20 * JITTER)


def test_all_landmarks_alike() -> None:
    ones = np.ones((6, 6))
    coefficients = Ridge.fit(ones, ones, NOISE).coefficients(np.full((6, 1), 2.0))
    np.testing.assert_allclose(np.ones((1, 6)) @ coefficients, 6 * 2 / (6 + NOISE), rtol=10 * JITTER)


@pytest.mark.parametrize("M", [1, 2, 3, 4])
def test_all_sets_of_few_modalities(M: int) -> None:
    sets = owned_sets(np.ones((3, M), np.bool_))
    found = [tuple(np.flatnonzero(row).tolist()) for row in sets]
    assert sets[0].all()
    assert [len(members) for members in found] == sorted((len(members) for members in found), reverse=True)
    every = [members for size in range(1, M + 1) for members in combinations(range(M), size)]
    assert sorted(found) == sorted(every)
    available = sets[::-1]
    np.testing.assert_array_equal(sets[choose_sets(available, sets)], available)


def test_of_many_modalities_those_that_occur_and_each_alone() -> None:
    available = np.array([[1, 1, 0, 1, 0], [1, 1, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]], np.bool_)
    sets = owned_sets(available)
    assert sets[0].all()
    expected = {(True,) * 5, (1, 1, 0, 1, 0), (0, 1, 1, 0, 0), *map(tuple, np.eye(5, dtype=int).tolist())}
    assert {tuple(row) for row in sets.tolist()} == expected
    assert len(sets) == len(expected)
    assert (np.diff(sets.sum(axis=1)) <= 0).all()


def test_an_item_gets_the_largest_set_that_it_owns_whole() -> None:
    sets = owned_sets(np.array([[1, 1, 0, 1, 0], [0, 1, 1, 0, 0]], np.bool_))
    items = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 1], [0, 0, 1, 0, 0]], np.bool_)
    expected = [[1, 1, 1, 1, 1], [1, 1, 0, 1, 0], [1, 1, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(sets[choose_sets(items, sets)], np.array(expected, np.bool_))
    alone = sets[choose_sets(np.array([[1, 0, 0, 0, 1]], np.bool_), sets)][0]
    assert alone.sum() == 1
    assert alone[0] or alone[4]


def test_every_possible_item_of_five_modalities_gets_a_set_of_its_own_modalities() -> None:
    items = np.array([[i >> m & 1 for m in range(5)] for i in range(1, 32)], np.bool_)
    sets = owned_sets(items[[4, 10, 22]])
    sizes = [max(int(s.sum()) for s in sets if not (s & ~item).any()) for item in items]
    given = sets[choose_sets(items, sets)]
    assert not (given & ~items).any()
    assert given.sum(axis=1).tolist() == sizes


@pytest.mark.parametrize("M", [5, 8, 10, 16])
def test_sets_of_many_modalities_grow_with_their_number_alone(M: int) -> None:
    items = np.random.default_rng(M).random((3000, M)) < 0.5
    sets = owned_sets(items)
    assert len(sets) == most_sets(M) == max(31, 3 * M)
    assert sets[0].all()
    assert {tuple(row) for row in np.eye(M, dtype=np.bool_)} <= {tuple(row) for row in sets}
    assert len(np.unique(sets, axis=0)) == len(sets)
    some = items[items.any(axis=1)]
    assert not (sets[choose_sets(some, sets)] & ~some).any()


def test_the_sets_that_say_most_are_kept() -> None:
    """Nearly all items own the first seven of eight; the rest is one of each set."""
    every = np.array([[i >> m & 1 for m in range(8)] for i in range(1, 256)], np.bool_)
    often = np.array([[1] * 7 + [0]] * 500 + [[0] * 4 + [1] * 4] * 400, np.bool_)
    sets = owned_sets(np.vstack([every, often]))
    assert len(sets) == 31
    assert {tuple(often[0]), tuple(often[-1])} <= {tuple(row) for row in sets}


def test_items_that_lack_one_of_many_modalities_all_get_a_regression_of_their_own() -> None:
    M = 9
    items = np.vstack([np.ones((1, M), np.bool_), ~np.eye(M, dtype=np.bool_)])
    sets = owned_sets(items)
    np.testing.assert_array_equal(sets[choose_sets(items, sets)], items)


def test_an_item_without_content_asks_for_no_set() -> None:
    assert owned_sets(np.zeros((3, 6), np.bool_)).any(axis=1).all()


def test_modalities_that_are_not_owned_are_left_out() -> None:
    similar = np.random.default_rng(3).random((3, 4, 2)).astype(np.float32)
    similar[1] = np.nan
    found = weighted(similar, (0.5, 0.3, 0.2), np.array([True, False, True]))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 0.5 * similar[0] + 0.2 * similar[2], rtol=1e-6)
    assert not weighted(similar, (0.5, 0.3, 0.2), np.zeros(3, np.bool_)).any()
