"""Users as profiles: the gradient of the whole objective, and no leak of the positive into its own user."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_cases import make_case, weight_choices

from milk_np.backends.numba import NumpyBackend
from milk_np.models.extractors.objective import Weights
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.milk.users import USERS, FreeUsers, HistoryUsers, make_users
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

KINDS = ("profile", "both")
TERMS = {
    "risk": Weights(0.0, 0.0, 0.0),
    "variance": Weights(50.0, 0.0, 0.0),
    "regulariser": Weights(0.0, 0.0, 5.0),
    "all parameters": Weights(0.0, 0.0, 5.0, all_parameters=True),
    "whole": Weights(50.0, 0.7, 0.4, mean=False),
}

profiled = st.builds(
    make_case,
    seed=st.integers(0, 2**32 - 1),
    B=st.sampled_from([1, 2, 5, 17]),
    M=st.integers(1, 4),
    K=st.sampled_from([2, 3, 8]),
    U=st.sampled_from([1, 3, 20]),
    n_items=st.sampled_from([1, 4, 25]),
    weights=weight_choices,
    missing=st.sampled_from([0.0, 0.4, 1.0]),
    kind=st.sampled_from(KINDS),
)
"""Users with one item and with many, items with all modalities and with one."""


def shortest_sum(case):
    """Length of the shortest sum that a profile of the batch divides by; a history that vanishes has no slope."""
    inverse = profile_of(case)[1]
    return 1 / inverse.max(initial=1e-3)


def profile_of(case):
    """q (B, K) of the batch and the inverse lengths (B)."""
    users = case.objective._users
    batch = users.batch(case.users, case.items, users.group(case.users))
    c, _ = case.objective._extract(case.params, batch.by_item.unique)
    seen = users.forward(case.params, c, batch)
    return seen.table.copy(), seen.cache.inverse.copy()


@settings(max_examples=150, deadline=None)
@given(case=profiled, seed=st.integers(0, 2**32 - 1))
def test_gradient_along_a_random_direction(case, seed):
    if shortest_sum(case) > 0.05:
        check = check_direction(case.loss, case.variables(), case.dense_gradients(), seed=seed)
        assert check.error < TOLERANCE * max(1, 1 / shortest_sum(case)), str(check)


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("M", [1, 3])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_of_every_element(name, M, kind, kernels):
    case = make_case(seed=M, M=M, K=3, kernels=kernels, weights=TERMS[name], kind=kind)
    assert shortest_sum(case) > 0.05
    for check in check_elements(case.loss, case.variables(), case.dense_gradients()):
        assert check.error < TOLERANCE, str(check)


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_positive_says_nothing_about_its_own_user(kind, kernels):
    """q_t stays as it is when the positive's features become something else; those of the other triplets don't."""
    case = make_case(seed=4, B=30, M=2, U=5, n_items=30, kernels=kernels, kind=kind, missing=0)
    before, positive = profile_of(case)[0], case.items[0]
    for table in case.tables:
        table.raw[positive] += 1
        table.scale[positive] = 1
    after = profile_of(case)[0]
    about_it = case.items[:30] == positive
    np.testing.assert_allclose(after[about_it], before[about_it], rtol=0, atol=1e-12)
    others = (case.users == case.users[0]) & ~about_it
    assert others.any()
    assert (np.abs(after[others] - before[others]).max(axis=1) > 1e-6).all()


def test_a_user_of_one_item_has_no_profile():
    case = make_case(seed=0, B=1, U=1, n_items=1, kind="profile")
    np.testing.assert_array_equal(profile_of(case)[0], 0)
    assert case.record[0, :-2] == pytest.approx(0)
    case.gradients()
    np.testing.assert_allclose(case.record[0, :-2], np.log(2), rtol=1e-12)


def test_an_item_of_the_history_that_is_in_no_triplet_gets_a_gradient():
    """Its features reach the risk through its owners' profiles alone."""
    case = make_case(seed=3, B=2, M=1, U=2, n_items=40, kind="profile", weights=Weights(0.0, 0.0, 0.0), missing=0)
    users = case.objective._users
    batch = users.batch(case.users, case.items, users.group(case.users))
    extra = batch.by_item.unique[len(np.unique(case.items)) :]
    assert len(extra)
    before = case.loss()
    case.tables[0].raw[extra[0]] += 1
    case.tables[0].scale[extra[0]] = 1
    assert case.loss() != before


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_never_promoted(kind, kernels):
    case = make_case(kernels=kernels, dtype=np.float32, kind=kind)
    assert {g.dtype for g in case.dense_gradients()} == {np.dtype(np.float32)}
    assert profile_of(case)[0].dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_follows_double(kind):
    make = partial(make_case, seed=5, M=3, kind=kind)
    single, double = make(kernels="cpu", dtype=np.float32), make()
    assert single.loss() == pytest.approx(double.loss(), rel=1e-4)
    for a, b in zip(single.dense_gradients(), double.dense_gradients(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * max(1, np.abs(b).max(initial=0)))


def test_settings_offer_every_kind():
    assert MilkSettings.options()["users"].choices == USERS
    for kind in KINDS:
        with pytest.raises(ValueError, match="histories"):
            make_users(kind, NumpyBackend(), 1, np.ones((1, 1), bool))


def test_free_users_are_the_default():
    assert isinstance(make_case().objective._users, FreeUsers)
    assert isinstance(make_case(kind="both").objective._users, HistoryUsers)
