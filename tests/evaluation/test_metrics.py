"""Ranking metrics against a second, slow implementation, an independent library, and their own properties."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, R, Success, nDCG
from numpy.typing import NDArray

from milk_np.evaluation import metrics
from milk_np.settings.metrics import FORMULAS

TOPK = (1, 2, 5, 10)


class Case:
    """Random lists and relevant candidates of some users."""

    def __init__(self, n_users: int, n_candidates: int, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.n_candidates = n_candidates
        order = np.argsort(rng.random((n_users, n_candidates)), axis=1)[:, :width].astype(np.int32)
        self.lists = np.full((n_users, width), -1, np.int32)
        self.lists[:, : order.shape[1]] = order
        sizes = rng.integers(1, n_candidates + 1, n_users)
        self.truth = [np.sort(rng.choice(n_candidates, n, replace=False)).astype(np.int32) for n in sizes]

    @property
    def indptr(self) -> NDArray[np.int64]:
        return np.cumsum([0, *map(len, self.truth)], dtype=np.int64)

    def hits(self) -> NDArray[np.bool_]:
        return metrics.hits(self.lists, self.indptr, np.concatenate(self.truth))

    def values(self, topk: tuple[int, ...] = TOPK) -> metrics.PerUser:
        return metrics.per_user(self.hits(), np.diff(self.indptr), topk)


def slow(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """The definitions, one list and one rank at a time."""
    places = [rank for rank, item in enumerate(ranked[:k], start=1) if item in relevant]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        "recall": len(places) / len(relevant),
        "ndcg": sum(1 / math.log2(rank + 1) for rank in places) / ideal,
        "hr": float(bool(places)),
        "mrr": 1 / places[0] if places else 0.0,
        "map": sum(i / rank for i, rank in enumerate(places, start=1)) / min(k, len(relevant)),
    }


cases = st.builds(
    Case,
    n_users=st.integers(1, 12),
    n_candidates=st.integers(1, 30),
    width=st.just(10),
    seed=st.integers(0, 2**31),
)


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_against_the_slow_implementation(case: Case) -> None:
    values = case.values()
    assert set(values) == {f"{name}@{k}" for name in FORMULAS for k in TOPK}
    for user, ranked in enumerate(case.lists.tolist()):
        for k in TOPK:
            for name, expected in slow(ranked, set(case.truth[user].tolist()), k).items():
                assert values[f"{name}@{k}"][user] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_ranges_and_growth(case: Case) -> None:
    values = case.values()
    for value in values.values():
        assert value.dtype == np.float64
        assert np.all((value >= 0) & (value <= 1))
    for name in ("recall", "hr", "mrr"):
        grown = np.diff([values[f"{name}@{k}"] for k in TOPK], axis=0)
        assert np.all(grown >= 0)


@settings(max_examples=30, deadline=None)
@given(case=cases, seed=st.integers(0, 99))
def test_users_do_not_touch_each_other(case: Case, seed: int) -> None:
    """In another order, or alone, a user has the same values to the last bit, and so have the averages."""
    values, order = case.values(), np.random.default_rng(seed).permutation(len(case.lists))
    case.lists, case.truth = case.lists[order], [case.truth[u] for u in order]
    shuffled = case.values()
    for name, value in values.items():
        np.testing.assert_array_equal(shuffled[name], value[order])
    assert metrics.averages(shuffled) == metrics.averages(values)
    case.lists, case.truth = case.lists[:1], case.truth[:1]
    for name, value in case.values().items():
        assert value[0] == shuffled[name][0]


@pytest.mark.parametrize("n_candidates", [10, 40])
def test_against_ir_measures(n_candidates: int) -> None:
    """ir-measures divides average precision by all relevant documents, we by those that K places can hold."""
    case = Case(50, n_candidates, 10, seed=n_candidates)
    names = {"recall": R, "ndcg": nDCG, "hr": Success, "mrr": RR, "map": AP}
    values, n_relevant = case.values(), np.diff(case.indptr)
    qrels = {f"u{u}": {f"d{i}": 1 for i in items.tolist()} for u, items in enumerate(case.truth)}
    run = {
        f"u{u}": {f"d{i}": float(100 - rank) for rank, i in enumerate(row) if i >= 0}
        for u, row in enumerate(case.lists.tolist())
    }
    wanted = {str(measure @ k): f"{name}@{k}" for name, measure in names.items() for k in TOPK}
    measures = [measure @ k for measure in names.values() for k in TOPK]
    count = 0
    for result in ir_measures.iter_calc(measures, qrels, run):
        name, user = wanted[str(result.measure)], int(result.query_id[1:])
        ours = values[name][user]
        if name.startswith("map"):
            ours *= min(int(name[4:]), n_relevant[user]) / n_relevant[user]
        assert ours == pytest.approx(result.value, abs=1e-6), (name, user)
        count += 1
    assert count == 50 * len(measures)


def test_perfect_and_empty_lists() -> None:
    truth = np.arange(4, dtype=np.int32)
    perfect = metrics.hits(np.arange(10, dtype=np.int32)[None], np.array([0, 4]), truth)
    values = metrics.per_user(perfect, np.array([4]), TOPK)
    assert all(values[f"{name}@{k}"][0] == 1 for name in ("ndcg", "hr", "mrr", "map") for k in TOPK)
    assert values["recall@2"][0] == 0.5
    empty = metrics.hits(np.full((1, 10), -1, np.int32), np.array([0, 4]), truth)
    assert all(value[0] == 0 for value in metrics.per_user(empty, np.array([4]), TOPK).values())


def test_an_empty_place_is_not_the_previous_users_last_candidate() -> None:
    lists = np.array([[0], [-1]], np.int32)
    hit = metrics.hits(lists, np.array([0, 1, 2]), np.array([4, 4], np.int32))
    assert not hit.any()


def test_no_pairs_at_all() -> None:
    hit = metrics.hits(np.zeros((2, 3), np.int32), np.zeros(3, np.int64), np.zeros(0, np.int32))
    assert hit.shape == (2, 3)
    assert not hit.any()


@settings(max_examples=30, deadline=None)
@given(case=cases)
def test_coverage_counts_listed_candidates(case: Case) -> None:
    best = metrics.best_place(case.lists, case.n_candidates)
    for k in TOPK:
        listed = {i for row in case.lists[:, :k].tolist() for i in row if i >= 0}
        value = metrics.coverage(best, case.n_candidates, [k])
        assert value == {f"coverage@{k}": len(listed) / case.n_candidates}


def test_a_formula_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMULAS, "precision", lambda of: of.found / of.k)
    monkeypatch.setitem(FORMULAS, "last", lambda of: of.hit[:, -1] * 1.0)
    case = Case(n_users=9, n_candidates=20, width=10, seed=2)
    values = case.values()
    for u, (ranked, relevant) in enumerate(zip(case.lists.tolist(), case.truth, strict=True)):
        for k in TOPK:
            assert values[f"precision@{k}"][u] == len({*ranked[:k]} & {*relevant.tolist()}) / k
            assert values[f"last@{k}"][u] == float(ranked[k - 1] in relevant)
