"""Evaluation on some of the users: who they are, and how far the means may be off."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import SettingsError
from milk_np.evaluation.drawn import LEAST, draw, half_widths
from milk_np.evaluation.evaluate import evaluate

SIZE = 200


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(400, 150, 6000, {"image": 6}, new_items=0.4, seed=3)


@pytest.fixture(scope="module")
def vectors(ds: Dataset) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((n, 4)).astype(np.float32) for n in (ds.n_users, ds.n_items))


def test_those_drawn_have_the_values_that_they_have_among_all(ds: Dataset, vectors: tuple) -> None:
    whole = evaluate(vectors, ds)
    drawn = evaluate(vectors, ds, sample_users=60, seed=4)
    assert drawn.n_users == 60
    assert drawn.drawn_from == whole.n_users
    rows = np.searchsorted(whole.users, drawn.users)
    assert (whole.users[rows] == drawn.users).all()
    for name, values in drawn.per_user.items():
        np.testing.assert_array_equal(values, whole.per_user[name][rows])
    assert not np.array_equal(drawn.users, evaluate(vectors, ds, sample_users=60, seed=5).users)
    np.testing.assert_array_equal(drawn.users, evaluate(vectors, ds, sample_users=60, seed=4).users)


def test_more_than_there_are_is_all_of_them(ds: Dataset, vectors: tuple) -> None:
    whole, drawn = evaluate(vectors, ds), evaluate(vectors, ds, sample_users=10_000)
    assert drawn.to_dict() == whole.to_dict()
    assert drawn.half_width == {}
    assert "drawn of" not in whole.table()


def test_the_means_lie_within_the_width_as_often_as_it_says(ds: Dataset, vectors: tuple) -> None:
    whole = evaluate(vectors, ds, topk=(10,))
    inside = []
    for seed in range(SIZE):
        found = evaluate(vectors, ds, topk=(10,), sample_users=150, seed=seed)
        inside.append(abs(found.metrics["ndcg@10"] - whole.metrics["ndcg@10"]) <= found.half_width["ndcg@10"])
    # 95 % of the draws; five standard errors of a share of 0.95 among SIZE
    assert abs(np.mean(inside) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / SIZE)


def test_the_width_is_that_of_a_draw_without_repetition() -> None:
    values = {"recall@10": np.array([0.0, 1.0] * 50)}
    deviation = np.std(values["recall@10"], ddof=1)
    assert half_widths(values, 400)["recall@10"] == pytest.approx(1.959964 * deviation * np.sqrt(0.75 / 100))
    assert half_widths(values, 100)["recall@10"] == 0.0


def test_the_table_and_the_file_say_it(ds: Dataset, vectors: tuple) -> None:
    found = evaluate(vectors, ds, sample_users=60)
    table = found.table()
    assert f"60 users drawn of {found.drawn_from}" in table
    assert table.count("95 % within ±") == 2  # one for each K
    assert found.to_dict()["half_width"] == found.half_width
    assert set(found.half_width) == set(found.per_user)


def test_too_few_are_refused(ds: Dataset, vectors: tuple) -> None:
    with pytest.raises(SettingsError, match=f"sample_users: expected at least {LEAST}, got 3"):
        evaluate(vectors, ds, sample_users=3)


def test_draws_are_of_those_given() -> None:
    users = np.arange(0, 400, 3, dtype=np.int32)
    found = draw(users, 50, 1)
    assert len(np.unique(found)) == 50
    assert np.isin(found, users).all()
    assert draw(users, None, 1) is users
