"""The checker itself: a right gradient passes, a wrong one of any kind doesn't."""

from __future__ import annotations

import numpy as np
import pytest

from milk_np.models.milk.proof import TERMS, prove
from milk_np.nn.gradcheck import TOLERANCE, check_direction, check_elements


def cubic(x, y):
    return lambda: float((x**3).sum() + x.sum() * (y**2).sum())


def gradients(x, y):
    return [3 * x**2 + (y**2).sum(), 2 * x.sum() * y]


@pytest.fixture
def point():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 2)), rng.standard_normal(4)


def test_passes_a_right_gradient(point):
    for seed in range(20):
        assert check_direction(cubic(*point), point, gradients(*point), seed=seed).error < TOLERANCE
    assert all(check.error < TOLERANCE for check in check_elements(cubic(*point), point, gradients(*point)))


@pytest.mark.parametrize("factor", [-1, 0, 0.5, 0.9999, 1.00001, 2])
@pytest.mark.parametrize("which", [0, 1])
def test_fails_a_wrong_gradient(point, which, factor):
    wrong = gradients(*point)
    wrong[which] = factor * wrong[which]
    check = check_direction(cubic(*point), point, wrong)
    assert check.error > TOLERANCE
    for word in ("claimed", "measured", "eps 1e-05", "seed 0"):
        assert word in str(check)
    assert any(check.error > TOLERANCE for check in check_elements(cubic(*point), point, wrong))


def test_leaves_the_variables_as_they_were(point):
    before = [x.copy() for x in point]
    check_direction(cubic(*point), point, gradients(*point))
    check_elements(cubic(*point), point, gradients(*point))
    for a, b in zip(point, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_proves_every_term():
    proof = prove()
    assert [name for name, _ in proof] == [*TERMS, "whole, users profile", "whole, users both"]
    assert all(error < TOLERANCE for _, error in proof)
