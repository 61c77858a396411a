"""Batches of pairs with candidates: each pair once, negatives that are free, draws that depend on keys alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.backends.numba import NumpyBackend
from milk_np.data import Dataset, make_synthetic
from milk_np.data.arrays import Split
from milk_np.training.candidates import CandidateSampler, numbered


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return make_synthetic(40, 50, 500, {"a": 3, "b": 2}, new_items=0.3, seed=2)


def sampler(ds: Dataset, batch_size: int = 64, seed: int = 0) -> CandidateSampler:
    return CandidateSampler(NumpyBackend(), ds, batch_size=batch_size, seed=seed)


def owned(ds: Dataset) -> set[tuple[int, int]]:
    return {(int(u), int(i)) for u, i in zip(*ds.interactions(Split.TRAIN), strict=True)}


def test_an_epoch_has_every_pair_once_and_another_has_another_order(ds: Dataset) -> None:
    made = sampler(ds)
    epochs = [[made.batch(epoch, step) for step in range(made.steps)] for epoch in (1, 2)]
    pairs = [[(int(u), int(i)) for b in epoch for u, i in zip(b.users, b.items, strict=True)] for epoch in epochs]
    assert sorted(pairs[0]) == sorted(pairs[1]) == sorted(owned(ds))
    assert pairs[0] != pairs[1]
    assert made.examples == len(pairs[0])


def test_negatives_are_training_items_outside_of_the_history(ds: Dataset) -> None:
    made, pairs = sampler(ds), owned(ds)
    batch = made.batch(3, 1)
    drawn = made.negatives(batch.users, batch.rows, 40, "negatives", 3)
    for user, row in zip(batch.users.tolist(), drawn, strict=True):
        items = row[row >= 0].tolist()
        free = len(made.candidates) - sum(u == user for u, _ in pairs)
        assert len(set(items)) == len(items) == min(40, free)
        assert set(items) <= set(made.candidates.tolist())
        assert not pairs & {(user, item) for item in items}


def test_draws_of_a_pair_do_not_depend_on_the_batch(ds: Dataset) -> None:
    whole, parts = sampler(ds, 10_000), sampler(ds, 7)
    everything = whole.batch(1, 0)
    negatives = whole.negatives(everything.users, everything.rows, 3, "negatives", 1)
    others = whole.other_users(everything.items, everything.rows, "users", 1)
    batch = parts.batch(1, 2)
    np.testing.assert_array_equal(batch.items, everything.items[14:21])
    np.testing.assert_array_equal(parts.negatives(batch.users, batch.rows, 3, "negatives", 1), negatives[14:21])
    np.testing.assert_array_equal(parts.other_users(batch.items, batch.rows, "users", 1), others[14:21])
    assert (sampler(ds, 10_000, seed=1).batch(1, 0).items != everything.items).any()


def test_items_of_a_user_are_theirs_and_all_of_them_come(ds: Dataset) -> None:
    made, pairs = sampler(ds), owned(ds)
    users = np.repeat(made.active, 200)
    items = made.of_users(users, np.arange(len(users)), "items", 1)
    assert {(int(u), int(i)) for u, i in zip(users, items, strict=True)} == {p for p in pairs if p[0] in made.active}


def test_other_users_have_not_chosen_the_item(ds: Dataset) -> None:
    made, pairs = sampler(ds), owned(ds)
    items = np.repeat(made.candidates, 300)
    found = made.other_users(items, np.arange(len(items)), "users", 1)
    for item in made.candidates[:10]:
        strangers = {user for user in range(ds.n_users) if (user, int(item)) not in pairs}
        assert set(found[items == item].tolist()) == (strangers or {-1})


def test_some_users_are_distinct_and_have_pairs(ds: Dataset) -> None:
    made = sampler(ds)
    users = made.some_users(10, "users", 1, 2)
    assert len(set(users.tolist())) == 10
    assert set(users.tolist()) <= set(ds.interactions(Split.TRAIN)[0].tolist())
    assert sorted(made.some_users(1000, "users", 1, 2)) == sorted(made.active)
    assert (made.some_users(10, "users", 1, 3) != users).any()


@given(st.lists(st.integers(-1, 8), max_size=20))
def test_numbers_lead_back_to_the_items(items: list[int]) -> None:
    given_items = np.array(items, np.int32)
    ids, places = numbered(given_items, 9)
    assert ids.tolist() == sorted({item for item in items if item >= 0})
    np.testing.assert_array_equal(np.where(places < 0, -1, np.append(ids, -1)[places]), given_items)
