"""A model serves without its data: what it lists after loading is what it listed when it was fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from milk_np.data import apply_protocol, make_synthetic
from milk_np.errors import DataError
from milk_np.models.milk.model import Milk
from milk_np.serving import recommend as lists
from milk_np.serving.catalogue import Catalogue


@pytest.fixture(scope="module")
def ds():
    ds = make_synthetic(n_users=70, n_items=50, n_pairs=500, widths={"image": 9, "text": 5}, seed=2)
    ds = replace(ds, user_ids=np.array([f"u{u}" for u in range(70)]), item_ids=np.array([f"i{i}" for i in range(50)]))
    return apply_protocol(ds, "FTMT")


@pytest.fixture(scope="module")
def fitted(ds):
    return Milk(dim=8, max_epochs=3, eval_every=3, lr=0.01, topk=(5,), valid_metric="ndcg@5").fit(ds)


@pytest.fixture(scope="module")
def loaded(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    fitted.save(path)
    return Milk.load(path)


def same(a, b):
    for left, right in zip((a.query, a.found, a.score), (b.query, b.found, b.score), strict=True):
        np.testing.assert_array_equal(left, right)


def test_lists_are_those_of_the_data_set(ds, fitted, loaded):
    for model in (fitted, loaded):
        same(model.recommend(k=5), by_id(ds, lists.recommend(fitted, ds, k=5), "u", "i"))
        everything = {"candidates": "all", "exclude_seen": True}
        expected = lists.recommend(fitted, ds, np.array([3, 1]), 7, **everything)
        same(model.recommend(["u3", "u1"], 7, **everything), by_id(ds, expected, "u", "i"))
        expected = lists.users_for_items(fitted, ds, np.array([4, 40]), 6)
        same(model.recommend_users(["i4", "i40"], 6), by_id(ds, expected, "i", "u"))
        same(model.similar_items(["i0"], 4), by_id(ds, lists.similar_items(fitted, ds, np.array([0]), 4), "i", "i"))


def by_id(ds, lists, query, found):
    """The lists with the ids that `ds` has."""
    ids = {"u": ds.user_ids, "i": ds.item_ids}
    return replace(lists, query=ids[query][lists.query], found=ids[found][lists.found])


def test_scores_of_brand_new_items(ds, fitted, loaded):
    features = {"text": ds.features["text"][:3]}
    scores = loaded.score_items(features, users=["u5", "u6"])
    expected = fitted.user_factors(np.array([5, 6])) @ fitted.encode_items(features).T
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert loaded.score_items(features).shape == (70, 3)
    found = loaded.recommend_users_for_new_items(features, 4)
    best = np.argsort(-loaded.score_items(features), axis=0)[:4].T
    np.testing.assert_array_equal(found.found, ds.user_ids[best])


def test_numbers_name_users_where_the_ids_are_numbers(ds):
    ids = np.arange(1001, 1001 + ds.n_users).astype(np.str_)
    model = Milk(dim=4, max_epochs=1, topk=(5,), valid_metric="ndcg@5").fit(replace(ds, user_ids=ids, item_ids=None))
    lists = model.recommend([1003, 1001], k=3)
    assert lists.query.tolist() == ["1003", "1001"]
    same(lists, model.recommend(np.array(["1003", "1001"]), k=3))
    assert lists.found.dtype == np.int32
    with pytest.raises(DataError, match="user '3' is not in the data set"):
        model.recommend([3])
    with pytest.raises(DataError, match="users: expected a list of ids, texts or whole numbers, got float64"):
        model.recommend([1.5])


def test_lists_are_padded_with_empty_text(ds, fitted):
    lists = fitted.recommend(["u0"], 2, candidates=["i1", "i0"], exclude_seen=True)
    seen = {ds.item_ids[j] for j in ds.interactions(0)[1][ds.interactions(0)[0] == 0]}
    assert {"i0", "i1"} - seen == set(lists.found[0].tolist()) - {""}
    lists = fitted.recommend_for_histories([["i1"]], 1, candidates=["i1"]) if fitted.serves_histories else lists
    assert len(lists.rows()[0]) == int((lists.found != "").sum())


def test_nothing_asked_gives_nothing(fitted):
    for empty in ([], (), np.array([]), np.array([], np.int64)):
        assert fitted.recommend(empty, k=2).found.shape == (0, 2)
        assert fitted.recommend_users(empty, k=2).found.shape == (0, 2)
        assert fitted.similar_items(empty, k=2).found.shape == (0, 2)
        assert fitted.score_items({"text": np.ones((3, 5), np.float32)}, users=empty).shape == (0, 3)


def test_catalogue_round_trips(ds):
    known = Catalogue.of(ds)
    again = Catalogue.from_arrays(known.arrays())
    assert (again.n_users, again.n_items) == (ds.n_users, ds.n_items)
    for split in (None, 1, 2):
        np.testing.assert_array_equal(again.new_items(split), ds.new_items(split))
    for mine, theirs in zip(again.interactions(0), ds.interactions(0), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(again.user_ids, ds.user_ids)
    with pytest.raises(KeyError, match="training pairs only"):
        again.csr(1)
    nameless = Catalogue.of(replace(ds, user_ids=None, item_ids=None))
    assert Catalogue.from_arrays(nameless.arrays()).user_ids is None
