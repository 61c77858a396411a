"""The mixing weights: points of the simplex, all shifts of a draw, reproducible, and each strategy as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milk_np.models.milk.environments import STRATEGIES, mixing_weights, n_environments

alphas = st.sampled_from([0.01, 0.1, 1.0, 100.0])


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    M=st.integers(1, 6),
    alpha=alphas,
    strategy=st.sampled_from(STRATEGIES),
    draws=st.integers(1, 3),
)
def test_points_of_the_simplex(seed, M, alpha, strategy, draws):
    theta = mixing_weights(seed, 3, 5, M, alpha, strategy, draws)
    assert theta.shape == (5, n_environments(M, strategy, draws), M)
    assert (theta >= 0).all()
    np.testing.assert_allclose(theta.sum(axis=2), 1, rtol=1e-9)
    np.testing.assert_array_equal(theta, mixing_weights(seed, 3, 5, M, alpha, strategy, draws))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), M=st.integers(1, 5), alpha=alphas, draws=st.integers(1, 3))
def test_cyclic(seed, M, alpha, draws):
    theta = mixing_weights(seed, 1, 4, M, alpha, "cyclic", draws)
    np.testing.assert_array_equal(theta[:, 0], 1 / M)
    for step in theta:
        for draw in range(draws):
            block = step[1 + draw * M : 1 + (draw + 1) * M]
            for shift in range(M):
                np.testing.assert_array_equal(block[shift], np.roll(block[0], shift))
    # Every modality weighs the same over all shifts of a draw.
    np.testing.assert_allclose(theta[:, 1:].mean(axis=1), 1 / M, rtol=1e-9)


def test_strategies_differ_as_they_say():
    cyclic, no_equal, independent, once = (mixing_weights(7, 2, 6, 3, 0.5, s) for s in STRATEGIES)
    np.testing.assert_array_equal(no_equal, cyclic[:, 1:])
    assert not np.allclose(np.roll(independent[:, 1], 1, axis=1), independent[:, 2])
    assert len(np.unique(once, axis=0)) == 1
    np.testing.assert_array_equal(once, mixing_weights(7, 9, 6, 3, 0.5, "once"))
    assert len(np.unique(cyclic, axis=0)) == 6


@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_draws_have_the_moments_of_a_dirichlet(alpha):
    """Mean 1/M and variance (M - 1) / (M^2 (M alpha + 1)), within five standard errors of 20,000 draws."""
    M, n = 3, 20_000
    draws = mixing_weights(1, 1, n, M, alpha, "no-equal")[:, 0]
    variance = (M - 1) / (M**2 * (M * alpha + 1))
    assert np.abs(draws.mean(axis=0) - 1 / M).max() < 5 * np.sqrt(variance / n)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.1)
