"""Ranking of held-out items against plain loops in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from milk_np.models.kernel_profile import folds as module
from milk_np.models.kernel_profile.by_ranking import choose_by_ranking
from milk_np.models.kernel_profile.choice import ContentKernel
from milk_np.models.kernel_profile.folds import without_one
from milk_np.models.kernel_profile.held_out import (
    CUTOFF,
    HeldOut,
    _sets,
    ndcg,
)
from milk_np.models.kernel_profile.limits import FOLDS, held_sets
from milk_np.models.kernel_profile.ridge import JITTER, choose_sets
from milk_np.models.kernel_profile.smoothing import Smoothing
from milk_np.models.kernel_profile.whitening import candidate_axes, whitened

KERNEL = ContentKernel(1.5, 0.4, (0.6, 0.4), (0.0, 0.5))


def inside_of(fold: Any, n: int) -> np.ndarray:
    """(n,) whether each of the items is held out."""
    return np.isin(np.arange(n), fold.order)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


class Problem:
    """90 users, 70 training items of which 60 are looked at; two modalities, some of them missing."""

    def __init__(self, seed: int = 0, n: int = 60) -> None:
        rng = np.random.default_rng(seed)
        self.R = sparse.csr_array((rng.random((90, 70)) < 0.1).astype(np.float64))
        self.smoothing = Smoothing.fit(self.R, rank=5, ridge=20.0, power=0.5)
        self.items = rng.permutation(70)[:n]
        self.owned = np.ones((n, 2), np.bool_)
        self.owned[rng.random(n) < 0.3, 1] = False
        scales = np.array([3, 1, 1, 0.5])
        self.content = [unit(rng.standard_normal((n, 4)) * scales) * mine[:, None] for mine in self.owned.T]
        self.axes = candidate_axes(self.content, ())

    def held_out(self, seed: int = 0) -> HeldOut:
        rng = np.random.default_rng(seed)
        return HeldOut(self.R, self.smoothing, self.items, self.content, self.axes, self.owned, 1024, rng)


def plain_scores(
    problem: Problem, held: HeldOut, kernel: ContentKernel, users: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Scores of `users` for the items `inside`, each regressed on its own: nothing shared, nothing precomputed."""
    whitening = zip(problem.content, problem.axes, kernel.whitening, strict=True)
    rows = [whitened(x, axes[e]).astype(np.float64) for x, axes, e in whitening]
    n, L = len(problem.items), len(problem.items) // 2
    R = problem.R.toarray()
    B = problem.smoothing.apply(np.eye(R.shape[1]))
    R[:, problem.items[inside]] = 0
    Y = (R @ B)[users][:, problem.items[~inside]]
    out = []
    for j in np.flatnonzero(inside):
        mine = held.sets[held.which[j]]
        K = np.zeros((n, L))
        for m in np.flatnonzero(mine):
            K += kernel.weights[m] * np.exp(kernel.scale * (rows[m] @ rows[m][:L].T - 1))
        among = K[:L] + JITTER * np.trace(K[:L]) / L * np.eye(L)
        F = K @ np.linalg.inv(np.linalg.cholesky(among)).T
        A = F[~inside].T @ F[~inside] + kernel.noise * np.eye(L)
        out.append(Y @ F[~inside] @ np.linalg.solve(A, F[j]))
    return np.stack(out, axis=1)


def plain_ndcg(scores: np.ndarray, chosen: np.ndarray) -> float:
    """Of one user: `scores` (n,) of the candidates, `chosen` (n,) bool."""
    found = 0.0
    for j in np.flatnonzero(chosen):
        place = ((scores > scores[j]).sum() + (scores >= scores[j]).sum() - 1) // 2
        found += 1 / np.log2(place + 2) if place < CUTOFF else 0
    return found / sum(1 / np.log2(place + 2) for place in range(min(CUTOFF, chosen.sum())))


def users_of(problem: Problem, inside: np.ndarray) -> np.ndarray:
    return np.flatnonzero(problem.R.toarray()[:, problem.items[inside]].any(axis=1))


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_those_of_regressing_without_the_fold(seed: int) -> None:
    problem = Problem(seed)
    held = problem.held_out(seed)
    values = []
    for fold, found in zip(held.folds, held.scores(KERNEL), strict=True):
        users = users_of(problem, inside_of(fold, len(problem.items)))
        expected = plain_scores(problem, held, KERNEL, users, inside_of(fold, len(problem.items)))
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
        chosen = problem.R.toarray()[np.ix_(users, problem.items[inside_of(fold, len(problem.items))])] > 0
        values += [plain_ndcg(*each) for each in zip(found, chosen, strict=True)]
    np.testing.assert_allclose(held.ndcg(KERNEL), values, rtol=1e-12)


def test_ranked_says_what_the_items_lack_and_who_chose_them() -> None:
    problem = Problem()
    held = problem.held_out()
    every = held.ndcg(KERNEL)
    found = held.ranked(KERNEL, 10**6)
    np.testing.assert_array_equal(np.concatenate([ndcg(x.scores, x.user, x.item) for x in found]), every)
    assert any(each.lacks.any() for each in found)
    for each, fold in zip(found, held.folds, strict=True):
        left = ~each.lacks
        assert not (left & ~problem.owned[fold.order]).any()
        assert left.any(axis=1).all()
        chosen = problem.R.toarray()[
            np.ix_(users_of(problem, inside_of(fold, len(problem.items))), problem.items[fold.order])
        ]
        pairs = np.zeros_like(chosen)
        pairs[each.user, each.item] = 1
        np.testing.assert_array_equal(pairs, chosen)
    few = held.ranked(KERNEL, 3)
    assert {len(each.scores) for each in few} == {3}
    assert max(each.user.max(initial=0) for each in few) <= 2


def test_folds_share_the_items_but_landmarks() -> None:
    inside = np.stack([inside_of(fold, len(Problem().items)) for fold in Problem().held_out().folds])
    assert len(inside) == FOLDS
    np.testing.assert_array_equal(inside.sum(axis=0), np.repeat([0, 1], 30))


@pytest.mark.parametrize("M", [1, 2, 3, 5])
def test_half_of_the_items_lack_one_of_what_they_own(M: int) -> None:
    rng = np.random.default_rng(M)
    owned = rng.random((4000, M)) < 0.7
    left = without_one(owned, rng)
    assert not (left & ~owned).any()
    several = owned.sum(axis=1) > 1
    np.testing.assert_array_equal(left[~several], owned[~several])
    lost = (owned.sum(axis=1) - left.sum(axis=1))[several]
    assert set(lost) <= {0, 1}
    assert not several.any() or 0.45 < lost.mean() < 0.55
    sets = _sets(M)
    np.testing.assert_array_equal(np.sort(-sets.sum(axis=1)), -sets.sum(axis=1))
    assert len(sets) == held_sets(M)
    assert len(np.unique(sets, axis=0)) == len(sets) == {1: 1, 2: 3, 3: 7, 5: 11}[M]
    some = left.any(axis=1)
    taken = sets[choose_sets(left[some], sets)]
    assert not (taken & ~left[some]).any()
    if M <= 3:
        np.testing.assert_array_equal(taken, left[some])


def test_users_are_at_most_so_many_and_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_USERS", 12)
    some, again, others = (Problem().held_out(seed) for seed in (3, 3, 4))
    assert [len(fold.left) for fold in some.folds] == [12] * FOLDS
    np.testing.assert_array_equal(some.ndcg(KERNEL), again.ndcg(KERNEL))
    assert not any(np.array_equal(one.left, two.left) for one, two in zip(some.folds, others.folds, strict=True))


def test_landmarks_are_no_more_than_asked() -> None:
    problem, rng = Problem(), np.random.default_rng(0)
    held = HeldOut(problem.R, problem.smoothing, problem.items, problem.content, problem.axes, problem.owned, 7, rng)
    assert {x.shape for each in held.cosines for x in each.values()} == {(60, 7)}
    assert sum(len(fold.order) for fold in held.folds) == 53


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_items(n: int) -> None:
    held = Problem(n=n).held_out()
    assert len(held.ndcg(KERNEL)) == sum(len(fold.left) for fold in held.folds)
    choose_by_ranking(held, replace(KERNEL, noise=1.0), [sorted(each) for each in held.cosines], noise=True)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 60), st.integers(1, 9))
def test_ndcg_shares_places_of_equal_scores(seed: int, users: int, candidates: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(users, candidates)).astype(np.float32)
    chosen = rng.random((users, candidates)) < 0.3
    expected = [plain_ndcg(*each) for each in zip(scores, chosen, strict=True) if each[1].any()]
    np.testing.assert_allclose(ndcg(scores, *np.nonzero(chosen)), expected, rtol=1e-12)
