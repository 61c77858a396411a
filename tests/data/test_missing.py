"""Masks take exactly what they say, never an item's last modality, and depend on the seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_cases import small, small_arrays
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import PROTOCOLS, Dataset, apply_protocol, make_mask
from milk_np.data.missing import Mask
from milk_np.errors import DataError, SettingsError

splits = st.lists(st.integers(0, 2), min_size=1, max_size=200).map(lambda s: np.array(s, dtype=np.uint8))


@given(splits, st.integers(2, 5), st.sampled_from(PROTOCOLS), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_counts_are_exact(item_split: np.ndarray, M: int, protocol: str, train: float, test: float, seed: int) -> None:
    mask = make_mask(item_split, M, protocol, missing_train=train, missing_test=test, seed=seed)
    lost = M - mask.sum(axis=1)
    n_train, n_new = int((item_split == 0).sum()), int((item_split > 0).sum())
    assert set(lost.tolist()) <= {0, 1}
    assert lost[item_split == 0].sum() == (round(train * n_train) if protocol[0] == "M" else 0)
    assert lost[item_split > 0].sum() == (round(test * n_new) if protocol[2] == "M" else 0)


@given(splits, st.integers(2, 5), st.integers(0, 9), st.data())
def test_a_mix_takes_its_shares(item_split: np.ndarray, M: int, seed: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=M).filter(any))
    shares = [weight / sum(weights) for weight in weights]
    mask = make_mask(item_split, M, "FTMT", mix=shares, seed=seed)
    lost = (M - mask.sum(axis=1))[item_split > 0]
    assert mask[item_split == 0].all()
    assert mask.any(axis=1).all()
    for count, share in enumerate(shares):
        assert abs(int((lost == count).sum()) - share * len(lost)) <= 1
    assert (lost < len(shares)).all()


def test_the_papers_mix() -> None:
    item_split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), [500, 100, 100])
    mask = make_mask(item_split, 3, "FTMT", mix=(0.10, 0.45, 0.45))
    assert np.bincount(3 - mask[500:].sum(axis=1)).tolist() == [20, 90, 90]


@given(st.integers(0, 50), st.integers(2, 4))
def test_what_is_missing_by_nature_stays_missing(seed: int, M: int) -> None:
    rng = np.random.default_rng(seed)
    owned = rng.random((60, M)) < 0.6
    owned[~owned.any(axis=1), 0] = True
    item_split = (rng.random(60) < 0.4).astype(np.uint8)
    mask = make_mask(item_split, M, "MTMT", missing_train=0.5, missing_test=1.0, owned=owned, seed=seed)
    assert not (mask & ~owned).any()
    assert mask.any(axis=1).all()
    rich = owned.sum(axis=1) >= 2
    lost = owned.sum(axis=1) - mask.sum(axis=1)
    assert lost[rich & (item_split > 0)].tolist() == [1] * int((rich & (item_split > 0)).sum())
    assert lost[rich & (item_split == 0)].sum() == round(0.5 * int((rich & (item_split == 0)).sum()))


def test_every_modality_and_item_is_lost_about_equally_often() -> None:
    item_split = np.array([0] + [1] * 40, dtype=np.uint8)
    lost = sum((~make_mask(item_split, 3, "FTMT", seed=seed)).astype(int) for seed in range(600))
    assert not lost[0].any()
    expected = 600 * 0.5 / 3
    assert abs(lost[1:].mean() - expected) < 1e-9
    assert np.abs(lost[1:] - expected).max() < 5 * np.sqrt(expected)


def test_training_and_new_items_are_drawn_independently() -> None:
    """The mask of new items doesn't depend on whether training items lose anything."""
    item_split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), 40)
    ftmt, mtmt = (make_mask(item_split, 3, protocol, seed=7) for protocol in ("FTMT", "MTMT"))
    assert np.array_equal(ftmt[40:], mtmt[40:])
    assert np.array_equal(mtmt, make_mask(item_split, 3, "MTMT", seed=7))
    assert not np.array_equal(mtmt, make_mask(item_split, 3, "MTMT", seed=8))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "ftmt"}, SettingsError, "protocol: expected one of FTFT, FTMT, MTFT, MTMT, got 'ftmt'"),
        ({"missing_train": 1.5}, SettingsError, "missing_train: expected a share from 0 to 1, got 1.5"),
        ({"missing_test": float("nan")}, SettingsError, "missing_test: expected a share"),
        ({"mix": (0.5, 0.6)}, SettingsError, "missing_mix: expected shares that sum to 1"),
        ({"mix": (1.5, -0.5)}, SettingsError, "missing_mix: expected shares"),
        (
            {"mix": (0.5, 0.5), "protocol": "MTFT"},
            SettingsError,
            "expected a protocol with missing new items",
        ),
        ({"mix": (0.2, 0.3, 0.5)}, DataError, "would lose 2 of 2 modalities, expected at most 1"),
        ({"n_modalities": 1}, DataError, "at least two modalities, got one"),
    ],
)
def test_impossible_masks_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "item_split": np.array([0, 1, 2], np.uint8),
        "n_modalities": 2,
        "protocol": "MTMT",
    }
    with pytest.raises(error, match=message):
        make_mask(**arguments | options)


def test_one_modality_is_fine_where_nothing_is_to_miss() -> None:
    item_split = np.array([0, 1, 2], dtype=np.uint8)
    assert make_mask(item_split, 1, "FTFT").all()
    assert make_mask(item_split, 1, "MTMT", missing_train=0, missing_test=0).all()


def test_a_protocol_is_recorded_and_replaced() -> None:
    ds = apply_protocol(small(), "FTMT", missing_test=0.5, seed=3)
    assert ds.meta["protocol"] == "FTMT"
    assert (ds.meta["missing_test"], ds.meta["missing_seed"], ds.meta["missing_mix"]) == (0.5, 3, [])
    assert (~ds.available).sum() == 2
    assert apply_protocol(ds, "FTFT").available.all()


def test_a_protocol_over_natural_gaps_is_drawn_once() -> None:
    made = small_arrays()
    made["meta"]["natural_missing"] = True
    ds = Dataset(**made)
    masked = apply_protocol(ds, "MTMT")
    assert not (masked.available & ~ds.available).any()
    with pytest.raises(DataError, match="that the raw data lack with those that MTMT removed"):
        apply_protocol(masked, "FTMT")


def test_a_mask_object_draws_as_the_function() -> None:
    item_split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), 9)
    mask = Mask("MTMT", 0.2, 0.4, (), 5)
    expected = make_mask(item_split, 3, "MTMT", missing_train=0.2, missing_test=0.4, seed=5)
    assert np.array_equal(mask.draw(item_split, 3), expected)
