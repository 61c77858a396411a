"""Fingerprints of data, and the scale of features."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.data import Dataset, make_synthetic
from milk_np.errors import DataWarning
from milk_np.serving.prints import (
    ENOUGH,
    SHARES,
    item_prints,
    pairs_print,
    quantiles,
    scaled_otherwise,
    training_lengths,
    warn_of_scale,
)

TRAINED = np.array([1.0, 2.0, 4.0, 6.0, 8.0], np.float32)


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(40, 50, 300, {"image": 6, "text": 5}, new_items=0.3, seed=1)


@given(st.randoms())
def test_pairs_have_one_print_in_any_order(ds: Dataset, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(ds.user)))
    random.shuffle(order)
    turned = replace(ds, user=ds.user[order], item=ds.item[order], split=ds.split[order])
    assert pairs_print(turned) == pairs_print(ds)


def test_another_pair_has_another_print(ds: Dataset) -> None:
    fewer = replace(ds, user=ds.user[1:], item=ds.item[1:], split=ds.split[1:])
    swapped = replace(ds, user=np.where(ds.user == 0, 1, np.where(ds.user == 1, 0, ds.user)))
    assert len({pairs_print(each) for each in (ds, fewer, swapped)}) == 3


def test_an_item_is_known_by_its_rows(ds: Dataset) -> None:
    text = ds.features["text"].copy()
    text[7, 4] = np.nextafter(text[7, 4], np.float32(9))
    other = item_prints(replace(ds, features=ds.features | {"text": text}))
    assert np.flatnonzero(other != item_prints(ds)).tolist() == [7]


def test_lengths_are_those_of_training_items(ds: Dataset) -> None:
    norms = np.linalg.norm(ds.features["text"][ds.train_items].astype(float), axis=1)
    np.testing.assert_allclose(training_lengths(ds)[1], np.quantile(norms, SHARES), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "n", "found"),
    [
        (TRAINED, 50, ""),
        (TRAINED * 1.2, 50, ""),
        (TRAINED * 0.01, 1, "the median length of 1 rows is 0.04, in training 4"),
        (np.full(5, 8.5), 1, ""),
        (np.full(5, 11.0), 1, "the median length of 1 rows is 11"),
        (TRAINED * 1.8, ENOUGH - 1, ""),
        (TRAINED * 1.8, ENOUGH, "the median length of 20 rows is 7.2"),
        (np.ones(5) * 4, ENOUGH, "20 rows have nearly one length (4 to 4)"),
        (np.zeros(5), 3, "the median length of 3 rows is 0"),
    ],
)
def test_what_counts_as_another_scale(given: np.ndarray, n: int, found: str) -> None:
    how = scaled_otherwise(TRAINED, given, n)
    assert how.startswith(found)
    assert bool(how) == bool(found)


def test_rows_of_one_length_are_at_home_where_training_had_them() -> None:
    assert scaled_otherwise(np.ones(5), np.ones(5), 100) == ""


def test_rows_that_are_missing_do_not_count() -> None:
    rows = np.vstack([np.full((3, 4), 2.0), np.zeros((3, 4))]).astype(np.float32)
    owned = np.array([[True]] * 3 + [[False]] * 3)
    trained = quantiles(rows, np.arange(3))[None].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scale(["image"], trained, {"image": rows}, owned)
        warn_of_scale(["image"], trained, {}, None)
        warn_of_scale(["image"], None, {"image": rows}, None)
    with pytest.warns(DataWarning, match="image: the median length of 3 rows is 0.4, in training 4"):
        warn_of_scale(["image"], trained, {"image": rows / 10}, owned)
