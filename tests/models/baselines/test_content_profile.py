"""Models without training: the content profile against its definition, random order at its level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from milk_np.data import Dataset, make_mask, make_synthetic
from milk_np.data import rows as data_rows
from milk_np.errors import ModalityError
from milk_np.evaluation.evaluate import evaluate
from milk_np.models.base import Recommender
from milk_np.models.baselines.content_profile import ContentProfile
from milk_np.models.baselines.random_order import RandomOrder


@pytest.fixture(scope="module")
def ds() -> Dataset:
    """A small data set in which training and new items miss a modality, and the last user has no pair."""
    whole = make_synthetic(60, 90, 700, {"image": 7, "text": 5}, new_items=0.3, seed=2)
    mask = make_mask(whole.item_split, 2, "MTMT", seed=4)
    return whole.with_available(mask, {"n_users": whole.n_users + 1})


def item_vectors(ds: Dataset) -> NDArray[np.float64]:
    """The definition in float64, one item and one modality at a time."""
    parts = []
    for m, name in enumerate(ds.modalities):
        raw, owned = ds.features[name].astype(np.float64), ds.available[:, m]
        centre = raw[owned & (ds.item_split == 0)].mean(axis=0)
        centred = [row - centre if own else np.zeros(len(centre)) for row, own in zip(raw, owned, strict=True)]
        parts.append([row / np.linalg.norm(row) if row.any() else row for row in centred])
    return np.hstack(parts)


def test_items_are_centred_and_normalised_by_modality(ds: Dataset) -> None:
    model = ContentProfile().fit(ds)
    np.testing.assert_allclose(model.item_factors(), item_vectors(ds), atol=1e-5)
    some = np.array([5, 3, 88], np.int32)
    np.testing.assert_array_equal(model.item_factors(some), model.item_factors()[some])
    missing = np.flatnonzero(~ds.available[:, 0])
    assert not model.item_factors(missing)[:, :7].any()


def test_users_are_the_mean_of_their_items(ds: Dataset) -> None:
    model, items = ContentProfile().fit(ds), item_vectors(ds)
    indptr, item = ds.csr(0)
    for user, profile in enumerate(model.user_factors()[:-1]):
        expected = items[item[indptr[user] : indptr[user + 1]]].mean(axis=0)
        np.testing.assert_allclose(profile, expected, atol=1e-5)
    everybody = items[item].mean(axis=0)
    np.testing.assert_allclose(model.user_factors()[-1], everybody, atol=1e-5)


def test_a_user_does_not_depend_on_the_others_asked_for(ds: Dataset) -> None:
    model = ContentProfile().fit(ds)
    some = np.array([8, 60, 2], np.int32)
    np.testing.assert_array_equal(model.user_factors(some), model.user_factors()[some])
    assert model.user_factors(np.zeros(0, np.int32)).shape == (0, 12)


def test_many_blocks_of_items(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ContentProfile().fit(ds)
    monkeypatch.setattr(data_rows, "BLOCK_ELEMENTS", 100)
    model = ContentProfile().fit(ds)
    np.testing.assert_allclose(model.user_factors(), expected.user_factors(), atol=1e-6)
    some = np.array([8, 2], np.int32)
    np.testing.assert_array_equal(model.user_factors(some), model.user_factors()[some])


@pytest.mark.parametrize("impute", ["zero", "mean", "map", "nearest"])
def test_brand_new_items_are_encoded_like_known_ones(ds: Dataset, impute: str) -> None:
    model = ContentProfile(impute).fit(ds)
    new = ds.new_items()
    rows = {name: ds.features[name][new] for name in ds.modalities}
    encoded = model.encode_items(rows, ds.available[new])
    np.testing.assert_allclose(encoded, model.item_factors(new), atol=1e-5)


def test_a_modality_may_be_left_out(ds: Dataset) -> None:
    model = ContentProfile().fit(ds)
    encoded = model.encode_items({"text": ds.features["text"][:3]})
    assert not encoded[:, :7].any()
    with pytest.raises(ModalityError, match="shape"):
        model.encode_items({"text": np.zeros((2, 4), np.float32)})


def test_content_is_better_than_random_order(ds: Dataset) -> None:
    levels = [evaluate(model.fit(ds), ds).metrics["ndcg@10"] for model in (ContentProfile(), RandomOrder())]
    assert levels[0] > 1.2 * levels[1]


def test_random_order_is_at_the_random_level(ds: Dataset) -> None:
    values = [evaluate(RandomOrder(seed).fit(ds), ds).metrics["recall@10"] for seed in range(40)]
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(10 / len(ds.new_items()), abs=4 * error)


def test_random_order_depends_on_the_seed_only(ds: Dataset) -> None:
    one, again, other = RandomOrder(3).fit(ds), RandomOrder(3).fit(ds), RandomOrder(4).fit(ds)
    some = np.array([4, 1], np.int32)
    np.testing.assert_array_equal(one.user_factors(), again.user_factors())
    np.testing.assert_array_equal(one.item_factors(some), again.item_factors()[some])
    assert not np.array_equal(one.user_factors(), other.user_factors())
    assert one.encode_items({"image": np.zeros((3, 7), np.float32), "text": None}).shape == (3, 16)


@pytest.mark.parametrize("model", [ContentProfile(), RandomOrder()])
def test_vectors_are_float32(ds: Dataset, model: Recommender) -> None:
    model.fit(ds)
    rows = {"image": ds.features["image"][:2]}
    for vectors in (model.user_factors(), model.item_factors(), model.encode_items(rows)):
        assert vectors.dtype == np.float32


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "valid", "ndcg", "recall"),
    [("lfm2k-ftmt", 0.182, 0.258, 0.436), ("tiktok-ftmt", 0.0143, 0.0164, 0.034)],
)
def test_known_levels_on_real_data(real_data: Path, file: str, valid: float, ndcg: float, recall: float) -> None:
    """Levels measured with another program. On tiktok some users have no training pair, whom its definition
    doesn't cover: hence the tolerance.
    """
    ds = Dataset.load(real_data / "parity" / f"{file}.npz")
    model = ContentProfile().fit(ds)
    test = evaluate(model, ds, 2).metrics
    assert evaluate(model, ds, 1).metrics["ndcg@10"] == pytest.approx(valid, rel=0.02)
    assert test["ndcg@20"] == pytest.approx(ndcg, rel=0.03)
    assert test["recall@20"] == pytest.approx(recall, rel=0.07)
