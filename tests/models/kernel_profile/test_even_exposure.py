"""Even exposure: what lifts items that lack modalities, and what it makes of the items' vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import OPTIONS, small

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.errors import DataError, SettingsError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.models.kernel_profile import exposure as module
from milk_np.models.kernel_profile.adjusting import adjusted
from milk_np.models.kernel_profile.exposure import (
    LEAST_PAIRS,
    MOST_LIFT,
    PLACES,
    STRENGTHS,
    Fold,
    even_lifts,
    folds_of,
    safe_strength,
)
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.ranked import Ranked
from milk_np.models.stored import load
from milk_np.serving.index import ItemIndex

GIVEN = {**OPTIONS, "whitening": (0.0, 0.0), "kernel_noise": 0.3, "length_power": "0"}


def planted(lowered: tuple[float, ...], users: int = 300, items: int = 400, seed: int = 0) -> list[Fold]:
    """Two folds whose users choose what they score highest, before items lose `lowered` times their mean score.

    Three fifths of the items lack nothing, the others one of the modalities each.
    """
    rng, M, out = np.random.default_rng(seed), len(lowered), []
    for _ in range(2):
        mean = rng.uniform(1, 3, (users, 1))
        values = mean * (1 + 0.5 * rng.standard_normal((users, items)))
        values += mean - values.mean(axis=1, keepdims=True)
        lacks = np.vstack([np.zeros((1, M), np.bool_), np.eye(M, dtype=np.bool_)])[
            rng.choice(M + 1, items, p=[0.6, *(0.4 / M,) * M])
        ]
        user, item = np.nonzero(values >= -np.partition(-values, 19, axis=1)[:, 19:20])
        values -= mean * (lacks @ np.array(lowered))
        out.append(Fold(Ranked(values.astype(np.float32), lacks, user, item)))
    return out


@pytest.mark.parametrize("lowered", [(0.0, 0.0), (0.3, 0.8), (-0.4, 0.5), (0.2,), (0.1, 0.2, 0.6)])
def test_the_lifts_undo_what_lowers_the_scores(lowered: tuple[float, ...]) -> None:
    folds = planted(lowered)
    kept = 1 - np.mean([fold.ranked.lacks.mean(axis=0) @ lowered for fold in folds])  # of the mean score
    found = even_lifts(folds, len(lowered))
    np.testing.assert_allclose(found, np.array(lowered) / kept, atol=0.06)
    pairs, places = (np.sum(each, axis=0) for each in zip(*((f.pairs(), f.places(found)) for f in folds), strict=True))
    np.testing.assert_allclose(places / places[-1], pairs / pairs[-1], rtol=0.03)


def test_lifts_are_bounded_and_stay_where_little_is_known() -> None:
    assert even_lifts(planted((40.0,)), 1)[0] == MOST_LIFT
    few = planted((0.5,), users=3)
    assert sum(fold.pairs()[0] for fold in few) < LEAST_PAIRS
    np.testing.assert_array_equal(even_lifts(few, 1), 0)
    np.testing.assert_array_equal(even_lifts([], 2), [0, 0])
    assert safe_strength([], np.zeros(2)) == 0


def test_as_far_as_held_out_items_rank_no_worse() -> None:
    helped = planted((0.8,))
    lifts = even_lifts(helped, 1)
    assert safe_strength(helped, lifts) == max(STRENGTHS)
    assert safe_strength(helped, 40 * lifts) < max(STRENGTHS)
    assert safe_strength(planted((0.0,)), np.array([4.0])) == 0


def test_nothing_is_lifted_where_a_loss_cannot_be_told_from_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mean gain of a hundredth of NDCG, from many users or from few."""
    noise = np.random.default_rng(0).standard_normal(40)
    noise = (noise - noise.mean()) / noise.std()
    for repeats, expected in ((100, 0.5), (1, 0.0)):
        values = {0.0: np.ones(40 * repeats), 0.25: np.zeros(1), 0.5: np.tile(1.01 + 0.3 * noise, repeats)}
        values[0.25] = values[0.5]
        monkeypatch.setattr(module, "_ndcg", lambda _, lifts, values=values: values[float(lifts[0])])
        assert safe_strength([], np.ones(1)) == expected


def test_folds_without_more_items_than_a_list_say_nothing() -> None:
    each = planted((0.5,))[0].ranked
    none = Ranked.of_some(np.arange(0), each.scores[:0], each.lacks, each.user, each.item)
    short = Ranked(each.scores[:, :PLACES], each.lacks[:PLACES], each.user[:3], each.item[:3] % PLACES)
    (found,) = folds_of([each, short, none])
    assert found.ranked is each


def test_some_users_keep_their_pairs() -> None:
    each, users = planted((0.5,))[0].ranked, np.array([3, 5, 290])
    some = Ranked.of_some(users, each.scores[users], each.lacks, each.user, each.item)
    for k, user in enumerate(users):
        np.testing.assert_array_equal(some.item[some.user == k], each.item[each.user == user])
    assert set(some.user) == {0, 1, 2}


def test_lifts_add_up_over_what_an_item_lacks() -> None:
    lacks = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0]], np.bool_)
    arrays = {
        "length_power": np.zeros(()),
        "centre": np.array([1.0, -0.5], np.float32),
        "metric": np.zeros(2, np.float32),
        "mean_square": np.zeros(()),
        "lifts": np.array([2.0, 3.0, 5.0]),
    }
    found = adjusted(np.ones((3, 2), np.float32), lacks, arrays)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, 1], [4, -0.5], [6, -1.5]])


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def models(ds: Dataset) -> tuple[KernelProfile, KernelProfile]:
    """Plain, and even at half of the strength, with lifts that are given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milk_np.models.kernel_profile.adjusting.even_lifts", lambda *_: np.array([1.0, -3.0]))
        plain, even = (KernelProfile(**{**GIVEN, "even_exposure": x}).fit(ds) for x in ("0", "0.5"))
    return plain, even


def test_scores_grow_by_mean_scores(ds: Dataset, models: tuple[KernelProfile, KernelProfile]) -> None:
    plain, even = models
    old = plain.user_factors() @ plain.item_factors().T
    new = even.user_factors() @ even.item_factors().T
    mean = mean_scores(plain, ds)
    for lacking, lift in (([False, False], 0.0), ([True, False], 0.5), ([False, True], -1.5)):
        mine = (~ds.available == lacking).all(axis=1)
        assert mine.any()
        grown = (new - old)[:, mine]
        np.testing.assert_allclose(grown, np.broadcast_to(grown[:, :1], grown.shape), atol=1e-4 * np.abs(old).max())
        np.testing.assert_allclose(grown[:, 0], lift * mean, atol=0.05 * np.abs(mean).max())


def mean_scores(model: KernelProfile, ds: Dataset) -> np.ndarray:
    """Every user's mean score of the training items, each with all that it owns, and without one of it."""
    owned = ds.available[ds.train_items]
    features = {name: ds.features[name][ds.train_items] for name in ds.modalities}
    whole = model.encode_items(features, owned)
    others = []
    for m in range(2):
        left = owned.copy()
        left[owned.all(axis=1), m] = False
        others.append(model.encode_items(features, left))
    P = model.user_factors()
    return P @ (whole.mean(axis=0) / 2 + sum(x.mean(axis=0) for x in others) / 4)


def test_the_unit_of_a_lift_is_that_of_the_held_out_scores(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths come first there too: lifts are multiples of the mean of the vectors of those lengths."""
    monkeypatch.setattr("milk_np.models.kernel_profile.adjusting.even_lifts", lambda *_: np.array([1.0, -3.0]))
    options = {**GIVEN, "length_power": "0.5"}
    plain, even = (KernelProfile(**{**options, "even_exposure": x}).fit(ds) for x in ("0", "0.5"))
    grown = even.user_factors() @ (even.item_factors() - plain.item_factors()).T
    mean = mean_scores(plain, ds)
    for lacking, lift in (([True, False], 0.5), ([False, True], -1.5)):
        mine = np.flatnonzero((~ds.available == lacking).all(axis=1))
        np.testing.assert_allclose(grown[:, mine[0]], lift * mean, atol=0.05 * np.abs(mean).max())


def test_an_even_model_serves_the_same_everywhere(
    ds: Dataset, models: tuple[KernelProfile, KernelProfile], tmp_path: Path
) -> None:
    model = models[1]
    features = {name: ds.features[name] for name in ds.modalities}
    np.testing.assert_allclose(model.encode_items(features, ds.available), model.item_factors(), atol=1e-4)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.arrays()["lifts"], model.arrays()["lifts"])
    np.testing.assert_allclose(again.encode_items(features, ds.available), model.item_factors(), atol=1e-4)
    for one, two in (
        (again.recommend(k=5), model.recommend(k=5)),
        (again.similar_items([0, 7], 4), model.similar_items([0, 7], 4)),
        (ItemIndex(again).recommend(ds.user[:3], 5), model.recommend(ds.user[:3], 5)),
    ):
        np.testing.assert_array_equal(one.found.astype(str), two.found.astype(str))


def test_files_of_earlier_versions_adjust_nothing(
    ds: Dataset, models: tuple[KernelProfile, KernelProfile], tmp_path: Path
) -> None:
    models[0].save(tmp_path / "model.npz")
    arrays, meta = read_npz(tmp_path / "model.npz", "model")
    assert not arrays.pop("lifts").any()
    assert not arrays.pop("length_power")
    for name in ("centre", "metric", "mean_square"):
        del arrays[name]
    write_npz_atomic(tmp_path / "old.npz", arrays, {**meta, "kind": "model"})
    old, features = load(tmp_path / "old.npz"), {name: ds.features[name] for name in ds.modalities}
    np.testing.assert_array_equal(
        old.encode_items(features, ds.available), models[0].encode_items(features, ds.available)
    )
    assert (old.settings.length_power, old.settings.even_exposure) == ("0", "0")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"centre": None}, "centre"),
        ({"metric": None}, "metric"),
        ({"lifts": None}, "lifts"),
        ({"length_power": np.array(50.0)}, "'length_power': expected 0 to 1, got 50"),
        ({"lifts": np.array([0.0, 1000.0])}, "'lifts': expected -4 to 4"),
    ],
)
def test_files_that_lost_a_part_of_it_are_refused(
    models: tuple[KernelProfile, KernelProfile], tmp_path: Path, change: dict[str, np.ndarray | None], says: str
) -> None:
    models[1].save(tmp_path / "model.npz")
    arrays, meta = read_npz(tmp_path / "model.npz", "model")
    kept = {name: x for name, x in (arrays | change).items() if x is not None}
    write_npz_atomic(tmp_path / "model.npz", kept, {**meta, "kind": "model"})
    with pytest.raises(DataError, match=says):
        load(tmp_path / "model.npz")


@pytest.mark.parametrize(("M", "options"), [(2, {"owned_sets": "whole"}), (5, {})])
def test_exposure_is_not_evened_by_regressions_that_nobody_gets(M: int, options: dict[str, str]) -> None:
    widths = {f"m{m}": 5 for m in range(M)}
    ds = apply_protocol(make_synthetic(80, 90, 900, widths, seed=1), "MTMT")
    options = {**OPTIONS, "landmarks": 40, **options}
    model = KernelProfile(**{**options, "even_exposure": "auto"}).fit(ds)
    assert not model.arrays()["lifts"].any()
    with pytest.raises(SettingsError, match=r"--even-exposure\): got 0.5, which can be done for at most 4 modalities"):
        KernelProfile(**{**options, "even_exposure": "0.5"}).fit(ds)


@pytest.mark.parametrize("items", range(1, 8))
def test_few_items_are_fitted_with_everything_left_to_choose(items: int) -> None:
    rng, split = np.random.default_rng(items), np.repeat([0, 1, 2], [items, 2, 2]).astype(np.uint8)
    user, item = np.divmod(rng.permutation(20 * len(split))[: 12 * len(split)], len(split))
    features = {"image": rng.standard_normal((len(split), 5), dtype=np.float32)}
    ds = Dataset(user, item, split[item], split, ("image",), features, np.ones((len(split), 1), np.bool_))
    model = KernelProfile(topk=(1,), valid_metric="ndcg@1").fit(ds)
    assert np.isfinite(model.user_factors() @ model.item_factors().T).all()


def test_held_out_items_say_how_far(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything else given, the items are held out for this alone."""
    monkeypatch.setattr("milk_np.models.kernel_profile.adjusting.even_lifts", lambda *_: np.array([1.0, -3.0]))
    monkeypatch.setattr("milk_np.models.kernel_profile.adjusting.safe_strength", lambda *_: 0.5)
    auto = KernelProfile(**{**GIVEN, "even_exposure": "auto"}).fit(ds)
    given = KernelProfile(**{**GIVEN, "even_exposure": "0.5"}).fit(ds)
    np.testing.assert_array_equal(given.arrays()["lifts"], [0.5, -1.5])
    np.testing.assert_array_equal(auto.item_factors(), given.item_factors())


@pytest.mark.parametrize("name", ["even_exposure", "length_power"])
@pytest.mark.parametrize("wrong", ["more", "", "nan", "-0.1", "1.5"])
def test_wrong_strengths_are_refused(name: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=rf"--{name.replace('_', '-')}.*expected a number from 0 to 1, or auto"):
        KernelProfile(**{name: wrong})


def test_lengths_are_even_before_items_are_lifted(ds: Dataset, models: tuple[KernelProfile, KernelProfile]) -> None:
    """With a power of 1, the root mean square of an item's scores is the same for all complete items."""
    model = KernelProfile(**{**GIVEN, "length_power": "1"}).fit(ds)
    P = model.user_factors()[np.unique(ds.user[ds.split == 0])]
    P = P / np.linalg.norm(models[0].user_factors()[np.unique(ds.user[ds.split == 0])], axis=1, keepdims=True)
    old = np.sqrt(((P @ models[0].item_factors().T) ** 2).mean(axis=0))
    new = np.sqrt(((P @ model.item_factors().T) ** 2).mean(axis=0))
    assert old.std() / old.mean() > 0.05
    assert new.std() / new.mean() < 0.3 * old.std() / old.mean()
