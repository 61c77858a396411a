"""A model meets other data than those of its training: users and items by id, never by their place."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from identity_cases import WIDTHS, Shop, slow_list

from milk_np import evaluate
from milk_np.data import Dataset, apply_protocol
from milk_np.errors import DataError, DataWarning
from milk_np.files import load_arrays, read_npz, write_npz_atomic
from milk_np.models.duif.model import Duif
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.milk.model import Milk
from milk_np.models.stored import StoredModel, load
from milk_np.serving import recommend as lists

SHOP = Shop()
VALID, TEST = SHOP.items[60:68], SHOP.items[68:76]
NEWCOMER = next(u for u, i in SHOP.pairs if u >= SHOP.users[80] and i in TEST)
STEPS: dict[str, Any] = {"epochs": 2, "eval_every": 2, "batch_size": 256, "topk": (5,), "valid_metric": "ndcg@5"}
MODELS = {
    "milk": lambda: Milk(dim=6, **STEPS),
    "milk profile": lambda: Milk(dim=6, users="profile", **STEPS),
    "milk both": lambda: Milk(dim=6, users="both", **STEPS),
    "duif": lambda: Duif(dim=6, **STEPS),
    "kernel-profile": lambda: KernelProfile(landmarks=40, profile_width=8, topk=(5,), valid_metric="ndcg@5"),
}
BY_HISTORY = ("milk profile", "milk both", "kernel-profile")


@pytest.fixture(scope="module")
def today() -> Dataset:
    return SHOP.data(SHOP.users[:80], SHOP.items[:76], valid=VALID, test=TEST)


@pytest.fixture(scope="module")
def tomorrow() -> Dataset:
    """The first user is gone and another is there, equally many; two items are gone, four are new; another order."""
    return SHOP.data([NEWCOMER, *SHOP.users[79:0:-1]], SHOP.items[79:1:-1], valid=VALID, test=TEST)


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, today: Dataset, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    path = tmp_path_factory.mktemp("model") / "model.npz"
    MODELS[request.param]().fit(today).save(path)
    return load(path)


def vector(model: StoredModel, user: str, ds: Dataset) -> Any:
    """By id: what the training gave, else the profile of the known part of the history."""
    known = model.catalogue
    if user in known.user_ids.tolist():
        return model.user_factors(np.array([known.user_ids.tolist().index(user)]))[0]
    train = {ds.item_ids[i] for u, i in zip(*ds.interactions(0), strict=True) if ds.user_ids[u] == user}
    numbers = [n for n, i in enumerate(known.item_ids.tolist()) if i in train]
    return model.encode_users([np.array(numbers)])[0]


def scores(model: StoredModel, user: str, items: list[str], ds: Dataset) -> dict[str, float]:
    p, z = (
        vector(model, user, ds),
        model.encode_items({name: np.stack([SHOP.rows[name][i] for i in items]) for name in WIDTHS}),
    )
    return dict(zip(items, (z @ p).tolist(), strict=True))


def test_every_list_is_the_users_own(model: StoredModel, tomorrow: Dataset) -> None:
    met = model.on(tomorrow)
    users = np.flatnonzero(met.servable)
    found = lists.recommend(met, tomorrow, users, 4)
    new = [str(tomorrow.item_ids[i]) for i in tomorrow.new_items()]
    assert len(users) == 80 - (not model.serves_histories)
    for row, user in enumerate(users):
        expected = slow_list(scores(model, str(tomorrow.user_ids[user]), new, tomorrow), (), 4)
        assert tomorrow.item_ids[found.found[row]].tolist() == expected


def test_users_for_an_item(model: StoredModel, tomorrow: Dataset) -> None:
    met = model.on(tomorrow)
    item = tomorrow.item_ids.tolist().index("i078")
    found = lists.users_for_items(met, tomorrow, [item], 5, exclude_seen=False)
    users = [str(tomorrow.user_ids[u]) for u in np.flatnonzero(met.servable)]
    expected = slow_list({u: scores(model, u, ["i078"], tomorrow)["i078"] for u in users}, (), 5)
    assert tomorrow.user_ids[found.found[0]].tolist() == expected


def test_an_evaluation_is_each_users_own(model: StoredModel, tomorrow: Dataset) -> None:
    wanted = len(np.unique(tomorrow.interactions(2)[0]))
    if model.serves_histories:
        result = evaluate(model, tomorrow, topk=(5,))
    else:
        with pytest.warns(DataWarning, match="1 users left out: the model doesn't know them"):
            result = evaluate(model, tomorrow, topk=(5,))
        assert "(1 unknown to the model left out)" in result.table()
        assert result.to_dict()["users_left_out"] == 1
    assert result.n_users + result.left_out == wanted
    ranked = [str(tomorrow.item_ids[i]) for i in tomorrow.evaluated_items]
    user, item = tomorrow.interactions(2)
    hits = {"recall@5": 0.0}
    for u in result.users:
        truth = {str(tomorrow.item_ids[i]) for i in item[user == u]}
        best = slow_list(scores(model, str(tomorrow.user_ids[u]), ranked, tomorrow), (), 5)
        hits["recall@5"] += len(truth & set(best)) / len(truth) / result.n_users
    assert result.metrics["recall@5"] == pytest.approx(hits["recall@5"], abs=1e-9)


def test_the_same_data_again_give_the_same_numbers(model: StoredModel, today: Dataset) -> None:
    there = replace(today, user=today.user.copy())
    met = evaluate(model, there, topk=(5,))
    assert met.metrics == pytest.approx(evaluate(model, apply_protocol(today, "FTFT"), topk=(5,)).metrics, abs=1e-9)
    assert met.left_out == 0


def test_what_was_trained_on_is_not_evaluated(model: StoredModel, today: Dataset) -> None:
    other = SHOP.data(SHOP.users[:80], SHOP.items[:76], valid=VALID, test=[*SHOP.items[:5], *TEST])
    with pytest.raises(DataError, match="test split: 5 of the 21 items to rank were training items of the model"):
        evaluate(model, other, topk=(5,))


def test_nobody_is_known(model: StoredModel) -> None:
    strangers = SHOP.data(SHOP.users[80:], SHOP.items[60:80], valid=VALID, test=TEST)
    with pytest.raises(DataError, match="the model knows none of the users to evaluate"):
        evaluate(model, strangers, topk=(5,))


def nameless(ds: Dataset) -> Dataset:
    return replace(ds, user_ids=None, item_ids=None, meta={"n_users": ds.n_users})


def test_without_ids_the_contents_have_to_agree(today: Dataset, tomorrow: Dataset, tmp_path: Path) -> None:
    model = MODELS["milk"]().fit(nameless(today))
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert evaluate(again, nameless(today), topk=(5,)).left_out == 0
    one_less = replace(nameless(today), user=today.user[1:], item=today.item[1:], split=today.split[1:])
    with pytest.raises(DataError, match="users without ids can't be told apart: the pairs are not those"):
        evaluate(again, one_less, topk=(5,))
    moved = replace(nameless(today), features={name: rows[::-1] for name, rows in today.features.items()})
    with pytest.raises(DataError, match="76 of 76 items have other features than in training, first item 0"):
        evaluate(again, moved, topk=(5,))
    with pytest.raises(DataError, match="can't be told apart"):
        evaluate(again, nameless(tomorrow), topk=(5,))
    other_split = nameless(SHOP.data(SHOP.users[:80], SHOP.items[:76], valid=VALID, test=SHOP.items[:5]))
    with pytest.raises(DataError, match="5 of the 13 items to rank were training items"):
        evaluate(again, other_split, topk=(5,))


def test_users_by_id_and_items_by_their_features(today: Dataset, tomorrow: Dataset) -> None:
    """As milk-prepare makes them of a table whose items are rows of feature files."""
    model = MODELS["kernel-profile"]().fit(replace(today, item_ids=None))
    later = SHOP.data([*SHOP.users[1:80], NEWCOMER], SHOP.items, valid=VALID, test=TEST)
    named, numbered = MODELS["kernel-profile"]().fit(today).on(later), model.on(replace(later, item_ids=None))
    np.testing.assert_array_equal(numbered.match.items, [*range(76), -1, -1, -1, -1])
    np.testing.assert_array_equal(named.match.users, numbered.match.users)
    np.testing.assert_allclose(named.user_factors(), numbered.user_factors())
    with pytest.raises(DataError, match="other features than in training, first item 0"):
        model.on(replace(tomorrow, item_ids=None))


def old_file(model: StoredModel, path: Path) -> Path:
    """As version 0.1.0 wrote it."""
    model.save(path)
    arrays, meta = read_npz(path, "model")
    for name in ("trained", "lengths", "pairs_print", "item_prints"):
        arrays.pop(name, None)
    write_npz_atomic(path, arrays, meta)
    return path


def test_files_of_the_first_version(today: Dataset, tomorrow: Dataset, tmp_path: Path) -> None:
    by_id = load(old_file(MODELS["milk"]().fit(today), tmp_path / "ids.npz"))
    assert "trained" not in load_arrays(tmp_path / "ids.npz")
    assert by_id.on(tomorrow).match.users[-1] == 1
    bare = load(old_file(MODELS["milk"]().fit(nameless(today)), tmp_path / "bare.npz"))
    assert evaluate(bare, nameless(today), topk=(5,)).left_out == 0
    fewer = nameless(SHOP.data(SHOP.users[:80], SHOP.items[:76], valid=VALID, test=TEST, pairs=SHOP.pairs[3:]))
    with pytest.raises(DataError, match=r"1 of \d+ training pairs of the model are not in the data"):
        evaluate(bare, fewer, topk=(5,))
    with pytest.raises(DataError, match="items without ids can't be told apart: expected 76 as in training, got 78"):
        evaluate(bare, nameless(tomorrow), topk=(5,))


def test_other_features_are_refused(model: StoredModel, today: Dataset) -> None:
    wide = replace(today, features=today.features | {"text": np.zeros((76, 9), np.float32)})
    with pytest.raises(DataError, match=r"modalities: expected \{'image': 8, 'text': 6\} as in training"):
        evaluate(model, wide)


def test_modalities_in_another_order(model: StoredModel, today: Dataset) -> None:
    lacking = [("i070", "image"), ("i071", "text")]
    ds = SHOP.data(SHOP.users[:80], SHOP.items[:76], valid=VALID, test=TEST, lacking=lacking)
    turned = replace(ds, modalities=ds.modalities[::-1], available=ds.available[:, ::-1])
    some = np.array([70, 71, 3])
    np.testing.assert_array_equal(model.on(turned).item_factors(some), model.on(ds).item_factors(some))


def test_features_scaled_otherwise(today: Dataset, tomorrow: Dataset) -> None:
    scaled = replace(tomorrow, features={name: rows / 10 for name, rows in tomorrow.features.items()})
    fresh = {name: rows[:5] for name, rows in scaled.features.items()}
    minds, does_not = MODELS["kernel-profile"]().fit(today), MODELS["milk"]().fit(today)
    assert does_not.score_items(fresh).shape == (80, 5)
    assert does_not.on(scaled).match.items[-1] == 2
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        minds.score_items(fresh)
        minds.on(scaled)
    found = [str(warning.message).partition(" rows is ")[0] for warning in heard]
    assert found == [f"{name}: the median length of {n}" for n in (5, 20) for name in WIDTHS]


def test_lists_of_a_model_and_other_data(model: StoredModel, tomorrow: Dataset) -> None:
    """The functions take the model itself."""
    met, users = model.on(tomorrow), np.flatnonzero(model.on(tomorrow).servable)
    for mine, theirs in (
        (lists.recommend(model, tomorrow, users, 3), lists.recommend(met, tomorrow, users, 3)),
        (lists.users_for_items(model, tomorrow, [3, 70], 4), lists.users_for_items(met, tomorrow, [3, 70], 4)),
        (lists.similar_items(model, tomorrow, [3, 70], 4), lists.similar_items(met, tomorrow, [3, 70], 4)),
    ):
        np.testing.assert_array_equal(mine.found, theirs.found)
        np.testing.assert_array_equal(mine.score, theirs.score)
    if not model.serves_histories:
        with pytest.raises(DataError, match=f"users: user '{NEWCOMER}' was not in the training, and this model has"):
            lists.recommend(model, tomorrow, k=3)


def test_there_may_be_no_new_items(today: Dataset) -> None:
    model = MODELS["kernel-profile"]().fit(today, final=True)
    with pytest.raises(DataError, match="there are no new items; candidates='all' lists all items"):
        model.recommend(k=1)


def test_users_of_an_evaluation_are_named_by_id(model: StoredModel, today: Dataset, tmp_path: Path) -> None:
    whole = evaluate(model, today, topk=(5,))
    assert whole.user_ids is not None
    some = whole.user_ids[::7].tolist()
    part = evaluate(model, today, topk=(5,), users=some)
    assert part.user_ids is not None
    assert part.user_ids.tolist() == some
    np.testing.assert_array_equal(part.per_user["ndcg@5"], whole.per_user["ndcg@5"][::7])
    whole.save_per_user(tmp_path / "users.npz")
    np.testing.assert_array_equal(load_arrays(tmp_path / "users.npz")["user_ids"], whole.user_ids)
    with pytest.raises(DataError, match="user 'u999' is not in the data set"):
        evaluate(model, today, topk=(5,), users=["u999"])
