"""Evaluation as a whole: against sorting in Python, groups of items, ties, and what must not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milk_np.data import Dataset, make_mask, make_synthetic
from milk_np.errors import DataError, DivergedError, SettingsError
from milk_np.evaluation.evaluate import evaluate
from milk_np.evaluation.exposure import group_name
from milk_np.evaluation.result import Evaluation
from milk_np.files import read_npz
from milk_np.kernels.reference.topk import top_k as reference_top_k
from milk_np.serving import ranking
from milk_np.settings.metrics import FORMULAS

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    """A small data set whose new items miss nothing, one or two modalities."""
    whole = make_synthetic(80, 150, 1200, {"image": 6, "text": 5, "audio": 4}, new_items=0.4, seed=3)
    mask = make_mask(whole.item_split, 3, "FTMT", mix=(0.3, 0.4, 0.3), seed=1)
    return whole.with_available(mask)


def vectors(ds: Dataset, seed: int = 0, ties: bool = False) -> Vectors:
    """Random vectors; with `ties` small whole numbers, so that scores are exact and many are equal."""
    rng = np.random.default_rng(seed)
    draw = (
        rng.integers(-1, 2, (ds.n_users + ds.n_items, 4)) if ties else rng.standard_normal((ds.n_users + ds.n_items, 4))
    )
    both = draw.astype(np.float32)
    return both[: ds.n_users], both[ds.n_users :]


def slow(model: Vectors, ds: Dataset, split: int, k: int, candidates: list[int], group: int | None) -> dict[str, float]:
    """Averages over users with a relevant item of the group, by sorting in Python."""
    missing = ds.n_modalities - ds.available.sum(axis=1)
    user, item = ds.interactions(split)
    rows: dict[int, set[int]] = {}
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        if group is None or missing[i] == group:
            rows.setdefault(u, set()).add(i)
    values = []
    for u, relevant in rows.items():
        score = {i: float(model[0][u].astype(np.float64) @ model[1][i]) for i in candidates}
        ranked = sorted(candidates, key=lambda i: (-score[i], i))[:k]
        values.append(slow_user(ranked, relevant))
    means = dict(zip(FORMULAS, np.mean(values, axis=0).tolist(), strict=True))
    return {"users": len(rows), **{f"{name}@{k}": means[name] for name in FORMULAS}}


def slow_user(ranked: list[int], relevant: set[int]) -> list[float]:
    hit = np.array([item in relevant for item in ranked], float)
    gains = 1 / np.log2(np.arange(2, len(ranked) + 2))
    precision = np.cumsum(hit) / np.arange(1, len(ranked) + 1)
    reach = min(len(ranked), len(relevant))
    first = float(1 / (np.argmax(hit) + 1)) if hit.any() else 0.0
    recall, ndcg = hit.sum() / len(relevant), hit @ gains / gains[:reach].sum()
    return [recall, ndcg, float(hit.any()), first, hit @ precision / reach]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("split", [1, 2])
@pytest.mark.parametrize("candidates", ["all", "split"])
def test_against_sorting_in_python(ds: Dataset, split: int, candidates: str, ties: bool) -> None:
    model = vectors(ds, ties=ties)
    result = evaluate(model, ds, split, topk=(5, 20), candidates=candidates)
    ranked = (ds.evaluated_items if candidates == "all" else ds.new_items(split)).tolist()
    assert result.n_candidates == len(ranked)
    for k in (5, 20):
        agree(result.n_users, result.metrics, slow(model, ds, split, k, ranked, None))
        for group in (0, 1, 2):
            name = group_name(group)
            agree(result.slice_users[name], result.slices[name], slow(model, ds, split, k, ranked, group))


def agree(users: int, values: dict[str, float], expected: dict[str, float]) -> None:
    assert users == expected.pop("users")
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-12), name


def test_groups_are_named_by_missing_modalities(ds: Dataset) -> None:
    result = evaluate(vectors(ds), ds)
    assert list(result.slices) == ["complete", "one missing", "two missing"]
    assert [group_name(n) for n in (3, 9, 12)] == ["three missing", "nine missing", "12 missing"]
    complete = ds.with_available(np.ones_like(ds.available))
    whole = evaluate(vectors(ds), complete)
    assert list(whole.slices) == ["complete"]
    assert whole.slices["complete"] == {k: v for k, v in whole.metrics.items() if "coverage" not in k}


@settings(max_examples=15, deadline=None)
@given(step=st.integers(1, 100), seed=st.integers(0, 9))
def test_blocks_of_users_do_not_matter(ds: Dataset, step: int, seed: int) -> None:
    expected = evaluate(vectors(ds, seed), ds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BLOCK_USERS", step)
        same(evaluate(vectors(ds, seed), ds), expected)


def test_threads_do_not_matter(ds: Dataset) -> None:
    expected, before = evaluate(vectors(ds), ds), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        same(evaluate(vectors(ds), ds), expected)
    finally:
        numba.set_num_threads(before)


def test_order_and_numbers_of_users_do_not_matter(ds: Dataset) -> None:
    users, items = vectors(ds)
    order = np.random.default_rng(0).permutation(ds.n_users)
    number = np.empty_like(order)
    number[order] = np.arange(ds.n_users)
    renamed = replace(ds, user=number[ds.user].astype(np.int32))
    expected = evaluate((users, items), ds)
    result = evaluate((users[order], items), renamed)
    assert result.metrics == expected.metrics
    assert result.slices == expected.slices


def test_another_kernel_can_be_used(ds: Dataset) -> None:
    model = vectors(ds, ties=True)
    same(evaluate(model, ds, top_k=reference_top_k), evaluate(model, ds))


def same(result: Evaluation, expected: Evaluation) -> None:
    assert result.to_dict() == expected.to_dict()
    np.testing.assert_array_equal(result.users, expected.users)
    for name, value in expected.per_user.items():
        np.testing.assert_array_equal(result.per_user[name], value)


def test_a_constant_model_is_at_the_random_level(ds: Dataset) -> None:
    """Averaged over how the new items are numbered, recall@K is K / N: ties aren't broken in its favour."""
    model = np.ones((ds.n_users, 1), np.float32), np.ones((ds.n_items, 1), np.float32)
    rng, new, values = np.random.default_rng(5), ds.evaluated_items, []
    for _ in range(60):
        number = np.arange(ds.n_items)
        number[new] = rng.permutation(new)
        item_split = np.empty_like(ds.item_split)
        item_split[number] = ds.item_split
        renamed = replace(ds, item=number[ds.item].astype(np.int32), item_split=item_split)
        values.append(evaluate(model, renamed, topk=(10,)).metrics["recall@10"])
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(10 / len(new), abs=4 * error)
    assert error < 0.01


def test_a_perfect_model_scores_one(ds: Dataset) -> None:
    items = np.eye(ds.n_items, dtype=np.float32)
    users = np.zeros((ds.n_users, ds.n_items), np.float32)
    users[ds.interactions(2)] = 1
    result = evaluate((users, items), ds, topk=(20,))
    for name in ("ndcg", "hr", "mrr", "map"):
        assert result.metrics[f"{name}@20"] == 1


def test_some_users_only(ds: Dataset) -> None:
    whole = evaluate(vectors(ds), ds)
    chosen = whole.users[::3]
    part = evaluate(vectors(ds), ds, users=chosen)
    np.testing.assert_array_equal(part.users, chosen)
    for name, value in part.per_user.items():
        np.testing.assert_array_equal(value, whole.per_user[name][::3])


def test_table_and_dictionary(ds: Dataset) -> None:
    result = evaluate(vectors(ds), ds, 1)
    table = result.table()
    assert table.startswith(
        f"valid split: {result.n_users} users, {len(ds.evaluated_items)} candidates (all new items)"
    )
    assert table.count("one missing") == 3  # for each K, and its exposure
    assert f"{result.metrics['ndcg@20']:.4f}" in table
    assert all(line == line.rstrip() for line in table.splitlines())
    stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert stored["recall@20"] == result.metrics["recall@20"]
    assert stored["slices"]["two missing"]["users"] == result.slice_users["two missing"]


def test_values_of_each_user_are_saved(ds: Dataset, tmp_path: Path) -> None:
    result = evaluate(vectors(ds), ds)
    result.save_per_user(tmp_path / "users.npz")
    arrays, meta = read_npz(tmp_path / "users.npz", "per-user")
    assert meta["split"] == "test"
    np.testing.assert_array_equal(arrays.pop("users"), result.users)
    assert arrays.keys() == result.per_user.keys()
    assert np.mean(arrays["recall@20"]) == pytest.approx(result.metrics["recall@20"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": (10, 999)}, "at most {N}, the number of candidates, got 999"),
        ({"topk": ()}, "got none"),
        ({"topk": (0, 5)}, "at least 1, got 0, 5"),
        ({"split": 0}, "expected 1 \\(valid\\) or 2 \\(test\\), got 0"),
        ({"candidates": "some"}, "one of all, split, got 'some'"),
    ],
)
def test_impossible_arguments(ds: Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("{N}", str(len(ds.evaluated_items)))):
        evaluate(vectors(ds), ds, **options)  # type: ignore[arg-type]


def test_no_pair_to_score_against(ds: Dataset) -> None:
    with pytest.raises(DataError, match="test split: expected pairs of the 0 given users"):
        evaluate(vectors(ds), ds, users=np.zeros(0, np.int32))
    bare = replace(ds, user=ds.user[ds.split != 2], item=ds.item[ds.split != 2], split=ds.split[ds.split != 2])
    with pytest.raises(DataError, match="test split: expected pairs to evaluate on, got none"):
        evaluate(vectors(ds), bare)


@pytest.mark.parametrize("which", [0, 1])
def test_vectors_that_are_not_finite(ds: Dataset, which: int) -> None:
    model = vectors(ds)
    model[which][ds.interactions(2)[which][0]] = np.nan
    with pytest.raises(DivergedError, match=f"{('user', 'item')[which]} vectors: expected finite numbers"):
        evaluate(model, ds)
