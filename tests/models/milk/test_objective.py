"""Every gradient of the objective against finite differences, and what else must hold of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_cases import cases, make_case

import milk_np.kernels.reference as reference
from milk_np.models.extractors.objective import Weights, parts
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements

TERMS = {
    "risk": Weights(0.0, 0.0, 0.0),
    "risk, summed": Weights(0.0, 0.0, 0.0, mean=False),
    "variance": Weights(50.0, 0.0, 0.0),
    "alignment": Weights(0.0, 5.0, 0.0),
    "regulariser": Weights(0.0, 0.0, 5.0),
    "all parameters": Weights(0.0, 0.0, 5.0, all_parameters=True),
    "whole": Weights(50.0, 0.7, 0.4, mean=False),
}


@settings(max_examples=150, deadline=None)
@given(case=cases, seed=st.integers(0, 2**32 - 1))
def test_gradient_along_a_random_direction(case, seed):
    check = check_direction(case.loss, case.variables(), case.dense_gradients(), seed=seed)
    assert check.error < TOLERANCE, str(check)


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
@pytest.mark.parametrize("M", [1, 2, 3])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_of_every_element(name, M, kernels):
    case = make_case(seed=M, M=M, K=3, kernels=kernels, weights=TERMS[name])
    for check in check_elements(case.loss, case.variables(), case.dense_gradients()):
        assert check.error < TOLERANCE, str(check)


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_bias_cancels_in_the_risk(case):
    """A bias adds the same to both items of a triplet: without the other terms its gradient is rounding."""
    case.objective._weights = Weights(case.weights.invariance, 0.0, 0.0)
    for db in case.gradients().b:
        np.testing.assert_allclose(db, 0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), M=st.integers(1, 4))
def test_equals_scores_from_mixed_items(seed, M):
    """The margins' shortcut is exact: L_e from z_e = sum_m theta_e^m c^m of whole items, written out plainly."""
    case = make_case(seed=seed, M=M)
    case.gradients()
    every = np.arange(len(case.owned))
    x = [reference.gather(*t, every, np.empty((len(every), t.raw.shape[1]))) for t in case.tables]
    c = np.stack([x[m] @ case.params.W[m] + case.params.b[m] for m in range(M)])
    B = len(case.users)
    for e, theta in enumerate(case.theta):
        z = np.tensordot(theta, c, 1)
        margin = np.sum(case.params.P[case.users] * (z[case.items[:B]] - z[case.items[B:]]), axis=1)
        np.testing.assert_allclose(case.record[0, e], np.mean(np.log1p(np.exp(-margin))), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kernels=st.sampled_from(["cpu", "reference"]))
def test_order_of_triplets_and_of_modalities_changes_nothing(seed, kernels):
    case = make_case(seed=seed, M=3, B=17, kernels=kernels)
    before, gradients = case.loss(), case.dense_gradients()
    order = np.random.default_rng(seed).permutation(17)
    case.users, case.items = (
        case.users[order],
        np.concatenate([case.items[:17][order], case.items[17:][order]]),
    )
    assert case.loss() == pytest.approx(before, rel=1e-12)
    for a, b in zip(case.dense_gradients(), gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_triplet_of_equal_items_gives_no_gradient_of_risk(seed):
    case = make_case(seed=seed, weights=Weights(1.0, 0.0, 0.0))
    case.items = np.concatenate([case.items[:12], case.items[:12]])
    for gradient in case.dense_gradients():
        np.testing.assert_allclose(gradient, 0, atol=1e-12)
    np.testing.assert_allclose(case.record[0, :-2], np.log(2), rtol=1e-12)


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
def test_single_precision_is_never_promoted(kernels):
    """A stray double-precision number would make every array after it twice as large and slow."""
    case = make_case(kernels=kernels, dtype=np.float32)
    assert {g.dtype for g in case.dense_gradients()} == {np.dtype(np.float32)}
    assert {x.dtype for x in case.variables()} == {np.dtype(np.float32)}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), M=st.integers(1, 4), draws=st.sampled_from([1, 2]))
def test_single_precision_follows_double(seed, M, draws):
    single = make_case(seed=seed, M=M, draws=draws, kernels="cpu", dtype=np.float32)
    double = make_case(seed=seed, M=M, draws=draws)
    assert single.loss() == pytest.approx(double.loss(), rel=1e-4)
    for a, b in zip(single.dense_gradients(), double.dense_gradients(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("kernels", ["reference", "cpu"])
def test_large_margins_stay_finite(kernels):
    case = make_case(scale=100.0, kernels=kernels, dtype=np.float32)
    assert np.isfinite(case.loss())
    assert all(np.isfinite(g).all() for g in case.dense_gradients())


def test_no_owned_pair_means_no_alignment():
    case = make_case(M=2, missing=1.0, weights=Weights(0.0, 1.0, 0.0))
    case.gradients()
    assert parts(case.record, case.weights)["alignment"] == 0
