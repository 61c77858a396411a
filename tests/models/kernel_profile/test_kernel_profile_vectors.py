"""Vectors of the kernel profile: new users, new items, what the vectors must not depend on, how good they are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import EMPTY, OPTIONS, small

from milk_np.data import Dataset, apply_protocol, make_synthetic
from milk_np.data import rows as data_rows
from milk_np.errors import DataError, ModalityError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.baselines.content_profile import ContentProfile
from milk_np.models.baselines.random_order import RandomOrder
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.registry import make_model, make_settings


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return small()


@pytest.fixture(scope="module")
def model(ds: Dataset) -> KernelProfile:
    return KernelProfile(**OPTIONS).fit(ds)


def test_a_new_user_with_an_old_ones_items_is_like_her(ds: Dataset, model: KernelProfile) -> None:
    indptr, items = ds.csr(0)
    histories = [items[a:b] for a, b in pairwise(indptr)]
    np.testing.assert_array_equal(model.encode_users(histories), model.user_factors())
    twice = [np.concatenate([own[::-1], own]) for own in histories]
    np.testing.assert_array_equal(model.encode_users(twice), model.user_factors())
    with_new = [np.concatenate([histories[0], ds.new_items()])]
    np.testing.assert_allclose(model.encode_users(with_new), model.user_factors()[:1], atol=1e-6)


def test_a_tiny_noise_can_be_given_though_whitening_is_chosen(ds: Dataset) -> None:
    """Held-out ranking is in float32, whose regressions were not positive definite."""
    model = KernelProfile(**(OPTIONS | {"kernel_noise": 1e-9})).fit(ds)
    assert model.kernel.noise == 1e-9
    assert np.isfinite(model.user_factors()).all()


def test_nothing_known_of_a_user_makes_her_a_little_of_the_mean_one(ds: Dataset, model: KernelProfile) -> None:
    """Of all users the mean is 1 + prior / mean length times the mean user."""
    mean = model.user_factors().astype(np.float64).mean(axis=0)
    share = model.settings.prior / (np.count_nonzero(ds.split == 0) / ds.n_users)
    found = model.encode_users([np.zeros(0, np.int32)])
    np.testing.assert_allclose(found[0], mean * share / (1 + share), atol=1e-5 * np.abs(mean).max())
    np.testing.assert_array_equal(model.user_factors()[EMPTY], found[0])
    np.testing.assert_array_equal(model.user_factors(np.array([EMPTY])), found)
    assert model.encode_users([]).shape == (0, found.shape[1])


def test_refuses_histories_out_of_range(ds: Dataset, model: KernelProfile) -> None:
    for wrong in (ds.n_items, -1):
        with pytest.raises(DataError, match="from 0 to 59"):
            model.encode_users([np.array([0]), np.array([wrong])])


def test_some_users_and_items_are_rows_of_all(model: KernelProfile) -> None:
    some = np.array([7, EMPTY, 3], np.int32)
    np.testing.assert_array_equal(model.user_factors(some), model.user_factors()[some])
    np.testing.assert_allclose(model.item_factors(some), model.item_factors()[some], atol=1e-5)
    none = np.zeros(0, np.int32)
    K = model.user_factors().shape[1]
    assert model.user_factors(none).shape == model.item_factors(none).shape == (0, K)
    assert model.user_factors().dtype == model.item_factors().dtype == np.float32


# Items


@pytest.mark.parametrize("M", [1, 2, 3, 5])
def test_brand_new_items_are_encoded_like_known_ones(M: int, tmp_path: Path) -> None:
    ds = small(M, "MTMT" if M > 1 else "FTFT")
    model = KernelProfile(**OPTIONS, whitening=(0.5,)).fit(ds)
    model.save(tmp_path / "model.npz")
    new = ds.new_items()
    rows = {name: ds.features[name][new].astype(np.float32) for name in ds.modalities}
    for m, name in enumerate(ds.modalities):
        rows[name][~ds.available[new, m]] = np.nan
    for each in (model, KernelProfile.load(tmp_path / "model.npz")):
        np.testing.assert_allclose(each.encode_items(rows, ds.available[new]), model.item_factors(new), atol=1e-5)


def test_a_modality_may_be_left_out(ds: Dataset, model: KernelProfile) -> None:
    text = ds.features["text"][:4]
    found = model.encode_items({"text": text})
    both = {"image": ds.features["image"][:4], "text": text}
    owned = np.tile([False, True], (4, 1))
    np.testing.assert_array_equal(model.encode_items(both, owned), found)
    np.testing.assert_array_equal(model.encode_items({"text": text, "image": None}), found)
    assert not np.allclose(model.encode_items(both), found, atol=1e-3)
    assert model.encode_items({"text": text[:0]}).shape == (0, found.shape[1])


def test_an_item_of_a_set_without_regression_is_known_by_the_largest_part_of_it() -> None:
    ds = small(5)
    model = KernelProfile(**OPTIONS).fit(ds)
    rows = {name: ds.features[name][:6] for name in ("image", "tags")}
    found = model.encode_items(rows)
    one = [model.encode_items({name: rows[name]}) for name in rows]
    assert any(np.allclose(found, alone, atol=1e-5) for alone in one)
    assert not np.allclose(one[0], one[1], atol=1e-3)


@pytest.mark.parametrize("stored", [np.nan, 1e4])
def test_what_stands_in_the_rows_of_missing_modalities_changes_nothing(
    ds: Dataset, model: KernelProfile, stored: float
) -> None:
    features = {name: rows.copy() for name, rows in ds.features.items()}
    for m, name in enumerate(ds.modalities):
        features[name][~ds.available[:, m]] = stored
    other = KernelProfile(**OPTIONS).fit(replace(ds, features=features, check_features=False))
    np.testing.assert_array_equal(other.item_factors(), model.item_factors())
    np.testing.assert_array_equal(other.user_factors(), model.user_factors())


def test_refuses_features_that_do_not_fit(ds: Dataset, model: KernelProfile) -> None:
    text = ds.features["text"][:2]
    with pytest.raises(ModalityError, match="among image, text, got smell"):
        model.encode_items({"smell": text})
    with pytest.raises(ModalityError, match=r"feature_text: expected shape \(2, 5\), got \(2, 4\)"):
        model.encode_items({"text": text[:, :4]})
    with pytest.raises(ModalityError, match="at least one of image, text"):
        model.encode_items({"text": None})
    with pytest.raises(ModalityError, match="1 items miss all of image, text"):
        model.encode_items({"text": text}, np.array([[False, True], [False, False]]))
    with pytest.raises(ModalityError, match="1 items miss all of image, text"):  # a row of NaN is a missing one
        model.encode_items({"text": np.full((1, 5), np.nan, np.float32)})
    with pytest.raises(ModalityError, match="NaN"):
        model.encode_items({"text": np.array([[0, np.nan, 0, 0, 0]], np.float32)})


def test_many_blocks_of_items(ds: Dataset, model: KernelProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = model.item_factors()
    rows = {name: ds.features[name] for name in ds.modalities}
    monkeypatch.setattr(data_rows, "BLOCK_ELEMENTS", 50)
    np.testing.assert_allclose(model.item_factors(), expected, atol=1e-5)
    np.testing.assert_allclose(model.encode_items(rows, ds.available), expected, atol=1e-5)


# Features of other kinds


def test_half_precision_and_memory_maps_change_no_bit(tmp_path: Path) -> None:
    half = small(half=True)
    half.save(tmp_path / "half")
    mapped = Dataset.load(tmp_path / "half")
    assert all(isinstance(rows, np.memmap) and rows.dtype == np.float16 for rows in mapped.features.values())
    wide = replace(half, features={name: rows.astype(np.float32) for name, rows in half.features.items()})
    fitted = [KernelProfile(**OPTIONS).fit(each) for each in (half, mapped, wide)]
    for other in fitted[1:]:
        np.testing.assert_array_equal(other.user_factors(), fitted[0].user_factors())
        np.testing.assert_array_equal(other.item_factors(), fitted[0].item_factors())


# Beside other models


def test_the_preset_best_is_this_model(ds: Dataset) -> None:
    settings = make_settings({"preset": "best", **OPTIONS})
    assert settings.model == "kernel-profile"
    assert isinstance(make_model(settings), KernelProfile)


@pytest.mark.parametrize("protocol", ["FTFT", "MTMT"])
def test_better_than_the_content_profile_and_random_order(protocol: str) -> None:
    ds = apply_protocol(make_synthetic(300, 250, 4000, {"image": 20, "text": 12, "audio": 10}), protocol)
    values = [
        evaluate(model.fit(ds), ds, 1, topk=(10,)).metrics["ndcg@10"]
        for model in (KernelProfile(), ContentProfile(), RandomOrder())
    ]
    assert values[0] > 1.3 * values[1] > 1.3 * values[2]
