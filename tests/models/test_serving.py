"""A model serves without its data: what it lists after loading is what it listed when it was fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from milk_np.data import apply_protocol, make_synthetic
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
    return Milk(dim=8, epochs=3, eval_every=3, lr=0.01, topk=(5,), valid_metric="ndcg@5").fit(ds)


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
        same(model.recommend(k=5), lists.recommend(fitted, ds, k=5))
        everything = {"candidates": "all", "exclude_seen": True}
        same(model.recommend([3, 1], 7, **everything), lists.recommend(fitted, ds, np.array([3, 1]), 7, **everything))
        same(model.recommend_users([4, 40], 6), lists.users_for_items(fitted, ds, np.array([4, 40]), 6))
        same(model.similar_items([0], 4), lists.similar_items(fitted, ds, np.array([0]), 4))


def test_scores_of_brand_new_items(ds, fitted, loaded):
    features = {"text": ds.features["text"][:3]}
    scores = loaded.score_items(features, users=[5, 6])
    expected = fitted.user_factors(np.array([5, 6])) @ fitted.encode_items(features).T
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert loaded.score_items(features).shape == (70, 3)
    found = loaded.recommend_users_for_new_items(features, 4)
    best = np.argsort(-loaded.score_items(features), axis=0)[:4].T
    np.testing.assert_array_equal(found.found, best)


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
