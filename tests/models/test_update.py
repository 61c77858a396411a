"""A model takes in new users, items and pairs without training: against a slow computation by id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from identity_cases import WIDTHS, Shop, slow_list
from test_on_data import BY_HISTORY, MODELS, nameless

from milk_np import evaluate
from milk_np.data import Dataset
from milk_np.errors import DataError
from milk_np.models.stored import StoredModel, load

SHOP = Shop(seed=3)
USERS, ITEMS = SHOP.users, SHOP.items
LATER = {(u, i) for n, (u, i) in enumerate(SHOP.pairs) if n % 5 == 0}
"""Pairs of tomorrow."""
TOUCHED_TOMORROW = {"i070", "i071"}
"""Items that have features today and pairs tomorrow."""
LACKING = [("i073", "image"), ("i074", "text")]


@pytest.fixture(scope="module")
def today() -> Dataset:
    pairs = [(u, i) for u, i in SHOP.pairs if (u, i) not in LATER and i < "i070"]
    return SHOP.data(USERS[:80], ITEMS[:72], pairs=pairs).all_training()


@pytest.fixture(scope="module")
def tomorrow() -> Dataset:
    """Ten users more, two are gone; items i000 and i001 are gone, i072 to i079 are new, i076 to i079 without pairs."""
    pairs = [(u, i) for u, i in SHOP.pairs if i < "i076"]
    return SHOP.data(USERS[:1:-1], ITEMS[:1:-1], pairs=pairs, lacking=LACKING)


@pytest.fixture(scope="module", params=list(MODELS))
def models(request: pytest.FixtureRequest, today: Dataset, tomorrow: Dataset) -> tuple[StoredModel, StoredModel]:
    """The model as trained, and as updated."""
    model: StoredModel = MODELS[request.param]().fit(today, final=True)
    return model, model.updated(tomorrow)[0]


def histories(today: Dataset, tomorrow: Dataset) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {user: set() for user in USERS}
    for ds in (today, tomorrow):
        for u, i in zip(ds.user, ds.item, strict=True):
            found[str(ds.user_ids[u])].add(str(ds.item_ids[i]))
    return found


def own_mean(model: StoredModel, item: str) -> Any:
    """Mean of an item's extracts over the modalities that it owns."""
    arrays, parts = model.arrays(), []
    for m, name in enumerate(WIDTHS):
        if (item, name) not in LACKING:
            x = SHOP.rows[name][item]
            parts.append(x / np.linalg.norm(x) @ arrays[f"W{m}"] + arrays[f"b{m}"])
    return np.mean(parts, axis=0)


def vector(model: StoredModel, user: str, history: set[str]) -> Any:
    """A user's vector, from what the trained model knows and from today's history."""
    known, arrays = model.catalogue, model.arrays()
    place = known.user_ids.tolist().index(user) if user in known.user_ids else None
    if model.name == "kernel-profile":
        numbers = [n for n, name in enumerate(known.item_ids.tolist()) if name in history]
        return model.encode_users([np.array(numbers, int)])[0]
    free = arrays["P"][place] if place is not None and len(arrays["P"]) else 0
    if "scale" not in arrays:
        return free
    v = np.sum([own_mean(model, item) for item in sorted(history)], axis=0)
    return free + np.exp(arrays["scale"][0]) * v / np.linalg.norm(v)


def test_every_list_is_right(models: tuple[StoredModel, StoredModel], today: Dataset, tomorrow: Dataset) -> None:
    old, new = models
    served = [str(name) for name in new.catalogue.user_ids]
    assert set(served) == set(USERS if old.serves_histories else USERS[:80])
    lists = new.recommend(k=4)
    everything = new.recommend(k=20, candidates="all")
    seen, fresh = histories(today, tomorrow), ["i076", "i077", "i078", "i079"]
    z = dict(zip(map(str, tomorrow.item_ids), new.on(tomorrow).item_factors(), strict=True))
    for row, user in enumerate(served):
        scores = {item: float(z[item] @ vector(old, user, seen[user])) for item in z}
        assert lists.query[row] == user
        assert lists.found[row].tolist() == slow_list({i: scores[i] for i in fresh}, (), 4)
        np.testing.assert_allclose(
            lists.score[row], sorted((scores[i] for i in fresh), reverse=True), rtol=1e-4, atol=1e-5
        )
        expected = slow_list(scores, seen[user], 20)
        assert everything.found[row].tolist() == expected


def test_what_has_changed_is_counted(today: Dataset, tomorrow: Dataset) -> None:
    model: StoredModel = MODELS["kernel-profile"]().fit(today, final=True)
    _, joined = model.updated(tomorrow)
    before, now = histories(today, today), histories(today, tomorrow)
    added = {(u, i) for u in USERS for i in now[u] - before[u]}
    assert (joined.new_users, joined.left_out, joined.new_items, joined.gone_items) == (10, 0, 8, 2)
    assert joined.new_pairs == len(added)
    assert joined.unlearned_pairs == sum(i >= "i070" for _, i in added)
    _, free = MODELS["milk"]().fit(today, final=True).updated(tomorrow)
    assert (free.new_users, free.left_out) == (0, 10)


def test_the_trained_model_stays(models: tuple[StoredModel, StoredModel], today: Dataset) -> None:
    old, _ = models
    assert old.catalogue.n_items == 72
    assert old.on(today.all_training()) is old


def test_a_file_keeps_it(models: tuple[StoredModel, StoredModel], tmp_path: Path) -> None:
    _, new = models
    new.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    for candidates in ("new", "all"):
        a, b = (model.recommend(k=3, candidates=candidates) for model in (new, again))
        np.testing.assert_array_equal(a.found, b.found)
        np.testing.assert_array_equal(a.score, b.score)


def test_the_same_data_again_change_nothing(models: tuple[StoredModel, StoredModel], tomorrow: Dataset) -> None:
    _, new = models
    twice, joined = new.updated(tomorrow)
    assert (joined.new_users, joined.new_items, joined.new_pairs) == (0, 0, 0)
    np.testing.assert_array_equal(twice.recommend(k=4).found, new.recommend(k=4).found)


def test_only_the_new_pairs_are_enough(today: Dataset, tomorrow: Dataset) -> None:
    model: StoredModel = MODELS["kernel-profile"]().fit(today, final=True)
    known = histories(today, today)
    fresh = [(u, i) for u, i in SHOP.pairs if i not in known[u] and i < "i076"]
    delta = SHOP.data(USERS[:1:-1], ITEMS[:1:-1], pairs=fresh, lacking=LACKING)
    whole, part = model.updated(tomorrow)[0], model.updated(delta)[0]
    for user in ("u005", "u085"):
        np.testing.assert_allclose(
            *(each.user_factors(each.catalogue.users.numbers([user])) for each in (whole, part)), rtol=1e-5
        )


def test_items_come_and_go(today: Dataset, tomorrow: Dataset) -> None:
    model: StoredModel = MODELS["milk profile"]().fit(today, final=True)
    gone = model.updated(tomorrow)[0]
    assert not {"i000", "i001"} & set(gone.recommend(["u005"], 70, candidates="all").found[0].tolist())
    with pytest.raises(DataError, match="item 'i999' is not in the data set"):
        gone.similar_items(["i999"])
    back = gone.updated(SHOP.data(USERS, ITEMS))[0]
    assert {"i000", "i001"} <= set(back.similar_items(["i005"], 79).found[0].tolist())


def test_what_was_taken_in_is_not_evaluated(models: tuple[StoredModel, StoredModel]) -> None:
    _, new = models
    held = SHOP.data(USERS[:80], ITEMS, valid=ITEMS[60:66], test=[*ITEMS[66:74]])
    with pytest.raises(DataError, match="14 of the 14 items to rank were training items of the model"):
        evaluate(new, held, topk=(5,))


def test_without_ids(today: Dataset) -> None:
    model: StoredModel = MODELS["kernel-profile"]().fit(replace(today, item_ids=None), final=True)
    more = replace(SHOP.data(USERS, ITEMS), item_ids=None)
    new, joined = model.updated(more)
    assert (joined.new_users, joined.new_items) == (10, 8)
    named = MODELS["kernel-profile"]().fit(today, final=True).updated(SHOP.data(USERS, ITEMS))[0]
    lists, expected = (each.recommend(["u085"], 5, candidates="all") for each in (new, named))
    assert [ITEMS[n] for n in lists.found[0]] == expected.found[0].tolist()
    with pytest.raises(DataError, match="users without ids can't be told apart"):
        MODELS["milk"]().fit(nameless(today), final=True).updated(nameless(SHOP.data(USERS, ITEMS)))


def test_models_that_serve_histories_are_these(today: Dataset) -> None:
    assert [name for name, make in MODELS.items() if make().serves_histories] == list(BY_HISTORY)
