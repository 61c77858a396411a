"""Most similar content against its definition, one pair at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.models.baselines.content_profile import ContentProfile
from milk_np.models.baselines.most_similar import MostSimilar
from milk_np.models.registry import make_model, make_settings


@pytest.fixture(scope="module")
def ds() -> Dataset:
    whole = make_synthetic(40, 50, 400, {"image": 6, "text": 4}, new_items=0.3, seed=3)
    return apply_protocol(whole, "FTMT", seed=2)


def test_score_is_the_sum_of_cosines_with_the_nearest_items_of_the_user(ds: Dataset) -> None:
    model = MostSimilar(neighbours=5).fit(ds)
    vectors = ContentProfile().fit(ds).item_factors().astype(np.float64)
    scores = model.user_factors() @ model.item_factors().T
    train, (indptr, item) = ds.train_items, ds.csr(0)
    for user in range(0, 40, 7):
        mine = set(item[indptr[user] : indptr[user + 1]].tolist())
        for i in ds.new_items()[:6]:
            cosines = sorted(((float(vectors[i] @ vectors[j]), int(j)) for j in train), reverse=True)[:5]
            expected = sum(max(c, 0.0) for c, j in cosines if j in mine)
            assert scores[user, i] == pytest.approx(expected, abs=1e-4)


def test_some_rows_and_new_items_agree_with_all(ds: Dataset) -> None:
    """To the bit, but for items that weren't in the data, whose rows are made another way."""
    model = make_model(make_settings({"model": "similar"})).fit(ds)
    some = np.array([4, 1], np.int32)
    np.testing.assert_array_equal(model.user_factors(some), model.user_factors()[some])
    np.testing.assert_array_equal(model.item_factors(some), model.item_factors()[some])
    rows = {name: ds.features[name][some] for name in ds.modalities}
    np.testing.assert_allclose(model.encode_items(rows, ds.available[some]), model.item_factors(some), atol=1e-5)


def test_of_equally_similar_items_the_first_are_neighbours(ds: Dataset) -> None:
    one = {name: np.repeat(rows[:1], ds.n_items, axis=0) for name, rows in ds.features.items()}
    one["image"][1::2] *= -1  # two kinds of items: a half is the same as each, a half unlike
    everything = np.ones_like(ds.available)
    model = MostSimilar(neighbours=5).fit(replace(ds, features=one, available=everything))
    known = ds.train_items
    for item, row in enumerate(model.item_factors()):
        alike = np.flatnonzero(known % 2 == item % 2)
        np.testing.assert_array_equal(np.flatnonzero(row), alike[:5])


def test_more_neighbours_than_items_is_all_of_them(ds: Dataset) -> None:
    model = MostSimilar(neighbours=10_000).fit(ds)
    assert model.item_factors().shape == (ds.n_items, len(ds.train_items))
