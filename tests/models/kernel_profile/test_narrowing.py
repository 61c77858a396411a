"""The kernel profile's width: balanced axes, what is cut, and the least width that ranks held-out items as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import OPTIONS, small

from milk_np.data import Dataset
from milk_np.data.arrays import Split
from milk_np.errors import SettingsError
from milk_np.models.kernel_profile import narrowing
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.narrowing import least_width, ranking_pairs, with_held_out


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small(3)


@pytest.fixture(scope="module")
def whole(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS).fit(ds)


def test_a_narrow_model_is_the_beginning_of_the_whole_one(ds: Dataset, whole: KernelProfile, tmp_path: Path) -> None:
    narrow = KernelProfile(**OPTIONS, width="8").fit(ds)
    assert narrow.width == 8
    assert whole.width > 8
    np.testing.assert_array_equal(narrow.user_factors(), whole.user_factors()[:, :8])
    np.testing.assert_allclose(narrow.item_factors(), whole.item_factors()[:, :8], atol=1e-5)
    history = [np.array([3, 5]), np.array([], np.int32)]
    np.testing.assert_array_equal(narrow.encode_users(history), whole.encode_users(history)[:, :8])
    rows = {name: ds.features[name][:4] for name in ds.modalities[:2]}
    np.testing.assert_allclose(narrow.encode_items(rows), whole.encode_items(rows)[:, :8], atol=1e-5)
    narrow.save(tmp_path / "model.npz")
    loaded = KernelProfile.load(tmp_path / "model.npz")
    assert loaded.width == 8
    assert loaded.settings.width == "8"
    np.testing.assert_array_equal(loaded.user_factors(), narrow.user_factors())
    np.testing.assert_array_equal(loaded.item_factors(), narrow.item_factors())


def test_a_narrow_model_is_updated(ds: Dataset, tmp_path: Path) -> None:
    narrow = KernelProfile(**OPTIONS, width="8").fit(ds)
    narrow.save(tmp_path / "model.npz")
    updated, _ = KernelProfile.load(tmp_path / "model.npz").updated(ds)
    assert updated.width == 8
    np.testing.assert_allclose(updated.item_factors(), narrow.item_factors(), atol=1e-5)


def test_widths_beyond_what_there_is_keep_all(ds: Dataset, whole: KernelProfile) -> None:
    wide = KernelProfile(**OPTIONS, width="4096").fit(ds)
    np.testing.assert_array_equal(wide.user_factors(), whole.user_factors())


def test_auto_takes_what_held_out_items_say(ds: Dataset, whole: KernelProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "WIDTHS", (2, 5, 11))
    monkeypatch.setattr(narrowing, "least_width", lambda *asked: 5)
    chosen = KernelProfile(**OPTIONS, width="auto").fit(ds)
    np.testing.assert_array_equal(chosen.user_factors(), whole.user_factors()[:, :5])
    monkeypatch.undo()
    assert KernelProfile(**OPTIONS, width="auto").fit(ds).width in (*narrowing.WIDTHS, whole.width)


@pytest.mark.parametrize("width", ["0", "-3", "wide", "1.5", ""])
def test_other_widths_are_refused(width: str) -> None:
    with pytest.raises(SettingsError, match=r"width \(--width\)"):
        KernelProfile(width=width)


def test_held_out_items_are_training_items_and_nothing_is_known_of_new_ones(ds: Dataset) -> None:
    known = with_held_out(ds, 0)
    held = known.new_items(Split.VALIDATION)
    assert len(held) == int(narrowing.HELD_SHARE * len(ds.train_items))
    assert set(held) < set(ds.train_items)
    assert not len(known.new_items(Split.TEST))
    assert set(known.train_items) == set(ds.train_items) - set(held)
    assert len(known.user) == (ds.split == Split.TRAIN).sum()
    assert not np.isin(known.item, ds.new_items()).any()
    lost = ds.available[held].sum() - known.available[held].sum()
    assert 0 < lost <= len(held)
    assert known.available[held].any(axis=1).all()
    np.testing.assert_array_equal(known.available[known.train_items], ds.available[known.train_items])
    np.testing.assert_array_equal(with_held_out(ds, 0).item_split, known.item_split)
    assert (with_held_out(ds, 1).item_split != known.item_split).any()


def test_pairs_to_rank_are_those_of_held_out_items(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    known = with_held_out(ds, 0)
    expected = set(zip(*known.interactions(Split.VALIDATION), strict=True))
    users, items, user, item = ranking_pairs(known, 0)
    assert set(zip(users[user], items[item], strict=True)) == expected
    monkeypatch.setattr(narrowing, "MOST_RANKING", 3)
    users, items, user, item = ranking_pairs(known, 0)
    assert len(users) == 3
    assert set(zip(users[user], items[item], strict=True)) < expected


def ranked(useful: int, K: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Users and items of K numbers of which the first `useful` decide, by far, which items they chose."""
    rng = np.random.default_rng(0)
    P, Z = (rng.normal(size=(n, K)).astype(np.float32) for n in (80, 120))
    P[:, useful:] *= 1e-3
    user, item = np.nonzero(np.argsort(np.argsort(-P @ Z.T, axis=1), axis=1) < 5)
    return P, Z, user, item


@pytest.mark.parametrize(("useful", "expected"), [(3, 16), (16, 16), (20, 24), (40, 48), (60, 64), (64, 64)])
def test_the_least_width_that_ranks_as_well(useful: int, expected: int) -> None:
    assert least_width(*ranked(useful)) == expected


def test_a_width_that_is_enough_by_chance_alone_is_not_taken() -> None:
    P, Z, user, item = ranked(64)
    P[:, 16:24] *= 40  # what makes narrow lists worse
    Z[:, 24:32] = Z[:, 16:24]
    P[:, 24:32] = -P[:, 16:24]  # is undone here: 16 and 32 rank alike, 24 doesn't
    assert least_width(P, Z, user, item) > 24


def test_few_vectors_have_one_width() -> None:
    P, Z, user, item = ranked(8, K=12)
    assert least_width(P, Z, user, item) == 12
