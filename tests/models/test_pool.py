"""A model's items and new ones, ranked together; and what lists leave out, by id."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import DataError, SettingsError
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.pool import Pool
from milk_np.serving.catalogue import Catalogue

SMALL: dict[str, Any] = {"landmarks": 30, "profile_width": 8, "kernel_noise": 0.05, "whitening": (0.0,)}
ROWS = {"image": np.linspace(-8, 8, 27, dtype=np.float32).reshape(3, 9), "text": 12 * np.eye(3, 5, dtype=np.float32)}
IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def ds() -> Dataset:
    ds = make_synthetic(n_users=70, n_items=50, n_pairs=500, widths={"image": 9, "text": 5}, seed=2)
    return replace(ds, user_ids=np.array([f"u{u}" for u in range(70)]), item_ids=np.array([f"i{i}" for i in range(50)]))


@pytest.fixture(scope="module")
def model(ds: Dataset) -> KernelProfile:
    return KernelProfile(**SMALL).fit(ds)


@pytest.fixture(scope="module")
def pool(model: KernelProfile) -> Pool:
    return model.with_items(IDS, ROWS)


def test_what_was_added_is_ranked_with_the_new_items(ds: Dataset, model: KernelProfile, pool: Pool) -> None:
    new = ds.new_items()
    names = [*(f"i{j}" for j in new), *IDS]
    vectors = np.vstack([model.item_factors(new), model.encode_items(ROWS)])
    lists = pool.recommend(["u3", "u9"], len(names))
    for user, found, score in zip((3, 9), lists.found.tolist(), lists.score, strict=True):
        expected = vectors @ model.user_factors(np.array([user], np.int32))[0]
        assert found == [names[n] for n in np.argsort(-expected, kind="stable")]
        np.testing.assert_allclose(score, np.sort(expected)[::-1], rtol=1e-4, atol=1e-6)
    assert set(pool.recommend(["u3"], 3, candidates=IDS).found[0]) == set(IDS)
    assert pool.recommend(["u3"], 9, exclude=IDS).found.tolist() == model.recommend(["u3"], 9).found.tolist()


def test_the_model_stays_as_it_is(model: KernelProfile, pool: Pool) -> None:
    before = copy.copy(model.catalogue)
    pool.recommend(["u3"], 5)
    assert len(pool.catalogue.item_split) == len(before.item_split) + 3
    assert model.catalogue.n_items == before.n_items
    with pytest.raises(DataError, match="item 'a' is not in the data set"):
        model.similar_items(["a"])


def test_what_was_added_in_histories_says_nothing_and_is_left_out(model: KernelProfile, pool: Pool) -> None:
    whole = pool.recommend_for_histories([["i1", "i4"]], 60)
    lists = pool.recommend_for_histories([["i1", "b", "i4"]], 60)
    assert [name for name in lists.found[0] if name] == [name for name in whole.found[0] if name not in ("b", "")]
    assert pool.serves_histories


def test_users_and_similar_items_of_what_was_added(model: KernelProfile, pool: Pool) -> None:
    expected = model.recommend_users_for_new_items(ROWS, 6)
    lists = pool.recommend_users(IDS, 6)
    assert lists.query.tolist() == IDS
    np.testing.assert_array_equal(lists.found, expected.found)
    assert "b" not in pool.similar_items(["b"], 60).found[0]
    assert "b" in pool.similar_items(["i3"], 60).found[0]
    np.testing.assert_allclose(pool.score_items(ROWS, ["u3"]), model.score_items(ROWS, ["u3"]), rtol=1e-6)


def test_ids_that_can_not_be_added(model: KernelProfile) -> None:
    for ids, said in ((["a", "a", "b"], "'a' is given twice"), (["a", "i3", "b"], "'i3' is in the data set already")):
        with pytest.raises(DataError, match=said):
            model.with_items(ids, ROWS)
    with pytest.raises(DataError, match="an id is empty"):
        model.with_items(["a", "", "b"], ROWS)
    with pytest.raises(SettingsError, match="fit the model"):
        model.with_items(IDS, ROWS).fit(None)  # type: ignore[arg-type]


def test_without_ids_items_are_numbered_on(ds: Dataset) -> None:
    known = Catalogue.of(replace(ds, item_ids=None))
    more = known.with_items(None, 2)
    assert more.item_ids is None
    assert more.new_items().tolist() == [*known.new_items().tolist(), 50, 51]
    named = known.with_items(["x", "y"], 2)
    assert named.items.numbers(["7", "x"]).tolist() == [7, 50]
    with pytest.raises(DataError, match="item '7' is in the data set already"):
        known.with_items(["7", "y"], 2)
    with pytest.raises(DataError, match="expected ids for the new items"):
        Catalogue.of(ds).with_items(None, 2)


def test_items_that_are_gone_stay_gone(ds: Dataset) -> None:
    known = Catalogue.of(ds)
    gone = np.zeros(50, np.bool_)
    gone[known.new_items()[0]] = True
    assert known.new_items()[0] not in replace(known, gone=gone).with_items(["x"], 1).all_items()


def test_exclusions_by_id(model: KernelProfile) -> None:
    first, second = model.recommend(["u3", "u9"], 9).found.tolist()
    lists = model.recommend(["u3", "u9"], 8, exclude=[first[0]])
    assert lists.found[0].tolist() == first[1:]
    lists = model.recommend(["u3", "u9"], 8, exclude={"u9": [second[0]]})
    assert lists.found.tolist() == [first[:8], second[1:]]
    guests = [["i1"], ["i2", "i3"]]
    whole = model.recommend_for_histories(guests, 9).found.tolist()
    assert model.recommend_for_histories(guests, 8, exclude={1: [whole[1][0]]}).found.tolist() == [
        whole[0][:8],
        whole[1][1:],
    ]
    alike = model.similar_items(["i3"], 9).found[0].tolist()
    assert model.similar_items(["i3"], 8, exclude={"i3": alike[:1]}).found[0].tolist() == alike[1:]
    with pytest.raises(DataError, match="user 'u99' is not in the data set"):
        model.recommend(["u3"], exclude={"u99": ["i1"]})


def test_a_list_that_is_longer_than_the_candidates_is_padded(model: KernelProfile) -> None:
    lists = model.recommend(["u3"], 5, candidates=["i45", "i46"])
    assert lists.found[0, 2:].tolist() == ["", "", ""]
    assert len(lists.rows()[0]) == 2
